//! Product of two quantized tensors.

use super::epilogue::OutputRange;
use super::round::{Store, for_each_isa};
use crate::isa::Isa;

/// A quantized multiplication `y = a · b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mul {
    /// Zero point of the `u8` operand `a`.
    pub a_zero: i32,
    /// Zero point of the `u8` operand `b`.
    pub b_zero: i32,
    /// `s_a · s_b · (1 / s_y)`, each product rounded.
    pub mult: f32,
    /// Where results are stored.
    pub out: OutputRange,
}

impl Mul {
    /// Computes `((a − z_a) · (b − z_b)) · mult`, clamps, rounds to even and adds the zero point.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn run(&self, isa: Isa, a: &[u8], b: &[u8], out: &mut [u8]) {
        assert!(a.len() == out.len() && b.len() == out.len(), "operands differ in length");
        mul(isa, self, Store::new(&self.out), a, b, out);
    }

    /// As [`run`](Self::run), with `b` repeated for every `b.len()` elements of `a`: the gate of a
    /// squeeze-and-excite block, one value per channel of an NHWC image.
    ///
    /// # Panics
    ///
    /// If `a` and `out` differ in length or are no multiple of `b`.
    pub fn run_channels(&self, isa: Isa, a: &[u8], b: &[u8], out: &mut [u8]) {
        assert!(a.len() == out.len() && a.len().is_multiple_of(b.len().max(1)), "operands differ in length");
        mul_channels(isa, self, Store::new(&self.out), a, b, out);
    }
}

#[inline(always)]
fn product(mul: &Mul, store: Store, a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        let product = (i32::from(a) - mul.a_zero) * (i32::from(b) - mul.b_zero);
        *out = store.apply(product as f32 * mul.mult);
    }
}

for_each_isa! {
    fn mul(mul: &Mul, store: Store, a: &[u8], b: &[u8], out: &mut [u8]) {
        product(mul, store, a, b, out);
    }
}

for_each_isa! {
    fn mul_channels(mul: &Mul, store: Store, a: &[u8], b: &[u8], out: &mut [u8]) {
        if b.is_empty() {
            return;
        }
        for (a, out) in a.chunks_exact(b.len()).zip(out.chunks_exact_mut(b.len())) {
            product(mul, store, a, b, out);
        }
    }
}
