//! Transcendental functions without calls and branches, so that loops over them become vector code.
//!
//! Relative errors stay below 1e-6; the interpreter's `libm` functions define the exact results.

/// `eˣ`: Cody and Waite's reduction to ±ln2/2, then a polynomial of degree 6.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite; not-a-number falls through both comparisons.
    let y = if x < -104.0 { -104.0 } else { x };
    let y = if y > 89.0 { 89.0 } else { y };
    let n = (y * std::f32::consts::LOG2_E).round_ties_even();
    let r = y - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // Two factors of 2^(n/2), since 2^n may lie outside the normal range. Not-a-number becomes 0 here.
    let half = (n * 0.5).floor();
    let scale = |e: f32| f32::from_bits(((e as i32 + 127) << 23) as u32);
    p * scale(half) * scale(n - half)
}

/// `eˣ − 1`: its Taylor series near 0, where the difference would lose digits.
#[inline(always)]
pub(crate) fn expm1(x: f32) -> f32 {
    let p = 1.0 / 720.0;
    let p = p * x + 1.0 / 120.0;
    let p = p * x + 1.0 / 24.0;
    let p = p * x + 1.0 / 6.0;
    let p = p * x + 0.5;
    let small = x + x * x * p;
    let big = exp(x) - 1.0;
    if x.abs() < 0.35 { small } else { big }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let t = exp(-2.0 * x.abs());
    let big = (1.0 - t) / (1.0 + t);
    // Near 0 the difference would lose digits.
    let x2 = x * x;
    let small =
        x.abs() * (1.0 + x2 * (-1.0 / 3.0 + x2 * (2.0 / 15.0 + x2 * (-17.0 / 315.0 + x2 * (62.0 / 2835.0)))));
    let y = if x.abs() < 0.25 { small } else { big };
    if x.is_nan() { x } else { y.copysign(x) }
}

/// Error function: its Taylor series near 0, else Abramowitz and Stegun's formula 7.1.26.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152_1;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = p * t + 0.254_829_6;
    let big = 1.0 - p * t * exp(-a * a);
    let x2 = x * x;
    let small = a
        * std::f32::consts::FRAC_2_SQRT_PI
        * (1.0 + x2 * (-1.0 / 3.0 + x2 * (0.1 + x2 * (-1.0 / 42.0 + x2 * (1.0 / 216.0)))));
    let y = if a < 0.5 { small } else { big };
    if x.is_nan() { x } else { y.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_near_the_exact_ones() {
        let near = |got: f32, want: f32, x: f32| {
            assert!(got == want || (got - want).abs() <= 2e-6 * want.abs() + 1e-37, "{got} {want} at {x}");
        };
        for i in -9000..9000 {
            let x = i as f32 * 0.01;
            near(exp(x), x.exp(), x);
            near(expm1(x), x.exp_m1(), x);
            near(sigmoid(x), 1.0 / (1.0 + (-x).exp()), x);
            near(tanh(x), x.tanh(), x);
            near(erf(x), libm::erff(x), x);
        }
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(tanh(f32::NAN).is_nan() && exp(f32::NAN).is_nan());
    }
}
