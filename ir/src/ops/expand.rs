//! `expand`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Repeats axes of length 1 to fill a shape.
    pub struct Expand {
        /// See the op.
        shape: Vec<Dim>,
    }
}
operands! { Expand as ExpandView { x: One } }
impl OpDef for Expand {
    const NAMES: &'static [&'static str] = &["expand"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
