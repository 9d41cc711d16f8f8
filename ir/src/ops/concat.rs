//! `concat`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Joins along an axis; quantized parts must share one quantization.
    pub struct Concat {
        /// See the op.
        axis: u32,
    }
}
operands! { Concat as ConcatView { parts: Many } }
impl OpDef for Concat {
    const NAMES: &'static [&'static str] = &["concat"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
