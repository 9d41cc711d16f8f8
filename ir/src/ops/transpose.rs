//! `transpose`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Axis `i` of the result is axis `perm[i]` of x.
    pub struct Transpose {
        /// See the op.
        perm: Vec<u32>,
    }
}
operands! { Transpose as TransposeView { x: One } }
impl OpDef for Transpose {
    const NAMES: &'static [&'static str] = &["transpose"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
