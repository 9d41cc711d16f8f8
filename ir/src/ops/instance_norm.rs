//! `instance_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::layer_norm::normalise;
use crate::ops::operand::{eps, float, recheck, same_elem, store, vector};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `(x − mean) / sqrt(variance + eps) · gamma + beta` for each channel of each sample over its spatial axes (ONNX
    /// `InstanceNormalization`).
    ///
    /// x is `[N,C,*S]`, gamma and beta are `[C]`. Computed as [`LayerNorm`](crate::ops::LayerNorm) is.
    ///
    /// ```qir
    /// input %x: f32[1,3,4,4]
    /// input %c: f32[3]
    /// %y = instance_norm %x, %c, %c : f32[1,3,4,4]
    /// ```
    pub struct InstanceNorm {
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { InstanceNorm as InstanceNormView { x: One, gamma: One, beta: One } }
impl OpDef for InstanceNorm {
    const NAMES: &'static [&'static str] = &["instance_norm"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("instance_norm", "input", input, None)?;
        eps(self.eps)?;
        if input.rank() < 3 {
            return Err(Reason::new(format!(
                "`instance_norm` needs spatial axes after [N,C], found {input}"
            )));
        }
        for (i, what) in ["gamma", "beta"].into_iter().enumerate() {
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
        let inner: usize = input.shape[2..].iter().product();
        for (i, run) in data.chunks_exact_mut(inner.max(1)).enumerate() {
            let c = i % gamma.len();
            normalise(run, self.eps.0);
            run.iter_mut().for_each(|v| *v = *v * gamma[c] + beta[c]);
        }
        one(store(&input.elem, &input.shape, data)?)
    }
}
