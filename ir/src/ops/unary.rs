//! `neg`, `abs`, `exp`, `log`, `log1p`, `sqrt`, `reciprocal`, `erf`, `floor`, `ceil`, `round`, `not`.

use crate::diag::Reason;
use crate::ops::elementwise::{infer_float, map_float};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

/// Declares functions of one float.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal, $f:expr;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
            }
        }
        operands! { $name as $view { x: One } }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                infer_float($word, x)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                map_float(x, $f)
            }
        }
    )*};
}

unary! {
    /// `eˣ` of floats.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = exp %x : f32[4]
    /// ```
    Exp as ExpView = "exp", libm::expf;

    /// Natural logarithm of floats; NaN for negative numbers, −∞ for 0.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %e = exp %x : f32[4]
    /// %y = log %e : f32[4]
    /// ```
    Log as LogView = "log", libm::logf;

    /// `ln(1 + x)` of floats, exact for small x; NaN below −1, −∞ for −1.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %a = abs %x : f32[4]
    /// %y = log1p %a : f32[4]
    /// ```
    Log1p as Log1pView = "log1p", libm::log1pf;

    /// Square root of floats, correctly rounded; NaN for negative numbers.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %a = abs %x : f32[4]
    /// %y = sqrt %a : f32[4]
    /// ```
    Sqrt as SqrtView = "sqrt", f32::sqrt;

    /// `1 / x` of floats, correctly rounded.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = reciprocal %x : f32[4]
    /// ```
    Reciprocal as ReciprocalView = "reciprocal", |x| 1.0 / x;

    /// Error function of floats.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = erf %x : f32[4]
    /// ```
    Erf as ErfView = "erf", libm::erff;

    /// Largest whole number not above x, of floats.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = floor %x : f32[4]
    /// ```
    Floor as FloorView = "floor", f32::floor;

    /// Smallest whole number not below x, of floats.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = ceil %x : f32[4]
    /// ```
    Ceil as CeilView = "ceil", f32::ceil;

    /// Nearest whole number of floats, ties to even.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = round %x : f32[4]
    /// ```
    Round as RoundView = "round", f32::round_ties_even;
}

/// Declares functions of one number, a float or a signed integer.
macro_rules! signed {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal, $float:expr, $int:ident;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
            }
        }
        operands! { $name as $view { x: One } }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                let ty = x.ty(0)?;
                check::plain($word, "the operand", ty, &check::NUMBERS)?;
                one(ty.clone())
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                let t = x.tensor(0)?;
                match t.storage() {
                    Storage::I64 => {
                        one(Tensor::new(&t.shape, t.data::<i64>()?.iter().map(|x| x.$int()).collect())?)
                    }
                    Storage::I32 => {
                        one(Tensor::new(&t.shape, t.data::<i32>()?.iter().map(|x| x.$int()).collect())?)
                    }
                    _ => map_float(x, $float),
                }
            }
        }
    )*};
}

signed! {
    /// `−x` of floats, `i64` or `i32`; integers wrap.
    ///
    /// ```qir
    /// input %x: f32[4]
    /// %y = neg %x : f32[4]
    /// ```
    Neg as NegView = "neg", |x: f32| -x, wrapping_neg;

    /// `|x|` of floats, `i64` or `i32`; integers wrap.
    ///
    /// ```qir
    /// input %x: i64[4]
    /// %y = abs %x : i64[4]
    /// ```
    Abs as AbsView = "abs", f32::abs, wrapping_abs;
}

attrs! {
    /// Logical negation of `bool`.
    ///
    /// ```qir
    /// input %x: bool[4]
    /// %y = not %x : bool[4]
    /// ```
    pub struct Not {
    }
}
operands! { Not as NotView { x: One } }
impl OpDef for Not {
    const NAMES: &'static [&'static str] = &["not"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::plain("not", "the operand", ty, &[Storage::Bool])?;
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        one(Tensor::bools(&t.shape, t.data::<u8>()?.iter().map(|&b| b == 0).collect()))
    }
}
