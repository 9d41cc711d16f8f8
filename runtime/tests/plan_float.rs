//! Float kernels against the interpreter: bit for bit if strict, within a tolerance otherwise.

mod plan_common;

use plan_common::{Build, check_float};
use quantir_ir::attr::{F32, Pads, PerAxis};
use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::*;
use quantir_ir::{Phase, Storage, Type};

fn acts() -> [Act; 4] {
    [Act::None, Act::Relu, Act::Clip(F32(-0.5), F32(1.5)), Act::HardSwish]
}

#[test]
fn convolutions() {
    // rank, x, weight, stride, pad, dilation, groups
    type Case<'a> = (u8, &'a [usize], &'a [usize], u32, &'a [(u32, u32)], u32, u32);
    let cases: [Case; 12] = [
        (2, &[1, 3, 9, 9], &[8, 3, 3, 3], 2, &[(1, 1)], 1, 1),
        (2, &[2, 16, 7, 5], &[40, 16, 1, 1], 1, &[(0, 0)], 1, 1),
        (2, &[1, 8, 6, 6], &[4, 8, 1, 1], 2, &[(0, 0)], 1, 1),
        (2, &[1, 70, 6, 7], &[70, 1, 3, 3], 1, &[(1, 1)], 1, 70),
        (2, &[2, 20, 8, 8], &[20, 1, 5, 5], 2, &[(2, 2), (1, 2)], 1, 20),
        (2, &[1, 6, 8, 8], &[12, 2, 3, 3], 1, &[(1, 1)], 2, 3),
        (2, &[1, 4, 8, 8], &[8, 1, 3, 3], 1, &[(0, 1), (1, 0)], 1, 4),
        (1, &[2, 5, 20], &[7, 5, 3], 2, &[(1, 1)], 1, 1),
        (1, &[1, 24, 20], &[24, 1, 5], 1, &[(2, 2)], 1, 24),
        (1, &[1, 5, 20], &[7, 5, 3], 1, &[(4, 0)], 2, 1),
        (3, &[1, 3, 4, 5, 6], &[6, 3, 2, 3, 3], 1, &[(1, 0), (1, 1), (0, 1)], 1, 1),
        (3, &[1, 18, 3, 5, 6], &[18, 1, 3, 3, 3], 1, &[(1, 1)], 1, 18),
    ];
    for (i, (rank, x, w, stride, pad, dilation, groups)) in cases.into_iter().enumerate() {
        let mut b = Build::new(Phase::Float, i as u64);
        let v = b.input(Type::f32(x));
        let weight = b.constant(&Type::f32(w));
        let bias = (i % 2 == 0).then(|| b.constant(&Type::f32(&w[..1])));
        let op = Conv {
            rank,
            stride: PerAxis::all(stride),
            pad: Pads::of(pad),
            dilation: PerAxis::all(dilation),
            groups,
            act: acts()[i % 4].clone(),
        };
        let y = b.op(op, &[Some(v), Some(weight), bias]);
        let z = b.op(Relu {}, &[Some(y)]);
        let (g, inputs) = b.finish(&[y, z]);
        check_float(g, &inputs, true);
    }
}

#[test]
fn transposed_convolutions() {
    type Case<'a> = (u8, &'a [usize], &'a [usize], u32, &'a [(u32, u32)], u32, u32, u32);
    let cases: [Case; 6] = [
        (2, &[1, 6, 4, 5], &[6, 7, 2, 2], 2, &[(0, 0)], 0, 1, 1),
        (2, &[2, 4, 4, 4], &[4, 3, 3, 3], 2, &[(1, 1)], 1, 1, 2),
        (2, &[1, 3, 5, 5], &[3, 5, 3, 3], 1, &[(1, 0), (0, 1)], 0, 1, 1),
        (2, &[1, 3, 3, 3], &[3, 2, 2, 2], 3, &[(0, 0)], 0, 2, 1),
        (1, &[1, 4, 9], &[4, 6, 4], 2, &[(1, 1)], 0, 1, 1),
        (3, &[1, 2, 2, 3, 3], &[2, 3, 2, 2, 3], 2, &[(0, 0)], 0, 1, 1),
    ];
    for (i, (rank, x, w, stride, pad, out_pad, dilation, groups)) in cases.into_iter().enumerate() {
        let mut b = Build::new(Phase::Float, 50 + i as u64);
        let v = b.input(Type::f32(x));
        let weight = b.constant(&Type::f32(w));
        let bias = (i % 2 == 0).then(|| b.constant(&Type::f32(&[w[1] * groups as usize])));
        let op = ConvTranspose {
            rank,
            stride: PerAxis::all(stride),
            pad: Pads::of(pad),
            out_pad: PerAxis::all(out_pad),
            dilation: PerAxis::all(dilation),
            groups,
            act: acts()[i % 4].clone(),
        };
        let y = b.op(op, &[Some(v), Some(weight), bias]);
        let (g, inputs) = b.finish(&[y]);
        check_float(g, &inputs, true);
    }
}

