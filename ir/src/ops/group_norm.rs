//! `group_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::layer_norm::normalise;
use crate::ops::operand::{eps, float, recheck, same_elem, store, vector};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `(x − mean) / sqrt(variance + eps) · gamma + beta` over groups of channels of each sample (PyTorch `nn.GroupNorm`).
    ///
    /// x is `[N,C,*]`, gamma and beta are `[C]`. Computed as [`LayerNorm`](crate::ops::LayerNorm) is.
    ///
    /// ```qir
    /// input %x: f32[1,4,3,3]
    /// input %c: f32[4]
    /// %y = group_norm %x, %c, %c {groups=2} : f32[1,4,3,3]
    /// ```
    pub struct GroupNorm {
        /// Number of groups; divides the channels.
        groups: u32,
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { GroupNorm as GroupNormView { x: One, gamma: Maybe, beta: Maybe } }
impl OpDef for GroupNorm {
    const NAMES: &'static [&'static str] = &["group_norm"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("group_norm", "input", input, None)?;
        eps(self.eps)?;
        if input.rank() < 2 {
            return Err(Reason::new(format!("`group_norm` needs an input [N,C,*], found {input}")));
        }
        let channels = &input.shape[1];
        if self.groups == 0 || channels.as_lit().is_some_and(|c| c % i64::from(self.groups) != 0) {
            return Err(Reason::new(format!("{} groups do not divide {channels} channels", self.groups)));
        }
        for (i, what) in ["gamma", "beta"].into_iter().enumerate() {
            if let Some(t) = x.opt(i + 1) {
                same_elem(what, t, input)?;
                vector(what, t, channels)?;
            }
        }
        one(input.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let mut data = input.floats()?.into_owned();
        let channels = input.shape[1];
        let area: usize = input.shape[2..].iter().product();
        let run = channels / self.groups as usize * area;
        data.chunks_exact_mut(run.max(1)).for_each(|run| normalise(run, self.eps.0));
        let gamma = x.opt(1).map(Tensor::floats).transpose()?;
        let beta = x.opt(2).map(Tensor::floats).transpose()?;
        for (i, run) in data.chunks_exact_mut(area.max(1)).enumerate() {
            let c = i % channels;
            if let Some(g) = &gamma {
                run.iter_mut().for_each(|v| *v *= g[c]);
            }
            if let Some(b) = &beta {
                run.iter_mut().for_each(|v| *v += b[c]);
            }
        }
        one(store(&input.elem, &input.shape, data)?)
    }
}
