//! Checks that many ops share: element types, axes, broadcasting.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::types::{Elem, Shape, Storage, Type};

/// Refuses anything but plain elements of one of `allowed`.
pub(crate) fn plain(op: &str, what: &str, ty: &Type, allowed: &[Storage]) -> Result<(), Reason> {
    match &ty.elem {
        Elem::Plain(s) if allowed.contains(s) => Ok(()),
        Elem::Quant(_) => {
            Err(Reason::new(format!("{what} of `{op}` is quantized, but `{op}` computes on real numbers"))
                .help("dequantize it first, or use the op's integer form if there is one"))
        }
        Elem::Plain(s) => {
            let words: Vec<String> = allowed.iter().map(|s| format!("`{s}`")).collect();
            Err(Reason::new(format!("{what} of `{op}` has `{s}` elements, expected {}", words.join(" or ")))
                .help(format!(
                    "convert it with `cast {{to={}}}`",
                    allowed.first().map_or("f32", |s| s.word())
                )))
        }
    }
}

/// Storages that ops on floats accept; all are computed in `f32` and rounded once at the end.
pub(crate) const FLOATS: [Storage; 3] = [Storage::F32, Storage::F16, Storage::BF16];
/// Storages that arithmetic accepts.
pub(crate) const NUMBERS: [Storage; 5] =
    [Storage::F32, Storage::F16, Storage::BF16, Storage::I64, Storage::I32];

/// Refuses anything but plain floats.
pub(crate) fn float(op: &str, what: &str, ty: &Type) -> Result<(), Reason> {
    plain(op, what, ty, &FLOATS)
}

/// The axis as an index, which must be less than the rank of `ty`.
pub(crate) fn axis(op: &str, axis: u32, ty: &Type) -> Result<usize, Reason> {
    let (a, rank) = (axis as usize, ty.rank());
    if a < rank {
        return Ok(a);
    }
    let r = Reason::new(format!("`{op}` names axis {axis}, but the operand {} has {rank} axes", ty.shape));
    Err(match rank {
        0 => r.help("a scalar has no axes; reshape it first"),
        _ => r.help(format!("axes count from 0 to {}", rank - 1)),
    })
}

/// The shape that results from broadcasting all (numpy's rule: right-aligned, 1 stretches).
pub(crate) fn broadcast(op: &str, shapes: &[&Shape]) -> Result<Shape, Reason> {
    let rank = shapes.iter().map(|s| s.rank()).max().unwrap_or(0);
    let mut out = vec![Dim::lit(1); rank];
    for s in shapes {
        let offset = rank - s.rank();
        for (i, d) in s.0.iter().enumerate() {
            let slot = &mut out[offset + i];
            *slot = slot.broadcast(d).ok_or_else(|| {
                let all: Vec<String> = shapes.iter().map(|s| s.to_string()).collect();
                Reason::new(format!(
                    "operands {} of `{op}` do not broadcast: {slot} against {d}",
                    all.join(" and ")
                ))
                .help("aligned from the right, dimensions must be equal or 1")
            })?;
        }
    }
    Ok(Shape(out))
}

/// The one dimension that both must be; `None` if they cannot be equal.
///
/// A literal decides a symbol; two different expressions are compared when the symbols are known.
pub(crate) fn same(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Lit(x), Dim::Lit(y)) => (x == y).then(|| a.clone()),
        (Dim::Lit(_), _) => Some(a.clone()),
        (_, Dim::Lit(_)) => Some(b.clone()),
        _ => match a.sub(b).as_lit() {
            Some(0) => Some(a.clone()),
            Some(_) => None,
            None => a.broadcast(b),
        },
    }
}

/// Whether `a ≤ b`, as far as it is known; unknown counts as true and is checked when the symbols are known.
pub(crate) fn at_most(a: &Dim, b: &Dim) -> bool {
    b.sub(a).as_lit().is_none_or(|d| d >= 0)
}

/// Refuses dimensions that are negative literals.
pub(crate) fn dims(op: &str, shape: &[Dim]) -> Result<(), Reason> {
    match shape.iter().find(|d| d.as_lit().is_some_and(|n| n < 0)) {
        None => Ok(()),
        Some(d) => Err(Reason::new(format!("`{op}` cannot make a dimension of length {d}"))
            .help("write the length itself; this op infers no dimension")),
    }
}

/// Refuses operands of different element types.
pub(crate) fn same_elem(op: &str, a: &Type, b: &Type) -> Result<(), Reason> {
    if a.elem == b.elem {
        return Ok(());
    }
    Err(match (&a.elem, &b.elem) {
        (Elem::Quant(_), Elem::Quant(_)) => {
            Reason::new(format!("operands of `{op}` have different quantizations"))
                .help("requantize them to one, or dequantize first")
        }
        (Elem::Plain(a), Elem::Plain(b)) => {
            Reason::new(format!("operands of `{op}` have `{a}` and `{b}` elements, which must be equal"))
                .help(format!("convert one of them with `cast {{to={a}}}` or `cast {{to={b}}}`"))
        }
        _ => Reason::new(format!("one operand of `{op}` is quantized, another one is not"))
            .help("dequantize first, or quantize all"),
    })
}
