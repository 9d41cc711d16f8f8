//! `qconv2d_add` and its other ranks: a convolution whose sum with another value is rounded once.

use crate::attr::{Pads, PerAxis};
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck, weight};
use crate::ops::{Add, Conv, Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Convolution of quantized x and weight, plus a quantized `other` of the result's shape, then `act`, rounded once (PyTorch
    /// `quantized::conv2d_add` and `conv2d_add_relu`).
    ///
    /// The arithmetic is that of `conv`, `add` and `act` on dequantized operands; the bias is `f32`.
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
    fn conv(&self) -> Conv {
        Conv {
            rank: self.rank,
            stride: self.stride.clone(),
            pad: self.pad.clone(),
            dilation: self.dilation.clone(),
            groups: self.groups,
            act: Act::None,
        }
    }
    /// The type of convolution and sum on floats.
    fn float_type(&self, x: &Infer) -> Result<Type, Reason> {
        let real = |i: usize| x.opt(i).map(|t| Type::new(Elem::F32, t.shape.clone()));
        let ins = [real(0), real(1), x.opt(3).cloned()];
        let ins: Vec<Option<&Type>> = ins.iter().map(Option::as_ref).collect();
        let conv = self.conv().infer(&Infer { ins: &ins, declared: &[] })?;
        let other = real(2);
        let sum = Add { act: Act::None };
        let y = sum
            .infer(&Infer { ins: &[conv.first(), other.as_ref()], declared: &[] })?
            .pop()
            .ok_or("no result")?;
        if conv.first() != Some(&y) {
            return Err(Reason::new(format!(
                "`other` has another shape than the result {y} of the convolution"
            )));
        }
        Ok(y)
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
        per_tensor(self.name(), "input", x.ty(0)?)?;
        weight(self.name(), x.ty(1)?)?;
        per_tensor(self.name(), "other", x.ty(2)?)?;
        let yq = declared_per_tensor(self.name(), x)?.clone();
        one(Type::new(Elem::Quant(yq), self.float_type(x)?.shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let out = x.out(0)?;
        let q = out.elem.quant().ok_or("the result must be quantized")?;
        let float = [Type::new(Elem::F32, out.shape.clone())];
        let (input, w, other) =
            (x.tensor(0)?.dequantize()?, x.tensor(1)?.dequantize()?, x.tensor(2)?.dequantize()?);
        let conv = self.conv().eval(&Eval { ins: &[Some(&input), Some(&w), x.opt(3)], outs: &float })?;
        let conv = conv.first().ok_or("no result")?;
        let sum = Add { act: self.act.clone() };
        let y =
            sum.eval(&Eval { ins: &[Some(conv), Some(&other)], outs: &float })?.pop().ok_or("no result")?;
        one(y.quantize(q)?)
    }
}
