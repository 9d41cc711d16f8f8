//! `layer_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Normalises over the axes from `axis` on.
    pub struct LayerNorm {
        /// See the op.
        axis: u32,
        /// See the op.
        eps: F32 = F32(1e-5),
    }
}
operands! { LayerNorm as LayerNormView { x: One, gamma: Maybe, beta: Maybe } }
impl OpDef for LayerNorm {
    const NAMES: &'static [&'static str] = &["layer_norm"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
