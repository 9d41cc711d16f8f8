//! PyTorch's functions called on tensors: traced as in a model, then evaluated, also on quantized elements.

use std::collections::HashMap;

use quantir::frontend::trace::{Traced, Tracer};
use quantir::ir::ops::{Eval, Infer, Op};
use quantir::ir::{Elem, Graph, Quant, Reason, Shape, Tensor, Type, ValueId};

use crate::reader::Item;

/// What `f` yields on `inputs`. Quantized inputs stay quantized, so that only ops that keep quantizations work.
pub fn call(inputs: &[&Tensor], f: impl FnOnce(&[Traced]) -> Vec<Traced>) -> Result<Vec<Tensor>, String> {
    evaluate(&traced(inputs, f)?, inputs)
}

/// The float graph of `f`.
pub fn traced(inputs: &[&Tensor], f: impl FnOnce(&[Traced]) -> Vec<Traced>) -> Result<Graph, String> {
    let cx = Tracer::new().begin();
    let value = |(i, t): (usize, &&Tensor)| {
        let elem = if t.quant().is_some() { Elem::F32 } else { t.elem.clone() };
        cx.input(&format!("x{i}"), Type::new(elem, Shape::of(&t.shape)))
    };
    let values: Vec<Traced> = inputs.iter().enumerate().map(value).collect();
    for (i, y) in f(&values).iter().enumerate() {
        cx.output(&format!("y{i}"), y);
    }
    Ok(cx.finish().map_err(|e| e.to_string())?.graph)
}

/// One result of `f` on the real numbers that `inputs` stand for, quantized by `q`: PyTorch's reference.
pub fn real(
    inputs: &[&Tensor],
    q: &Quant,
    f: impl FnOnce(&[Traced]) -> Traced,
) -> Result<Vec<Tensor>, String> {
    let floats: Vec<Tensor> =
        inputs.iter().map(|t| t.dequantize()).collect::<Result<_, _>>().map_err(text)?;
    let floats: Vec<&Tensor> = floats.iter().collect();
    let y = call(&floats, |v| vec![f(v)])?.remove(0);
    Ok(vec![y.quantize(&q.clone().into()).map_err(text)?])
}

/// The results of one op whose results have the element type `elem`.
pub fn op(op: impl Into<Op>, ins: &[&Tensor], elem: &Elem) -> Result<Vec<Tensor>, String> {
    let declared = [Type::new(elem.clone(), Shape::default())];
    let ins: Vec<Option<&Tensor>> = ins.iter().map(|t| Some(*t)).collect();
    apply(&op.into(), &ins, &declared).map_err(text)
}

fn apply(op: &Op, ins: &[Option<&Tensor>], declared: &[Type]) -> Result<Vec<Tensor>, Reason> {
    let types: Vec<Option<Type>> = ins.iter().map(|t| t.map(Tensor::ty)).collect();
    let types: Vec<Option<&Type>> = types.iter().map(Option::as_ref).collect();
    let outs = op.infer(&Infer { ins: &types, declared })?;
    op.eval(&Eval { ins, outs: &outs })
}

/// Runs a float graph on inputs of other element types.
fn evaluate(g: &Graph, inputs: &[&Tensor]) -> Result<Vec<Tensor>, String> {
    let mut live: HashMap<ValueId, Tensor> =
        g.inputs().iter().zip(inputs).map(|(&v, t)| (v, (*t).clone())).collect();
    for n in g.nodes() {
        let node = g.node(n);
        let declared: Vec<Type> = node.outs.iter().map(|&v| g.ty(v).clone()).collect();
        let ins: Vec<Option<&Tensor>> = node.ins.iter().map(|v| v.and_then(|v| live.get(&v))).collect();
        let outs = apply(&node.op, &ins, &declared).map_err(|e| format!("{}: {e}", node.op.name()))?;
        live.extend(node.outs.iter().copied().zip(outs));
    }
    Ok(g.outputs().iter().map(|o| live[&o.value].clone()).collect())
}

pub fn text(r: Reason) -> String {
    r.to_string()
}

/// What a case must yield: `None` if PyTorch refuses it on every engine.
///
/// `reference` if it is recorded; else what the first engine yields that does not refuse.
pub fn want(c: Item) -> Option<Vec<Tensor>> {
    let place = if c.at("reference").is_null() { engine(c)? } else { c.at("reference") };
    Some(tensors(place))
}

