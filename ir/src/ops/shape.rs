//! `shape`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// The dimensions of x as `i64[rank]`. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = shape %x : i64[2]
    /// ```
    pub struct ShapeOf {
    }
}
operands! { ShapeOf as ShapeOfView { x: One } }
impl OpDef for ShapeOf {
    const NAMES: &'static [&'static str] = &["shape"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Float);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        one(Type::plain(Storage::I64, &[x.ty(0)?.rank()]))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        one(Tensor::new(&[t.rank()], t.shape.iter().map(|&d| d as i64).collect())?)
    }
}
