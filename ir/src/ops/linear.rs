//! `linear`.

use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `y = x · weightᵀ + bias`: x `[*,I]`, weight `[O,I]`, bias `[O]`.
    pub struct Linear {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Linear as LinearView { x: One, weight: One, bias: Maybe } }
impl OpDef for Linear {
    const NAMES: &'static [&'static str] = &["linear"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
