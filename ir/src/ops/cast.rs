//! `cast`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Storage;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Converts plain elements to another storage; floats truncate towards zero.
    pub struct Cast {
        /// See the op.
        to: Storage,
    }
}
operands! { Cast as CastView { x: One } }
impl OpDef for Cast {
    const NAMES: &'static [&'static str] = &["cast"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
