//! `identity`, `dropout`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// x itself. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = identity %x : f32[2,5]
    /// ```
    pub struct Identity {
    }
}
operands! { Identity as IdentityView { x: One } }
impl OpDef for Identity {
    const NAMES: &'static [&'static str] = &["identity"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        one(x.ty(0)?.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(x.tensor(0)?.clone())
    }
}

attrs! {
    /// x itself: dropout outside training. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = dropout %x {p=0.1} : f32[2,5]
    /// ```
    pub struct Dropout {
        /// The share of elements that training drops.
        p: F32 = F32(0.5),
    }
}
operands! { Dropout as DropoutView { x: One } }
impl OpDef for Dropout {
    const NAMES: &'static [&'static str] = &["dropout"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        one(x.ty(0)?.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(x.tensor(0)?.clone())
    }
}