/// What the first engine yields that does not refuse.
fn engine(c: Item) -> Option<Item> {
    c.at("results").list().iter().map(|r| r.at("out")).find(|o| !o.is_null())
}

fn tensors(place: Item) -> Vec<Tensor> {
    match place.value.is_array() {
        true => place.list().into_iter().map(Item::tensor).collect(),
        false => vec![place.tensor()],
    }
}

/// Compares shapes, parameters and codes. A case that PyTorch refuses must be refused.
///
/// All codes must equal `reference`, or all equal what PyTorch's first engine yields by a formula that rounds ties
/// another way; in that case none is more than 1 from `reference`.
pub fn compare(c: Item, found: Result<Vec<Tensor>, String>) -> Result<(), String> {
    let Some(want) = want(c) else {
        return match found {
            Ok(_) => Err("PyTorch refuses it".into()),
            Err(_) => Ok(()),
        };
    };
    let found = found?;
    let Err(why) = all_same(&found, &want, 0) else { return Ok(()) };
    let engine = engine(c).map(tensors).filter(|e| all_same(&found, e, 0).is_ok());
    match engine {
        Some(_) => all_same(&found, &want, 1),
        None => Err(why),
    }
}

fn all_same(found: &[Tensor], want: &[Tensor], steps: i64) -> Result<(), String> {
    if found.len() != want.len() {
        return Err(format!("{} results, PyTorch has {}", found.len(), want.len()));
    }
    found.iter().zip(want).try_for_each(|(f, w)| same(f, w, steps))
}

fn same(f: &Tensor, w: &Tensor, steps: i64) -> Result<(), String> {
    if !same_elem(&f.elem, &w.elem) || f.shape != w.shape {
        return Err(format!("{}, PyTorch has {}", f.ty(), w.ty()));
    }
    if w.elem.is_float() {
        let (f, w) = (f.floats().map_err(text)?, w.floats().map_err(text)?);
        return match f.iter().zip(w.iter()).find(|(f, w)| f != w) {
            None => Ok(()),
            Some((f, w)) => Err(format!("{f}, PyTorch has {w}")),
        };
    }
    let (f, w) = (f.ints().map_err(text)?, w.ints().map_err(text)?);
    let far = f.iter().zip(&w).filter(|(f, w)| (*f - *w).abs() > steps).count();
    let ties = f.iter().zip(&w).filter(|(f, w)| f != w).count();
    match far {
        0 => Ok(()),
        _ => Err(format!("{far} of {} codes differ by more than {steps}, {ties} at all", w.len())),
    }
}

/// Whether elements are the same; scales that follow from others, which PyTorch holds in double precision, may differ in
/// the last bit.
fn same_elem(f: &Elem, w: &Elem) -> bool {
    let (Some(f), Some(w)) = (f.quant(), w.quant()) else { return f == w };
    match (f.per_tensor(), w.per_tensor()) {
        (Some((a, x)), Some((b, y))) => {
            x == y && a.to_bits().abs_diff(b.to_bits()) <= 1 && f.storage == w.storage && f.range == w.range
        }
        _ => f == w,
    }
}

/// Whether each code of `codes` is a nearest one to the real number in `y`: where two are equally near, or nearer to it
/// than the order of `f32` operations decides, either will do.
pub fn nearest(codes: &Tensor, y: &Tensor) -> Result<(), String> {
    let q = codes.quant().ok_or("quantized codes")?;
    let (scale, zero) = q.per_tensor().ok_or("one scale")?;
    if codes.shape != y.shape {
        return Err(format!("{}, PyTorch has {}", y.ty(), codes.ty()));
    }
    let far = |(&v, &code): (&f32, &i64)| {
        let real = f64::from(v) / f64::from(scale) + f64::from(zero);
        let real = real.clamp(q.range.0 as f64, q.range.1 as f64);
        (real - code as f64).abs() > 0.5 + 1e-4
    };
    let (values, ints) = (y.floats().map_err(text)?, codes.ints().map_err(text)?);
    match values.iter().zip(&ints).filter(|p| far((p.0, p.1))).count() {
        0 => Ok(()),
        n => Err(format!("{n} of {} codes are not the nearest", ints.len())),
    }
}
