//! `quantize`, `dequantize`, `requantize`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Real numbers to integers; the declared element type says how.
    pub struct Quantize {
    }
}
operands! { Quantize as QuantizeView { x: One } }
impl OpDef for Quantize {
    const NAMES: &'static [&'static str] = &["quantize"];
    const PHASES: (Phase, Phase) = (Phase::Reference, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Integers to the real numbers they stand for, as `f32`.
    pub struct Dequantize {
    }
}
operands! { Dequantize as DequantizeView { x: One } }
impl OpDef for Dequantize {
    const NAMES: &'static [&'static str] = &["dequantize"];
    const PHASES: (Phase, Phase) = (Phase::Reference, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Integers of one quantization to another; the declared element type says which.
    pub struct Requantize {
    }
}
operands! { Requantize as RequantizeView { x: One } }
impl OpDef for Requantize {
    const NAMES: &'static [&'static str] = &["requantize"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
