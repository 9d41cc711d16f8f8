//! The arithmetic of one number.

/// `clamp(rne(x · inv) + zero, lo, hi)` with `inv = f32(1 / scale)`.
///
/// Rounds to nearest, ties to even; the zero point is added as an integer after rounding. ±Inf saturates by
/// sign, NaN goes to the zero point.
#[inline]
pub fn quantize(x: f32, inv: f32, zero: i32, lo: i32, hi: i32) -> i32 {
    round_clamp(x * inv, zero, lo, hi)
}

/// `clamp(rne(f) + zero, lo, hi)`; NaN goes to the zero point.
///
/// The clamp happens before rounding, against integer bounds, which gives the same result without a
/// conversion that could overflow.
#[inline]
pub fn round_clamp(f: f32, zero: i32, lo: i32, hi: i32) -> i32 {
    if f.is_nan() {
        return zero.clamp(lo, hi);
    }
    if i64::from(hi) - i64::from(lo) > 1 << 24 {
        // Bounds of wide ranges are no floats; the conversion saturates.
        let rounded = f.round_ties_even() as i64;
        return rounded.saturating_add(zero.into()).clamp(lo.into(), hi.into()) as i32;
    }
    let (lo_f, hi_f) = ((i64::from(lo) - i64::from(zero)) as f32, (i64::from(hi) - i64::from(zero)) as f32);
    let rounded = f.clamp(lo_f, hi_f).round_ties_even() as i64;
    (rounded + i64::from(zero)).clamp(i64::from(lo), i64::from(hi)) as i32
}

/// `clamp(rne(x · inv + zero), lo, hi)` with a real zero point, which is added before rounding; NaN goes to the
/// zero point.
#[inline]
pub fn quantize_float_zero(x: f32, inv: f32, zero: f32, lo: i32, hi: i32) -> i32 {
    let f = x * inv + zero;
    round_clamp(if f.is_nan() { zero } else { f }, 0, lo, hi)
}

/// `scale · (f32(q) − zero)` with a real zero point.
#[inline]
pub fn dequantize_float_zero(q: i32, scale: f32, zero: f32) -> f32 {
    (q as f32 - zero) * scale
}

/// `scale · f32(q − zero)`.
#[inline]
pub fn dequantize(q: i32, scale: f32, zero: i32) -> f32 {
    scale * (i64::from(q) - i64::from(zero)) as f32
}

/// The factor that takes integers of scale `from` to steps of scale `to`: one division in `f32`.
#[inline]
pub fn multiplier(from: f32, to: f32) -> f32 {
    from / to
}

/// A real bias in steps of the accumulator's scale: divided by it where each channel has a scale of its own, multiplied
/// by its reciprocal where there is one for all, as PyTorch's x86 kernels do.
#[inline]
pub fn bias_steps(bias: f32, scale: f32, per_channel: bool) -> f32 {
    if per_channel { bias / scale } else { bias * (1.0 / scale) }
}

/// `clamp(rne((f32(acc) + bias) · m) + zero, lo, hi)`: an `i32` accumulator to an output integer. `bias` is in steps of
/// the accumulator (see [`bias_steps`]).
#[inline]
pub fn requantize(acc: i32, bias: f32, m: f32, zero: i32, lo: i32, hi: i32) -> i32 {
    round_clamp((acc as f32 + bias) * m, zero, lo, hi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantize_rounds_to_even_and_saturates() {
        assert_eq!(quantize(0.5, 1.0, 3, 0, 255), 3);
        assert_eq!(quantize(1.5, 1.0, 3, 0, 255), 5);
        assert_eq!(quantize(-1e30, 1.0, 3, 0, 255), 0);
        assert_eq!(quantize(f32::INFINITY, 1.0, 3, 0, 127), 127);
        assert_eq!(quantize(f32::NAN, 1.0, 3, 0, 255), 3);
    }

    #[test]
    fn clamping_before_rounding_changes_nothing() {
        for k in -4000..4000 {
            let f = k as f32 * 0.25;
            let after = ((f.round_ties_even() as i64) + 7).clamp(-100, 90) as i32;
            assert_eq!(round_clamp(f, 7, -100, 90), after);
        }
    }
}
