//! Fake quantization: real numbers rounded to what integers could hold, and the gradient that passes.

use crate::diag::Reason;
use crate::quant::Quant;
use crate::tensor::Tensor;
use crate::types::{Shape, Storage};

/// What `x` becomes if it is quantized by `q` and dequantized (`fake_quantize_per_tensor_affine` and
/// `fake_quantize_per_channel_affine`). Keeps the floating-point storage of `x`; arithmetic is `f32`.
///
/// Infinities saturate by sign and NaN becomes 0, as in inference. Fails if `q` does not fit `x` (see [`check`]).
pub fn fake_quantize(x: &Tensor, q: &Quant) -> Result<Tensor, Reason> {
    check(x, q)?;
    let values = x.floats()?;
    let y = values.iter().enumerate().map(|(flat, &v)| {
        let i = q.index_of(flat, &x.shape);
        q.decode(q.encode(v, i), i)
    });
    store(x, y.collect())
}

/// Where the gradient of [`fake_quantize`] passes: the integer before clamping lies in the range. False for NaN.
pub fn fake_quantize_mask(x: &Tensor, q: &Quant) -> Result<Vec<bool>, Reason> {
    check(x, q)?;
    let inside = |(flat, &v): (usize, &f32)| {
        let i = q.index_of(flat, &x.shape);
        let f = v * (1.0 / q.scale(i));
        let n = match q.float_zeros() {
            Some(z) => (f + z[i]).round_ties_even() as i64,
            None => (f.round_ties_even() as i64).saturating_add(q.zero(i).into()),
        };
        !f.is_nan() && (q.range.0..=q.range.1).contains(&n)
    };
    Ok(x.floats()?.iter().enumerate().map(inside).collect())
}

/// The gradient by `x` of a loss whose gradient by the result of [`fake_quantize`] is `grad`: `grad` where
/// [`fake_quantize_mask`] holds, else 0. Fails also if `grad` has another shape than `x`.
pub fn fake_quantize_backward(x: &Tensor, grad: &Tensor, q: &Quant) -> Result<Tensor, Reason> {
    same_shape(x, grad)?;
    let mask = fake_quantize_mask(x, q)?;
    let out = grad.floats()?.iter().zip(mask).map(|(&g, on)| if on { g } else { 0.0 }).collect();
    store(x, out)
}

/// Refuses what cannot be fake-quantized: elements that are no floats, or parameters that do not fit the shape or
/// their range.
pub fn check(x: &Tensor, q: &Quant) -> Result<(), Reason> {
    if !x.elem.is_float() {
        return Err(Reason::new(format!("only floats are fake-quantized, found {}", x.ty())));
    }
    q.count().ok_or("fake quantization needs known parameters")?;
    crate::ops::operand::valid(q, &Shape::of(&x.shape))
}

/// The narrowest storage that holds the integers `min..=max`; `None` if 32 bits do not.
pub fn storage_for((min, max): (i64, i64)) -> Option<Storage> {
    let all = [Storage::U8, Storage::I8, Storage::I16, Storage::I32];
    all.into_iter().find(|s| s.int_range().is_some_and(|(lo, hi)| lo <= min && max <= hi))
}

pub(super) fn same_shape(x: &Tensor, grad: &Tensor) -> Result<(), Reason> {
    if x.shape == grad.shape {
        return Ok(());
    }
    Err(Reason::new(format!("the gradient is {} but the input is {}", grad.ty(), x.ty())))
}

/// Results in the storage of `x`.
fn store(x: &Tensor, data: Vec<f32>) -> Result<Tensor, Reason> {
    crate::ops::operand::store(&x.elem, &x.shape, data)
}
