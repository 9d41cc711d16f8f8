//! Normalisation and softmax.

use quantir_ir::attr::{Pads, PerAxis};
use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{
    Abs, Act, Add, AvgPool, BatchNorm, Div, InstanceNorm, LayerNorm, LogSoftmax, Maximum, Mul, Pow,
    Reciprocal, Reduce, Softmax, Sqrt, Sub,
};
use quantir_ir::{Dim, Op, ValueId};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, axis, only_results, reshape};

pub(super) const OPS: Table = &[
    ("BatchNormalization", batch_norm),
    ("InstanceNormalization", instance_norm),
    ("LayerNormalization", layer_norm),
    ("Softmax", |cx, n| softmax(cx, n, |axis| Softmax { axis }.into())),
    ("LogSoftmax", |cx, n| softmax(cx, n, |axis| LogSoftmax { axis }.into())),
    ("LpNormalization", lp_norm),
    ("LRN", lrn),
];

fn batch_norm<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    if node.flag("training_mode", false)? {
        return Err(Fail::unsupported("it is in training mode"));
    }
    if node.opset < 9 && !node.flag("spatial", true)? {
        return Err(Fail::unsupported("it has statistics for each position (`spatial=0`)"));
    }
    only_results(cx, node, 1)?;
    let x = cx.value(node, 0)?;
    let mut ins = vec![x];
    for i in 1..5 {
        ins.push(cx.value(node, i)?);
    }
    let eps = node.float_or("epsilon", 1e-5)?.into();
    cx.finish(node, BatchNorm { eps }, ins)
}

fn instance_norm<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let ins = [cx.value(node, 0)?, cx.value(node, 1)?, cx.value(node, 2)?];
    let eps = node.float_or("epsilon", 1e-5)?.into();
    cx.finish(node, InstanceNorm { eps }, ins)
}

fn layer_norm<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let (gamma, beta) = (cx.value(node, 1)?, cx.opt_value(node, 2)?);
    let axis = axis(node.int_or("axis", -1)?, cx.rank(x))? as u32;
    let eps = node.float_or("epsilon", 1e-5)?;
    statistics(cx, node, x, axis, eps)?;
    cx.finish(node, LayerNorm { axis, eps: eps.into() }, [Some(x), Some(gamma), beta])
}

/// The further results of a layer normalisation, where something uses them: the mean and one over the deviation.
fn statistics<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: ValueId, axis: u32, eps: f32) -> Result<(), Fail> {
    let used = |i: usize| node.output(i).filter(|name| cx.is_used(name));
    let (mean_name, deviation_name) = (used(1), used(2));
    if mean_name.is_none() && deviation_name.is_none() {
        return Ok(());
    }
    let axes: Vec<u32> = (axis..cx.rank(x) as u32).collect();
    let average = || Reduce { kind: Reduction::Mean, axes: axes.clone(), keep: true };
    let mean = cx.helper(node, average(), [x], "mean")?;
    if let Some(name) = deviation_name {
        let centred = cx.helper(node, Sub {}, [x, mean], "centred")?;
        let squares = cx.helper(node, Mul { act: Act::None }, [centred, centred], "squares")?;
        let variance = cx.helper(node, average(), [squares], "variance")?;
        let eps = cx.scalar(node, eps, x, "eps")?;
        let sum = cx.helper(node, Add { act: Act::None }, [variance, eps], "sum")?;
        let root = cx.helper(node, Sqrt {}, [sum], "root")?;
        let inverse = cx.helper(node, Reciprocal {}, [root], "inverse")?;
        cx.bind_as(name, inverse);
    }
    if let Some(name) = mean_name {
        cx.bind_as(name, mean);
    }
    Ok(())
}

