//! Activations, comparisons, shape operators, reductions. Sums, products and joins are in `arithmetic`.

use quantir::frontend::trace::{Index, Traced, Tuple, functional as f, torch};
use quantir::ir::attr::F32;
use quantir::ir::ops::{self, pad::PadMode};
use quantir::ir::{Elem, QTensor, Quant, Storage, Tensor};

use super::arithmetic::is_arithmetic;
use super::eager::{call, compare, op, real, text, want};
use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// T206 activations over all codes. T210 shuffles, top-k, means, deviations. T212 softmax, comparisons.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/elementwise") else { return };
    let mut area = Area::new("kernels/elementwise");
    for case in golden.cases().into_iter().filter(|&case| !is_arithmetic(case)) {
        area.case(case.id(), |_| compare(case, run(case)));
    }
    area.finish();
}

/// The word of the op: `aten::mean.dim` is `mean`, `sigmoid over all 256 codes` is `sigmoid`.
fn word(c: Item<'_>) -> &str {
    let op = c.at("op").text();
    let op = op.rsplit("::").next().unwrap_or(op);
    op.split([' ', '.']).next().unwrap_or(op)
}

fn run(c: Item) -> Result<Vec<Tensor>, String> {
    let a = c.at("attrs");
    let input = |name: &str| c.at("inputs").at(name).tensor();
    match word(c) {
        "lt" | "ge" | "eq" => {
            let (x, y) = (input("a").dequantize().map_err(text)?, input("b").dequantize().map_err(text)?);
            let bool = Elem::Plain(Storage::Bool);
            match word(c) {
                "lt" => op(ops::Less {}, &[&x, &y], &bool),
                "ge" => op(ops::GreaterEqual {}, &[&x, &y], &bool),
                _ => op(ops::Equal {}, &[&x, &y], &bool),
            }
        }
        "prelu" => prelu(c),
        // These keep the parameters: codes are clamped or moved.
        "relu" => call(&[&input("x")], |v| vec![f::relu(&v[0])]),
        "relu6" => call(&[&input("x")], |v| vec![f::relu6(&v[0])]),
        "clamp" | "hardtanh" => {
            let low = if a.at("min").is_null() { f32::NEG_INFINITY } else { number(a, "min") };
            call(&[&input("x")], |v| vec![v[0].clamp(low, number(a, "max"))])
        }
        // These are tables of what the function does to the number that a code stands for.
        "sigmoid" | "tanh" | "hardsigmoid" | "hardswish" | "elu" | "celu" | "leaky_relu" | "threshold"
        | "gelu" => {
            let out = want(c).ok_or("a result")?;
            let q = out[0].quant().ok_or("a quantized result")?.clone();
            real(&[&input("x")], &q, |v| function(c, &v[0]))
        }
        "softmax" => op(ops::Qsoftmax { axis: a.at("dim").int() as u32 }, &[&input("x")], &result(c)?),
        "exp" => call(&[&input("x")], |v| vec![v[0].exp()]),
        "neg" => call(&[&input("x")], |v| vec![v[0].neg()]),
        "mean" | "std" | "sum" => statistics(c),
        "fill" | "masked_fill" | "topk" | "sort" | "max" | "min" => value(c),
        _ => movement(c),
    }
}

fn number(a: Item, key: &str) -> f32 {
    a.at(key).number() as f32
}

fn function(c: Item, x: &Traced) -> Traced {
    let a = c.at("attrs");
    let alpha = || if a.at("alpha").is_null() { 1.0 } else { number(a, "alpha") };
    match word(c) {
        "sigmoid" => f::sigmoid(x),
        "tanh" => f::tanh(x),
        "hardsigmoid" => f::hardsigmoid(x),
        "hardswish" => f::hardswish(x),
        "elu" => f::elu(x, alpha()),
        "celu" => f::celu(x, alpha()),
        "leaky_relu" => f::leaky_relu(x, number(a, "negative_slope")),
        "threshold" => f::threshold(x, number(a, "threshold"), number(a, "value")),
        "gelu" if a.at("approximate").is_null() => f::gelu(x),
        _ => f::gelu_tanh(x),
    }
}

/// The element type of the recorded result.
fn result(c: Item) -> Result<Elem, String> {
    Ok(want(c).ok_or("a result")?[0].elem.clone())
}

fn prelu(c: Item) -> Result<Vec<Tensor>, String> {
    let a = c.at("attrs");
    let weight = match c.at("inputs").at("weight").is_null() {
        false => c.at("inputs").at("weight").tensor(),
        true => {
            let zero = a.at("weight_zero_point").int() as i32;
            let q = Quant::tensor(Storage::U8, number(a, "weight_scale"), zero);
            Tensor::from_ints(Elem::Quant(q.into()), &[1], &[a.at("weight_code").int()]).map_err(text)?
        }
    };
    let x = c.at("inputs").at("x").tensor();
    // One slope for each channel, along axis 1.
    let mut shape = vec![weight.numel()];
    shape.resize(x.rank() - 1, 1);
    let weight = weight.reshape(&shape).map_err(text)?;
    op(ops::Qprelu {}, &[&x, &weight], &result(c)?)
}

