//! Conversions between floats and bytes.

use super::epilogue::OutputRange;
use super::round::{Store, for_each_isa};
use crate::isa::Isa;

/// Quantizes floats: `clamp(round_ties_even(x · inv) + zero, lo, hi)`.
///
/// `inv` is `1.0 / scale`, rounded once to `f32`. Infinities saturate by sign; not-a-number gives
/// the zero point. A signed `out` stores `i8` bytes.
///
/// # Panics
///
/// If the lengths differ.
pub fn quantize(isa: Isa, x: &[f32], inv: f32, out: &OutputRange, q: &mut [u8]) {
    assert!(x.len() == q.len(), "operands differ in length");
    quantize_with(isa, x, inv, Store::new(out), q);
}

for_each_isa! {
    fn quantize_with(x: &[f32], inv: f32, store: Store, q: &mut [u8]) {
        for (q, &x) in q.iter_mut().zip(x) {
            let scaled = x * inv;
            *q = store.apply(if scaled.is_nan() { 0.0 } else { scaled });
        }
    }
}

/// Dequantizes `u8` bytes: `scale · (q − zero)`.
///
/// # Panics
///
/// If the lengths differ.
pub fn dequantize(isa: Isa, q: &[u8], scale: f32, zero: i32, out: &mut [f32]) {
    assert!(q.len() == out.len(), "operands differ in length");
    dequantize_u8(isa, q, scale, zero, out);
}

for_each_isa! {
    fn dequantize_u8(q: &[u8], scale: f32, zero: i32, out: &mut [f32]) {
        for (out, &q) in out.iter_mut().zip(q) {
            *out = scale * (i32::from(q) - zero) as f32;
        }
    }
}

/// Dequantizes `i8` values: `scale · (q − zero)`.
///
/// # Panics
///
/// If the lengths differ.
pub fn dequantize_signed(isa: Isa, q: &[i8], scale: f32, zero: i32, out: &mut [f32]) {
    assert!(q.len() == out.len(), "operands differ in length");
    dequantize_i8(isa, q, scale, zero, out);
}

for_each_isa! {
    fn dequantize_i8(q: &[i8], scale: f32, zero: i32, out: &mut [f32]) {
        for (out, &q) in out.iter_mut().zip(q) {
            *out = scale * (i32::from(q) - zero) as f32;
        }
    }
}

/// Turns `i8` bytes into the `u8` bytes of the same values with the zero point raised by 128, or
/// back.
///
/// # Panics
///
/// If the lengths differ.
pub fn flip_sign(isa: Isa, q: &[u8], out: &mut [u8]) {
    assert!(q.len() == out.len(), "operands differ in length");
    flip(isa, q, out);
}

for_each_isa! {
    fn flip(q: &[u8], out: &mut [u8]) {
        for (out, &q) in out.iter_mut().zip(q) {
            *out = q ^ 0x80;
        }
    }
}
