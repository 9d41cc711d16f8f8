//! `qlinear`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{centred, finish_sums, nothing};
use crate::ops::linear::{linear_shape, linear_sums};
use crate::ops::operand::{accumulator_bias, declared_per_tensor, per_tensor, recheck, weight};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Linear of quantized x `[*,I]` and weight `[O,I]`; shapes as of [`Linear`](crate::ops::Linear).
    ///
    /// x has one scale and at most 16 bits, the weight is `i8` with one scale or one for each output, the bias has the
    /// type `product(x, weight)` or is `f32`.
    /// The result is declared, with one scale. The sum of `(x − zero_x)·(w − zero_w)` and an integer bias is exact up to
    /// wrapping in `i32`. With `s = scale_x·scale_w` and `m = s / scale_y` for each output channel in `f32`, the result is
    /// `clamp(rne((f32(sum) + bias/s) · m) + zero_y)` for an `f32` bias, which is `bias·(1/s)` where the weight has one scale;
    /// the clamp is the range of the result, narrowed by the bounds of `act`, quantized. Other activations are those of
    /// `(f32(sum) + bias/s) · s`, a real number. These are PyTorch's formulae on x86.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !w = i8[-127:127] scale 0.01 zp 0
    /// quant !b = i32[-2147483648:2147483647] product(!x, !w)
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[2,8]
    /// input %w: i8!w[4,8]
    /// input %b: i32!b[4]
    /// %y = qlinear %x, %w, %b : u8!y[2,4]
    /// ```
    pub struct Qlinear {
        /// Applied to the result.
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
            accumulator_bias(b, xq, wq, &w.shape[0])?;
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let sums = linear_sums((input, w), &centred(input)?, &centred(w)?, |a: i32, x: i32, w: i32| {
            a.wrapping_add(x.wrapping_mul(w))
        });
        finish_sums(x, &self.act, x.opt(2), sums, (w.shape[0], 1), nothing)
    }
}
