//! Rows of softmax, layer normalization and reductions, with the interpreter's bits.
//!
//! Sums of a row run in order. Several rows are summed side by side, so that one addition need not wait for
//! the one before.

use super::math;
use crate::kernels::round::for_each_isa;

/// Rows that are summed side by side.
const SIDE: usize = 8;

/// What a reduction adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// The elements.
    Sum,
    /// The elements; the sum is divided by their number.
    Mean,
    /// Their squares.
    SumSquare,
    /// Their squares; the result is the root of the sum.
    L2,
    /// Their magnitudes.
    L1,
    /// Nothing: the largest is kept; not-a-number wins.
    Max,
    /// The smallest is kept; not-a-number wins.
    Min,
}

impl Term {
    #[inline(always)]
    fn start(self) -> f32 {
        match self {
            Term::Max => f32::NEG_INFINITY,
            Term::Min => f32::INFINITY,
            _ => 0.0,
        }
    }
    #[inline(always)]
    fn step(self, acc: f32, v: f32) -> f32 {
        match self {
            Term::Sum | Term::Mean => acc + v,
            Term::SumSquare | Term::L2 => acc + v * v,
            Term::L1 => acc + v.abs(),
            Term::Max => {
                if v > acc || v.is_nan() {
                    v
                } else {
                    acc
                }
            }
            Term::Min => {
                if v < acc || v.is_nan() {
                    v
                } else {
                    acc
                }
            }
        }
    }
    #[inline(always)]
    fn finish(self, acc: f32, count: usize) -> f32 {
        match self {
            Term::Mean => acc / count as f32,
            Term::L2 => acc.sqrt(),
            _ => acc,
        }
    }
}

/// The sum of `$f` over each of the rows of `$len` numbers in `$x`, in order, into `$sums`.
macro_rules! sums_of_rows {
    ($x:expr, $len:expr, $start:expr, $sums:expr, |$acc:ident, $v:ident, $row:ident| $f:expr) => {{
        let rows = $x.len() / $len;
        if rows == SIDE {
            let mut acc = [$start; SIDE];
            for i in 0..$len {
                for $row in 0..SIDE {
                    let ($acc, $v) = (acc[$row], $x[$row * $len + i]);
                    acc[$row] = $f;
                }
            }
            $sums[..SIDE].copy_from_slice(&acc);
        } else {
            for ($row, x) in $x.chunks_exact($len).enumerate() {
                let mut acc = $start;
                for &$v in x {
                    let $acc = acc;
                    acc = $f;
                }
                $sums[$row] = acc;
            }
        }
    }};
}

for_each_isa! {
    /// `exp(x − max) / Σ exp(x − max)` of each row of `len` numbers.
    pub(crate) fn softmax(len: usize, x: &[f32], out: &mut [f32]) {
        let len = len.max(1);
        for (x, out) in x.chunks(len * SIDE).zip(out.chunks_mut(len * SIDE)) {
            for (x, out) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
                let mut max = f32::NEG_INFINITY;
                for &v in x {
                    max = Term::Max.step(max, v);
                }
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = math::exp(x - max);
                }
            }
            let mut sums = [0.0f32; SIDE];
            sums_of_rows!(out, len, 0.0f32, sums, |acc, v, row| acc + v);
            for (out, &sum) in out.chunks_exact_mut(len).zip(&sums) {
                for out in out {
                    *out /= sum;
                }
            }
        }
    }
}

for_each_isa! {
    /// `(x − mean) / sqrt(variance + eps)`, then `· gamma` and `+ beta` unless they are empty, of each row of
    /// `len` numbers.
    pub(crate) fn layer_norm(len: usize, eps: f32, gamma: &[f32], beta: &[f32], x: &[f32], out: &mut [f32]) {
        let len = len.max(1);
        for (x, out) in x.chunks(len * SIDE).zip(out.chunks_mut(len * SIDE)) {
            let n = len as f32;
            let (mut means, mut squares) = ([0.0f32; SIDE], [0.0f32; SIDE]);
            sums_of_rows!(x, len, 0.0f32, means, |acc, v, row| acc + v);
            for mean in &mut means {
                *mean /= n;
            }
            sums_of_rows!(x, len, 0.0f32, squares, |acc, v, row| acc + (v - means[row]) * (v - means[row]));
            let rows = x.chunks_exact(len).zip(out.chunks_exact_mut(len));
            for ((x, out), (&mean, &square)) in rows.zip(means.iter().zip(&squares)) {
                let deviation = (square / n + eps).sqrt();
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = (x - mean) / deviation;
                }
                for (out, &g) in out.iter_mut().zip(gamma) {
                    *out *= g;
                }
                for (out, &b) in out.iter_mut().zip(beta) {
                    *out += b;
                }
            }
        }
    }
}

for_each_isa! {
    /// Reduces each row of `len` numbers to one.
    pub(crate) fn reduce_rows(term: Term, len: usize, x: &[f32], out: &mut [f32]) {
        if len == 0 {
            out.fill(term.finish(term.start(), 0));
            return;
        }
        for (x, out) in x.chunks(len * SIDE).zip(out.chunks_mut(SIDE)) {
            let mut sums = [0.0f32; SIDE];
            sums_of_rows!(x, len, term.start(), sums, |acc, v, row| term.step(acc, v));
            for (out, &sum) in out.iter_mut().zip(&sums) {
                *out = term.finish(sum, len);
            }
        }
    }
}

for_each_isa! {
    /// Reduces `len` rows of as many numbers as `out` has to one row.
    pub(crate) fn reduce_columns(term: Term, len: usize, x: &[f32], out: &mut [f32]) {
        out.fill(term.start());
        for x in x.chunks_exact(out.len().max(1)).take(len) {
            for (out, &v) in out.iter_mut().zip(x) {
                *out = term.step(*out, v);
            }
        }
        for out in out {
            *out = term.finish(*out, len);
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
