//! Transcendental functions without calls and branches, so that loops over them become vector code.
//!
//! [`exp`] and [`sigmoid`] give the bits of the interpreter, whose `libm` functions are the definition. The
//! relative errors of the others stay below 1e-6.

/// `eˣ` with the bits of `libm::expf`: the same reduction to ±ln2/2 and the same rational function, with
/// selections in the place of branches.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23, which puts an integer into the low mantissa bits.
    const MAGIC: f32 = 12_582_912.0;
    let bits = f32::from_bits;
    let magnitude = x.abs().to_bits();
    // Beyond these bounds the result is replaced below; inside, every intermediate is finite.
    let z = if x < -110.0 { -110.0 } else { x };
    let z = if z > 90.0 { 90.0 } else { z };
    let k = (bits(0x3fb8_aa3b) * z + 0.5f32.copysign(x)).trunc();
    let k = if magnitude > 0x3f85_1592 { k } else { 1f32.copysign(x) };
    let k = if magnitude > 0x3eb1_7218 { k } else { 0.0 };
    let hi = z - k * bits(0x3f31_7200);
    let lo = k * bits(0x35bf_be8e);
    let r = hi - lo;
    let rr = r * r;
    let c = r - rr * (1.666_662_5e-1 + rr * -2.766_733_3e-3);
    let y = 1.0 + (r * c / (2.0 - c) - lo + hi);
    // 2^k in two factors where one would overflow, or would round a subnormal result twice.
    let n = (k + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
    let above = n > 127;
    let below = n < -126;
    let first = if above { bits(0x7f00_0000) } else { 1.0 };
    let first = if below { bits(0x0c80_0000) } else { first };
    let n = if above { n - 127 } else { n };
    let n = if below { n + 102 } else { n };
    let y = y * first * bits(((n + 127) as u32) << 23);
    let y = if magnitude <= 0x3900_0000 { 1.0 + x } else { y };
    let y = if x >= bits(0x42b1_7218) { f32::INFINITY } else { y };
    let y = if x <= bits(0xc2cf_f1b5) { 0.0 } else { y };
    if x.is_nan() { x } else { y }
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
    fn exp_has_the_bits_of_the_interpreter() {
        let mut bits = 0u32;
        loop {
            let x = f32::from_bits(bits);
            let (got, want) = (exp(x), libm::expf(x));
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{x:?}: {got:?} {want:?}"
            );
            match bits.checked_add(4001) {
                Some(next) => bits = next,
                None => break,
            }
        }
    }

    #[test]
    fn functions_are_near_the_exact_ones() {
        let near = |got: f32, want: f32, x: f32| {
            assert!(got == want || (got - want).abs() <= 2e-6 * want.abs() + 1e-37, "{got} {want} at {x}");
        };
        for i in -9000..9000 {
            let x = i as f32 * 0.01;
            near(expm1(x), x.exp_m1(), x);
            near(tanh(x), x.tanh(), x);
            near(erf(x), libm::erff(x), x);
        }
        assert!(tanh(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
    }
}
