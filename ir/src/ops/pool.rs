//! `max_pool`, `avg_pool`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Largest element of each window over the spatial axes of `[N,C,*S]`.
    pub struct MaxPool {
        /// See the op.
        kernel: PerAxis,
        /// See the op.
        stride: PerAxis = PerAxis::all(1),
        /// See the op.
        pad: Pads = Pads::none(),
        /// See the op.
        dilation: PerAxis = PerAxis::all(1),
        /// See the op.
        ceil: bool = false,
    }
}
operands! { MaxPool as MaxPoolView { x: One } }
impl OpDef for MaxPool {
    const NAMES: &'static [&'static str] = &["max_pool"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Mean of each window over the spatial axes of `[N,C,*S]`; `count_pad` counts padding as zeros.
    pub struct AvgPool {
        /// See the op.
        kernel: PerAxis,
        /// See the op.
        stride: PerAxis = PerAxis::all(1),
        /// See the op.
        pad: Pads = Pads::none(),
        /// See the op.
        ceil: bool = false,
        /// See the op.
        count_pad: bool = false,
    }
}
operands! { AvgPool as AvgPoolView { x: One } }
impl OpDef for AvgPool {
    const NAMES: &'static [&'static str] = &["avg_pool"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
