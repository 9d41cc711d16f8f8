//! `qlinear`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Linear of quantized x and weight with exact i32 accumulation; bias has type `product(x, weight)`.
    pub struct Qlinear {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qlinear as QlinearView { x: One, weight: One, bias: Maybe } }
impl OpDef for Qlinear {
    const NAMES: &'static [&'static str] = &["qlinear"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
