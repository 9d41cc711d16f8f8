//! `slice`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `start..end` by `step` along one axis; `0 ≤ start`, `end ≤` its length; a negative step walks from `start` down to above `end`.
    pub struct Slice {
        /// See the op.
        axis: u32,
        /// See the op.
        start: Dim = Dim::lit(0),
        /// See the op.
        end: Dim,
        /// See the op.
        step: i64 = 1,
    }
}
operands! { Slice as SliceView { x: One } }
impl OpDef for Slice {
    const NAMES: &'static [&'static str] = &["slice"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
