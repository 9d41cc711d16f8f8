//! `argmax`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Index of the largest element along an axis, the first one of equals.
    pub struct ArgMax {
        /// See the op.
        axis: u32,
        /// See the op.
        keep: bool = false,
    }
}
operands! { ArgMax as ArgMaxView { x: One } }
impl OpDef for ArgMax {
    const NAMES: &'static [&'static str] = &["argmax"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
