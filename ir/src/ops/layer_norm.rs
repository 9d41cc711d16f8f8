//! `layer_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::operand::{agree, axis, eps, float, same_elem};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Normalises over the axes from `axis` on.
    pub struct LayerNorm {
        /// See the op.
        axis: u32,
        /// See the op.
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
        let at = axis(self.axis, input)?;
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
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
