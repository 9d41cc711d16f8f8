//! `qbatch_norm`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{Output, centred, params, store};
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::{BatchNorm, Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Batch normalisation of quantized x, as of [`BatchNorm`], quantized to the declared type (PyTorch
    /// `quantized::batch_norm2d`).
    ///
    /// x and the result have one scale and at most 16 bits, the others are `f32[C]`. For each channel
    /// `k = 1 / sqrt(var + eps) · gamma`, `m = k · (scale_x / scale_y)` and `b = (beta − mean · k) / scale_y`, each operation rounded to
    /// `f32`; the result is `clamp(rne(fma(m, x − zero_x, b)) + zero_y)`. The clamp is the range of the result, narrowed by
    /// `act`, which must be a clamp.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.03 zp 120
    /// input %x: u8!x[1,3,4,4]
    /// input %c: f32[3]
    /// %y = qbatch_norm %x, %c, %c, %c, %c {act=relu} : u8!y[1,3,4,4]
    /// ```
    pub struct QbatchNorm {
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
        /// Applied to the result; `none`, `relu` or `clip`.
        act: Act = Act::None,
    }
}
operands! { QbatchNorm as QbatchNormView { x: One, gamma: One, beta: One, mean: One, var: One } }
impl OpDef for QbatchNorm {
    const NAMES: &'static [&'static str] = &["qbatch_norm"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("qbatch_norm", "input", input)?;
        let yq = declared_per_tensor("qbatch_norm", x)?;
        if self.act.bounds().is_none() {
            return Err(Reason::new("`qbatch_norm` fuses `relu` and `clip` only"));
        }
        let real = Type::new(Elem::F32, input.shape.clone());
        let mut ins = x.ins.to_vec();
        ins[0] = Some(&real);
        BatchNorm { eps: self.eps }.infer(&Infer { ins: &ins, declared: &[] })?;
        one(Type::new(Elem::Quant(yq.clone()), input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let out = Output::new(x, &self.act)?;
        let (gamma, beta) = (x.tensor(1)?.floats()?, x.tensor(2)?.floats()?);
        let (mean, var) = (x.tensor(3)?.floats()?, x.tensor(4)?.floats()?);
        let ratio = params(&input.elem)?.1 / out.scale;
        let factors: Vec<(f32, f32)> = (0..gamma.len())
            .map(|c| {
                let k = 1.0 / (var[c] + self.eps.0).sqrt() * gamma[c];
                (k * ratio, (beta[c] - mean[c] * k) / out.scale)
            })
            .collect();
        let inner: usize = input.shape[2..].iter().product::<usize>().max(1);
        let data = centred(input)?;
        let of = |i: usize, v: i32| {
            let (m, b) = factors[i / inner % factors.len().max(1)];
            out.round(m.mul_add(v as f32, b))
        };
        store(x, data.into_iter().enumerate().map(|(i, v)| of(i, v)))
    }
}
