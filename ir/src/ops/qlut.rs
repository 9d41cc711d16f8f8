//! `qlut`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Any function of one 8-bit value: `table[q − qmin of the storage]`, 256 entries of the result type.
    pub struct Qlut {
    }
}
operands! { Qlut as QlutView { x: One, table: One } }
impl OpDef for Qlut {
    const NAMES: &'static [&'static str] = &["qlut"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
