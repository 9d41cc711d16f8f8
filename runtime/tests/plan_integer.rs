//! Integer kernels and movement against the interpreter, bit for bit.

mod plan_common;

use std::sync::Arc;

use plan_common::{Build, Within, check, i8q, quantized, u8q, wq};
use quantir_ir::attr::{F32, Pads, PerAxis};
use quantir_ir::ops::pad::PadMode;
use quantir_ir::ops::resize::{Coord, NearestRound, ResizeMode};
use quantir_ir::ops::*;
use quantir_ir::{Dim, Elem, Phase, QParams, Quant, Shape, Storage, Tensor, Type, Zeros};

fn acts() -> [Act; 4] {
    [Act::None, Act::Relu, Act::Clip(F32(0.0), F32(6.0)), Act::HardSwish]
}

#[test]
fn convolutions() {
    type Case<'a> = (u8, &'a [usize], &'a [usize], u32, &'a [(u32, u32)], u32, u32);
    let cases: [Case; 10] = [
        (2, &[1, 3, 9, 9], &[8, 3, 3, 3], 2, &[(1, 1)], 1, 1),
        (2, &[2, 16, 7, 5], &[40, 16, 1, 1], 1, &[(0, 0)], 1, 1),
        (2, &[1, 8, 6, 6], &[4, 8, 1, 1], 2, &[(0, 0)], 1, 1),
        (2, &[1, 70, 6, 7], &[70, 1, 3, 3], 1, &[(1, 1)], 1, 70),
        (2, &[2, 20, 8, 8], &[20, 1, 5, 5], 2, &[(2, 2), (1, 2)], 1, 20),
        (2, &[1, 6, 8, 8], &[12, 2, 3, 3], 1, &[(1, 1)], 2, 3),
        (1, &[2, 5, 20], &[7, 5, 3], 2, &[(1, 1)], 1, 1),
        (1, &[1, 24, 20], &[24, 1, 5], 1, &[(2, 2)], 1, 24),
        (3, &[1, 3, 4, 5, 6], &[6, 3, 2, 3, 3], 1, &[(1, 0), (1, 1), (0, 1)], 1, 1),
        (3, &[1, 18, 3, 5, 6], &[18, 1, 3, 3, 3], 1, &[(1, 1)], 1, 18),
    ];
    let cases = acts().into_iter().flat_map(|act| cases.map(|case| (case, act.clone())));
    for (i, ((rank, x, w, stride, pad, dilation, groups), act)) in cases.enumerate() {
        let xq = if i % 3 == 2 { i8q(0.05, -3) } else { u8q(0.05, 120) };
        let yq = if i % 4 == 3 { i8q(0.3, 5) } else { u8q(0.3, if i % 7 == 0 { 0 } else { 100 }) };
        let wq = wq(w[0], if i % 2 == 0 { 0 } else { 2 });
        let mut b = Build::new(Phase::Integer, i as u64);
        let v = b.input(Type::f32(x));
        let q = b.op_as(Quantize {}, &[Some(v)], &[quantized(&xq, x)]);
        let weight = b.constant(&quantized(&wq, w));
        let bias = (i % 3 != 2).then(|| {
            if i % 3 == 1 {
                return b.constant(&Type::f32(&w[..1]));
            }
            let product = Elem::Quant(Arc::new(Quant::product(&xq, &wq)));
            let data: Vec<i64> = (0..w[0]).map(|_| b.random.below(2000) as i64 - 1000).collect();
            b.fixed(Tensor::from_ints(product, &w[..1], &data).unwrap())
        });
        let op = Qconv {
            rank,
            stride: PerAxis::all(stride),
            pad: Pads::of(pad),
            dilation: PerAxis::all(dilation),
            groups,
            act,
        };
        let declared = [Type::new(Elem::Quant(yq.clone()), Shape::default())];
        let y = b.op_as(op, &[Some(q), Some(weight), bias], &declared);
        let f = b.op(Dequantize {}, &[Some(y)]);
        let (g, inputs) = b.finish(&[y, f, q]);
        check(g, &inputs, true, Within::Exact, false);
    }
}

