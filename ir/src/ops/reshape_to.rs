//! `reshape_to`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// The same elements in the shape that an integer tensor holds; the declared result type states it. Becomes `reshape` when the shape is known.
    pub struct ReshapeTo {
    }
}
operands! { ReshapeTo as ReshapeToView { x: One, shape: One } }
impl OpDef for ReshapeTo {
    const NAMES: &'static [&'static str] = &["reshape_to"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Float);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
