//! Arithmetic, comparison and conversion, element by element.

use quantir_ir::ops::{
    Abs, Act, Add, Cast, Ceil, Div, Equal, Erf, Exp, Floor, Greater, GreaterEqual, Less, LessEqual, Log,
    Maximum, Minimum, Mul, Neg, Not, Pow, Reciprocal, Round, Sqrt, Sub, Where,
};
use quantir_ir::{Dim, Op, Storage, ValueId};

use super::super::ctx::{Import, computed_as};
use super::super::dims::{self, Arithmetic, Dims};
use super::super::node::{Fail, Node};
use super::super::tensor::storage_of;
use super::{Table, only_results, reshape};

pub(super) const OPS: Table = &[
    ("Add", |cx, n| binary(cx, n, add(), Some(dims::add))),
    ("Sub", |cx, n| binary(cx, n, Sub {}.into(), Some(dims::sub))),
    ("Mul", |cx, n| binary(cx, n, mul(), Some(dims::mul))),
    ("Div", |cx, n| binary(cx, n, Div {}.into(), Some(dims::div))),
    ("Pow", pow),
    ("Mod", modulo),
    ("Max", |cx, n| variadic(cx, n, Maximum {}.into(), Some(dims::max))),
    ("Min", |cx, n| variadic(cx, n, Minimum {}.into(), Some(dims::min))),
    ("Sum", |cx, n| variadic(cx, n, add(), Some(dims::add))),
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
    ("Equal", |cx, n| binary(cx, n, Equal {}.into(), Some(dims::equal))),
    ("Less", |cx, n| binary(cx, n, Less {}.into(), None)),
    ("Greater", |cx, n| binary(cx, n, Greater {}.into(), None)),
    ("LessOrEqual", |cx, n| binary(cx, n, LessEqual {}.into(), None)),
    ("GreaterOrEqual", |cx, n| binary(cx, n, GreaterEqual {}.into(), None)),
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

/// What two known integer tensors give.
fn known<'m>(cx: &mut Import<'m>, node: &Node<'m>, f: Option<Arithmetic>) -> Result<Option<Dims>, Fail> {
    let (Some(f), Some(a), Some(b)) = (f, cx.dims(node, 0)?, cx.dims(node, 1)?) else { return Ok(None) };
    Ok(a.zip(&b, f))
}

fn binary<'m>(cx: &mut Import<'m>, node: &Node<'m>, op: Op, f: Option<Arithmetic>) -> Result<(), Fail> {
    let known = known(cx, node, f)?;
    let storage = if matches!(op, Op::Equal(_)) { Storage::Bool } else { Storage::I64 };
    finish_known(cx, node, known, storage, |cx| {
        let ab = operands(cx, node)?;
        arithmetic_storage(cx, node, ab[0], &op)?;
        cx.finish(node, op, ab)
    })
}

/// Refuses element types that arithmetic does not take, so that all of them are listed.
fn arithmetic_storage(cx: &Import, node: &Node, x: ValueId, op: &Op) -> Result<(), Fail> {
    let storage = cx.storage(x);
    let compares =
        matches!(op, Op::Equal(_) | Op::Less(_) | Op::Greater(_) | Op::LessEqual(_) | Op::GreaterEqual(_));
    if compares || matches!(storage, Storage::F32 | Storage::I32 | Storage::I64) {
        return Ok(());
    }
    Err(Fail::unsupported(format!("`{}` of `{storage}` elements", node.op())))
}

/// Adds the op that `emit` makes and remembers the integers it holds; numbers that are all known need no op, and an op
/// whose operands are shapes without a value of their own stays arithmetic.
pub(super) fn finish_known<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    known: Option<Dims>,
    storage: Storage,
    emit: impl FnOnce(&mut Import<'m>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let Some(dims) = known else { return emit(cx) };
    if dims.literals().is_none() {
        match emit(cx) {
            Ok(()) | Err(Fail::Unsupported(_)) => {}
            Err(e) => return Err(e),
        }
        cx.bind_dims(node, dims, storage)
    } else {
        let storage =
            if storage == Storage::Bool { storage } else { constant_storage(cx, node)?.unwrap_or(storage) };
        cx.bind_dims(node, dims, storage)
    }
}

