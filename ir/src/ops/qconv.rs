//! `qconv1d`, `qconv2d`, `qconv3d`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Convolution of quantized x and weight with exact i32 accumulation; bias has type `product(x, weight)`.
    pub struct Qconv {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// See the op.
        stride: PerAxis = PerAxis::all(1),
        /// See the op.
        pad: Pads = Pads::none(),
        /// See the op.
        dilation: PerAxis = PerAxis::all(1),
        /// See the op.
        groups: u32 = 1,
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qconv as QconvView { x: One, weight: One, bias: Maybe } }
impl OpDef for Qconv {
    const NAMES: &'static [&'static str] = &["qconv1d", "qconv2d", "qconv3d"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn name(&self) -> &'static str {
        Self::NAMES[(self.rank as usize).clamp(1, 3) - 1]
    }
    fn named(mut self, name: &str) -> Self {
        self.rank = Self::NAMES.iter().position(|n| *n == name).map_or(2, |i| i as u8 + 1);
        self
    }
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
