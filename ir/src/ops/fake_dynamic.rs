//! `fake_quantize_dynamic`.

use std::sync::Arc;

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::quant::{Quant, dynamic_params};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// x quantized to `u8` with parameters from its own data, and dequantized: the pair that stands before a dynamically quantized op
    /// in the reference form (PyTorch `quantize_per_tensor_dynamic` and `dequantize`).
    ///
    /// Scale and zero point are those of [`dynamic_params`] for the least and the greatest element.
    /// NaN goes to the zero point; an infinite element is an error.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = fake_quantize_dynamic %x {reduce_range=true} : f32[2,5]
    /// ```
    pub struct FakeQuantizeDynamic {
        /// Whether x gets 7 bits instead of 8.
        reduce_range: bool = false,
    }
}
operands! { FakeQuantizeDynamic as FakeQuantizeDynamicView { x: One } }
impl OpDef for FakeQuantizeDynamic {
    const NAMES: &'static [&'static str] = &["fake_quantize_dynamic"];
    const PHASES: (Phase, Phase) = (Phase::Reference, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::plain("fake_quantize_dynamic", "the operand", ty, &[Storage::F32])?;
        one(Type::new(Elem::F32, ty.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        let (min, max) = t.floats()?.iter().fold((0.0f32, 0.0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        let (scale, zero) = dynamic_params(min, max, self.reduce_range);
        let scale = scale as f32;
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(Reason::new("the operand has infinite elements, so that no scale fits it"));
        }
        one(t.quantize(&Arc::new(Quant::tensor(Storage::U8, scale, zero)))?.dequantize()?)
    }
}