#[test]
fn products() {
    let cases = [(&[1, 64][..], 100), (&[7, 20], 33), (&[2, 3, 16], 5), (&[70, 33], 129)];
    for (i, (x, n)) in cases.into_iter().enumerate() {
        let xq = if i == 1 { i8q(0.05, 4) } else { u8q(0.05, 120) };
        let wq = wq(n, 0);
        let mut b = Build::new(Phase::Integer, i as u64);
        let v = b.input(quantized(&xq, x));
        let w = b.constant(&quantized(&wq, &[n, x[x.len() - 1]]));
        let bias = b.constant(&Type::f32(&[n]));
        let declared = [Type::new(Elem::Quant(u8q(0.2, 30)), Shape::default())];
        let y = b.op_as(Qlinear { act: acts()[i].clone() }, &[Some(v), Some(w)], &declared);
        let z = b.op_as(Qlinear { act: acts()[3 - i].clone() }, &[Some(v), Some(w), Some(bias)], &declared);
        let (g, inputs) = b.finish(&[y, z]);
        check(g, &inputs, true, Within::Exact, false);
    }
}

/// A quantized image that a plan keeps channels-last.
fn image(b: &mut Build, q: &Arc<Quant>, dims: &[usize]) -> quantir_ir::ValueId {
    let x = b.input(quantized(q, dims));
    let op = MaxPool {
        kernel: PerAxis::all(1),
        stride: PerAxis::all(1),
        pad: Pads::none(),
        dilation: PerAxis::all(1),
        ceil: false,
    };
    b.op(op, &[Some(x)])
}

#[test]
fn sums_and_products_broadcast() {
    for (i, signed) in [false, true].into_iter().enumerate() {
        let (aq, bq) = (if signed { i8q(0.04, -20) } else { u8q(0.04, 90) }, u8q(0.03, 128));
        let yq = if signed { i8q(0.06, 0) } else { u8q(0.06, 100) };
        let mut b = Build::new(Phase::Integer, i as u64);
        let dims = [2, 20, 5, 6];
        let x = image(&mut b, &aq, &dims);
        let same = image(&mut b, &bq, &dims);
        let gate = b.input(quantized(&bq, &[2, 20, 1, 1]));
        let row = b.constant(&quantized(&bq, &[6]));
        let scalar = b.constant(&quantized(&bq, &[]));
        let plane = b.input(quantized(&bq, &[2, 1, 5, 6]));
        let declared = [Type::new(Elem::Quant(yq.clone()), Shape::default())];
        let mut outs = Vec::new();
        for other in [same, gate, row, scalar, plane] {
            for act in acts() {
                outs.push(b.op_as(Qadd { act: act.clone() }, &[Some(x), Some(other)], &declared));
                outs.push(b.op_as(Qmul { act }, &[Some(other), Some(x)], &declared));
            }
        }
        let (g, inputs) = b.finish(&outs);
        check(g, &inputs, true, Within::Exact, false);
    }
}

#[test]
fn pools_and_means() {
    for q in [u8q(0.05, 17), i8q(0.05, -17)] {
        let mut b = Build::new(Phase::Integer, 3);
        let x = b.input(quantized(&q, &[2, 37, 9, 8]));
        let declared = [Type::new(Elem::Quant(u8q(0.04, 30)), Shape::default())];
        let pad = Pads::of(&[(1, 1), (0, 1)]);
        let (kernel, stride) = (PerAxis::all(3), PerAxis::all(2));
        let max = MaxPool {
            kernel: kernel.clone(),
            stride: stride.clone(),
            pad: pad.clone(),
            dilation: PerAxis::all(1),
            ceil: false,
        };
        let mut outs = vec![b.op(max, &[Some(x)])];
        for (count_pad, ceil) in [(false, true), (true, false)] {
            let op = QavgPool {
                kernel: kernel.clone(),
                stride: stride.clone(),
                pad: pad.clone(),
                ceil,
                count_pad,
            };
            outs.push(b.op_as(op, &[Some(x)], &declared));
        }
        for keep in [false, true] {
            outs.push(b.op_as(Qmean { axes: vec![2, 3], keep }, &[Some(x)], &declared));
        }
        let (g, inputs) = b.finish(&outs);
        check(g, &inputs, true, Within::Exact, false);
    }
}

