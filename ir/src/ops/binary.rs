//! `add`, `mul`, `sub`, `div`, `pow`, `maximum`, `minimum`.

use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::elementwise::{zip, zip_float};
use crate::ops::{Eval, Infer, OpDef, check, one, operand};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

/// Operand types of an arithmetic op: equal plain storage, float or a wide integer, broadcasting.
fn infer(op: &str, x: &Infer, act: &Act) -> Result<Vec<Type>, Reason> {
    let (a, b) = (x.ty(0)?, x.ty(1)?);
    for (what, ty) in [("the first operand", a), ("the second operand", b)] {
        if ty.elem.quant().is_some() {
            let r =
                Reason::new(format!("{what} of `{op}` is quantized, but `{op}` computes on real numbers"));
            return Err(match op {
                "add" | "mul" => r.help(format!("use `q{op}` on quantized operands, or dequantize first")),
                _ => r.help("dequantize it first"),
            });
        }
        check::plain(op, what, ty, &check::NUMBERS)?;
    }
    check::same_elem(op, a, b)?;
    if *act != Act::None && !a.elem.is_float() {
        return Err(Reason::new(format!("`act` of `{op}` needs floats, these are `{}`", a.elem.storage()))
            .help("apply the activation to floats"));
    }
    one(Type::new(a.elem.clone(), check::broadcast(op, &[&a.shape, &b.shape])?))
}

/// Evaluates by the storage of the operands; integers may refuse.
fn eval(
    x: &Eval,
    float: impl Fn(f32, f32) -> f32,
    long: impl Fn(i64, i64) -> Result<i64, Reason>,
) -> Result<Vec<Tensor>, Reason> {
    let shape = x.shape(0)?;
    one(match x.tensor(0)?.storage() {
        Storage::I64 => Tensor::new(&shape, zip::<i64, _>(x, long)?)?,
        // Wrapping arithmetic in 64 bits, cut to 32, is wrapping arithmetic in 32 bits.
        Storage::I32 => {
            Tensor::new(&shape, zip::<i32, _>(x, |a, b| long(a.into(), b.into()).map(|r| r as i32))?)?
        }
        _ => operand::store(&x.out(0)?.elem, &shape, zip_float(x, float)?)?,
    })
}

/// Declares arithmetic ops; `[act]` marks those that apply an activation to their result.
macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal $([$act:ident])?, $float:expr, $long:expr;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
                $(
                    /// Applied to the result.
                    $act: Act = Act::None
                )?
            }
        }
        operands! { $name as $view { a: One, b: One } }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                let act = &Act::None;
                $(let act = { let _ = act; &self.$act };)?
                infer($word, x, act)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                let float = $float;
                $(let float = |a, b| self.$act.apply(float(a, b));)?
                eval(x, float, $long)
            }
        }
    )*};
}

binary! {
    /// `a + b`, then the activation; operands broadcast.
    ///
    /// Equal storage of floats, `i64` or `i32`; integers wrap. An activation needs floats.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = add %a, %b {act=relu} : f32[2,3]
    /// ```
    Add as AddView = "add" [act], |a: f32, b: f32| a + b, |a, b| Ok(a.wrapping_add(b));

    /// `a · b`, then the activation; operands broadcast.
    ///
    /// Equal storage of floats, `i64` or `i32`; integers wrap. An activation needs floats.
    ///
    /// ```qir
    /// input %a: f32[2,3,4]
    /// input %b: f32[2,3,1]
    /// %y = mul %a, %b : f32[2,3,4]
    /// ```
    Mul as MulView = "mul" [act], |a: f32, b: f32| a * b, |a, b| Ok(a.wrapping_mul(b));

    /// `a − b`; operands broadcast. Equal storage of floats, `i64` or `i32`; integers wrap.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[2,1]
    /// %y = sub %a, %b : f32[2,3]
    /// ```
    Sub as SubView = "sub", |a: f32, b: f32| a - b, |a, b| Ok(a.wrapping_sub(b));

    /// `a / b`; operands broadcast. Equal storage of floats, `i64` or `i32`.
    ///
    /// Integers truncate towards zero; an integer divided by 0 is an error of that run.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[2,3]
    /// %y = div %a, %b : f32[2,3]
    /// ```
    Div as DivView = "div", |a: f32, b: f32| a / b, divide;

    /// `aᵇ`; operands broadcast. Equal storage of floats, `i64` or `i32`.
    ///
    /// Integers wrap; a negative exponent truncates towards zero.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// %two = const {data=splat(2.0)} : f32[]
    /// %y = pow %a, %two : f32[2,3]
    /// ```
    Pow as PowView = "pow", libm::powf, power;

    /// The larger of both; NaN if one is NaN; operands broadcast. Equal storage of floats, `i64` or `i32`.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = maximum %a, %b : f32[2,3]
    /// ```
    Maximum as MaximumView = "maximum", maximum, |a, b| Ok(a.max(b));

    /// The smaller of both; NaN if one is NaN; operands broadcast. Equal storage of floats, `i64` or `i32`.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = minimum %a, %b : f32[2,3]
    /// ```
    Minimum as MinimumView = "minimum", minimum, |a, b| Ok(a.min(b));
}

/// The larger of both, or the NaN among them; of two zeros the second.
pub fn maximum(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// The smaller of both, or the NaN among them; of two zeros the second.
pub fn minimum(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

fn divide(a: i64, b: i64) -> Result<i64, Reason> {
    match b {
        0 => Err(Reason::new(format!("{a} is divided by 0"))),
        _ => Ok(a.wrapping_div(b)),
    }
}

fn power(a: i64, b: i64) -> Result<i64, Reason> {
    if b >= 0 {
        // The exponent enters only by its binary digits, so powers beyond `u32` wrap as well.
        let (mut base, mut left, mut result) = (a, b, 1i64);
        while left > 0 {
            if left & 1 == 1 {
                result = result.wrapping_mul(base);
            }
            base = base.wrapping_mul(base);
            left >>= 1;
        }
        return Ok(result);
    }
    match a {
        0 => Err(Reason::new(format!("0 to the power {b} divides by 0"))),
        1 => Ok(1),
        -1 => Ok(if b % 2 == 0 { 1 } else { -1 }),
        _ => Ok(0),
    }
}
