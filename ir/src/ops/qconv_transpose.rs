//! `qconv_transpose1d`, `qconv_transpose2d`, `qconv_transpose3d`.

use std::sync::Arc;

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::conv_transpose::{Slots, scatter_sums};
use crate::ops::integer::{centred, finish_sums, nothing};
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck, valid, vector};
use crate::ops::window::Windows;
use crate::ops::{Eval, Infer, OpDef, one};
use crate::quant::{QParams, Quant};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Transposed convolution of quantized x and weight `[C,O/groups,*K]`; shapes as of
    /// [`ConvTranspose`](crate::ops::ConvTranspose).
    ///
    /// x has one scale and at most 16 bits. The weight is `i8` with one scale, or one for each index of axis 1: output
    /// channel `o` has scale number `o mod (O/groups)`. The bias is `f32`, or `i32` of the type `product(x, weight)` where
    /// that has as many scales as there are output channels. The arithmetic is that of [`Qconv`](crate::ops::Qconv), for all
    /// numbers of channels and groups.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !w = i8[-127:127] axis 1 scale [0.01,0.02,0.01] zp 0
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,4,5,5]
    /// input %w: i8!w[4,3,3,3]
    /// input %b: f32[3]
    /// %y = qconv_transpose2d %x, %w, %b {stride=2, pad=1, out_pad=1} : u8!y[1,3,10,10]
    /// ```
    pub struct QconvTranspose {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// Step between the places that neighbouring inputs add to, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// What is cut off before and after each spatial axis of the result.
        pad: Pads = Pads::none(),
        /// What is added after each spatial axis of the result.
        out_pad: PerAxis = PerAxis::all(0),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Groups of channels that do not see each other.
        groups: u32 = 1,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { QconvTranspose as QconvTransposeView { x: One, weight: One, bias: Maybe } }
impl QconvTranspose {
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn slots(&self) -> Slots<'_> {
        let by = Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false };
        Slots { by, out_pad: &self.out_pad, groups: self.groups }
    }
}
impl OpDef for QconvTranspose {
    const NAMES: &'static [&'static str] = &["qconv_transpose1d", "qconv_transpose2d", "qconv_transpose3d"];
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
        let wq = transposed_weight(op, w)?;
        let yq = declared_per_tensor(op, x)?;
        let shape = self.slots().shape(op, self.rank(), input, w)?;
        if let Some(b) = x.opt(2) {
            vector("bias", b, &shape[1])?;
            let product = |q: &Arc<Quant>| **q == Quant::product(xq, wq);
            if b.elem != Elem::Plain(Storage::F32) && !b.elem.quant().is_some_and(product) {
                return Err(Reason::new(format!(
                    "the bias of `{op}` must be `f32` or the product of input and weight, found {b}"
                )));
            }
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let shape = x.shape(0)?;
        let (data, kernel) = (centred(input)?, centred(w)?);
        let sums =
            scatter_sums(&self.slots(), (input, w), &shape, &data, &kernel, |a: i32, x: i32, w: i32| {
                a.wrapping_add(x.wrapping_mul(w))
            });
        finish_sums(x, &self.act, x.opt(2), sums, (shape[1], shape[2..].iter().product()), nothing)
    }
}

/// The quantization of a weight of transposed convolutions: `i8`, one scale or one for each index of axis 1.
fn transposed_weight<'a>(op: &str, t: &'a Type) -> Result<&'a Arc<Quant>, Reason> {
    let q =
        t.elem.quant().ok_or_else(|| Reason::new(format!("`{op}` needs a quantized weight, found {t}")))?;
    if q.storage != Storage::I8 {
        return Err(Reason::new(format!("`{op}` needs a weight of `i8`, found `{}`", q.storage)));
    }
    if !matches!(q.params, QParams::Tensor { .. } | QParams::Axis { axis: 1, .. }) {
        return Err(Reason::new(format!(
            "`{op}` needs one scale for its weight or one for each index of axis 1, found `{q}`"
        )));
    }
    valid(q, &t.shape)?;
    Ok(q)
}
