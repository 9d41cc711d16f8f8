//! The greedy search for a range that loses least, for tables of few bits.

use ::half::f16;

use crate::diag::Reason;
use crate::quant::choose::min_max;

/// How far and how finely [`choose_qparams_optimized`] searches.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Search {
    /// Steps that the full range is cut into.
    pub bins: u32,
    /// The part of the range that may be given up.
    pub ratio: f32,
    /// Bits of a code.
    pub bits: u32,
}

impl Search {
    /// 200 bins, up to 16 % of them given up: PyTorch's defaults.
    pub fn bits(bits: u32) -> Search {
        Search { bins: 200, ratio: 0.16, bits }
    }
}

/// The range `(min, max)` of codes for `x` (`torch.choose_qparams_optimized`, which returns the ends the other way round).
///
/// Each step gives up one bin at the end where the loss is smaller, down to `bins · (1 − ratio)` bins. A range is
/// accepted where both next losses are larger and no better one was met. The loss is the Euclidean norm of what
/// quantizing with minimum and scale in `f16` changes. Fails if `x` is empty or holds NaN.
pub fn choose_qparams_optimized(x: &[f32], search: Search) -> Result<(f32, f32), Reason> {
    let (min, max) = min_max(x).ok_or("a range is searched in numbers without NaN, at least one")?;
    let step = (max - min) / search.bins as f32;
    let kept = (f64::from(search.bins) * (1.0 - f64::from(search.ratio))) as i32 as f32 * step;
    let (mut lo, mut hi) = (min, max);
    let (mut best, mut best_loss) = ((min, max), loss(x, min, max, search.bits));
    let mut here = best_loss;
    while lo + kept < hi {
        let left = loss(x, lo + step, hi, search.bits);
        let right = loss(x, lo, hi - step, search.bits);
        if here < left && here < right && here < best_loss {
            (best, best_loss) = ((lo, hi), here);
        }
        if left < right {
            (lo, here) = (lo + step, left);
        } else {
            (hi, here) = (hi - step, right);
        }
    }
    Ok(best)
}

/// The norm of what quantizing in `min..max` changes.
fn loss(x: &[f32], min: f32, max: f32, bits: u32) -> f32 {
    let min = f16::from_f32(min).to_f32();
    let range = max - min;
    let top = ((1u32 << bits) - 1) as f32;
    let scale = if range == 0.0 { 1.0 } else { f16::from_f32(range / top).to_f32() };
    let inv = if scale == 0.0 { 1.0 } else { 1.0 / scale };
    let mut sum = 0.0f32;
    for &v in x {
        let code = ((v - min) * inv).round_ties_even().min(top).max(0.0);
        let d = v - (code * scale + min);
        sum += d * d;
    }
    sum.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_cut_by_half_a_step() {
        let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0];
        assert_eq!(choose_qparams_optimized(&x, Search::bits(4)).unwrap(), (0.0, 99.5));
    }
}
