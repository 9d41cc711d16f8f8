//! `qadd`, `qmul`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::elementwise::Strided;
use crate::ops::integer::{Output, centred, params, store};
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Sum of quantized operands that broadcast, requantized to the declared type.
    ///
    /// Operands and result have one scale and at most 16 bits.
    /// `clamp(rne((f32(a − zero_a)·scale_a + f32(b − zero_b)·scale_b) · (1/scale_y)) + zero_y)`, each operation rounded; the
    /// clamp is the range of the result, narrowed by the bounds of `act`, quantized. Other activations are those of the
    /// real sum.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %a: u8!x[1,3,4,4]
    /// input %b: u8!y[1,3,1,1]
    /// %y = qadd %a, %b {act=relu} : u8!y[1,3,4,4]
    /// ```
    pub struct Qadd {
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { Qadd as QaddView { a: One, b: One } }
impl OpDef for Qadd {
    const NAMES: &'static [&'static str] = &["qadd"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        infer_binary("qadd", x)
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let out = Output::new(x, &self.act)?;
        let (sa, sb) = scales(x)?;
        let inv = if out.is_curved() { 1.0 } else { 1.0 / out.scale };
        eval_binary(x, &out, |a, b| (a as f32 * sa + b as f32 * sb) * inv)
    }
}

attrs! {
    /// Product of quantized operands that broadcast, requantized to the declared type.
    ///
    /// Operands and result have one scale and at most 16 bits. `clamp(rne(f32((a − zero_a)·(b − zero_b))·m) + zero_y)` with
    /// `m = scale_a·scale_b·(1/scale_y)`, each operation rounded; the clamp is the range of the result, narrowed by the
    /// bounds of `act`, quantized. Other activations are those of the real product, with the factor `scale_a·scale_b`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %a: u8!x[1,3,4,4]
    /// input %b: u8!y[1,3,1,1]
    /// %y = qmul %a, %b : u8!y[1,3,4,4]
    /// ```
    pub struct Qmul {
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { Qmul as QmulView { a: One, b: One } }
impl OpDef for Qmul {
    const NAMES: &'static [&'static str] = &["qmul"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        infer_binary("qmul", x)
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let out = Output::new(x, &self.act)?;
        let (sa, sb) = scales(x)?;
        let m = if out.is_curved() { sa * sb } else { sa * sb * (1.0 / out.scale) };
        // The product of two 16-bit differences needs 64 bits; of two 8-bit ones it is exact in `f32`.
        eval_binary(x, &out, |a, b| (i64::from(a) * i64::from(b)) as f32 * m)
    }
}

/// Broadcast shape in the declared elements.
fn infer_binary(op: &str, x: &Infer) -> Result<Vec<Type>, Reason> {
    let (a, b) = (x.ty(0)?, x.ty(1)?);
    per_tensor(op, "first operand", a)?;
    per_tensor(op, "second operand", b)?;
    let yq = declared_per_tensor(op, x)?;
    one(Type::new(Elem::Quant(yq.clone()), check::broadcast(op, &[&a.shape, &b.shape])?))
}

fn scales(x: &Eval) -> Result<(f32, f32), Reason> {
    Ok((params(&x.tensor(0)?.elem)?.1, params(&x.tensor(1)?.elem)?.1))
}

/// `f` of each pair of integers without their zero points, taken to the declared type.
fn eval_binary(x: &Eval, out: &Output, f: impl Fn(i32, i32) -> f32) -> Result<Vec<Tensor>, Reason> {
    let shape = x.shape(0)?;
    let (a, b) = (x.tensor(0)?, x.tensor(1)?);
    let at = Strided::spread(&a.shape, &shape)?.zip(Strided::spread(&b.shape, &shape)?);
    let (a, b) = (centred(a)?, centred(b)?);
    store(
        x,
        at.map(|(i, j)| {
            let f = f(a[i], b[j]);
            if out.is_curved() { out.real(f) } else { out.round(f) }
        }),
    )
}