#[test]
fn functions_of_a_byte() {
    for q in [u8q(0.05, 17), i8q(0.05, -17)] {
        for to in [u8q(0.03, 3), i8q(0.08, 9)] {
            let mut b = Build::new(Phase::Integer, 4);
            let x = image(&mut b, &q, &[1, 5, 6, 7]);
            let declared = [quantized(&to, &[1, 5, 6, 7])];
            let table = b.constant(&quantized(&to, &[256]));
            let outs = [
                b.op_as(Requantize {}, &[Some(x)], &declared),
                b.op_as(Requantize {}, &[Some(x)], &[quantized(&q, &[1, 5, 6, 7])]),
                b.op(Relu {}, &[Some(x)]),
                b.op(Clip { min: F32(0.1), max: F32(0.9) }, &[Some(x)]),
                b.op(Qlut {}, &[Some(x), Some(table)]),
                b.op(Dequantize {}, &[Some(x)]),
            ];
            let joined = [Type::new(Elem::Quant(to.clone()), Shape::default())];
            let j = b.op_as(Qconcat { axis: 1 }, &[Some(x), Some(outs[0]), Some(x)], &joined);
            let k = b.op_as(Qconcat { axis: 2 }, &[Some(j), Some(j)], &joined);
            let (g, inputs) = b.finish(&[&outs[..], &[j, k]].concat());
            check(g, &inputs, true, Within::Exact, false);
        }
    }
}

#[test]
fn movement_in_both_layouts() {
    for last in [false, true] {
        let q = u8q(0.05, 17);
        let mut b = Build::new(Phase::Integer, 5);
        let dims = [2, 6, 5, 4];
        let x = if last { image(&mut b, &q, &dims) } else { b.input(quantized(&q, &dims)) };
        let d = |n: i64| Dim::lit(n);
        let mut outs = Vec::new();
        for (axis, start, end, step) in [(1, 1, 5, 2), (3, 0, 3, 1), (2, 1, 4, 1), (0, 1, 2, 1), (1, 2, 5, 1)]
        {
            outs.push(b.op(Slice { axis, start: d(start), end: d(end), step }, &[Some(x)]));
        }
        for mode in [PadMode::Constant, PadMode::Edge, PadMode::Reflect] {
            let pads = vec![vec![0, 0], vec![1, 0], vec![2, 1], vec![0, 3]];
            outs.push(b.op(Pad { pads, value: F32(0.3), mode }, &[Some(x)]));
        }
        let resize = Resize {
            scales: [1.0, 1.0, 2.0, 1.5].map(F32).to_vec(),
            sizes: vec![],
            mode: ResizeMode::Nearest,
            coord: Coord::HalfPixel,
            round: NearestRound::PreferFloor,
        };
        outs.push(b.op(resize, &[Some(x)]));
        let name = b.name();
        let split = Split { axis: 1, sizes: vec![d(2), d(4)] };
        let parts = b.g.push_as(split, [Some(x)], &[], &name, Default::default()).unwrap();
        outs.extend(parts.iter().copied());
        outs.push(b.op(Concat { axis: 1 }, &[Some(parts[1]), Some(x)]));
        outs.push(b.op(Concat { axis: 3 }, &[Some(x), Some(x)]));
        let one = b.op(Slice { axis: 2, start: d(0), end: d(1), step: 1 }, &[Some(x)]);
        let shape = vec![d(2), d(6), d(3), d(4)];
        outs.push(b.op(Expand { shape }, &[Some(one)]));
        let higher = vec![d(3), d(2), d(6), d(1), d(4)];
        outs.push(b.op(Expand { shape: higher }, &[Some(one)]));
        outs.push(b.op(Transpose { perm: vec![0, 2, 3, 1] }, &[Some(x)]));
        outs.push(b.op(Transpose { perm: vec![3, 1, 0, 2] }, &[Some(x)]));
        outs.push(b.op(Reshape { shape: vec![d(10), d(24)] }, &[Some(x)]));
        let indices = b.fixed(Tensor::i64(&[3], vec![2, -1, 0]));
        outs.push(b.op(Gather { axis: 1 }, &[Some(x), Some(indices)]));
        let index = b.fixed(Tensor::i64(&[], vec![2]));
        outs.push(b.op(Gather { axis: 2 }, &[Some(x), Some(index)]));
        let (g, inputs) = b.finish(&outs);
        check(g, &inputs, true, Within::Exact, false);
    }
}

