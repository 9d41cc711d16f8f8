//! `matmul`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Matrix product with numpy broadcasting of leading axes.
    pub struct Matmul {
    }
}
operands! { Matmul as MatmulView { a: One, b: One } }
impl OpDef for Matmul {
    const NAMES: &'static [&'static str] = &["matmul"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
