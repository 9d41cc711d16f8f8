//! Checks of operand types that many ops share, in the user's words.

use std::sync::Arc;

use crate::attr::F32;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef, check};
use crate::quant::{QParams, Quant};
use crate::tensor::{Tensor, checked_numel};
use crate::types::{Elem, Shape, Storage, Type};

/// Whether two dimensions may be the same number: equal, or not both known.
pub(crate) fn agree(a: &Dim, b: &Dim) -> bool {
    a == b || a.as_lit().is_none() || b.as_lit().is_none()
}

/// The one of two agreeing dimensions that says more.
pub(crate) fn known<'a>(a: &'a Dim, b: &'a Dim) -> &'a Dim {
    if a.as_lit().is_none() && b.as_lit().is_some() { b } else { a }
}

/// Refuses anything but plain floating-point elements; `instead` names the op for quantized ones.
pub(crate) fn float(op: &str, what: &str, t: &Type, instead: Option<&str>) -> Result<(), Reason> {
    if let Elem::Quant(q) = &t.elem {
        let help = match instead {
            Some(i) => format!("dequantize it first, or use `{i}` in a graph of phase `integer`"),
            None => "dequantize it first".to_string(),
        };
        let message = format!(
            "`{op}` computes with floating-point numbers, but the {what} is quantized {}{}",
            q.storage, t.shape
        );
        return Err(Reason::new(message).help(help));
    }
    if !t.elem.is_float() {
        return Err(Reason::new(format!(
            "`{op}` computes with floating-point numbers, but the {what} is {t}"
        ))
        .help("convert it with `cast`"));
    }
    Ok(())
}

/// Refuses elements that differ from those of the first operand.
pub(crate) fn same_elem(what: &str, t: &Type, x: &Type) -> Result<(), Reason> {
    if t.elem == x.elem {
        return Ok(());
    }
    Err(Reason::new(format!("the {what} is {t} but the input is {x}"))
        .help("give both the same element type"))
}

/// Refuses a quantized operand that has more than one scale, since the op would mix elements of several.
pub(crate) fn pass_through(op: &str, what: &str, t: &Type) -> Result<(), Reason> {
    match &t.elem {
        Elem::Quant(q) if q.per_tensor().is_none() => Err(Reason::new(format!(
            "`{op}` keeps the quantization of its {what}, which must have one scale for the whole tensor"
        ))
        .help("dequantize it first")),
        Elem::Quant(q) => valid(q, &t.shape),
        Elem::Plain(_) => Ok(()),
    }
}

/// The quantization of an operand that must be quantized with one scale, in at most 16 bits.
pub(crate) fn per_tensor<'a>(op: &str, what: &str, t: &'a Type) -> Result<&'a Arc<Quant>, Reason> {
    let q = t.elem.quant().ok_or_else(|| {
        Reason::new(format!("`{op}` needs a quantized {what}, found {t}")).help(
            "quantize it first; if conversion left it float, it has no observer, and `qir explain` says why",
        )
    })?;
    if q.per_tensor().is_none() {
        return Err(Reason::new(format!("`{op}` needs one scale for its whole {what}, found `{q}`")));
    }
    if matches!(q.storage, Storage::I32 | Storage::I64) {
        return Err(Reason::new(format!(
            "`{op}` needs at most 16 bits in its {what}, found `{}`",
            q.storage
        ))
        .help("insert a `requantize`"));
    }
    valid(q, &t.shape)?;
    Ok(q)
}

/// The quantization of the declared result, which must have one scale, in at most 16 bits.
pub(crate) fn declared_per_tensor<'a>(op: &str, x: &Infer<'a>) -> Result<&'a Arc<Quant>, Reason> {
    let t = x.declared(0)?;
    if t.elem.quant().is_none() {
        return Err(Reason::new(format!("the result of `{op}` must be declared quantized, found {t}")));
    }
    per_tensor(op, "result", t)
}

/// The quantization of a weight: `i8`, one scale or one for each index of axis 0.
pub(crate) fn weight<'a>(op: &str, t: &'a Type) -> Result<&'a Arc<Quant>, Reason> {
    let q =
        t.elem.quant().ok_or_else(|| Reason::new(format!("`{op}` needs a quantized weight, found {t}")))?;
    if q.storage != Storage::I8 {
        return Err(Reason::new(format!("`{op}` needs a weight of `i8`, found `{}`", q.storage)));
    }
    if q.float_zeros().is_some() {
        return Err(Reason::new(format!("`{op}` needs a weight with integer zero points, found `{q}`"))
            .help("real zero points are for embedding tables"));
    }
    match &q.params {
        QParams::Tensor { .. } | QParams::Axis { axis: 0, .. } => {}
        _ => {
            return Err(Reason::new(format!(
                "`{op}` needs one scale for its weight or one for each index of axis 0, found `{q}`"
            )));
        }
    }
    valid(q, &t.shape)?;
    Ok(q)
}

/// Refuses a bias other than a vector of `len` accumulators of `x` and `w` or of real numbers.
pub(crate) fn accumulator_bias(b: &Type, x: &Arc<Quant>, w: &Arc<Quant>, len: &Dim) -> Result<(), Reason> {
    vector("bias", b, len)?;
    match &b.elem {
        Elem::Plain(Storage::F32) => Ok(()),
        Elem::Quant(q) if **q == Quant::product(x, w) => Ok(()),
        _ => Err(Reason::new(format!(
            "the bias is {b}, but the accumulator needs `i32` in the product of the scales of input and weight, or `f32`"
        ))
        .help("declare the bias as `product(input, weight)` of their quantizations, or leave it `f32`")),
    }
}

