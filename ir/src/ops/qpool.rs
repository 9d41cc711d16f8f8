//! `qmean`, `qavg_pool`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::operand::{axes, declared_per_tensor, per_tensor, reduced};
use crate::ops::window::{Windows, pool_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Mean over axes of quantized x: exact i32 sum, then requantized to the declared type.
    pub struct Qmean {
        /// See the op.
        axes: Vec<u32>,
        /// See the op.
        keep: bool = false,
    }
}
operands! { Qmean as QmeanView { x: One } }
impl OpDef for Qmean {
    const NAMES: &'static [&'static str] = &["qmean"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("qmean", "input", input)?;
        let yq = declared_per_tensor("qmean", x)?;
        let on = axes(&self.axes, input)?;
        one(Type::new(Elem::Quant(yq.clone()), reduced(&input.shape, &on, self.keep)))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Mean of each window of quantized x: exact i32 sum, then requantized to the declared type.
    pub struct QavgPool {
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
operands! { QavgPool as QavgPoolView { x: One } }
impl OpDef for QavgPool {
    const NAMES: &'static [&'static str] = &["qavg_pool"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("qavg_pool", "input", input)?;
        let yq = declared_per_tensor("qavg_pool", x)?;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        let shape = pool_shape("qavg_pool", input, &self.kernel, &by)?;
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
