//! `qlinear`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{centred, finish_sums};
use crate::ops::linear::{linear_shape, linear_sums};
use crate::ops::operand::{declared_per_tensor, per_tensor, product_bias, recheck, weight};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Linear of quantized x and weight with exact i32 accumulation; bias has type `product(x, weight)`.
    pub struct Qlinear {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qlinear as QlinearView { x: One, weight: One, bias: Maybe } }
impl OpDef for Qlinear {
    const NAMES: &'static [&'static str] = &["qlinear"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        let xq = per_tensor("qlinear", "input", input)?;
        let wq = weight("qlinear", w)?;
        let yq = declared_per_tensor("qlinear", x)?;
        let shape = linear_shape("qlinear", input, w)?;
        if let Some(b) = x.opt(2) {
            product_bias(b, xq, wq, &w.shape[0])?;
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let sums = linear_sums((input, w), &centred(input)?, &centred(w)?, |a: i32, x: i32, w: i32| {
            a.wrapping_add(x.wrapping_mul(w))
        });
        finish_sums(x, &self.act, sums, w.shape[0], 1)
    }
}
