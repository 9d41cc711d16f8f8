//! `softmax`, `log_softmax`.

use crate::diag::Reason;
use crate::ops::moved::around;
use crate::ops::operand::{float, recheck, store};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `exp(x − max) / Σ exp(x − max)` along an axis.
    ///
    /// Floating-point elements, computed in `f32` with `libm::expf`; the sum runs in order from 0.
    ///
    /// ```qir
    /// input %x: f32[2,10]
    /// %y = softmax %x {axis=1} : f32[2,10]
    /// ```
    pub struct Softmax {
        /// The axis that sums to 1.
        axis: u32,
    }
}
operands! { Softmax as SoftmaxView { x: One } }
impl OpDef for Softmax {
    const NAMES: &'static [&'static str] = &["softmax"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("softmax", "input", input, None)?;
        check::axis("softmax", self.axis, input)?;
        one(input.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        along(x, self.axis, |run| {
            let max = largest(run);
            run.iter_mut().for_each(|v| *v = libm::expf(*v - max));
            let sum = run.iter().fold(0.0, |s, v| s + v);
            run.iter_mut().for_each(|v| *v /= sum);
        })
    }
}

attrs! {
    /// Logarithm of the softmax along an axis: `(x − max) − ln Σ exp(x − max)`.
    ///
    /// Floating-point elements, computed in `f32` with `libm::expf` and `libm::logf`; the sum runs in order from 0.
    ///
    /// ```qir
    /// input %x: f32[2,10]
    /// %y = log_softmax %x {axis=1} : f32[2,10]
    /// ```
    pub struct LogSoftmax {
        /// The axis whose exponentials sum to 1.
        axis: u32,
    }
}
operands! { LogSoftmax as LogSoftmaxView { x: One } }
impl OpDef for LogSoftmax {
    const NAMES: &'static [&'static str] = &["log_softmax"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("log_softmax", "input", input, None)?;
        check::axis("log_softmax", self.axis, input)?;
        one(input.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        along(x, self.axis, |run| {
            let max = largest(run);
            run.iter_mut().for_each(|v| *v -= max);
            let log = libm::logf(run.iter().fold(0.0, |s, v| s + libm::expf(*v)));
            run.iter_mut().for_each(|v| *v -= log);
        })
    }
}

fn largest(run: &[f32]) -> f32 {
    run.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m })
}

/// `f` of each run of elements along `axis`.
fn along(x: &Eval, axis: u32, f: impl Fn(&mut [f32])) -> Result<Vec<Tensor>, Reason> {
    let input = x.tensor(0)?;
    let (outer, len, inner) = around(&input.shape, axis as usize)?;
    let mut data = input.floats()?.into_owned();
    let mut run = vec![0.0; len];
    for at in 0..outer * inner {
        let first = at / inner * len * inner + at % inner;
        for (i, v) in run.iter_mut().enumerate() {
            *v = data[first + i * inner];
        }
        f(&mut run);
        for (i, v) in run.iter().enumerate() {
            data[first + i * inner] = *v;
        }
    }
    one(store(&input.elem, &input.shape, data)?)
}
