//! `instance_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Normalises each channel of each sample over its spatial axes.
    pub struct InstanceNorm {
        /// See the op.
        eps: F32 = F32(1e-5),
    }
}
operands! { InstanceNorm as InstanceNormView { x: One, gamma: One, beta: One } }
impl OpDef for InstanceNorm {
    const NAMES: &'static [&'static str] = &["instance_norm"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
