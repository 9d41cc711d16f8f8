//! What a movement op does to a quantization: per-tensor parameters stay, per-axis ones follow their axis.

use std::sync::Arc;

use crate::diag::Reason;
use crate::quant::{QParams, Quant};
use crate::tensor::{Tensor, checked_numel};
use crate::types::Elem;

/// The element type after a movement that takes axis `a` to axis `to(a)`, with all its entries in order; `None`
/// where the axis does not survive.
pub(crate) fn elem(op: &str, elem: &Elem, to: impl Fn(usize) -> Option<usize>) -> Result<Elem, Reason> {
    let Elem::Quant(q) = elem else { return Ok(elem.clone()) };
    let Some(axis) = q.axis() else { return Ok(elem.clone()) };
    match (&q.params, to(axis)) {
        (_, None) => Err(refuse(op, axis)),
        (QParams::Axis { scale, zero, .. }, Some(a)) if a != axis => {
            let Ok(axis) = u8::try_from(a) else { return Err(refuse(op, axis)) };
            let params = QParams::Axis { axis, scale: scale.clone(), zero: zero.clone() };
            Ok(Elem::Quant(Arc::new(Quant { params, ..Quant::clone(q) })))
        }
        (QParams::Group { .. }, _) => Err(refuse(op, axis)),
        (_, Some(a)) if a == axis => Ok(elem.clone()),
        _ => Err(refuse(op, axis)),
    }
}

/// The element type after a cut of `start..end` along `axis`; `None` bounds where they are not known or the cut
/// is not contiguous.
pub(crate) fn sliced(op: &str, elem: &Elem, axis: usize, range: Option<(i64, i64)>) -> Result<Elem, Reason> {
    let Elem::Quant(q) = elem else { return Ok(elem.clone()) };
    match q.axis() {
        None => Ok(elem.clone()),
        Some(a) if a != axis && !matches!(q.params, QParams::Group { .. }) => Ok(elem.clone()),
        Some(a) => {
            let cut = match (&q.params, range) {
                (QParams::Axis { .. }, Some((s, e))) => usize::try_from(s)
                    .ok()
                    .zip(usize::try_from(e).ok())
                    .and_then(|(s, e)| q.slice(axis, s, e)),
                _ => None,
            };
            cut.map(|q| Elem::Quant(Arc::new(q))).ok_or_else(|| refuse(op, a))
        }
    }
}

fn refuse(op: &str, axis: usize) -> Reason {
    Reason::new(format!("`{op}` does not keep axis {axis}, along which the quantization parameters vary"))
        .help("dequantize first, or quantize per tensor")
}

/// A tensor of type `elem` and `shape` from runs of `len` consecutive elements of `t`, which `starts` numbers.
pub(crate) fn pick(
    t: &Tensor,
    elem: &Elem,
    shape: &[usize],
    len: usize,
    starts: impl Iterator<Item = usize>,
) -> Result<Tensor, Reason> {
    let width = len * t.storage().bytes();
    let size = checked_numel(shape).and_then(|n| n.checked_mul(t.storage().bytes()));
    let mut out = Vec::with_capacity(size.ok_or("the result is too large")?);
    if width > 0 {
        for i in starts {
            let run = t.bytes().get(i * width..(i + 1) * width);
            out.extend_from_slice(run.ok_or("an element outside the operand is taken")?);
        }
    }
    Tensor::from_bytes(t.elem.clone(), shape, out.into())?.retype(elem.clone())
}

/// Numbers of elements before, along and after an axis.
pub(crate) fn around(shape: &[usize], axis: usize) -> Result<(usize, usize, usize), Reason> {
    let len = *shape.get(axis).ok_or("the axis does not exist")?;
    Ok((shape[..axis].iter().product(), len, shape[axis + 1..].iter().product()))
}
