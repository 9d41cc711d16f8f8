//! `qconcat`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Joins quantized parts, each requantized to the declared type.
    pub struct Qconcat {
        /// See the op.
        axis: u32,
    }
}
operands! { Qconcat as QconcatView { parts: Many } }
impl OpDef for Qconcat {
    const NAMES: &'static [&'static str] = &["qconcat"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
