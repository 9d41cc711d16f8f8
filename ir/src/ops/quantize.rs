//! `quantize`, `dequantize`, `requantize`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{self, Output, centred, params};
use crate::ops::operand::{declared_per_tensor, float, per_tensor, recheck, valid};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Real numbers to integers: `clamp(rne(x · f32(1/scale)) + zero, min, max)`; the declared element type says the
    /// parameters (see [`crate::quant::quantize`]).
    ///
    /// x has floating-point elements; the result has its shape.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// input %x: f32[1,3,4,4]
    /// %q = quantize %x : u8!x[1,3,4,4]
    /// ```
    pub struct Quantize {
    }
}
operands! { Quantize as QuantizeView { x: One } }
impl OpDef for Quantize {
    const NAMES: &'static [&'static str] = &["quantize"];
    const PHASES: (Phase, Phase) = (Phase::Reference, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("quantize", "input", input, Some("requantize"))?;
        let declared = x.declared(0)?;
        let Elem::Quant(q) = &declared.elem else {
            return Err(Reason::new(format!(
                "the result of `quantize` must be declared quantized, found {declared}"
            ))
            .help("write the element type as `u8!name` with `quant !name = …` declared"));
        };
        valid(q, &input.shape)?;
        one(Type::new(declared.elem.clone(), input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let q = x.out(0)?.elem.quant().ok_or("the result must be quantized")?;
        one(x.tensor(0)?.quantize(q)?)
    }
}

attrs! {
    /// Integers to the real numbers they stand for, `scale · (q − zero)`, as `f32` (see [`crate::quant::dequantize`]).
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// input %x: u8!x[1,3,4,4]
    /// %y = dequantize %x : f32[1,3,4,4]
    /// ```
    pub struct Dequantize {
    }
}
operands! { Dequantize as DequantizeView { x: One } }
impl OpDef for Dequantize {
    const NAMES: &'static [&'static str] = &["dequantize"];
    const PHASES: (Phase, Phase) = (Phase::Reference, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        let Elem::Quant(q) = &input.elem else {
            return Err(Reason::new(format!("`dequantize` needs a quantized input, found {input}"))
                .help("use the float value itself"));
        };
        valid(q, &input.shape)?;
        one(Type::new(Elem::F32, input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        one(x.tensor(0)?.dequantize()?)
    }
}

attrs! {
    /// Integers of one quantization to another, as if dequantized and quantized:
    /// `clamp(rne(f32(q − zero_x)·scale_x · (1/scale_y)) + zero_y)`; integers are copied if both quantizations are equal.
    ///
    /// Both have one scale and at most 16 bits; the declared element type says the result's.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,3,4,4]
    /// %y = requantize %x : u8!y[1,3,4,4]
    /// ```
    pub struct Requantize {
    }
}
operands! { Requantize as RequantizeView { x: One } }
impl OpDef for Requantize {
    const NAMES: &'static [&'static str] = &["requantize"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("requantize", "input", input)?;
        let yq = declared_per_tensor("requantize", x)?;
        one(Type::new(Elem::Quant(yq.clone()), input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        integer::store(x, requantized(input, &Output::new(x, &Act::None)?, x.out(0)?)?.into_iter())
    }
}

/// The integers of `t` in the quantization of `to`; copied if both are equal.
pub(crate) fn requantized(t: &Tensor, out: &Output, to: &Type) -> Result<Vec<i32>, Reason> {
    if t.elem == to.elem {
        return Ok(t.ints()?.into_iter().map(|v| v as i32).collect());
    }
    let (scale, inv) = (params(&t.elem)?.1, 1.0 / out.scale);
    Ok(centred(t)?.into_iter().map(|v| out.round(v as f32 * scale * inv)).collect())
}
