//! `max_pool`, `avg_pool`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::ops::operand::{float, pass_through};
use crate::ops::window::{Windows, pool_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
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
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        pass_through("max_pool", "input", input)?;
        if input.elem == Elem::Plain(Storage::Bool) {
            return Err(Reason::new(format!("`max_pool` needs numbers, found {input}")));
        }
        let by = Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: self.ceil };
        one(input.with_shape(pool_shape("max_pool", input, &self.kernel, &by)?))
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
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("avg_pool", "input", input, Some("qavg_pool"))?;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        one(input.with_shape(pool_shape("avg_pool", input, &self.kernel, &by)?))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
