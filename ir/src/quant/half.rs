//! Sixteen-bit floats as a form of quantization: casts, and weights that saturate.

use ::half::{bf16, f16};

use crate::diag::Reason;
use crate::quant::decomposed::floats;
use crate::tensor::Tensor;

/// The largest number of `f16`.
const F16_MAX: f32 = 65504.0;

/// Rounds to `f16`, half to even; beyond ±65504 to an infinity.
pub fn to_f16(x: &Tensor) -> Result<Tensor, Reason> {
    Tensor::new(&x.shape, floats(x)?.iter().map(|&v| f16::from_f32(v)).collect())
}

/// Rounds to `bf16`, half to even.
pub fn to_bf16(x: &Tensor) -> Result<Tensor, Reason> {
    Tensor::new(&x.shape, floats(x)?.iter().map(|&v| bf16::from_f32(v)).collect())
}

/// `f32` numbers clamped to what `f16` holds, infinities too; NaN stays. Weights are clamped so before they are packed
/// as `f16`.
pub fn saturate_to_f16(x: &Tensor) -> Result<Tensor, Reason> {
    Ok(Tensor::f32(&x.shape, floats(x)?.iter().map(|&v| v.clamp(-F16_MAX, F16_MAX)).collect()))
}
