//! One scale and zero point for each row of the last dimension.

use crate::diag::Reason;
use crate::quant::decomposed::{Grid, floats};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage};

/// Parameters of each row: the shape of the input with a last dimension of 1.
#[derive(Clone, PartialEq, Debug)]
pub struct PerToken {
    /// Dimensions of the two lists.
    pub shape: Vec<usize>,
    /// Scales.
    pub scale: Vec<f32>,
    /// Zero points, whole numbers.
    pub zero: Vec<f32>,
}

/// Symmetric parameters in `i8`: `scale = max(max(|x|), 1e-5) / 127`, zero point 0. Fails for scalars and NaN.
pub fn choose_per_token(x: &Tensor) -> Result<PerToken, Reason> {
    each_row(x, |row| (row.iter().fold(1e-5f32, |m, v| m.max(v.abs())) / 127.0, 0.0))
}

/// Affine parameters in `i8`: the range of a row is widened to hold 0, `scale = max((max − min) / 255, 2⁻²³)`, and the
/// zero point comes from the end with the smaller error. Fails for scalars and NaN.
pub fn choose_per_token_asymmetric(x: &Tensor) -> Result<PerToken, Reason> {
    each_row(x, |row| {
        let (lo, hi) = row.iter().fold((0.0f32, 0.0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        let scale = ((hi - lo) / 255.0).max(f32::EPSILON);
        let (below, above) = (lo / scale, hi / scale);
        let error = (-128.0 + below) + (127.0 + above);
        let zero = if error > 0.0 { -128.0 - below } else { 127.0 - above };
        (scale, zero.clamp(-128.0, 127.0).round_ties_even())
    })
}

/// `clamp(rne(x · (1/scale) + zero))` of each row; the zero point is added before rounding. Fails if there are not as
/// many parameters as rows.
pub fn quantize_per_token(x: &Tensor, p: &PerToken, grid: Grid) -> Result<Tensor, Reason> {
    let len = row_len(x, p)?;
    let code = |(flat, &v): (usize, &f32)| {
        let (scale, zero) = (p.scale[flat / len], p.zero[flat / len]);
        grid.hold((v * (1.0 / scale) + zero).round_ties_even(), zero)
    };
    let ints: Vec<i64> = floats(x)?.iter().enumerate().map(code).collect();
    Tensor::from_ints(Elem::Plain(grid.storage), &x.shape, &ints)
}

/// `(q − zero) · scale` of each row.
pub fn dequantize_per_token(q: &Tensor, p: &PerToken) -> Result<Tensor, Reason> {
    let len = row_len(q, p)?;
    let value = |(flat, &v): (usize, &i64)| (v as f32 - p.zero[flat / len]) * p.scale[flat / len];
    Ok(Tensor::f32(&q.shape, q.ints()?.iter().enumerate().map(value).collect()))
}

/// The range that both kinds of parameters are chosen for.
pub fn grid() -> Grid {
    Grid { min: -128, max: 127, storage: Storage::I8 }
}

fn each_row(x: &Tensor, params: impl Fn(&[f32]) -> (f32, f32)) -> Result<PerToken, Reason> {
    let (&len, outer) = x.shape.split_last().ok_or("a scalar has no rows")?;
    let values = floats(x)?;
    if values.iter().any(|v| v.is_nan()) {
        return Err("parameters need numbers without NaN".into());
    }
    let rows: usize = outer.iter().product();
    let row = |r: usize| params(&values[r * len..(r + 1) * len]);
    let (scale, zero) = (0..rows).map(row).unzip();
    let mut shape = outer.to_vec();
    shape.push(1);
    Ok(PerToken { shape, scale, zero })
}

/// Elements of a row.
fn row_len(x: &Tensor, p: &PerToken) -> Result<usize, Reason> {
    let (&len, outer) = x.shape.split_last().ok_or("a scalar has no rows")?;
    let rows: usize = outer.iter().product();
    if p.scale.len() != rows || p.zero.len() != rows {
        return Err(Reason::new(format!(
            "{} scales and {} zero points for {rows} rows",
            p.scale.len(),
            p.zero.len()
        )));
    }
    Ok(len.max(1))
}
