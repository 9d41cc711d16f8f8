//! `batch_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `(x − mean) / sqrt(var + eps) · gamma + beta` along axis 1, with stored statistics.
    pub struct BatchNorm {
        /// See the op.
        eps: F32 = F32(1e-5),
    }
}
operands! { BatchNorm as BatchNormView { x: One, gamma: One, beta: One, mean: One, var: One } }
impl OpDef for BatchNorm {
    const NAMES: &'static [&'static str] = &["batch_norm"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Observed);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