/// Refuses a quantization that does not fit a tensor of `shape`, so that evaluation finds every parameter.
pub(crate) fn valid(q: &Quant, shape: &Shape) -> Result<(), Reason> {
    if let Some(a) = q.axis()
        && a >= shape.rank()
    {
        return Err(Reason::new(format!("the quantization varies along axis {a}, which {shape} has not")));
    }
    zeros(q)?;
    q.check(|a| shape.0.get(a).and_then(Dim::as_lit))?;
    match &q.params {
        QParams::Group { size: 0, .. } => Err(Reason::new("a group of 0 elements has no scale")),
        QParams::Group { axis, size, scale, .. } => {
            let mut groups = shape.0.clone();
            groups[*axis as usize] = groups[*axis as usize].div_ceil(i64::from(*size));
            let want = Shape(groups).numel();
            if want.as_lit().is_some_and(|n| n != scale.len() as i64) {
                return Err(Reason::new(format!("{} scales for {want} groups of {shape}", scale.len())));
            }
            Ok(())
        }
        QParams::Product(x, w) if x.count().unwrap_or(1) != 1 || w.count().is_none() => {
            Err(Reason::new("the first factor of a product has one scale"))
        }
        QParams::Product(_, w) => match (w.count(), shape.0.first().and_then(Dim::as_lit)) {
            (Some(n), Some(len)) if n > 1 && n as i64 != len => {
                Err(Reason::new(format!("{n} scales for {len} elements")))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Refuses fewer or more zero points than scales.
fn zeros(q: &Quant) -> Result<(), Reason> {
    match &q.params {
        QParams::Axis { scale, zero, .. } | QParams::Group { scale, zero, .. } => match zero.count() {
            Some(n) if n != scale.len() => {
                Err(Reason::new(format!("{n} zero points for {} scales", scale.len())))
            }
            _ => Ok(()),
        },
        QParams::Product(x, w) => zeros(x).and_then(|()| zeros(w)),
        _ => Ok(()),
    }
}

/// Refuses a parameter other than one number for each of `len` channels.
pub(crate) fn vector(what: &str, t: &Type, len: &Dim) -> Result<(), Reason> {
    if t.rank() == 1 && agree(&t.shape[0], len) {
        return Ok(());
    }
    Err(Reason::new(format!("the {what} is {t} but one number for each of {len} channels is needed")))
}

/// The axes as flags by position; refuses axes that are out of range or named twice.
pub(crate) fn axes(op: &str, list: &[u32], t: &Type) -> Result<Vec<bool>, Reason> {
    let mut on = vec![false; t.rank()];
    for &a in list {
        if std::mem::replace(&mut on[check::axis(op, a, t)?], true) {
            return Err(Reason::new(format!("axis {a} is named twice")));
        }
    }
    Ok(on)
}

/// The shape after a reduction over the flagged axes.
pub(crate) fn reduced(shape: &Shape, on: &[bool], keep: bool) -> Shape {
    let dims = shape.0.iter().zip(on);
    Shape(match keep {
        true => dims.map(|(d, on)| if *on { Dim::lit(1) } else { d.clone() }).collect(),
        false => dims.filter(|(_, on)| !**on).map(|(d, _)| d.clone()).collect(),
    })
}

/// Infers again from the tensors of this run, and compares with the result types that the caller expects.
///
/// Symbolic dimensions are first known here, so what `infer` had to leave open is settled before any element is read.
pub(crate) fn recheck(op: &impl OpDef, x: &Eval) -> Result<(), Reason> {
    let types: Vec<Option<Type>> = x.ins.iter().map(|t| t.map(Tensor::ty)).collect();
    let ins: Vec<Option<&Type>> = types.iter().map(Option::as_ref).collect();
    let found = op.infer(&Infer { ins: &ins, declared: x.outs })?;
    if found.len() != x.outs.len() {
        return Err(Reason::new(format!("`{}` has {} results", op.name(), found.len())));
    }
    for (i, (f, o)) in found.iter().zip(x.outs).enumerate() {
        let dims = || f.shape.0.iter().zip(&o.shape.0);
        if f.elem != o.elem || f.rank() != o.rank() || !dims().all(|(a, b)| agree(a, b)) {
            return Err(Reason::new(format!("{o} is expected, but `{}` yields {f}", op.name())));
        }
        // Intermediate results take up to 8 bytes for each element.
        if checked_numel(&x.shape(i)?).is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(Reason::new(format!("the result {o} is too large")));
        }
    }
    Ok(())
}

/// Float results in the storage of `elem`.
pub(crate) fn store(elem: &Elem, shape: &[usize], data: Vec<f32>) -> Result<Tensor, Reason> {
    match elem.storage() {
        Storage::F16 => Tensor::new(shape, data.into_iter().map(half::f16::from_f32).collect()),
        Storage::BF16 => Tensor::new(shape, data.into_iter().map(half::bf16::from_f32).collect()),
        _ => Tensor::new(shape, data),
    }
}

/// Refuses an epsilon that is negative or not a number.
pub(crate) fn eps(e: F32) -> Result<(), Reason> {
    if e.0 >= 0.0 && e.0.is_finite() {
        return Ok(());
    }
    Err(Reason::new(format!("`eps={:?}` is not a small positive number", e.0)))
}
