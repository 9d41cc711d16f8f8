//! `qmatmul`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{Output, centred, params, store};
use crate::ops::matmul::{matmul_shape, multiply};
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::quant;
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Matrix product of quantized a `[*,M,K]` and b `[*,K,N]`; shapes as of [`Matmul`](crate::ops::Matmul) (PyTorch
    /// `quantized::matmul`).
    ///
    /// Operands and result have one scale and at most 16 bits. `clamp(rne(f32(Σ (a − zero_a)·(b − zero_b)) · m) + zero_y)`, the sum
    /// in wrapping `i32`, with `m = scale_a·scale_b / scale_y` in `f32`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %a: u8!x[2,3,4]
    /// input %b: u8!y[4,5]
    /// %y = qmatmul %a, %b : u8!y[2,3,5]
    /// ```
    pub struct Qmatmul {
    }
}
operands! { Qmatmul as QmatmulView { a: One, b: One } }
impl OpDef for Qmatmul {
    const NAMES: &'static [&'static str] = &["qmatmul"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (a, b) = (x.ty(0)?, x.ty(1)?);
        per_tensor("qmatmul", "first operand", a)?;
        per_tensor("qmatmul", "second operand", b)?;
        let yq = declared_per_tensor("qmatmul", x)?;
        one(Type::new(Elem::Quant(yq.clone()), matmul_shape("qmatmul", a, b)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (a, b) = (x.tensor(0)?, x.tensor(1)?);
        let out = Output::new(x, &Act::None)?;
        let m = quant::multiplier(params(&a.elem)?.1 * params(&b.elem)?.1, out.scale);
        let sums = multiply(x, &centred(a)?, &centred(b)?, |s: i32, a: i32, b: i32| {
            s.wrapping_add(a.wrapping_mul(b))
        })?;
        store(x, sums.into_iter().map(|s| out.round(s as f32 * m)))
    }
}
