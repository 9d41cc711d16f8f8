//! `linear_dynamic`, `linear_f16`, `conv1d_dynamic`, `conv2d_dynamic`, `conv3d_dynamic`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::conv::finish;
use crate::ops::grid::{Grid, conv_sums};
use crate::ops::integer::centred;
use crate::ops::linear::{linear_shape, linear_sums};
use crate::ops::operand::{recheck, vector, weight};
use crate::ops::recurrent::float_linear;
use crate::ops::window::{Windows, conv_shape};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::quant::{self, Quant};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Linear of float x `[*,I]`, quantized for this run, and quantized weight `[O,I]`: float result `[*,O]` (PyTorch
    /// `quantized::linear_dynamic`).
    ///
    /// All of x becomes `u8` by [`dynamic_params`](crate::quant::dynamic_params) of its least and greatest element. The weight
    /// is `i8` with one scale or one for each output, the bias `f32`. The sum of `(x − zero_x)·(w − zero_w)` is exact up to
    /// wrapping in `i32`; the result is `f32(sum) · (scale_x·scale_w) + bias`, each operation rounded, then `act`.
    ///
    /// ```qir
    /// quant !w = i8[-128:127] scale 0.01 zp 0
    /// input %x: f32[2,8]
    /// input %w: i8!w[4,8]
    /// input %b: f32[4]
    /// %y = linear_dynamic %x, %w, %b {reduce_range=true} : f32[2,4]
    /// ```
    pub struct LinearDynamic {
        /// Whether x gets 7 bits instead of 8.
        reduce_range: bool = false,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { LinearDynamic as LinearDynamicView { x: One, weight: One, bias: Maybe } }
impl OpDef for LinearDynamic {
    const NAMES: &'static [&'static str] = &["linear_dynamic"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        only_f32("linear_dynamic", "the input", input)?;
        weight("linear_dynamic", w)?;
        let shape = linear_shape("linear_dynamic", input, w)?;
        if input.rank() < 2 {
            return Err(Reason::new(format!(
                "`linear_dynamic` needs rows, an input `[*,I]` of two dimensions or more, found {input}"
            )));
        }
        if let Some(b) = x.opt(2) {
            only_f32("linear_dynamic", "the bias", b)?;
            vector("bias", b, &w.shape[0])?;
        }
        one(input.with_shape(shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let sums = dynamic_sums(x.tensor(0)?, x.tensor(1)?, self.reduce_range)?;
        let channels = x.tensor(1)?.shape[0];
        one(Tensor::f32(&x.shape(0)?, finish(x, &self.act, sums, channels, 1)?))
    }
}

/// `f32(Σ (x − zero_x)·(w − zero_w)) · (scale_x·scale_w)` for each row of x `[*,I]` and each row of the weight `[O,I]`: what
/// [`LinearDynamic`] computes before the bias. Dynamic recurrent layers are made of it.
///
/// Fails if the weight is not quantized or the lengths differ.
pub fn dynamic_sums(x: &Tensor, w: &Tensor, reduce_range: bool) -> Result<Vec<f32>, Reason> {
    linear_shape("linear_dynamic", &x.ty(), &w.ty())?;
    let wq = weight("linear_dynamic", &w.ty())?.clone();
    let (x, scale) = quantized_by_range(x, reduce_range)?;
    let sums = linear_sums((&x, w), &centred(&x)?, &centred(w)?, |a: i32, x: i32, w: i32| {
        a.wrapping_add(x.wrapping_mul(w))
    });
    let outputs = w.shape[0].max(1);
    Ok(scaled(sums, scale, &wq, outputs, 1))
}

/// The function of rows `[n,k]`, a weight `[o,k]` and a bias `[o]` that yields `[n,o]`: a weight of `f16` multiplies in
/// `f32`, one of `i8` as [`LinearDynamic`] does.
pub(crate) fn rows(
    reduce_range: bool,
) -> impl Fn(&[f32], &Tensor, Option<&[f32]>) -> Result<Vec<f32>, Reason> {
    move |rows, w, bias| {
        if w.storage() == Storage::F16 {
            return float_linear(rows, w, bias);
        }
        let (outputs, inner) = (w.shape[0].max(1), w.shape[1]);
        let x = Tensor::f32(&[rows.len() / inner.max(1), inner], rows.to_vec());
        let mut y = dynamic_sums(&x, w, reduce_range)?;
        if let Some(bias) = bias {
            y.iter_mut().enumerate().for_each(|(i, y)| *y += bias[i % outputs]);
        }
        Ok(y)
    }
}

/// Floats as `u8` by the range of all of them; also their scale. Fails if one is not finite.
pub fn quantized_by_range(x: &Tensor, reduce_range: bool) -> Result<(Tensor, f32), Reason> {
    let data = x.floats()?;
    if data.iter().any(|v| !v.is_finite()) {
        return Err("no parameters follow from data that holds NaN or infinities".into());
    }
    let fold = |f: fn(f32, f32) -> f32| data.iter().copied().fold(0.0, f);
    let (scale, zero) = quant::dynamic_params(fold(f32::min), fold(f32::max), reduce_range);
    let scale = scale as f32;
    Ok((x.quantize(&Arc::new(Quant::tensor(Storage::U8, scale, zero)))?, scale))
}

/// Accumulators of `[_, channels]` runs of `area` as real numbers.
fn scaled(sums: Vec<i32>, scale: f32, w: &Quant, channels: usize, area: usize) -> Vec<f32> {
    let count = w.count().unwrap_or(1).max(1);
    let product: Vec<f32> = (0..channels).map(|c| scale * w.scale(c % count)).collect();
    let of = |i: usize| product[i / area.max(1) % channels.max(1)];
    sums.into_iter().enumerate().map(|(i, acc)| acc as f32 * of(i)).collect()
}

/// Refuses anything but `f32`.
fn only_f32(op: &str, what: &str, t: &Type) -> Result<(), Reason> {
    check::plain(op, what, t, &[Storage::F32])
}

attrs! {
    /// Convolution of float x, quantized for this run, and quantized weight: float result; shapes as of
    /// [`Conv`](crate::ops::Conv), arithmetic as of [`LinearDynamic`] (PyTorch `quantized::conv2d_dynamic`).
    ///
    /// Padding has the real value 0.
    ///
    /// ```qir
    /// quant !w = i8[-128:127] scale 0.01 zp 0
    /// input %x: f32[1,4,8,8]
    /// input %w: i8!w[6,4,3,3]
    /// input %b: f32[6]
    /// %y = conv2d_dynamic %x, %w, %b {pad=1} : f32[1,6,8,8]
    /// ```
    pub struct ConvDynamic {
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
        /// Whether x gets 7 bits instead of 8.
        reduce_range: bool = false,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { ConvDynamic as ConvDynamicView { x: One, weight: One, bias: Maybe } }
impl ConvDynamic {
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
}
impl OpDef for ConvDynamic {
    const NAMES: &'static [&'static str] = &["conv1d_dynamic", "conv2d_dynamic", "conv3d_dynamic"];
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
        only_f32(op, "the input", input)?;
        weight(op, w)?;
        let shape = conv_shape(op, self.rank(), input, w, self.groups, &self.windows())?;
        if let Some(b) = x.opt(2) {
            only_f32(op, "the bias", b)?;
            vector("bias", b, &shape[1])?;
        }
        one(input.with_shape(shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let w = x.tensor(1)?;
        let (input, scale) = quantized_by_range(x.tensor(0)?, self.reduce_range)?;
        let shape = x.shape(0)?;
        let grid = Grid::new(&input.shape[2..], &shape[2..], &w.shape[2..], &self.windows());
        let sizes = (shape[0], input.shape[1]);
        let outputs = (shape[1], self.groups as usize);
        let sums =
            conv_sums(&grid, sizes, outputs, &centred(&input)?, &centred(w)?, |a: i32, x: i32, w: i32| {
                a.wrapping_add(x.wrapping_mul(w))
            });
        let q = w.quant().ok_or("a quantized weight is expected")?;
        let sums = scaled(sums, scale, q, shape[1], grid.outputs());
        one(Tensor::f32(&shape, finish(x, &self.act, sums, shape[1], grid.outputs())?))
    }
}

attrs! {
    /// Linear of float x with a weight of half precision: x `[*,I]`, weight `f16[O,I]`, result `f32[*,O]` (PyTorch
    /// `quantized::linear_dynamic_fp16`).
    ///
    /// The arithmetic is that of [`Linear`](crate::ops::Linear), in `f32`. Weights are converted by [`saturate_f16`].
    ///
    /// ```qir
    /// input %x: f32[2,8]
    /// input %w: f16[4,8]
    /// input %b: f32[4]
    /// %y = linear_f16 %x, %w, %b {act=relu} : f32[2,4]
    /// ```
    pub struct LinearF16 {
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { LinearF16 as LinearF16View { x: One, weight: One, bias: Maybe } }
impl OpDef for LinearF16 {
    const NAMES: &'static [&'static str] = &["linear_f16"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        only_f32("linear_f16", "the input", input)?;
        check::plain("linear_f16", "the weight", w, &[Storage::F16])?;
        let shape = linear_shape("linear_f16", input, w)?;
        if let Some(b) = x.opt(2) {
            only_f32("linear_f16", "the bias", b)?;
            vector("bias", b, &w.shape[0])?;
        }
        one(input.with_shape(shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let sums = linear_sums((input, w), &input.floats()?, &w.floats()?, |a, x, w| a + x * w);
        one(Tensor::f32(&x.shape(0)?, finish(x, &self.act, sums, w.shape[0], 1)?))
    }
}

/// Floats as half precision, rounded to nearest even; what is beyond the range becomes ±65504, NaN stays NaN.
pub fn saturate_f16(x: &Tensor) -> Result<Tensor, Reason> {
    let half = |x: &f32| half::f16::from_f32(if x.is_nan() { *x } else { x.clamp(-65504.0, 65504.0) });
    let data: Cow<'_, [f32]> = x.floats()?;
    Tensor::with_elem(Elem::Plain(Storage::F16), &x.shape, data.iter().map(half).collect())
}
