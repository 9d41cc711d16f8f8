//! Reductions.

use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{Act, Add, ArgMax, Cumsum, Exp, Log, Neg, Reduce, Slice, Sub};
use quantir_ir::{Dim, Op, Tensor, ValueId};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, axes, axis};

pub(super) const OPS: Table = &[
    ("ReduceMean", |cx, n| reduce(cx, n, Reduction::Mean)),
    ("ReduceSum", |cx, n| reduce(cx, n, Reduction::Sum)),
    ("ReduceMax", |cx, n| reduce(cx, n, Reduction::Max)),
    ("ReduceMin", |cx, n| reduce(cx, n, Reduction::Min)),
    ("ReduceProd", |cx, n| reduce(cx, n, Reduction::Prod)),
    ("ReduceL1", |cx, n| reduce(cx, n, Reduction::L1)),
    ("ReduceL2", |cx, n| reduce(cx, n, Reduction::L2)),
    ("ReduceSumSquare", |cx, n| reduce(cx, n, Reduction::SumSquare)),
    ("ReduceLogSum", log_sum),
    ("ReduceLogSumExp", log_sum_exp),
    ("CumSum", cumsum),
    ("ArgMax", arg_max),
    ("ArgMin", arg_min),
];

/// Axes and whether they stay, from attributes or operand; `None` if nothing is reduced.
fn plan<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: ValueId) -> Result<Option<(Vec<u32>, bool)>, Fail> {
    let rank = cx.rank(x);
    let by_operand = node.opset >= if node.op() == "ReduceSum" { 13 } else { 18 };
    let list =
        if by_operand { cx.opt_ints(node, 1, "axes")? } else { node.ints("axes")?.map(<[i64]>::to_vec) };
    let list = list.unwrap_or_default();
    if list.is_empty() && by_operand && node.flag("noop_with_empty_axes", false)? {
        return Ok(None);
    }
    let mut list = if list.is_empty() { (0..rank).collect() } else { axes(&list, rank)? };
    list.sort_unstable();
    let keep = node.flag("keepdims", true)?;
    Ok(Some((list.into_iter().map(|a| a as u32).collect(), keep)))
}

fn reduce<'m>(cx: &mut Import<'m>, node: &Node<'m>, kind: Reduction) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    match plan(cx, node, x)? {
        // Nothing to reduce over; the norms would still change each element.
        None if matches!(kind, Reduction::L1 | Reduction::L2 | Reduction::SumSquare) => {
            Err(Fail::unsupported("a norm over no axes"))
        }
        None => cx.forward(node, 0),
        Some((list, _)) if list.is_empty() => cx.forward(node, 0),
        Some((axes, keep)) => cx.finish(node, Reduce { kind, axes, keep }, [x]),
    }
}

fn cumsum<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let at = cx.ints(node, 1, "axis")?;
    let [at] = at.as_slice() else { return Err(Fail::invalid("its axis is not one number")) };
    let axis = axis(*at, cx.rank(x))? as u32;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    cx.finish(node, Cumsum { axis, exclusive, reverse }, [x])
}

fn log_sum<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let Some((axes, keep)) = plan(cx, node, x)? else { return cx.finish(node, Log {}, [x]) };
    let sum = cx.helper(node, Reduce { kind: Reduction::Sum, axes, keep }, [x], "sum")?;
    cx.finish(node, Log {}, [sum])
}

/// `m + log Σ exp(x − m)` with the largest element `m`, so that nothing overflows.
fn log_sum_exp<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let Some((axes, keep)) = plan(cx, node, x)? else { return cx.forward(node, 0) };
    let op = |kind, keep| -> Op { Reduce { kind, axes: axes.clone(), keep }.into() };
    let top = cx.helper(node, op(Reduction::Max, true), [x], "max")?;
    let shifted = cx.helper(node, Sub {}, [x, top], "shifted")?;
    let exp = cx.helper(node, Exp {}, [shifted], "exp")?;
    let sum = cx.helper(node, op(Reduction::Sum, keep), [exp], "sum")?;
    let log = cx.helper(node, Log {}, [sum], "log")?;
    let top = if keep { top } else { cx.helper(node, op(Reduction::Max, false), [x], "top")? };
    cx.finish(node, Add { act: Act::None }, [log, top])
}

fn arg_max<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    arg(cx, node, x)
}

fn arg_min<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    if !cx.storage(x).is_float() {
        return Err(Fail::unsupported("the smallest of integers"));
    }
    let negative = cx.helper(node, Neg {}, [x], "negative")?;
    arg(cx, node, negative)
}

fn arg<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: ValueId) -> Result<(), Fail> {
    let axis = axis(node.int_or("axis", 0)?, cx.rank(x))? as u32;
    let keep = node.flag("keepdims", true)?;
    if node.flag("select_last_index", false)? {
        return last_arg(cx, node, x, axis, keep);
    }
    cx.finish(node, ArgMax { axis, keep }, [x])
}

/// The last one of equal elements is the first one of the reversed axis.
fn last_arg<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: ValueId, axis: u32, keep: bool) -> Result<(), Fail> {
    let Some(size) = cx.shape(x)[axis as usize].as_lit() else {
        return Err(Fail::unsupported("the last one of equal elements along an axis of unknown size"));
    };
    let reverse = Slice { axis, start: Dim::lit((size - 1).max(0)), end: Dim::lit(-1), step: -1 };
    let reversed = cx.helper(node, reverse, [x], "reversed")?;
    let index = cx.helper(node, ArgMax { axis, keep }, [reversed], "index")?;
    let last = Tensor::new(&[], vec![size - 1]).map_err(|r| Fail::invalid(r.message))?;
    let last = cx.constant(node, last, "last");
    cx.finish(node, Sub {}, [last, index])
}
