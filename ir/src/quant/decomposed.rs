//! The operators of exported graphs (`quantized_decomposed`): integer tensors whose parameters are arguments.
//!
//! Parameters are held in double precision, and values are added and clamped in `f32`. Results are plain integer
//! tensors. NaN becomes the zero point and nothing wraps.

use crate::diag::Reason;
use crate::quant::choose::{Scheme, choose_qparams, min_max};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage};

/// A range of integers in a storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Smallest integer.
    pub min: i64,
    /// Largest integer.
    pub max: i64,
    /// What holds them.
    pub storage: Storage,
}

impl Grid {
    /// The grid. Fails if the storage cannot hold the ends or has more than 32 bits, or if the range is empty.
    pub fn new(min: i64, max: i64, storage: Storage) -> Result<Grid, Reason> {
        let (lo, hi) = match storage.int_range() {
            Some(r) if storage != Storage::I64 => r,
            _ => return Err(Reason::new(format!("`{storage}` cannot hold quantized integers"))),
        };
        if min < lo || max > hi || min > max {
            return Err(Reason::new(format!(
                "range [{min}:{max}] does not lie within `{storage}` [{lo}:{hi}]"
            )));
        }
        Ok(Grid { min, max, storage })
    }

    /// `clamp(v)`; NaN becomes `zero`.
    pub(super) fn hold(&self, v: f32, zero: f32) -> i64 {
        let v = if v.is_nan() { zero } else { v };
        // The ends of 32-bit ranges are no floats, hence the second clamp.
        (v.clamp(self.min as f32, self.max as f32) as i64).clamp(self.min, self.max)
    }
}

/// `clamp(rne(x · f32(1/scale)) + zero, min, max)` with the division in double precision. `x` may be `f32`, `f16` or
/// `bf16`.
pub fn quantize_per_tensor(x: &Tensor, scale: f64, zero: i64, grid: Grid) -> Result<Tensor, Reason> {
    super::affine::scale(scale)?;
    let inv = (1.0 / scale) as f32;
    let zero = zero as f32;
    let ints: Vec<i64> =
        floats(x)?.iter().map(|&v| grid.hold((v * inv).round_ties_even() + zero, zero)).collect();
    Tensor::from_ints(Elem::Plain(grid.storage), &x.shape, &ints)
}

/// `f32(q − zero) · f32(scale)`.
pub fn dequantize_per_tensor(q: &Tensor, scale: f64, zero: i64) -> Result<Tensor, Reason> {
    let scale = scale as f32;
    Ok(Tensor::f32(&q.shape, q.ints()?.iter().map(|&v| (v - zero) as f32 * scale).collect()))
}

/// [`quantize_per_tensor`] with a scale and a zero point for each index of `axis`; here the reciprocal is not rounded
/// to `f32`, only the product. Fails also if the counts are not the length of `axis`.
pub fn quantize_per_channel(
    x: &Tensor,
    scales: &[f64],
    zeros: &[i64],
    axis: usize,
    grid: Grid,
) -> Result<Tensor, Reason> {
    let inner = inner(x, axis, scales.len(), zeros.len())?;
    scales.iter().try_for_each(|&s| super::affine::scale(s).map(|_| ()))?;
    let ints: Vec<i64> = floats(x)?
        .iter()
        .enumerate()
        .map(|(flat, &v)| {
            let c = flat / inner % scales.len();
            let zero = zeros[c] as f32;
            grid.hold((f64::from(v) * (1.0 / scales[c])).round_ties_even() as f32 + zero, zero)
        })
        .collect();
    Tensor::from_ints(Elem::Plain(grid.storage), &x.shape, &ints)
}

/// [`dequantize_per_tensor`] with a scale and a zero point for each index of `axis`.
pub fn dequantize_per_channel(
    q: &Tensor,
    scales: &[f64],
    zeros: &[i64],
    axis: usize,
) -> Result<Tensor, Reason> {
    let inner = inner(q, axis, scales.len(), zeros.len())?;
    let value = |(flat, &v): (usize, &i64)| {
        let c = flat / inner % scales.len();
        (v - zeros[c]) as f32 * scales[c] as f32
    };
    Ok(Tensor::f32(&q.shape, q.ints()?.iter().enumerate().map(value).collect()))
}

/// Scale and zero point from the numbers of `x`, by the formula of observers (`choose_qparams` and
/// `choose_qparams_symmetric`). Fails if `x` is empty or holds NaN.
pub fn choose(x: &Tensor, grid: Grid, scheme: Scheme, eps: f32) -> Result<(f64, i64), Reason> {
    let ends = min_max(&floats(x)?).ok_or("parameters need numbers without NaN, at least one")?;
    let (scale, zero) = choose_qparams(ends, (grid.min, grid.max), grid.storage, scheme, eps);
    Ok((scale.into(), zero.into()))
}

pub(super) fn floats(x: &Tensor) -> Result<std::borrow::Cow<'_, [f32]>, Reason> {
    match x.elem.is_float() {
        true => x.floats(),
        false => Err(Reason::new(format!("only floats are quantized, found {}", x.ty()))),
    }
}

/// Elements between two indices of `axis`, which must have as many indices as there are parameters.
fn inner(x: &Tensor, axis: usize, scales: usize, zeros: usize) -> Result<usize, Reason> {
    match x.shape.get(axis) {
        Some(&n) if n == scales && n == zeros => Ok(x.shape[axis + 1..].iter().product::<usize>().max(1)),
        Some(n) => Err(Reason::new(format!("{scales} scales and {zeros} zero points for {n} channels"))),
        None => Err(Reason::new(format!("there is no axis {axis} in {}", x.ty()))),
    }
}
