//! Invariants 6 and 10 of one type.

use crate::diag::Diag;
use crate::ops::operand::valid;
use crate::quant::{QParams, Quant};
use crate::types::Type;
use crate::verify::{Place, Verifier};

impl Verifier<'_> {
    /// What is wrong with a type, whatever has it. False if inference on it would only repeat the complaint.
    pub(super) fn type_alone(&mut self, t: &Type, place: Place) -> bool {
        let mut usable = true;
        for d in &t.shape.0 {
            if d.as_lit().is_some_and(|n| n < 0) {
                let found = Diag::error("dim", format!("dimension {d} of {} is negative", self.ty(t)));
                self.report(found, place.clone(), "this type");
                usable = false;
            }
            let mut unknown = None;
            d.symbols(&mut |s| {
                if !self.g.dims.0.contains_key(s) {
                    unknown = Some(s.clone());
                }
            });
            if let Some(s) = unknown {
                let found = self.unknown_symbol(&s);
                self.report(found, place.clone(), "not declared");
            }
        }
        if let Some(q) = t.elem.quant()
            && let Err(why) = sound(q, t)
        {
            let found = Diag::error("quant", why).note(format!("in type {}", self.ty(t)));
            self.report(found, place, "this type");
            usable = false;
        }
        usable
    }
}

fn sound(q: &Quant, t: &Type) -> Result<(), String> {
    // First what the accessors of a quantization rely on.
    if let QParams::Product(x, w) = &q.params {
        for f in [x, w] {
            if matches!(f.params, QParams::Product(..)) {
                return Err("a factor of a product is a product itself".into());
            }
            some_scale(f)?;
        }
    }
    some_scale(q)?;
    valid(q, &t.shape).map_err(|r| r.message)
}

fn some_scale(q: &Quant) -> Result<(), String> {
    match &q.params {
        QParams::Axis { scale, .. } | QParams::Group { scale, .. } if scale.is_empty() => {
            Err("there are no scales".into())
        }
        _ => Ok(()),
    }
}
