//! `qadd_scalar`, `qmul_scalar`.

use std::sync::Arc;

use crate::attr::F32;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::integer::params;
use crate::ops::operand::{per_tensor, recheck};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::quant::{QParams, Quant, round_clamp};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Sum of quantized x and a number, which changes the parameters rather than the integers (PyTorch
    /// `quantized::add_scalar`).
    ///
    /// x has one scale `s`. With `t = zero − rne(value / s)`: where `t` lies in the range, integers and scale stay and `t` is the
    /// zero point. Below it the zero point is the least integer, above it the greatest, the scale is
    /// `s·(max − t) / (max − min)` or `s·(t − min) / (max − min)`, and integers become
    /// `clamp(rne(f32(x − t) · f32(s / scale)) + zero)`. Parameters are computed in double precision.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.5 zp 100
    /// quant !y = u8[0:255] scale 0.5 zp 90
    /// input %x: u8!x[2,3]
    /// %y = qadd_scalar %x {value=5.0} : u8!y[2,3]
    /// ```
    pub struct QaddScalar {
        /// What is added.
        value: F32,
        /// Whether what is below the zero point becomes the zero point.
        relu: bool = false,
    }
}
operands! { QaddScalar as QaddScalarView { x: One } }
impl OpDef for QaddScalar {
    const NAMES: &'static [&'static str] = &["qadd_scalar"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        shifted(x.ty(0)?, "qadd_scalar", |q| added(q, self.value.0).1)
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let (q, scale, _) = params(&input.elem)?;
        let (t, y) = added(q, self.value.0);
        let (lo, hi, zero) = (q.range.0 as i32, q.range.1 as i32, y.zero(0));
        let m = (f64::from(scale) / wide_scale(q, t)) as f32;
        let moved = (q.range.0 as f64..=q.range.1 as f64).contains(&t);
        let data = input.ints()?.into_iter().map(|v| match moved {
            true => v,
            false => i64::from(round_clamp((v as f64 - t) as f32 * m, zero, lo, hi)),
        });
        finish(x, self.relu, &y, data)
    }
}

/// The zero point that stands for the same numbers plus `value`, which may lie outside the range, and the parameters
/// of the result.
fn added(q: &Quant, value: f32) -> (f64, Quant) {
    let (lo, hi) = (q.range.0 as f64, q.range.1 as f64);
    let t = f64::from(q.zero(0)) - (f64::from(value) / q.scale_f64(0)).round_ties_even();
    let scale = wide_scale(q, t) as f32;
    (t, with(q, scale, t.clamp(lo, hi) as i32))
}

/// The scale that keeps all numbers of `q` in its range where the zero point would be `t`.
fn wide_scale(q: &Quant, t: f64) -> f64 {
    let (lo, hi, s) = (q.range.0 as f64, q.range.1 as f64, q.scale_f64(0));
    match t {
        _ if t < lo => (hi - t) / (hi - lo) * s,
        _ if t > hi => (t - lo) / (hi - lo) * s,
        _ => s,
    }
}

attrs! {
    /// Product of quantized x and a number, which changes the parameters rather than the integers (PyTorch
    /// `quantized::mul_scalar`).
    ///
    /// x has one scale `s`. A positive value makes the scale `s·value`; a negative one makes it `−s·value` and mirrors integers
    /// and zero point in the range, `min + max − x`; 0 gives the scale 1, the integer 0 and the zero point 0, or the least
    /// integer where the range has no 0.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.5 zp 100
    /// quant !y = u8[0:255] scale 1.0 zp 155
    /// input %x: u8!x[2,3]
    /// %y = qmul_scalar %x {value=-2.0} : u8!y[2,3]
    /// ```
    pub struct QmulScalar {
        /// What x is multiplied with; finite.
        value: F32,
        /// Whether what is below the zero point becomes the zero point.
        relu: bool = false,
    }
}
operands! { QmulScalar as QmulScalarView { x: One } }
impl OpDef for QmulScalar {
    const NAMES: &'static [&'static str] = &["qmul_scalar"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        shifted(x.ty(0)?, "qmul_scalar", |q| multiplied(q, self.value.0))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let (q, ..) = params(&input.elem)?;
        let y = multiplied(q, self.value.0);
        let (lo, hi) = q.range;
        let zero = i64::from(y.zero(0));
        let data = input.ints()?.into_iter().map(|v| match self.value.0 {
            c if c > 0.0 => v,
            c if c < 0.0 => lo + hi - v,
            _ => zero,
        });
        finish(x, self.relu, &y, data)
    }
}

/// The parameters of the product.
fn multiplied(q: &Quant, value: f32) -> Quant {
    let (lo, hi, zero) = (q.range.0 as i32, q.range.1 as i32, q.zero(0));
    let scale = (q.scale_f64(0) * f64::from(value).abs()) as f32;
    match value {
        c if c > 0.0 => with(q, scale, zero),
        c if c < 0.0 => with(q, scale, hi - (zero - lo)),
        _ => with(q, 1.0, 0.clamp(lo, hi)),
    }
}

fn with(q: &Quant, scale: f32, zero: i32) -> Quant {
    Quant { params: QParams::Tensor { scale, zero }, ..q.clone() }
}

/// The result type of an op that changes the parameters of x; fails if no scale fits them.
fn shifted(x: &Type, op: &str, f: impl Fn(&Quant) -> Quant) -> Result<Vec<Type>, Reason> {
    let y = f(per_tensor(op, "operand", x)?);
    if !(y.scale(0) > 0.0 && y.scale(0).is_finite()) {
        return Err(Reason::new(format!("the result of `{op}` would have the scale {}", y.scale(0))));
    }
    one(Type::new(Elem::Quant(Arc::new(y)), x.shape.clone()))
}

fn finish(x: &Eval, relu: bool, y: &Quant, data: impl Iterator<Item = i64>) -> Result<Vec<Tensor>, Reason> {
    let least = if relu { i64::from(y.zero(0)) } else { i64::MIN };
    let data: Vec<i64> = data.map(|v| v.max(least)).collect();
    one(Tensor::from_ints(x.out(0)?.elem.clone(), &x.shape(0)?, &data)?)
}