fn statistics(c: Item) -> Result<Vec<Tensor>, String> {
    let (x, a) = (c.at("inputs").at("x").tensor(), c.at("attrs"));
    let dims = if a.at("dim").is_null() { (0..x.rank() as i64).collect() } else { a.at("dim").ints() };
    match word(c) {
        "sum" => call(&[&x], |v| vec![v[0].sum(&dims, false)]),
        "mean" => {
            let axes = dims.iter().map(|&d| d.rem_euclid(x.rank() as i64) as u32).collect();
            let keep = !a.at("keepdim").is_null() && a.at("keepdim").flag();
            op(ops::Qmean { axes, keep }, &[&x], &result(c)?)
        }
        _ => {
            let elem = result(c)?;
            let q = elem.quant().ok_or("a quantized result")?;
            let n: usize = dims.iter().map(|&d| x.shape[d as usize]).product();
            real(&[&x], q, |v| {
                let d = v[0].sub(v[0].mean(&dims, true));
                d.mul(&d).sum(&dims, false).div((n - 1) as f32).sqrt()
            })
        }
    }
}

/// What a quantized tensor does as a value.
fn value(c: Item) -> Result<Vec<Tensor>, String> {
    let (x, a) = (c.at("inputs").at("x").tensor(), c.at("attrs"));
    let mut q = QTensor::new(x.clone()).map_err(text)?;
    let dim = || a.at("dim").int() as usize;
    let all = || (0..x.rank()).collect::<Vec<_>>();
    let axes = || if a.at("dim").is_null() { all() } else { vec![dim()] };
    match word(c) {
        "fill" => q.fill(number(a, "value")).map_err(text)?,
        "masked_fill" => {
            let mask = x.ints().map_err(text)?.into_iter().map(|v| v > 100).collect();
            q.masked_fill(&Tensor::bools(&x.shape, mask), number(a, "value")).map_err(text)?;
        }
        "topk" => q = q.topk(a.at("k").int() as usize, dim(), true).map_err(text)?.0,
        "sort" => q = q.sort(dim(), false).map_err(text)?.0,
        "max" => q = q.max(&axes()).map_err(text)?,
        _ => q = q.min(&axes()).map_err(text)?,
    }
    Ok(vec![q.as_tensor().clone()])
}

/// Codes move, parameters stay.
fn movement(c: Item) -> Result<Vec<Tensor>, String> {
    let (x, a) = (c.at("inputs").at("x").tensor(), c.at("attrs"));
    let dim = |key: &str| a.at(key).int();
    let pad = |mode| {
        let p = a.at("pad").ints();
        let mut pads = vec![vec![0, 0]; x.rank() - p.len() / 2];
        pads.extend(p.chunks(2).rev().map(<[i64]>::to_vec));
        op(ops::Pad { pads, value: F32(0.0), mode }, &[&x], &x.elem)
    };
    let gather = |indices: Vec<i64>| {
        let indices = Tensor::i64(&[indices.len()], indices);
        op(ops::Gather { axis: dim("dim") as u32 }, &[&x, &indices], &x.elem)
    };
    match word(c) {
        "reflection_pad2d" => return pad(PadMode::Reflect),
        "replication_pad2d" => return pad(PadMode::Edge),
        "index_select" => return gather(a.at("index").ints()),
        "repeat_interleave" => {
            let n = x.shape[dim("dim") as usize] as i64;
            return gather((0..n).flat_map(|i| [i].repeat(dim("repeats") as usize)).collect());
        }
        "squeeze_dequantize" => return op(ops::Dequantize {}, &[&x], &Elem::F32),
        _ => {}
    }
    call(&[&x], |v| {
        let x = &v[0];
        let tuple = |t: Tuple| (0..t.len()).map(|i| t.get(i)).collect();
        vec![match word(c) {
            "channel_shuffle" => f::channel_shuffle(x, dim("groups") as u32),
            "pixel_shuffle" => f::pixel_shuffle(x, dim("factor") as u32),
            "pixel_unshuffle" => f::pixel_unshuffle(x, dim("factor") as u32),
            "constant_pad_nd" => f::pad(x, &a.at("pad").ints(), number(a, "value")),
            "permute" => x.permute(&a.at("dims").ints()),
            "transpose" => x.transpose(a.at("dims").ints()[0], a.at("dims").ints()[1]),
            "reshape" => x.reshape(a.at("shape").ints().as_slice()),
            "flatten" => x.flatten(dim("start"), -1),
            "unsqueeze" => x.unsqueeze(dim("dim")),
            "squeeze" => x.narrow(1, 0, 1).squeeze(dim("dim")),
            "stack" => torch::stack(&[x, x], dim("dim")),
            "repeat" => x.repeat(&a.at("repeats").ints().iter().map(|&n| n as u32).collect::<Vec<_>>()),
            "flip" => x.flip(&a.at("dims").ints()),
            "roll" => x.roll(&a.at("shifts").ints(), &a.at("dim").ints()),
            // `x[:, 1:5, ::2]`
            "slice" => x.index((.., 1..5, Index::Range(None, None, 2))),
            "narrow" => x.narrow(dim("dim"), dim("start"), dim("length")),
            "expand" => x.narrow(1, 0, 1).expand([-1i64, 3, -1, -1].as_slice()),
            "chunk" => return tuple(x.chunk(dim("chunks"), dim("dim"))),
            "split" => return tuple(x.split(dim("size"), dim("dim"))),
            "unbind" => return tuple(x.unbind(dim("dim"))),
            other => panic!("`{other}` is missing"),
        }]
    })
}
