//! `qprelu`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::elementwise::Strided;
use crate::ops::integer::{Output, centred, params, store};
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::{Eval, Infer, OpDef, Prelu, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Quantized x, times a quantized slope below 0; shapes as of [`Prelu`] (PyTorch `quantized::prelu`).
    ///
    /// Operands and result have one scale and at most 16 bits. From the zero point on
    /// `clamp(rne(f32(x − zero_x) · (scale_x · (1/scale_y))) + zero_y)`, below it
    /// `clamp(rne(f32((x − zero_x)·(s − zero_s)) · (scale_x·scale_s · (1/scale_y))) + zero_y)`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.04 zp 90
    /// quant !s = u8[0:255] scale 0.004 zp 0
    /// input %x: u8!x[2,3,4]
    /// input %s: u8!s[3,1]
    /// %y = qprelu %x, %s : u8!y[2,3,4]
    /// ```
    pub struct Qprelu {
    }
}
operands! { Qprelu as QpreluView { x: One, slope: One } }
impl OpDef for Qprelu {
    const NAMES: &'static [&'static str] = &["qprelu"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, slope) = (x.ty(0)?, x.ty(1)?);
        per_tensor("qprelu", "operand", input)?;
        per_tensor("qprelu", "slope", slope)?;
        let yq = declared_per_tensor("qprelu", x)?;
        let real = [input, slope].map(|t| Type::new(Elem::F32, t.shape.clone()));
        Prelu {}.infer(&Infer { ins: &[Some(&real[0]), Some(&real[1])], declared: &[] })?;
        one(Type::new(Elem::Quant(yq.clone()), input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, slope) = (x.tensor(0)?, x.tensor(1)?);
        let out = Output::new(x, &Act::None)?;
        let (sx, ss, inv) = (params(&input.elem)?.1, params(&slope.elem)?.1, 1.0 / out.scale);
        let (above, below) = (sx * inv, sx * ss * inv);
        let at = Strided::spread(&slope.shape, &input.shape)?;
        let (data, slopes) = (centred(input)?, centred(slope)?);
        let of = |v: i32, s: i32| match v >= 0 {
            true => out.round(v as f32 * above),
            false => out.round((i64::from(v) * i64::from(s)) as f32 * below),
        };
        store(x, data.into_iter().zip(at).map(|(v, i)| of(v, slopes[i])))
    }
}
