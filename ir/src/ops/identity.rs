//! `identity`, `dropout`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// x itself.
    pub struct Identity {
    }
}
operands! { Identity as IdentityView { x: One } }
impl OpDef for Identity {
    const NAMES: &'static [&'static str] = &["identity"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// x itself: dropout outside training.
    pub struct Dropout {
        /// See the op.
        p: F32 = F32(0.5),
    }
}
operands! { Dropout as DropoutView { x: One } }
impl OpDef for Dropout {
    const NAMES: &'static [&'static str] = &["dropout"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Observed);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
