//! `batch_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::operand::{eps, float, recheck, same_elem, store, vector};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `(x − mean) / sqrt(var + eps) · gamma + beta` along axis 1, with stored statistics (ONNX `BatchNormalization` at
    /// inference).
    ///
    /// x is `[N,C,*]` of floating-point elements, the others are `[C]`. Each operation rounds to `f32`, in the order of
    /// the formula.
    ///
    /// ```qir
    /// input %x: f32[1,3,4,4]
    /// input %c: f32[3]
    /// %y = batch_norm %x, %c, %c, %c, %c {eps=0.001} : f32[1,3,4,4]
    /// ```
    pub struct BatchNorm {
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { BatchNorm as BatchNormView { x: One, gamma: One, beta: One, mean: One, var: One } }
impl OpDef for BatchNorm {
    const NAMES: &'static [&'static str] = &["batch_norm"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("batch_norm", "input", input, None)?;
        eps(self.eps)?;
        if input.rank() < 2 {
            return Err(Reason::new(format!("`batch_norm` needs channels along axis 1, found {input}")));
        }
        for (i, what) in ["gamma", "beta", "mean", "var"].into_iter().enumerate() {
            same_elem(what, x.ty(i + 1)?, input)?;
            vector(what, x.ty(i + 1)?, &input.shape[1])?;
        }
        one(input.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let mut data = input.floats()?.into_owned();
        let (gamma, beta) = (x.tensor(1)?.floats()?, x.tensor(2)?.floats()?);
        let (mean, var) = (x.tensor(3)?.floats()?, x.tensor(4)?.floats()?);
        let inner: usize = input.shape[2..].iter().product();
        for (i, run) in data.chunks_exact_mut(inner.max(1)).enumerate() {
            let c = i % gamma.len();
            let deviation = (var[c] + self.eps.0).sqrt();
            run.iter_mut().for_each(|v| *v = (*v - mean[c]) / deviation * gamma[c] + beta[c]);
        }
        one(store(&input.elem, &input.shape, data)?)
    }
}