#[test]
fn other_storages_move_too() {
    for s in [Storage::I64, Storage::I32, Storage::Bool] {
        let mut b = Build::new(Phase::Float, 6);
        let x = b.input(Type::plain(s, &[1, 3, 4, 5]));
        let t = b.op(Transpose { perm: vec![0, 3, 1, 2] }, &[Some(x)]);
        let c = b.op(Concat { axis: 1 }, &[Some(t), Some(t)]);
        let r = b.op(Reshape { shape: vec![Dim::lit(120)] }, &[Some(c)]);
        let (g, inputs) = b.finish(&[t, c, r]);
        check(g, &inputs, true, Within::Exact, false);
    }
}

#[test]
fn transposed_convolutions() {
    type Case<'a> = (u8, &'a [usize], &'a [usize], &'a [u32], &'a [(u32, u32)], u32, u32, u32);
    let cases: [Case; 7] = [
        (2, &[1, 3, 5, 6], &[3, 8, 3, 3], &[2], &[(1, 1)], 1, 1, 1),
        (2, &[2, 16, 4, 5], &[16, 5, 2, 2], &[2], &[(0, 0)], 0, 1, 1),
        (2, &[1, 6, 4, 4], &[6, 2, 4, 3], &[2, 1], &[(1, 0), (0, 2)], 0, 1, 3),
        (2, &[1, 20, 4, 4], &[20, 1, 4, 4], &[2], &[(1, 1)], 0, 1, 20),
        (2, &[1, 2, 5, 5], &[2, 4, 3, 3], &[1], &[(0, 0)], 0, 2, 1),
        (1, &[2, 4, 9], &[4, 3, 3], &[2], &[(1, 1)], 1, 1, 1),
        (3, &[1, 2, 3, 4, 3], &[2, 3, 2, 2, 2], &[2], &[(0, 0)], 0, 1, 1),
    ];
    for (i, (rank, x, w, stride, pad, out_pad, dilation, groups)) in cases.into_iter().enumerate() {
        let xq = if i % 3 == 2 { i8q(0.05, -3) } else { u8q(0.05, 120) };
        let scale = (0..w[1]).map(|c| 0.01 + 0.001 * c as f32).collect();
        let zero = Zeros::All(if i % 2 == 0 { 0 } else { 2 });
        let wq = match i {
            1 => Quant::tensor(Storage::I8, 0.02, 3),
            _ => {
                Quant { params: QParams::Axis { axis: 1, scale, zero }, ..Quant::tensor(Storage::I8, 1.0, 0) }
            }
        };
        let mut b = Build::new(Phase::Integer, i as u64);
        let v = b.input(quantized(&xq, x));
        let weight = b.constant(&quantized(&Arc::new(wq), w));
        let bias = (i % 3 != 2).then(|| b.constant(&Type::f32(&[w[1] * groups as usize])));
        let op = QconvTranspose {
            rank,
            stride: PerAxis::of(stride),
            pad: Pads::of(pad),
            out_pad: PerAxis::all(out_pad),
            dilation: PerAxis::all(dilation),
            groups,
            act: acts()[i % 4].clone(),
        };
        let declared = [Type::new(Elem::Quant(u8q(0.3, 100)), Shape::default())];
        let y = b.op_as(op, &[Some(v), Some(weight), bias], &declared);
        let (g, inputs) = b.finish(&[y]);
        check(g, &inputs, true, Within::Exact, false);
    }
}
