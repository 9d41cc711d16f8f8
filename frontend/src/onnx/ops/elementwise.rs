//! Arithmetic, comparison and conversion, element by element.

use quantir_ir::ops::{
    Abs, Act, Add, Cast, Ceil, Div, Equal, Erf, Exp, Floor, Greater, GreaterEqual, Less, LessEqual, Log,
    Maximum, Minimum, Mul, Neg, Not, Pow, Reciprocal, Round, Sqrt, Sub, Where,
};
use quantir_ir::{Dim, Op, Storage, ValueId};

use super::super::ctx::{Import, computed_as};
use super::super::node::{Fail, Node};
use super::super::tensor::storage_of;
use super::{Table, only_results, reshape};

pub(super) const OPS: Table = &[
    ("Add", |cx, n| binary(cx, n, add())),
    ("Sub", |cx, n| binary(cx, n, Sub {}.into())),
    ("Mul", |cx, n| binary(cx, n, mul())),
    ("Div", |cx, n| binary(cx, n, Div {}.into())),
    ("Pow", pow),
    ("Mod", modulo),
    ("Max", |cx, n| variadic(cx, n, Maximum {}.into())),
    ("Min", |cx, n| variadic(cx, n, Minimum {}.into())),
    ("Sum", |cx, n| variadic(cx, n, add())),
    ("Mean", mean),
    ("Neg", |cx, n| cx.unary(n, Neg {})),
    ("Abs", |cx, n| cx.unary(n, Abs {})),
    ("Exp", |cx, n| cx.unary(n, Exp {})),
    ("Log", |cx, n| cx.unary(n, Log {})),
    ("Sqrt", |cx, n| cx.unary(n, Sqrt {})),
    ("Reciprocal", |cx, n| cx.unary(n, Reciprocal {})),
    ("Erf", |cx, n| cx.unary(n, Erf {})),
    ("Floor", |cx, n| cx.unary(n, Floor {})),
    ("Ceil", |cx, n| cx.unary(n, Ceil {})),
    ("Round", |cx, n| cx.unary(n, Round {})),
    ("Not", |cx, n| cx.unary(n, Not {})),
    ("Equal", |cx, n| binary(cx, n, Equal {}.into())),
    ("Less", |cx, n| binary(cx, n, Less {}.into())),
    ("Greater", |cx, n| binary(cx, n, Greater {}.into())),
    ("LessOrEqual", |cx, n| binary(cx, n, LessEqual {}.into())),
    ("GreaterOrEqual", |cx, n| binary(cx, n, GreaterEqual {}.into())),
    // With truth values, `a and b` is `b` where `a` holds, else `a`; likewise for the others.
    ("And", |cx, n| logical(cx, n, |a, b, _| [a, b, a])),
    ("Or", |cx, n| logical(cx, n, |a, b, _| [a, a, b])),
    ("Xor", |cx, n| logical(cx, n, |a, b, not_b| [a, not_b, b])),
    ("Where", choose),
    ("Cast", cast),
    ("CastLike", cast_like),
    ("Identity", |cx, n| cx.forward(n, 0)),
    ("Dropout", dropout),
];

fn add() -> Op {
    Add { act: Act::None }.into()
}

fn mul() -> Op {
    Mul { act: Act::None }.into()
}

/// Both operands, with the axis that files before version 7 name made explicit.
fn operands<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<[ValueId; 2], Fail> {
    let (a, b) = (cx.value(node, 0)?, cx.value(node, 1)?);
    if node.opset >= 7 || !node.flag("broadcast", false)? {
        return Ok([a, b]);
    }
    let axis = node.int("axis")?;
    Ok([a, legacy_broadcast(cx, node, a, b, axis)?])
}

/// `b` with trailing dimensions of length 1, so that its first one meets `axis` of `a`.
pub(super) fn legacy_broadcast<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    a: ValueId,
    b: ValueId,
    axis: Option<i64>,
) -> Result<ValueId, Fail> {
    let Some(axis) = axis else { return Ok(b) };
    let at = super::axis(axis, cx.rank(a).max(1))?;
    let mut shape = cx.shape(b);
    let behind = cx.rank(a).saturating_sub(at + shape.len());
    shape.extend(std::iter::repeat_n(Dim::lit(1), behind));
    reshape(cx, node, b, shape, "axis")
}

fn binary<'m>(cx: &mut Import<'m>, node: &Node<'m>, op: Op) -> Result<(), Fail> {
    let ab = operands(cx, node)?;
    arithmetic_storage(cx, node, ab[0], &op)?;
    cx.finish(node, op, ab)
}

