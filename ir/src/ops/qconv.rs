//! `qconv1d`, `qconv2d`, `qconv3d`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::grid::{Grid, conv_sums};
use crate::ops::integer::{centred, finish_sums, nothing};
use crate::ops::operand::{accumulator_bias, declared_per_tensor, per_tensor, recheck, weight};
use crate::ops::window::{Windows, conv_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Convolution of quantized x and weight; shapes as of [`Conv`](crate::ops::Conv).
    ///
    /// x has one scale and at most 16 bits, the weight is `i8` with one scale or one for each output channel, the bias
    /// has the type `product(x, weight)` or is `f32`; padding has the real value 0.
    /// The result is declared, with one scale. The sum of `(x − zero_x)·(w − zero_w)` and an integer bias is exact up to
    /// wrapping in `i32`. With `s = scale_x·scale_w` and `m = s / scale_y` for each output channel in `f32`, the result is
    /// `clamp(rne((f32(sum) + bias/s) · m) + zero_y)` for an `f32` bias, which is `bias·(1/s)` where the weight has one scale;
    /// the clamp is the range of the result, narrowed by the bounds of `act`, quantized. Other activations are those of
    /// `(f32(sum) + bias/s) · s`, a real number. These are PyTorch's formulae on x86.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !w = i8[-127:127] scale 0.01 zp 0
    /// quant !b = i32[-2147483648:2147483647] product(!x, !w)
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,4,8,8]
    /// input %w: i8!w[6,4,3,3]
    /// input %b: i32!b[6]
    /// %y = qconv2d %x, %w, %b {pad=1, act=relu} : u8!y[1,6,8,8]
    /// ```
    pub struct Qconv {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Elements of real value 0 before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Groups of channels that do not see each other.
        groups: u32 = 1,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { Qconv as QconvView { x: One, weight: One, bias: Maybe } }
impl Qconv {
    /// Number of spatial axes.
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
}
impl OpDef for Qconv {
    const NAMES: &'static [&'static str] = &["qconv1d", "qconv2d", "qconv3d"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn name(&self) -> &'static str {
        Self::NAMES[self.rank() - 1]
    }
    fn named(mut self, name: &str) -> Self {
        self.rank = Self::NAMES.iter().position(|n| *n == name).map_or(2, |i| i as u8 + 1);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        let op = self.name();
        let xq = per_tensor(op, "input", input)?;
        let wq = weight(op, w)?;
        let yq = declared_per_tensor(op, x)?;
        let shape = conv_shape(op, self.rank(), input, w, self.groups, &self.windows())?;
        if let Some(b) = x.opt(2) {
            accumulator_bias(b, xq, wq, &shape[1])?;
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (sums, at) = integer_sums(x, &self.windows(), self.groups)?;
        finish_sums(x, &self.act, x.opt(2), sums, at, nothing)
    }
}

/// The accumulators of a convolution of quantized x and weight without bias; channels and elements of a plane.
pub(crate) fn integer_sums(
    x: &Eval,
    by: &Windows,
    groups: u32,
) -> Result<(Vec<i32>, (usize, usize)), Reason> {
    let (input, w) = (x.tensor(0)?, x.tensor(1)?);
    let shape = x.shape(0)?;
    let grid = Grid::new(&input.shape[2..], &shape[2..], &w.shape[2..], by);
    let sizes = (shape[0], input.shape[1]);
    let outputs = (shape[1], groups as usize);
    let sums = conv_sums(&grid, sizes, outputs, &centred(input)?, &centred(w)?, |a: i32, x: i32, w: i32| {
        a.wrapping_add(x.wrapping_mul(w))
    });
    Ok((sums, (shape[1], grid.outputs())))
}
