//! `qadd`, `qmul`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Sum of quantized operands, requantized to the declared type.
    pub struct Qadd {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qadd as QaddView { a: One, b: One } }
impl OpDef for Qadd {
    const NAMES: &'static [&'static str] = &["qadd"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Product of quantized operands, requantized to the declared type.
    pub struct Qmul {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qmul as QmulView { a: One, b: One } }
impl OpDef for Qmul {
    const NAMES: &'static [&'static str] = &["qmul"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