/// Refuses element types that arithmetic does not take, so that all of them are listed.
pub(super) fn arithmetic_storage(cx: &Import, node: &Node, x: ValueId, op: &Op) -> Result<(), Fail> {
    let storage = cx.storage(x);
    let compares =
        matches!(op, Op::Equal(_) | Op::Less(_) | Op::Greater(_) | Op::LessEqual(_) | Op::GreaterEqual(_));
    if compares || matches!(storage, Storage::F32 | Storage::I32 | Storage::I64) {
        return Ok(());
    }
    Err(Fail::unsupported(format!("`{}` of `{storage}` elements", node.op())))
}

fn pow<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let [a, mut b] = operands(cx, node)?;
    // The exponent may have a type of its own.
    let to = cx.storage(a);
    if cx.storage(b) != to {
        b = cx.helper(node, Cast { to }, [b], "exponent")?;
    }
    cx.finish(node, Pow {}, [a, b])
}

/// `a − floor(a / b) · b`, the remainder with the sign of `b`.
fn modulo<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let ab = operands(cx, node)?;
    let floats = cx.storage(ab[0]).is_float();
    if node.flag("fmod", false)? || !(floats || is_natural_remainder(cx, node)?) {
        return Err(Fail::unsupported("there is no remainder of this kind for computed values"));
    }
    let mut quotient = cx.helper(node, Div {}, ab, "quotient")?;
    if floats {
        quotient = cx.helper(node, Floor {}, [quotient], "whole")?;
    }
    let part = cx.helper(node, mul(), [quotient, ab[1]], "part")?;
    cx.finish(node, Sub {}, [ab[0], part])
}

/// Whether both operands are shape arithmetic without negative numbers, where division rounds down.
fn is_natural_remainder<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<bool, Fail> {
    let (Some(a), Some(b)) = (cx.dims(node, 0)?, cx.dims(node, 1)?) else { return Ok(false) };
    let at_least = |d: &Dim, n: i64| d.bounds(&cx.graph.dims).0.is_some_and(|low| low >= n);
    Ok(a.iter().all(|d| at_least(d, 0)) && b.iter().all(|d| at_least(d, 1)))
}

fn variadic<'m>(cx: &mut Import<'m>, node: &Node<'m>, op: Op) -> Result<(), Fail> {
    match node.inputs() {
        0 => Err(Fail::invalid("it has no operands")),
        1 => cx.forward(node, 0),
        2 => binary(cx, node, op),
        count => {
            let mut sum = cx.value(node, 0)?;
            for i in 1..count - 1 {
                let x = cx.value(node, i)?;
                sum = cx.helper(node, op.clone(), [sum, x], &format!("{i}"))?;
            }
            let last = cx.value(node, count - 1)?;
            cx.finish(node, op, [sum, last])
        }
    }
}

fn mean<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let count = node.inputs();
    if count < 2 {
        return variadic(cx, node, add());
    }
    let mut sum = cx.value(node, 0)?;
    for i in 1..count {
        let x = cx.value(node, i)?;
        sum = cx.helper(node, add(), [sum, x], &format!("{i}"))?;
    }
    let count = cx.scalar(node, count as f32, sum, "count")?;
    cx.finish(node, Div {}, [sum, count])
}

fn logical<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    pick: fn(ValueId, ValueId, ValueId) -> [ValueId; 3],
) -> Result<(), Fail> {
    let [a, b] = operands(cx, node)?;
    let not_b = if node.op() == "Xor" { cx.helper(node, Not {}, [b], "not")? } else { b };
    cx.finish(node, Where {}, pick(a, b, not_b))
}

fn choose<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let operands = [cx.value(node, 0)?, cx.value(node, 1)?, cx.value(node, 2)?];
    cx.finish(node, Where {}, operands)
}

fn cast<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let Some(code) = node.int("to")? else { return Err(Fail::invalid("attribute `to` is missing")) };
    let code = i32::try_from(code).map_err(|_| Fail::invalid(format!("`to` is {code}")))?;
    let (to, note) = storage_of(code).map_err(Fail::Unsupported)?;
    if let Some(note) = note {
        cx.notes.push(format!("{}: {note}", node.place()));
    }
    cast_to(cx, node, computed_as(to))
}

fn cast_like<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let like = cx.value(node, 1)?;
    let to = cx.storage(like);
    cast_to(cx, node, to)
}

fn cast_to<'m>(cx: &mut Import<'m>, node: &Node<'m>, to: Storage) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    if cx.storage(x) == to { cx.forward(node, 0) } else { cx.finish(node, Cast { to }, [x]) }
}

/// Dropout does nothing outside training, which is where models are quantized.
fn dropout<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    only_results(cx, node, 1)?;
    if node.opset >= 12 && cx.opt_number(node, 2, "training_mode")?.is_some_and(|t| t != 0.0) {
        return Err(Fail::unsupported("it is in training mode"));
    }
    cx.forward(node, 0)
}
