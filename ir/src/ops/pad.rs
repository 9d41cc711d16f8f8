//! `pad`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::keyword_enum;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
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
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