#[test]
fn products() {
    for (i, (x, n)) in [(&[1, 64][..], 100), (&[7, 20], 33), (&[2, 3, 16], 5)].into_iter().enumerate() {
        let mut b = Build::new(Phase::Float, i as u64);
        let v = b.input(Type::f32(x));
        let w = b.constant(&Type::f32(&[n, x[x.len() - 1]]));
        let bias = b.constant(&Type::f32(&[n]));
        let y = b.op(Linear { act: acts()[i].clone() }, &[Some(v), Some(w), Some(bias)]);
        let m = b.constant(&Type::f32(&[n, 9]));
        let z = b.op(Matmul {}, &[Some(y), Some(m)]);
        let (g, inputs) = b.finish(&[y, z]);
        check_float(g, &inputs, true);
    }
    let mut b = Build::new(Phase::Float, 9);
    let x = b.input(Type::f32(&[2, 3, 5, 8]));
    let y = b.input(Type::f32(&[3, 8, 17]));
    let z = b.op(Matmul {}, &[Some(x), Some(y)]);
    let (g, inputs) = b.finish(&[z]);
    check_float(g, &inputs, true);
}

#[test]
fn elementwise_between_layouts() {
    let mut b = Build::new(Phase::Float, 1);
    let x = b.input(Type::f32(&[2, 3, 6, 5]));
    let w = b.constant(&Type::f32(&[20, 3, 1, 1]));
    let c = b.op(
        Conv {
            rank: 2,
            stride: PerAxis::all(1),
            pad: Pads::none(),
            dilation: PerAxis::all(1),
            groups: 1,
            act: Act::None,
        },
        &[Some(x), Some(w)],
    );
    let bias = b.constant(&Type::f32(&[20, 1, 1]));
    let row = b.constant(&Type::f32(&[5]));
    let scalar = b.constant(&Type::f32(&[]));
    let other = b.input(Type::f32(&[2, 20, 6, 5]));
    let gate = b.input(Type::f32(&[2, 20, 1, 1]));
    let low = b.input(Type::f32(&[6, 5]));
    let mut v = b.op(Add { act: Act::Relu }, &[Some(c), Some(bias)]);
    v = b.op(Mul { act: Act::HardSwish }, &[Some(row), Some(v)]);
    v = b.op(Sub {}, &[Some(v), Some(scalar)]);
    v = b.op(Add { act: Act::None }, &[Some(v), Some(other)]);
    v = b.op(Mul { act: Act::Clip(F32(-1.0), F32(9.0)) }, &[Some(v), Some(gate)]);
    v = b.op(Div {}, &[Some(v), Some(bias)]);
    v = b.op(Add { act: Act::None }, &[Some(v), Some(low)]);
    v = b.op(LeakyRelu { alpha: F32(0.1) }, &[Some(v)]);
    v = b.op(Clip { min: F32(-2.0), max: F32(f32::INFINITY) }, &[Some(v)]);
    v = b.op(HardSigmoid { alpha: F32(0.2), beta: F32(0.5) }, &[Some(v)]);
    let flat = b.op(Reshape { shape: vec![2i64.into(), 600i64.into()] }, &[Some(v)]);
    let (g, inputs) = b.finish(&[v, flat, c]);
    check_float(g, &inputs, true);
}

