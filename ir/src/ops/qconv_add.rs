//! `qconv2d_add` and its other ranks: a convolution whose sum with another value is rounded once.

use crate::attr::{Pads, PerAxis};
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{Output, centred, finish_sums, params};
use crate::ops::operand::{accumulator_bias, agree, declared_per_tensor, per_tensor, recheck, weight};
use crate::ops::qconv::integer_sums;
use crate::ops::window::{Windows, conv_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::quant;
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Convolution of quantized x and weight, plus a quantized `other` of the result's shape, then `act`, rounded once (PyTorch
    /// `quantized::conv2d_add` and `conv2d_add_relu`).
    ///
    /// All have one scale, as of [`Qconv`](crate::ops::Qconv), and the arithmetic is that of `qconv`, with
    /// `f32(other − zero_other)·(scale_other / scale_y)` added before rounding. An activation that is no clamp is that of a real
    /// number, to which `f32(other − zero_other)·scale_other` was added. The bias is as of `qconv`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !w = i8[-128:127] scale 0.01 zp 0
    /// input %x: u8!x[1,3,4,4]
    /// input %w: i8!w[3,3,1,1]
    /// input %b: f32[3]
    /// %y = qconv2d_add %x, %w, %x, %b {act=relu} : u8!x[1,3,4,4]
    /// ```
    pub struct QconvAdd {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Zeros before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Groups of channels that do not see each other.
        groups: u32 = 1,
        /// Applied to the sum.
        act: Act = Act::None,
    }
}
operands! { QconvAdd as QconvAddView { x: One, weight: One, other: One, bias: Maybe } }

impl QconvAdd {
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
}

impl OpDef for QconvAdd {
    const NAMES: &'static [&'static str] = &["qconv1d_add", "qconv2d_add", "qconv3d_add"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn name(&self) -> &'static str {
        Self::NAMES[usize::from(self.rank.clamp(1, 3)) - 1]
    }
    fn named(mut self, name: &str) -> Self {
        self.rank = Self::NAMES.iter().position(|n| *n == name).map_or(2, |i| i as u8 + 1);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w, other) = (x.ty(0)?, x.ty(1)?, x.ty(2)?);
        let op = self.name();
        let xq = per_tensor(op, "input", input)?;
        let wq = weight(op, w)?;
        per_tensor(op, "other", other)?;
        let yq = declared_per_tensor(op, x)?;
        let shape = conv_shape(op, self.rank(), input, w, self.groups, &self.windows())?;
        if other.rank() != shape.rank() || !other.shape.0.iter().zip(&shape.0).all(|(a, b)| agree(a, b)) {
            return Err(Reason::new(format!(
                "`other` is {other}, but the result of the convolution has the shape {shape}"
            )));
        }
        if let Some(b) = x.opt(3) {
            accumulator_bias(b, xq, wq, &shape[1])?;
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let out = Output::new(x, &self.act)?;
        let other = x.tensor(2)?;
        let (_, scale, _) = params(&other.elem)?;
        let m = if out.is_curved() { scale } else { quant::multiplier(scale, out.scale) };
        let other = centred(other)?;
        let (sums, at) = integer_sums(x, &self.windows(), self.groups)?;
        finish_sums(x, &self.act, x.opt(3), sums, at, |i| other[i] as f32 * m)
    }
}
