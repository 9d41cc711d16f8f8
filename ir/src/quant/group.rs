//! One scale for each group of consecutive weights of a row, mostly in 4 bits.

use std::sync::Arc;

use crate::diag::Reason;
use crate::quant::decomposed::{Grid, floats};
use crate::quant::{QParams, Quant, Zeros};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage};

/// Symmetric 4-bit weights: `scale = max(max(|w|) / 7.5, 2⁻²³)`, codes −8..=7 without a zero point.
///
/// `w` is a matrix whose rows are whole numbers of groups. The result is quantized `i4`.
pub fn int4_symmetric(w: &Tensor, size: usize) -> Result<Tensor, Reason> {
    let groups = groups(w, size)?;
    let scale = groups.iter().map(|g| (g.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 7.5).max(f32::EPSILON));
    let params = QParams::Group { axis: 1, size: size as u32, scale: scale.collect(), zero: Zeros::All(0) };
    w.quantize(&Arc::new(Quant { storage: Storage::I4, range: (-8, 7), params }))
}

/// Affine 4-bit weights: each group's range is widened to hold 0, `scale = max((max − min) / 15, 2⁻²³)`,
/// `zero = clamp(−rne(min / scale), 0, 15)`, codes 0..=15. The result is quantized `u4`.
pub fn int4_affine(w: &Tensor, size: usize) -> Result<Tensor, Reason> {
    let params = groups(w, size)?.into_iter().map(|g| {
        let (lo, hi) = g.iter().fold((0.0f32, 0.0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        let scale = ((hi - lo) / 15.0).max(f32::EPSILON);
        (scale, (-(lo / scale).round_ties_even()).clamp(0.0, 15.0) as i32)
    });
    let (scale, zero): (Vec<f32>, Vec<i32>) = params.unzip();
    let params =
        QParams::Group { axis: 1, size: size as u32, scale: scale.into(), zero: Zeros::Each(zero.into()) };
    w.quantize(&Arc::new(Quant { storage: Storage::U4, range: (0, 15), params }))
}

/// `clamp(rne(w · (1/scale) + zero))` with given parameters for each group (`quantize_per_channel_group`): the zero
/// point is added before rounding. The result is plain integers.
///
/// Fails if there are not as many parameters as groups, or for NaN.
pub fn quantize_per_channel_group(
    w: &Tensor,
    scales: &[f32],
    zeros: &[f32],
    size: usize,
    grid: Grid,
) -> Result<Tensor, Reason> {
    counts(w, scales, zeros, size)?;
    let code = |(flat, &v): (usize, &f32)| {
        let g = flat / size;
        grid.hold((v * (1.0 / scales[g]) + zeros[g]).round_ties_even(), zeros[g])
    };
    let ints: Vec<i64> = floats(w)?.iter().enumerate().map(code).collect();
    Tensor::from_ints(Elem::Plain(grid.storage), &w.shape, &ints)
}

/// `(q − zero) · scale` with given parameters for each group.
pub fn dequantize_per_channel_group(
    q: &Tensor,
    scales: &[f32],
    zeros: &[f32],
    size: usize,
) -> Result<Tensor, Reason> {
    counts(q, scales, zeros, size)?;
    let value = |(flat, &v): (usize, &i64)| (v as f32 - zeros[flat / size]) * scales[flat / size];
    Ok(Tensor::f32(&q.shape, q.ints()?.iter().enumerate().map(value).collect()))
}

fn counts(w: &Tensor, scales: &[f32], zeros: &[f32], size: usize) -> Result<(), Reason> {
    let want = shape(w, size)?;
    if scales.len() == want && zeros.len() == want {
        return Ok(());
    }
    Err(Reason::new(format!("{} scales and {} zero points for {want} groups", scales.len(), zeros.len())))
}

/// The numbers of each group, row after row.
fn groups(w: &Tensor, size: usize) -> Result<Vec<Vec<f32>>, Reason> {
    shape(w, size)?;
    let values = floats(w)?;
    if values.iter().any(|v| !v.is_finite()) {
        return Err("weights must be finite".into());
    }
    Ok(values.chunks(size).map(<[f32]>::to_vec).collect())
}

/// Number of groups of a matrix.
fn shape(w: &Tensor, size: usize) -> Result<usize, Reason> {
    let [rows, columns] = w.shape[..] else {
        return Err(Reason::new(format!("groups divide the rows of a matrix, found {}", w.ty())));
    };
    if size == 0 || columns % size != 0 {
        return Err(Reason::new(format!("rows of {columns} are no whole number of groups of {size}"))
            .help("choose a group size that divides the last dimension"));
    }
    Ok(rows * (columns / size))
}