/// `x / (bias + alpha / size · Σ x²)^beta`, the sum over `size` neighbouring channels: an average over a window that
/// counts padding, with channels as a spatial axis.
fn lrn<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let size = u32::try_from(node.int_or("size", 0)?).ok().filter(|n| (1..=1 << 20).contains(n));
    let (Some(size), true) = (size, shape.len() >= 2) else {
        return Err(Fail::invalid("its `size` or its operand has no channels"));
    };
    let squares = cx.helper(node, Mul { act: Act::None }, [x, x], "squares")?;
    let rest = shape[2..].iter().fold(Dim::lit(1), |p, d| p.mul(d));
    let image = vec![shape[0].clone(), Dim::lit(1), shape[1].clone(), rest];
    let image = reshape(cx, node, squares, image, "image")?;
    let window = AvgPool {
        kernel: PerAxis::of(&[size, 1]),
        stride: PerAxis::all(1),
        pad: Pads::of(&[((size - 1) / 2, size / 2), (0, 0)]),
        ceil: false,
        count_pad: true,
    };
    let means = cx.helper(node, window, [image], "means")?;
    let means = reshape(cx, node, means, shape, "like")?;
    let alpha = cx.scalar(node, node.float_or("alpha", 1e-4)?, x, "alpha")?;
    let bias = cx.scalar(node, node.float_or("bias", 1.0)?, x, "bias")?;
    let beta = cx.scalar(node, node.float_or("beta", 0.75)?, x, "beta")?;
    let scaled = cx.helper(node, Mul { act: Act::None }, [means, alpha], "scaled")?;
    let sum = cx.helper(node, Add { act: Act::None }, [scaled, bias], "sum")?;
    let power = cx.helper(node, Pow {}, [sum, beta], "power")?;
    cx.finish(node, Div {}, [x, power])
}

/// Before version 13 a softmax saw its operand as a matrix cut before `axis`.
fn softmax<'m>(cx: &mut Import<'m>, node: &Node<'m>, op: fn(u32) -> Op) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let rank = shape.len();
    if node.opset >= 13 {
        let axis = axis(node.int_or("axis", -1)?, rank)?;
        return cx.finish(node, op(axis as u32), [x]);
    }
    let axis = match node.int_or("axis", 1)? {
        // A cut behind the last axis makes rows of one element.
        a if a == rank as i64 => {
            let column = rows(&shape, rank);
            let flat = reshape(cx, node, x, column, "rows")?;
            let y = cx.helper(node, op(1), [flat], "softmax")?;
            return cx.finish(node, quantir_ir::ops::Reshape { shape }, [y]);
        }
        a => axis(a, rank)?,
    };
    if shape[axis + 1..].iter().all(|d| d.is(1)) {
        return cx.finish(node, op(axis as u32), [x]);
    }
    let flat = reshape(cx, node, x, rows(&shape, axis), "rows")?;
    let y = cx.helper(node, op(1), [flat], "softmax")?;
    cx.finish(node, quantir_ir::ops::Reshape { shape }, [y])
}

/// The dimensions of the matrix that results from a cut before `axis`.
pub(super) fn rows(shape: &[Dim], axis: usize) -> Vec<Dim> {
    let product = |dims: &[Dim]| dims.iter().fold(Dim::lit(1), |p, d| p.mul(d));
    let (front, end) = shape.split_at(axis.min(shape.len()));
    vec![product(front), product(end)]
}

/// `x / norm(x)` along an axis, where a norm of 0 leaves 0.
fn lp_norm<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let axis = axis(node.int_or("axis", -1)?, cx.rank(x))? as u32;
    let kind = match node.int_or("p", 2)? {
        1 => Reduction::L1,
        2 => Reduction::L2,
        p => return Err(Fail::invalid(format!("`p` is {p}, not 1 or 2"))),
    };
    let norm = cx.helper(node, Reduce { kind, axes: vec![axis], keep: true }, [x], "norm")?;
    // A vector of zeros is divided by the smallest positive number instead of 0.
    let least = cx.scalar(node, f32::MIN_POSITIVE, x, "least")?;
    let size = cx.helper(node, Abs {}, [norm], "size")?;
    let norm = cx.helper(node, Maximum {}, [size, least], "divisor")?;
    cx.finish(node, Div {}, [x, norm])
}
