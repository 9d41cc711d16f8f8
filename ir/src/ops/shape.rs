//! `shape`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// The dimensions of x as `i64[rank]`.
    pub struct ShapeOf {
    }
}
operands! { ShapeOf as ShapeOfView { x: One } }
impl OpDef for ShapeOf {
    const NAMES: &'static [&'static str] = &["shape"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Float);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
