//! `gather`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Takes the entries of `x` along an axis that `indices` (any integer tensor) names; negative ones count from the end.
    pub struct Gather {
        /// See the op.
        axis: u32 = 0,
    }
}
operands! { Gather as GatherView { x: One, indices: One } }
impl OpDef for Gather {
    const NAMES: &'static [&'static str] = &["gather"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
