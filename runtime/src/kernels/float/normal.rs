//! Rows of softmax and layer normalization.
//!
//! Sums run in sixteen lanes, which then are added in order: every tier gives the same bits, but not those of
//! the interpreter, whose sums run in order.

use super::math;
use crate::kernels::round::for_each_isa;

/// A fold in sixteen lanes, then of the lanes.
macro_rules! fold {
    ($x:expr, $init:expr, |$acc:ident, $v:ident| $f:expr) => {{
        let mut lanes = [$init; 16];
        let chunks = $x.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &$v) in lanes.iter_mut().zip(chunk) {
                let $acc = *lane;
                *lane = $f;
            }
        }
        let mut $acc = $init;
        for &$v in lanes.iter().chain(rest) {
            $acc = $f;
        }
        $acc
    }};
}

for_each_isa! {
    /// `exp(x − max) / Σ exp(x − max)` of each row of `len` numbers.
    pub(crate) fn softmax(len: usize, x: &[f32], out: &mut [f32]) {
        for (x, out) in x.chunks_exact(len.max(1)).zip(out.chunks_exact_mut(len.max(1))) {
            let max = fold!(x, f32::NEG_INFINITY, |m, v| if v > m { v } else { m });
            for (out, &x) in out.iter_mut().zip(x) {
                *out = math::exp(x - max);
            }
            let inv = 1.0 / fold!(out, 0.0f32, |s, v| s + v);
            for out in out.iter_mut() {
                *out *= inv;
            }
        }
    }
}

for_each_isa! {
    /// `(x − mean) / sqrt(variance + eps) · gamma + beta` of each row of as many numbers as gamma has.
    pub(crate) fn layer_norm(eps: f32, gamma: &[f32], beta: &[f32], x: &[f32], out: &mut [f32]) {
        let len = gamma.len().max(1);
        for (x, out) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
            let n = len as f32;
            let mean = fold!(x, 0.0f32, |s, v| s + v) / n;
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - mean) * (x - mean);
            }
            let inv = 1.0 / (fold!(out, 0.0f32, |s, v| s + v) / n + eps).sqrt();
            for (((out, &x), &g), &b) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *out = (x - mean) * inv * g + b;
            }
        }
    }
}

for_each_isa! {
    /// `x · scale + shift` in place, for pixels of as many channels as scale has.
    pub(crate) fn affine(scale: &[f32], shift: &[f32], x: &mut [f32]) {
        for pixel in x.chunks_exact_mut(scale.len().max(1)) {
            for ((x, &m), &s) in pixel.iter_mut().zip(scale).zip(shift) {
                *x = *x * m + s;
            }
        }
    }
}
