//! Invariant 12: a constant's contents match its type.

use crate::NodeId;
use crate::diag::{Diag, Reason};
use crate::graph::Node;
use crate::ops::{Const, ConstData};
use crate::tensor::{Tensor, checked_numel};
use crate::types::{Elem, Shape, Storage, Type};
use crate::verify::{Place, Verifier};

/// Largest number of elements that `rand`, `splat` and `seq` fill: they are for tests.
const MAX_GENERATED: usize = 1 << 30;

impl Verifier<'_> {
    pub(super) fn constant(&mut self, n: NodeId, node: &Node, c: &Const) {
        let Some(&out) = node.outs.first() else { return };
        let ty = self.g.ty(out);
        if let Err(why) = fits(&c.data, ty) {
            let message = format!("`{}` is no {}: {}", self.name(out), self.ty(ty), why.message);
            let d = Diag { help: why.help, ..Diag::error("const", message) };
            self.report(d, Place::Attr(n, "data".into()), "these contents");
        }
    }
}

fn fits(data: &ConstData, ty: &Type) -> Result<(), Reason> {
    let Some(shape) = ty.shape.concrete() else {
        return Err(Reason::new("a constant cannot have symbolic dimensions"));
    };
    let n = checked_numel(&shape).ok_or_else(|| Reason::new("the constant is too large"))?;
    if let ConstData::Tensor(t) = data {
        return tensor_fits(&t.0, &shape, &ty.elem);
    }
    if let ConstData::Pending(v) = data {
        return Err(Reason::new(format!("contents `{v}` are not loaded")));
    }
    if n > MAX_GENERATED {
        return Err(Reason::new(format!("generated contents of more than {MAX_GENERATED} elements")));
    }
    let range = integers(&ty.elem);
    match (data, range) {
        (ConstData::Seq, Some((_, hi))) if n as i64 - 1 > hi => {
            Err(Reason::new(format!("`seq` reaches {}, the largest integer is {hi}", n - 1)))
        }
        (ConstData::Seq, Some((lo, _))) if lo > 0 && n > 0 => {
            Err(Reason::new(format!("`seq` starts at 0, the smallest integer is {lo}")))
        }
        // The number is a real one if elements are quantized, and saturates.
        (ConstData::Splat(x), Some((lo, hi))) if ty.elem.quant().is_none() => {
            let x = f64::from(x.0);
            if x.fract() == 0.0 && x >= lo as f64 && x <= hi as f64 {
                Ok(())
            } else {
                Err(Reason::new(format!("{x} is no integer in [{lo}:{hi}]")))
            }
        }
        (ConstData::Splat(_), _) if ty.elem.quant().is_some_and(|q| q.count().is_none()) => {
            Err(Reason::new("dynamic parameters are not known here"))
        }
        _ => Ok(()),
    }
}

/// The integers that an element may be; `None` for floats.
fn integers(e: &Elem) -> Option<(i64, i64)> {
    match e {
        Elem::Quant(q) => Some(q.range),
        Elem::Plain(Storage::Bool) => Some((0, 1)),
        Elem::Plain(s) => s.int_range(),
    }
}

fn tensor_fits(t: &Tensor, shape: &[usize], elem: &Elem) -> Result<(), Reason> {
    if t.shape != shape {
        return Err(Reason::new(format!("the contents have shape {}", Shape::of(&t.shape))));
    }
    if t.storage() != elem.storage() {
        return Err(Reason::new(format!("the contents are `{}`", t.storage())));
    }
    let Some((lo, hi)) = integers(elem) else { return Ok(()) };
    // The bytes of a whole storage need no look.
    if matches!(elem.storage(), s if s.int_range() == Some((lo, hi)) && !matches!(s, Storage::I4 | Storage::U4))
    {
        return Ok(());
    }
    let outside = match elem.storage() {
        Storage::I8 | Storage::I4 => {
            t.bytes().iter().map(|&b| i64::from(b as i8)).find(|x| *x < lo || *x > hi)
        }
        Storage::U8 | Storage::U4 | Storage::Bool => {
            t.bytes().iter().map(|&b| i64::from(b)).find(|x| *x < lo || *x > hi)
        }
        _ => t.ints()?.into_iter().find(|x| *x < lo || *x > hi),
    };
    match outside {
        Some(x) => Err(Reason::new(format!("the contents hold {x}, which is outside [{lo}:{hi}]"))),
        None => Ok(()),
    }
}
