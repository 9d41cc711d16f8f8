//! Matrix products.

use quantir_ir::ops::{Act, Add, Linear, Matmul, Mul, Transpose};
use quantir_ir::{Dim, ValueId};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, reshape};

pub(super) const OPS: Table = &[("Gemm", gemm), ("MatMul", matmul)];

/// `alpha · A' · B' + beta · C`; with a constant `B` this is a `linear`, which quantizes by output channel.
fn gemm<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (mut a, b) = (cx.value(node, 0)?, cx.value(node, 1)?);
    let c = cx.opt_value(node, 2)?;
    let (alpha, beta) = (node.float_or("alpha", 1.0)?, node.float_or("beta", 1.0)?);
    if cx.rank(a) != 2 || cx.rank(b) != 2 {
        return Err(Fail::invalid("its operands are not matrices"));
    }
    if node.flag("transA", false)? {
        a = cx.helper(node, Transpose { perm: vec![1, 0] }, [a], "a")?;
    }
    let trans_b = node.flag("transB", false)?;
    let c = match c {
        Some(_) if beta == 0.0 => None,
        Some(c) if beta != 1.0 => {
            let beta = cx.scalar(node, beta, c, "beta")?;
            Some(cx.helper(node, Mul { act: Act::None }, [c, beta], "bias")?)
        }
        other => other,
    };
    if !cx.is_weight(b) {
        let b = if trans_b { cx.helper(node, Transpose { perm: vec![1, 0] }, [b], "b")? } else { b };
        return product(cx, node, alpha, c, |cx, node, last| step(cx, node, Matmul {}, [a, b], last));
    }
    let weight = if trans_b { b } else { cx.transposed(node, b)? };
    if alpha == 1.0
        && let Some(bias) = bias_vector(cx, node, weight, c)?
    {
        return cx.finish(node, Linear { act: Act::None }, [Some(a), Some(weight), bias]);
    }
    let linear = Linear { act: Act::None };
    product(cx, node, alpha, c, |cx, node, last| step(cx, node, linear, [a, weight], last))
}

/// A product that may be the last step of its node.
fn step<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    op: impl Into<quantir_ir::Op>,
    ins: [ValueId; 2],
    last: bool,
) -> Result<Option<ValueId>, Fail> {
    if last {
        cx.finish(node, op, ins)?;
        return Ok(None);
    }
    cx.helper(node, op, ins, "product").map(Some)
}

/// `alpha · product + c`, leaving out what changes nothing.
fn product<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    alpha: f32,
    c: Option<ValueId>,
    make: impl FnOnce(&mut Import<'m>, &Node<'m>, bool) -> Result<Option<ValueId>, Fail>,
) -> Result<(), Fail> {
    let Some(mut y) = make(cx, node, alpha == 1.0 && c.is_none())? else { return Ok(()) };
    if alpha != 1.0 {
        let factor = cx.scalar(node, alpha, y, "alpha")?;
        let op = Mul { act: Act::None };
        match c {
            None => return cx.finish(node, op, [y, factor]),
            Some(_) => y = cx.helper(node, op, [y, factor], "scaled")?,
        }
    }
    match c {
        Some(c) => cx.finish(node, Add { act: Act::None }, [y, c]),
        None => Ok(()),
    }
}

/// `c` as the bias vector of a `linear` with this weight: `Some(None)` without `c`, `None` if it is no vector.
fn bias_vector<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    weight: ValueId,
    c: Option<ValueId>,
) -> Result<Option<Option<ValueId>>, Fail> {
    let Some(c) = c else { return Ok(Some(None)) };
    let outputs = cx.shape(weight)[0].clone();
    let shape = cx.shape(c);
    let leading = shape.len().saturating_sub(1);
    if shape.last() != Some(&outputs) || !shape[..leading].iter().all(|d: &Dim| d.is(1)) {
        return Ok(None);
    }
    Ok(Some(Some(reshape(cx, node, c, vec![outputs], "bias")?)))
}

/// A product with a constant matrix is a `linear` whose weight is transposed here, once.
fn matmul<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (a, b) = (cx.value(node, 0)?, cx.value(node, 1)?);
    if cx.rank(b) == 2 && cx.rank(a) >= 2 && cx.is_weight(b) && !cx.graph.is_const(a) {
        let weight = cx.transposed(node, b)?;
        return cx.finish(node, Linear { act: Act::None }, [a, weight]);
    }
    cx.finish(node, Matmul {}, [a, b])
}
