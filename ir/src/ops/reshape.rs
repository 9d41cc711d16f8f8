//! `reshape`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// The same elements in another shape.
    pub struct Reshape {
        /// See the op.
        shape: Vec<Dim>,
    }
}
operands! { Reshape as ReshapeView { x: One } }
impl OpDef for Reshape {
    const NAMES: &'static [&'static str] = &["reshape"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
