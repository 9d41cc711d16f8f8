//! `softmax`, `log_softmax`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
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
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
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
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
