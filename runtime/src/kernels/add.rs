//! Sum of two quantized tensors.

use super::epilogue::OutputRange;
use super::round::{Store, for_each_isa};
use crate::isa::Isa;

/// A quantized addition `y = a + b` of equal shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// Zero point of the `u8` operand `a`.
    pub a_zero: i32,
    /// `s_a`.
    pub a_scale: f32,
    /// Zero point of the `u8` operand `b`.
    pub b_zero: i32,
    /// `s_b`.
    pub b_scale: f32,
    /// `1 / s_y`, or 1 if `out` has a curve, which takes real numbers.
    pub inv: f32,
    /// Where results are stored.
    pub out: OutputRange,
}

impl Add {
    /// Computes `((a − z_a) · s_a + (b − z_b) · s_b) · inv`, each operation rounded, then clamps,
    /// rounds to even and adds the zero point.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn run(&self, isa: Isa, a: &[u8], b: &[u8], out: &mut [u8]) {
        assert!(a.len() == out.len() && b.len() == out.len(), "operands differ in length");
        add(isa, self, Store::new(&self.out), a, b, out);
    }

    /// As [`run`](Self::run), with `a` overwritten by the result.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn run_in_place(&self, isa: Isa, a: &mut [u8], b: &[u8]) {
        assert!(a.len() == b.len(), "operands differ in length");
        add_assign(isa, self, Store::new(&self.out), a, b);
    }
}

#[inline(always)]
fn sum(add: &Add, a: u8, b: u8) -> f32 {
    let a = (i32::from(a) - add.a_zero) as f32 * add.a_scale;
    let b = (i32::from(b) - add.b_zero) as f32 * add.b_scale;
    (a + b) * add.inv
}

for_each_isa! {
    fn add(add: &Add, store: Store, a: &[u8], b: &[u8], out: &mut [u8]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = store.apply(sum(add, a, b));
        }
    }
}

for_each_isa! {
    fn add_assign(add: &Add, store: Store, a: &mut [u8], b: &[u8]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = store.apply(sum(add, *a, b));
        }
    }
}