#[test]
fn pools_means_and_norms() {
    let mut b = Build::new(Phase::Float, 2);
    let x = b.input(Type::f32(&[2, 19, 9, 8]));
    let (kernel, stride) = (PerAxis::all(3), PerAxis::all(2));
    let max = b.op(
        MaxPool {
            kernel: kernel.clone(),
            stride: stride.clone(),
            pad: Pads::of(&[(1, 1)]),
            dilation: PerAxis::all(1),
            ceil: true,
        },
        &[Some(x)],
    );
    let mut outs = vec![max];
    for count_pad in [false, true] {
        let op = AvgPool {
            kernel: kernel.clone(),
            stride: stride.clone(),
            pad: Pads::of(&[(1, 1), (0, 1)]),
            ceil: false,
            count_pad,
        };
        outs.push(b.op(op, &[Some(max)]));
    }
    for keep in [false, true] {
        outs.push(b.op(Reduce { kind: Reduction::Mean, axes: vec![2, 3], keep }, &[Some(max)]));
        outs.push(b.op(Reduce { kind: Reduction::Max, axes: vec![3, 2], keep }, &[Some(x)]));
    }
    let (g, inputs) = b.finish(&outs);
    check_float(g, &inputs, true);

    let mut b = Build::new(Phase::Float, 3);
    let x = b.input(Type::f32(&[2, 19, 3, 4]));
    let c: Vec<_> = (0..3).map(|_| Some(b.constant(&Type::f32(&[19])))).collect();
    let var = b.fixed(quantir_ir::Tensor::f32(&[19], (1..20).map(|i| i as f32).collect()));
    let y = b.op(BatchNorm { eps: F32(1e-5) }, &[Some(x), c[0], c[1], c[2], Some(var)]);
    let s = b.op(Softmax { axis: 3 }, &[Some(y)]);
    let gamma = b.constant(&Type::f32(&[4]));
    let n = b.op(LayerNorm { axis: 3, eps: F32(1e-5) }, &[Some(x), Some(gamma)]);
    let (g, inputs) = b.finish(&[y, s, n]);
    check_float(g, &inputs, false);
}

#[test]
fn rows_are_summed_in_order() {
    let mut b = Build::new(Phase::Float, 7);
    let x = b.input(Type::f32(&[3, 7, 45]));
    let gamma = b.constant(&Type::f32(&[45]));
    let beta = b.constant(&Type::f32(&[45]));
    let mut outs = vec![
        b.op(Softmax { axis: 2 }, &[Some(x)]),
        b.op(LayerNorm { axis: 2, eps: F32(1e-5) }, &[Some(x), Some(gamma), Some(beta)]),
        b.op(LayerNorm { axis: 1, eps: F32(1e-5) }, &[Some(x)]),
        b.op(Exp {}, &[Some(x)]),
        b.op(Sigmoid {}, &[Some(x)]),
    ];
    let kinds = Reduction::ALL.into_iter().filter(|k| *k != Reduction::Prod);
    for (i, kind) in kinds.enumerate() {
        for axes in [vec![2], vec![1], vec![0], vec![1, 2], vec![0, 1]] {
            outs.push(b.op(Reduce { kind, axes, keep: i % 2 == 0 }, &[Some(x)]));
        }
    }
    let (g, inputs) = b.finish(&outs);
    check_float(g, &inputs, true);
}

#[test]
fn truth_values_and_indices() {
    let mut b = Build::new(Phase::Float, 8);
    let (one, other) = (Type::plain(Storage::I64, &[4, 1, 5]), Type::plain(Storage::I64, &[3, 1]));
    let (i, j) = (b.input(one), b.input(other));
    let (x, y) = (b.input(Type::f32(&[4, 3, 5])), b.input(Type::f32(&[5])));
    let equal = b.op(Equal {}, &[Some(i), Some(j)]);
    let less = b.op(Less {}, &[Some(x), Some(y)]);
    let both = b.op(GreaterEqual {}, &[Some(equal), Some(less)]);
    let table = b.input(Type::f32(&[6, 2, 7]));
    let mut outs = vec![equal, less, both];
    outs.push(b.op(Where {}, &[Some(both), Some(x), Some(y)]));
    outs.push(b.op(Maximum {}, &[Some(x), Some(y)]));
    outs.push(b.op(Minimum {}, &[Some(y), Some(x)]));
    for v in [equal, i] {
        outs.push(b.op(Cast { to: Storage::F32 }, &[Some(v)]));
    }
    for axis in [0, 1] {
        outs.push(b.op(Gather { axis }, &[Some(table), Some(i)]));
    }
    let (g, inputs) = b.finish(&outs);
    check_float(g, &inputs, true);
}

#[test]
fn curves() {
    let mut b = Build::new(Phase::Float, 4);
    let x = b.input(Type::f32(&[3, 40]));
    let mut outs = vec![
        b.op(Sigmoid {}, &[Some(x)]),
        b.op(Tanh {}, &[Some(x)]),
        b.op(Exp {}, &[Some(x)]),
        b.op(Erf {}, &[Some(x)]),
        b.op(Elu { alpha: F32(0.7) }, &[Some(x)]),
    ];
    for tanh in [false, true] {
        outs.push(b.op(Gelu { tanh }, &[Some(x)]));
    }
    let (g, inputs) = b.finish(&outs);
    check_float(g, &inputs, false);
}
