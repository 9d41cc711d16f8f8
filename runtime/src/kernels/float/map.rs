//! Element-wise loops, compiled for the features of a tier.
//!
//! The functions are plain Rust, so every tier gives the same bits. They are traits instead of closures because
//! a closure cannot be forced into the loop that has the features.

use super::math;
use super::simd::{Job, Lanes, Width, dispatch};
use quantir_ir::ops::act;

/// A function of one number; `at` must be `inline(always)`.
pub(crate) trait Fun: Copy + Send + Sync {
    fn at(self, x: f32) -> f32;
}

/// A function of two numbers; `at` must be `inline(always)`.
pub(crate) trait Fun2: Copy + Send + Sync {
    fn at(self, a: f32, b: f32) -> f32;
}

/// Declares functions: their parameters, then the result.
macro_rules! functions {
    ($($trait:ident $name:ident { $($field:ident),* } |$($x:ident),+| $body:expr;)*) => {$(
        #[derive(Clone, Copy)]
        pub(crate) struct $name { $(pub $field: f32),* }
        impl $trait for $name {
            #[inline(always)]
            fn at(self, $($x: f32),+) -> f32 {
                let $name { $($field),* } = self;
                $body
            }
        }
    )*};
}

functions! {
    Fun Relu {} |x| act::relu(x);
    Fun Clip { lo, hi } |x| act::clip(x, lo, hi);
    Fun LeakyRelu { alpha } |x| if x < 0.0 { alpha * x } else { x };
    Fun HardSigmoid { alpha, beta } |x| act::clip(alpha * x + beta, 0.0, 1.0);
    Fun HardSwish {} |x| act::hard_swish(x);
    Fun Elu { alpha } |x| if x > 0.0 { x } else { alpha * math::expm1(x) };
    Fun Gelu {} |x| 0.5 * x * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2));
    Fun GeluTanh {} |x| 0.5 * x * (1.0 + math::tanh(0.797_884_6 * (x + 0.044715 * x * x * x)));
    Fun Sigmoid {} |x| math::sigmoid(x);
    Fun Tanh {} |x| math::tanh(x);
    Fun Neg {} |x| -x;
    Fun Abs {} |x| x.abs();
    Fun Exp {} |x| math::exp(x);
    Fun Sqrt {} |x| x.sqrt();
    Fun Reciprocal {} |x| 1.0 / x;
    Fun Erf {} |x| math::erf(x);
    Fun Floor {} |x| x.floor();
    Fun Ceil {} |x| x.ceil();
    Fun Round {} |x| x.round_ties_even();
    Fun2 Add {} |a, b| a + b;
    Fun2 Mul {} |a, b| a * b;
    Fun2 Sub {} |a, b| a - b;
    Fun2 Div {} |a, b| a / b;
    Fun2 Maximum {} |a, b| if a.is_nan() || a > b { a } else { b };
    Fun2 Minimum {} |a, b| if a.is_nan() || a < b { a } else { b };
    Fun2 Prelu {} |x, slope| if x < 0.0 { slope * x } else { x };
}

/// `g` of the result of `f`.
#[derive(Clone, Copy)]
pub(crate) struct Then<F, G>(pub F, pub G);
impl<F: Fun2, G: Fun> Fun2 for Then<F, G> {
    #[inline(always)]
    fn at(self, a: f32, b: f32) -> f32 {
        self.1.at(self.0.at(a, b))
    }
}

struct Map<'a, F> {
    x: &'a [f32],
    out: &'a mut [f32],
    f: F,
}
impl<F: Fun> Job for Map<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = self.f.at(x);
        }
    }
}

/// `out[i] = f(x[i])`.
pub(crate) fn map(width: Width, x: &[f32], out: &mut [f32], f: impl Fun) {
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, Map { x, out, f }) }
}

struct MapIn<'a, F> {
    x: &'a mut [f32],
    f: F,
}
impl<F: Fun> Job for MapIn<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for x in self.x {
            *x = self.f.at(*x);
        }
    }
}

/// `x[i] = f(x[i])`.
pub(crate) fn map_in_place(width: Width, x: &mut [f32], f: impl Fun) {
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
impl<F: Fun2> Job for Zip<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let f = self.f;
        match (self.a, self.b) {
            (Run::Each(a), Run::Each(b)) => {
                for ((out, &a), &b) in self.out.iter_mut().zip(a).zip(b) {
                    *out = f.at(a, b);
                }
            }
            (Run::Each(a), Run::All(b)) => {
                for (out, &a) in self.out.iter_mut().zip(a) {
                    *out = f.at(a, b);
                }
            }
            (Run::All(a), Run::Each(b)) => {
                for (out, &b) in self.out.iter_mut().zip(b) {
                    *out = f.at(a, b);
                }
            }
            (Run::All(a), Run::All(b)) => self.out.fill(f.at(a, b)),
        }
    }
}

/// `out[i] = f(a[i], b[i])`.
pub(crate) fn zip(width: Width, a: Run, b: Run, out: &mut [f32], f: impl Fun2) {
    // SAFETY: the job holds no pointers.
    unsafe { dispatch(width, Zip { a, b, out, f }) }
}
