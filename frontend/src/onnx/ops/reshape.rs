//! Ops that change the shape and keep the elements.

use quantir_ir::ops::{Expand, Reshape, Transpose};
use quantir_ir::shape_value::reshape_dims;
use quantir_ir::{Dim, ValueId};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::norm::rows;
use super::{Table, axes, axis, reshape};

pub(super) const OPS: Table = &[
    ("Reshape", reshape_op),
    ("Flatten", flatten),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Transpose", transpose),
    ("Expand", expand),
    ("DepthToSpace", depth_to_space),
    ("SpaceToDepth", space_to_depth),
];

/// Adds a reshape, or nothing if the shape is that of `x` already.
fn finish_reshape<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: ValueId, shape: Vec<Dim>) -> Result<(), Fail> {
    if cx.shape(x) == shape {
        cx.bind(node, x);
        return Ok(());
    }
    cx.finish(node, Reshape { shape }, [x])
}

fn reshape_op<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let target = if node.opset < 5 {
        node.ints("shape")?.map(|s| s.iter().copied().map(Dim::lit).collect())
    } else {
        cx.dims(node, 1)?
    };
    let from = cx.ty(x).shape;
    let Some(target) = target else {
        // A vector has only one shape with all elements.
        let rank = cx.value(node, 1).map(|t| cx.shape(t))?;
        return match rank.as_slice() {
            [n] if n.is(1) => finish_reshape(cx, node, x, vec![from.numel()]),
            _ => Err(Fail::unsupported("its shape is computed from data")),
        };
    };
    let allow_zero = node.opset >= 14 && node.flag("allowzero", false)?;
    match reshape_dims(&from, &target, allow_zero) {
        Ok(shape) => finish_reshape(cx, node, x, shape),
        Err(r) if from.concrete().is_some() => Err(Fail::invalid(r.message)),
        Err(r) => Err(Fail::unsupported(r.message)),
    }
}

fn flatten<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let at = node.int_or("axis", 1)?;
    // A cut behind the last axis is allowed here.
    let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
    finish_reshape(cx, node, x, rows(&shape, at))
}

/// The axes of `Squeeze` and `Unsqueeze`: an attribute before version 13, an operand since.
fn axes_of<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<Option<Vec<i64>>, Fail> {
    if node.opset < 13 { Ok(node.ints("axes")?.map(<[i64]>::to_vec)) } else { cx.opt_ints(node, 1, "axes") }
}

fn squeeze<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let drop: Vec<usize> = match axes_of(cx, node)? {
        Some(list) => axes(&list, shape.len())?,
        None => (0..shape.len()).filter(|i| shape[*i].is(1)).collect(),
    };
    if let Some(a) = drop.iter().find(|a| shape[**a].as_lit().is_some_and(|n| n != 1)) {
        return Err(Fail::invalid(format!("axis {a} has length {}, not 1", shape[*a])));
    }
    let kept = shape.iter().enumerate().filter(|(i, _)| !drop.contains(i)).map(|(_, d)| d.clone()).collect();
    finish_reshape(cx, node, x, kept)
}

fn unsqueeze<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let Some(list) = axes_of(cx, node)? else { return Err(Fail::invalid("`axes` are missing")) };
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let rank = shape.len() + list.len();
    let new = axes(&list, rank)?;
    let mut old = shape.into_iter();
    let at = |i: usize| if new.contains(&i) { Dim::lit(1) } else { old.next().unwrap_or(Dim::lit(1)) };
    let shape = (0..rank).map(at).collect();
    finish_reshape(cx, node, x, shape)
}

fn transpose<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let rank = cx.rank(x);
    let perm = match node.ints("perm")? {
        Some(p) if p.len() == rank => axes(p, rank)?,
        Some(p) => {
            return Err(Fail::invalid(format!("`perm` has {} numbers for {rank} dimensions", p.len())));
        }
        None => (0..rank).rev().collect(),
    };
    if perm.iter().enumerate().all(|(i, p)| i == *p) {
        return cx.forward(node, 0);
    }
    cx.finish(node, Transpose { perm: perm.into_iter().map(|p| p as u32).collect() }, [x])
}

fn expand<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let Some(target) = cx.dims(node, 1)? else {
        return Err(Fail::unsupported("its shape is computed from data"));
    };
    let from = cx.shape(x);
    let rank = from.len().max(target.len());
    let at = |dims: &[Dim], i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(k) => dims[k].clone(),
        None => Dim::lit(1),
    };
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        let (a, b) = (at(&from, i), at(&target, i));
        match a.broadcast(&b) {
            Some(d) => shape.push(d),
            None => return Err(Fail::invalid(format!("dimension {a} does not expand to {b}"))),
        }
    }
    if shape == from {
        return cx.forward(node, 0);
    }
    cx.finish(node, Expand { shape }, [x])
}

/// Operand, its four dimensions and the block size.
fn blocks<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(ValueId, Vec<Dim>, i64), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let block = node.int_or("blocksize", 0)?;
    if shape.len() != 4 || !(1..1 << 16).contains(&block) {
        return Err(Fail::invalid(format!("it has {} dimensions and block size {block}", shape.len())));
    }
    Ok((x, shape, block))
}

fn split_dim(d: &Dim, by: i64) -> Result<Dim, Fail> {
    let whole = d.div_exact(&Dim::lit(by)).filter(|q| q.mul_lit(by) == *d);
    match whole {
        Some(q) => Ok(q),
        None if d.as_lit().is_none() => Ok(d.div_floor(by)),
        None => Err(Fail::invalid(format!("{d} does not divide by {by}"))),
    }
}

fn depth_to_space<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (x, s, b) = blocks(cx, node)?;
    let (c, block) = (split_dim(&s[1], b * b)?, Dim::lit(b));
    let (six, perm) = match node.str_or("mode", "DCR")? {
        "CRD" => ([&s[0], &c, &block, &block, &s[2], &s[3]], vec![0, 1, 4, 2, 5, 3]),
        "DCR" => ([&s[0], &block, &block, &c, &s[2], &s[3]], vec![0, 3, 4, 1, 5, 2]),
        other => return Err(Fail::invalid(format!("`mode` is `{}`", other.escape_default()))),
    };
    let parts = reshape(cx, node, x, six.into_iter().cloned().collect(), "blocks")?;
    let moved = cx.helper(node, Transpose { perm }, [parts], "moved")?;
    finish_reshape(cx, node, moved, vec![s[0].clone(), c, s[2].mul_lit(b), s[3].mul_lit(b)])
}

fn space_to_depth<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (x, s, b) = blocks(cx, node)?;
    let (h, w, block) = (split_dim(&s[2], b)?, split_dim(&s[3], b)?, Dim::lit(b));
    let six = [&s[0], &s[1], &h, &block, &w, &block].into_iter().cloned().collect();
    let parts = reshape(cx, node, x, six, "blocks")?;
    let moved = cx.helper(node, Transpose { perm: vec![0, 3, 5, 1, 2, 4] }, [parts], "moved")?;
    finish_reshape(cx, node, moved, vec![s[0].clone(), s[1].mul_lit(b * b), h, w])
}
