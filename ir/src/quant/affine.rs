//! `quantize_per_tensor`, `quantize_per_channel` and their checks, under PyTorch's names.
//!
//! Parameters are given as PyTorch takes them, in double precision; scales are rounded to `f32` once. Where PyTorch
//! goes on with a scale that is not positive and finite, these functions refuse it.

use std::sync::Arc;

use crate::diag::Reason;
use crate::quant::{QParams, Quant, Zeros};
use crate::tensor::Tensor;
use crate::types::Storage;

/// Real numbers to integers with one scale: `clamp(rne(x · f32(1/f32(scale))) + zero_point)` over the range of `storage`.
///
/// `x` is `f32`. Fails for another type, a scale that is not positive and finite in `f32`, a zero point out of range.
pub fn quantize_per_tensor(
    x: &Tensor,
    scale: f64,
    zero_point: i64,
    storage: Storage,
) -> Result<Tensor, Reason> {
    f32_only(x)?;
    let q = Quant::tensor(storage, self::scale(scale)?, self::zero_point(zero_point, storage)?);
    x.quantize(&Arc::new(q))
}

/// Real numbers to integers with a scale and a zero point for each index of `axis`.
///
/// `x` is `f32`. Fails also if there are not as many of each as `x` has indices along `axis`, or no such axis.
pub fn quantize_per_channel(
    x: &Tensor,
    scales: &[f64],
    zero_points: &[i64],
    axis: usize,
    storage: Storage,
) -> Result<Tensor, Reason> {
    f32_only(x)?;
    channels(x, axis, scales.len(), zero_points.len())?;
    let zeros = zero_points.iter().map(|&z| zero_point(z, storage)).collect::<Result<Vec<i32>, _>>()?;
    x.quantize(&Arc::new(per_axis(storage, axis, scales, Zeros::Each(zeros.into()))?))
}

/// Real numbers to integers with a scale and a real zero point for each index of `axis`, the format of embedding
/// tables: `clamp(rne(x · f32(1/scale) + zero_point))`.
///
/// A scale of 0 counts as 1, as PyTorch's embedding kernels have it. Fails as [`quantize_per_channel`] does.
pub fn quantize_float_qparams(
    x: &Tensor,
    scales: &[f32],
    zero_points: &[f32],
    axis: usize,
    storage: Storage,
) -> Result<Tensor, Reason> {
    f32_only(x)?;
    channels(x, axis, scales.len(), zero_points.len())?;
    if let Some(z) = zero_points.iter().find(|z| !z.is_finite()) {
        return Err(Reason::new(format!("zero point {z} is not finite")));
    }
    let scales: Vec<f64> = scales.iter().map(|&s| if s == 0.0 { 1.0 } else { s.into() }).collect();
    x.quantize(&Arc::new(per_axis(storage, axis, &scales, Zeros::Float(zero_points.into()))?))
}

/// The quantization over the range of `storage` with a scale and a zero point for each index of `axis`. Zero points
/// that are all equal are stored once.
pub fn per_axis(storage: Storage, axis: usize, scales: &[f64], zero: Zeros) -> Result<Quant, Reason> {
    let scale: Arc<[f32]> = scales.iter().map(|&s| self::scale(s)).collect::<Result<_, _>>()?;
    let zero = match zero {
        Zeros::Each(z) if z.iter().all(|&v| v == z[0]) => Zeros::All(z.first().copied().unwrap_or(0)),
        zero => zero,
    };
    let axis = u8::try_from(axis).map_err(|_| Reason::new(format!("there is no axis {axis}")))?;
    let range = range_of(storage)?;
    Ok(Quant { storage, range, params: QParams::Axis { axis, scale, zero } })
}

/// A scale as every kernel uses it. Fails unless it is positive and finite in `f32`.
pub fn scale(scale: f64) -> Result<f32, Reason> {
    let s = scale as f32;
    if s.is_finite() && s > 0.0 {
        return Ok(s);
    }
    let why = match scale {
        s if s.is_finite() && s > 0.0 => "does not fit a 32-bit float",
        _ => "is not positive and finite",
    };
    Err(Reason::new(format!("scale {scale:?} {why}"))
        .help("calibrate again, or give the smallest scale as `eps`"))
}

/// A zero point that `storage` can hold.
pub fn zero_point(zero: i64, storage: Storage) -> Result<i32, Reason> {
    let (lo, hi) = range_of(storage)?;
    if zero < lo || zero > hi {
        return Err(Reason::new(format!("zero point {zero} lies outside `{storage}` [{lo}:{hi}]")));
    }
    Ok(zero as i32)
}

/// The integers of a storage of at most 32 bits.
fn range_of(storage: Storage) -> Result<(i64, i64), Reason> {
    match storage.int_range() {
        Some(r) if storage != Storage::I64 => Ok(r),
        _ => Err(Reason::new(format!("`{storage}` cannot hold quantized integers"))
            .help("use `u8`, `i8`, `u4`, `i4`, `i16` or `i32`")),
    }
}

/// Refuses anything but plain `f32`, as PyTorch does.
fn f32_only(x: &Tensor) -> Result<(), Reason> {
    if x.quant().is_none() && x.storage() == Storage::F32 {
        return Ok(());
    }
    Err(Reason::new(format!("only `f32` tensors are quantized, found {}", x.ty()))
        .help("cast it to `f32` first"))
}

/// Refuses an axis that `x` has not, or counts that are not its length.
fn channels(x: &Tensor, axis: usize, scales: usize, zeros: usize) -> Result<(), Reason> {
    let Some(&len) = x.shape.get(axis) else {
        return Err(Reason::new(format!("there is no axis {axis} in {}", x.ty()))
            .help(format!("axes are numbered from 0 to {}", x.rank().max(1) - 1)));
    };
    if scales != len || zeros != len {
        return Err(Reason::new(format!(
            "{scales} scales and {zeros} zero points for {len} channels along axis {axis} of {}",
            x.ty()
        )));
    }
    Ok(())
}
