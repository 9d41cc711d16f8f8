//! `where`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `a` where `cond` holds, else `b`; operands broadcast.
    pub struct Where {
    }
}
operands! { Where as WhereView { cond: One, a: One, b: One } }
impl OpDef for Where {
    const NAMES: &'static [&'static str] = &["where"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
