//! Element-wise loops, compiled for the features of a tier.
//!
//! The functions are plain Rust, so every tier gives the same bits.

use super::simd::{Job, Lanes, Width, dispatch};

struct Map<'a, F> {
    x: &'a [f32],
    out: &'a mut [f32],
    f: F,
}
impl<F: Fn(f32) -> f32> Job for Map<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = (self.f)(x);
        }
    }
}

/// `out[i] = f(x[i])`.
pub(crate) fn map(width: Width, x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, Map { x, out, f }) }
}

struct MapIn<'a, F> {
    x: &'a mut [f32],
    f: F,
}
impl<F: Fn(f32) -> f32> Job for MapIn<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for x in self.x {
            *x = (self.f)(*x);
        }
    }
}

/// `x[i] = f(x[i])`.
pub(crate) fn map_in_place(width: Width, x: &mut [f32], f: impl Fn(f32) -> f32) {
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, MapIn { x, f }) }
}

/// An operand of [`zip`].
#[derive(Clone, Copy)]
pub(crate) enum Run<'a> {
    /// One number for each element.
    Each(&'a [f32]),
    /// The same number for all.
    All(f32),
}

struct Zip<'a, F> {
    a: Run<'a>,
    b: Run<'a>,
    out: &'a mut [f32],
    f: F,
}
impl<F: Fn(f32, f32) -> f32> Job for Zip<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let f = self.f;
        match (self.a, self.b) {
            (Run::Each(a), Run::Each(b)) => {
                for ((out, &a), &b) in self.out.iter_mut().zip(a).zip(b) {
                    *out = f(a, b);
                }
            }
            (Run::Each(a), Run::All(b)) => {
                for (out, &a) in self.out.iter_mut().zip(a) {
                    *out = f(a, b);
                }
            }
            (Run::All(a), Run::Each(b)) => {
                for (out, &b) in self.out.iter_mut().zip(b) {
                    *out = f(a, b);
                }
            }
            (Run::All(a), Run::All(b)) => self.out.fill(f(a, b)),
        }
    }
}

/// `out[i] = f(a[i], b[i])`.
pub(crate) fn zip(width: Width, a: Run, b: Run, out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, Zip { a, b, out, f }) }
}

/// Any loop, compiled for the features of a tier.
pub(crate) fn compiled(width: Width, f: impl FnOnce()) {
    struct Plain<F>(F);
    impl<F: FnOnce()> Job for Plain<F> {
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            (self.0)()
        }
    }
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, Plain(f)) }
}
