//! Products of dynamic quantization, whose input is quantized with parameters from its own data.

use crate::diag::Reason;
use crate::ops::integer::centred;
use crate::ops::linear::linear_sums;
use crate::ops::recurrent::float_linear;
use crate::quant::{dynamic_params, quantize};
use crate::tensor::Tensor;
use crate::types::Storage;

/// The function of rows `[n,k]`, a weight `[o,k]` and a bias `[o]` that yields `[n,o]`: a weight of `f16` multiplies in
/// `f32`, one of `i8` as `f32(acc)·(f32(sx)·sw) + bias` with the rows quantized to `u8`.
pub(crate) fn rows(
    reduce_range: bool,
) -> impl Fn(&[f32], &Tensor, Option<&[f32]>) -> Result<Vec<f32>, Reason> {
    move |rows, w, bias| {
        if w.storage() == Storage::F16 {
            return float_linear(rows, w, bias);
        }
        let (outputs, inner) = (w.shape[0], w.shape[1]);
        let (min, max) = ends(rows)?;
        let (scale, zero) = dynamic_params(min, max, reduce_range);
        let scale = scale as f32;
        let inv = 1.0 / scale;
        let x: Vec<i32> = rows.iter().map(|&v| quantize(v, inv, zero, 0, 255) - zero).collect();
        let shape = Tensor::new(&[rows.len() / inner.max(1), inner], x.clone())?;
        let sums =
            linear_sums((&shape, w), &x, &centred(w)?, |a: i32, x, w| a.wrapping_add(x.wrapping_mul(w)));
        let q = w.quant().ok_or("a quantized weight is expected")?;
        let several = q.count().is_some_and(|n| n > 1);
        let product = |o: usize| scale * q.scale(if several { o } else { 0 });
        Ok(sums
            .iter()
            .enumerate()
            .map(|(i, &acc)| {
                let o = i % outputs;
                let y = acc as f32 * product(o);
                bias.map_or(y, |b| y + b[o])
            })
            .collect())
    }
}

/// Smallest and largest number.
fn ends(x: &[f32]) -> Result<(f32, f32), Reason> {
    let (lo, hi) = x.iter().fold((0.0f32, 0.0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    if x.iter().any(|v| !v.is_finite()) {
        return Err("no parameters follow from data that holds NaN or infinities".into());
    }
    Ok((lo, hi))
}
