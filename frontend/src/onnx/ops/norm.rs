//! Normalisation and softmax.

use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{Abs, BatchNorm, Div, InstanceNorm, LayerNorm, LogSoftmax, Maximum, Reduce, Softmax};
use quantir_ir::{Dim, Op};

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
    only_results(cx, node, 1)?;
    let x = cx.value(node, 0)?;
    let (gamma, beta) = (cx.value(node, 1)?, cx.opt_value(node, 2)?);
    let axis = axis(node.int_or("axis", -1)?, cx.rank(x))? as u32;
    let eps = node.float_or("epsilon", 1e-5)?.into();
    cx.finish(node, LayerNorm { axis, eps }, [Some(x), Some(gamma), beta])
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
