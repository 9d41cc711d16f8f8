//! `pad`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::keyword_enum;
use crate::ops::operand::pass_through;
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

keyword_enum! {
    /// What padding holds.
    pub enum PadMode {
        /// One value.
        Constant = "constant",
        /// The nearest element.
        Edge = "edge",
        /// Mirrored without repeating the border.
        Reflect = "reflect",
    }
}

attrs! {
    /// Adds `[before, after]` elements to each axis; `value` is a real number, also for quantized x.
    pub struct Pad {
        /// See the op.
        pads: Vec<Vec<i64>>,
        /// See the op.
        value: F32 = F32(0.0),
        /// See the op.
        mode: PadMode = PadMode::Constant,
    }
}
operands! { Pad as PadView { x: One } }
impl OpDef for Pad {
    const NAMES: &'static [&'static str] = &["pad"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        pass_through("pad", "input", input)?;
        if self.pads.len() != input.rank() || self.pads.iter().any(|p| p.len() != 2) {
            return Err(Reason::new(format!(
                "`pads` needs one `[before, after]` for each of the {} axes of {input}",
                input.rank()
            )));
        }
        let mut dims = Vec::with_capacity(input.rank());
        for (i, (d, p)) in input.shape.0.iter().zip(&self.pads).enumerate() {
            let out = d.add_lit(p[0]).add_lit(p[1]);
            if out.as_lit().is_some_and(|n| n < 0) {
                return Err(Reason::new(format!("`pads` {p:?} cut more than the {d} elements of axis {i}")));
            }
            let most = p[0].max(p[1]);
            let least = match self.mode {
                PadMode::Reflect if most > 0 => most.saturating_add(1),
                PadMode::Edge if most > 0 => 1,
                _ => 0,
            };
            if d.as_lit().is_some_and(|n| n < least) {
                return Err(Reason::new(format!(
                    "`pads` {p:?} with this mode need at least {least} elements along axis {i}, found {d}"
                )));
            }
            dims.push(out);
        }
        one(input.with_shape(Shape(dims)))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
