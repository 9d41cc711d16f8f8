//! `layer_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::operand::{agree, eps, float, recheck, same_elem, store};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `(x − mean) / sqrt(variance + eps) · gamma + beta` over the axes from `axis` on (ONNX `LayerNormalization`).
    ///
    /// gamma and beta have the shape of these axes. Computed in `f32`: the mean, then the mean of the squared distances
    /// from it, both sums in row-major order from 0; then each operation of the formula in its order.
    ///
    /// ```qir
    /// input %x: f32[2,5,8]
    /// input %g: f32[8]
    /// %y = layer_norm %x, %g {axis=2} : f32[2,5,8]
    /// ```
    pub struct LayerNorm {
        /// The first axis that is normalised over.
        axis: u32,
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { LayerNorm as LayerNormView { x: One, gamma: Maybe, beta: Maybe } }
impl OpDef for LayerNorm {
    const NAMES: &'static [&'static str] = &["layer_norm"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("layer_norm", "input", input, None)?;
        eps(self.eps)?;
        let at = check::axis("layer_norm", self.axis, input)?;
        let normalised = &input.shape.0[at..];
        for (i, what) in ["gamma", "beta"].into_iter().enumerate() {
            let Some(t) = x.opt(i + 1) else { continue };
            same_elem(what, t, input)?;
            if t.rank() != normalised.len() || !t.shape.0.iter().zip(normalised).all(|(a, b)| agree(a, b)) {
                return Err(Reason::new(format!(
                    "the {what} is {t} but the axes of {input} from {at} on are normalised"
                )));
            }
        }
        one(input.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let mut data = input.floats()?.into_owned();
        let inner: usize = input.shape[self.axis as usize..].iter().product();
        let gamma = x.opt(1).map(|t| t.floats()).transpose()?;
        let beta = x.opt(2).map(|t| t.floats()).transpose()?;
        for run in data.chunks_exact_mut(inner.max(1)) {
            normalise(run, self.eps.0);
            if let Some(g) = &gamma {
                run.iter_mut().zip(g.iter()).for_each(|(v, g)| *v *= g);
            }
            if let Some(b) = &beta {
                run.iter_mut().zip(b.iter()).for_each(|(v, b)| *v += b);
            }
        }
        one(store(&input.elem, &input.shape, data)?)
    }
}

/// `(x − mean) / sqrt(variance + eps)` over one run, in `f32`: both sums run in order from 0, and the variance is
/// the mean of the squared distances from the mean.
pub(crate) fn normalise(run: &mut [f32], eps: f32) {
    let n = run.len() as f32;
    let mean = run.iter().fold(0.0, |s, v| s + v) / n;
    let variance = run.iter().fold(0.0, |s, v| s + (v - mean) * (v - mean)) / n;
    let deviation = (variance + eps).sqrt();
    run.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
}
