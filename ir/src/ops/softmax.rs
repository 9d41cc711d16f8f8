//! `softmax`, `log_softmax`.

use crate::diag::Reason;
use crate::ops::operand::{axis, float};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `exp(x − max) / Σ exp(x − max)` along an axis.
    pub struct Softmax {
        /// See the op.
        axis: u32,
    }
}
operands! { Softmax as SoftmaxView { x: One } }
impl OpDef for Softmax {
    const NAMES: &'static [&'static str] = &["softmax"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("softmax", "input", input, None)?;
        axis(self.axis, input)?;
        one(input.clone())
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Logarithm of the softmax along an axis.
    pub struct LogSoftmax {
        /// See the op.
        axis: u32,
    }
}
operands! { LogSoftmax as LogSoftmaxView { x: One } }
impl OpDef for LogSoftmax {
    const NAMES: &'static [&'static str] = &["log_softmax"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("log_softmax", "input", input, None)?;
        axis(self.axis, input)?;
        one(input.clone())
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