/// The storage of the integer operands, if one of them is a constant: it is not always `i64`.
fn constant_storage<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<Option<Storage>, Fail> {
    for i in 0..node.inputs() {
        if let Some(t) = cx.tensor(node, i)?
            && t.storage() != Storage::Bool
        {
            return Ok(Some(t.storage()));
        }
    }
    Ok(None)
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
    let fmod = node.flag("fmod", false)?;
    let known = if fmod { None } else { known(cx, node, Some(dims::modulo))? };
    finish_known(cx, node, known, Storage::I64, |cx| {
        let ab = operands(cx, node)?;
        if fmod || !cx.storage(ab[0]).is_float() {
            return Err(Fail::unsupported("there is no remainder of this kind for computed values"));
        }
        let quotient = cx.helper(node, Div {}, ab, "quotient")?;
        let whole = cx.helper(node, Floor {}, [quotient], "whole")?;
        let part = cx.helper(node, mul(), [whole, ab[1]], "part")?;
        cx.finish(node, Sub {}, [ab[0], part])
    })
}

fn variadic<'m>(cx: &mut Import<'m>, node: &Node<'m>, op: Op, f: Option<Arithmetic>) -> Result<(), Fail> {
    match node.inputs() {
        0 => Err(Fail::invalid("it has no operands")),
        1 => cx.forward(node, 0),
        2 => binary(cx, node, op, f),
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
        return variadic(cx, node, add(), None);
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
    let known = match (cx.dims(node, 0)?, cx.dims(node, 1)?, cx.dims(node, 2)?) {
        (Some(c), Some(a), Some(b)) => where_known(&c, &a, &b),
        _ => None,
    };
    finish_known(cx, node, known, Storage::I64, |cx| {
        let abc = [cx.value(node, 0)?, cx.value(node, 1)?, cx.value(node, 2)?];
        cx.finish(node, Where {}, abc)
    })
}

fn where_known(c: &Dims, a: &Dims, b: &Dims) -> Option<Dims> {
    // A broadcast against the condition gives all three one length.
    let same = |x: &Dims, y: &Dims| x.zip(y, |x, _| Some(x.clone()));
    let c = same(&same(c, a)?, b)?;
    let (a, b) = (same(a, &c)?, same(b, &c)?);
    let pick = |i: usize| match c.items[i].as_lit()? {
        0 => Some(b.items[i].clone()),
        _ => Some(a.items[i].clone()),
    };
    let items = (0..c.items.len()).map(pick).collect::<Option<_>>()?;
    Some(Dims { items, scalar: c.scalar && a.scalar && b.scalar })
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
    let known = if matches!(to, Storage::I64 | Storage::I32) { cx.dims(node, 0)? } else { None };
    finish_cast(cx, node, known, to)
}

fn finish_cast<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    known: Option<Dims>,
    to: Storage,
) -> Result<(), Fail> {
    if let Some(dims) = known.as_ref().filter(|d| d.literals().is_some()) {
        return cx.bind_dims(node, dims.clone(), to);
    }
    let emitted = match cx.value(node, 0) {
        Ok(x) if cx.storage(x) == to => cx.forward(node, 0),
        Ok(x) => cx.finish(node, Cast { to }, [x]),
        Err(Fail::Unsupported(_)) if known.is_some() => Ok(()),
        Err(e) => Err(e),
    };
    emitted?;
    match known {
        Some(dims) => cx.bind_dims(node, dims, to),
        None => Ok(()),
    }
}

/// Dropout does nothing outside training, which is where models are quantized.
fn dropout<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    only_results(cx, node, 1)?;
    if node.opset >= 12 && cx.opt_number(node, 2, "training_mode")?.is_some_and(|t| t != 0.0) {
        return Err(Fail::unsupported("it is in training mode"));
    }
    cx.forward(node, 0)
}
