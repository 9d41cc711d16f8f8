//! `equal`, `less`, `greater`, `less_equal`, `greater_equal`.

use crate::diag::Reason;
use crate::ops::elementwise::{zip, zip_float};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

/// What each comparison accepts.
const ALLOWED: [Storage; 6] =
    [Storage::F32, Storage::F16, Storage::BF16, Storage::I64, Storage::I32, Storage::Bool];

fn infer(op: &str, x: &Infer) -> Result<Vec<Type>, Reason> {
    let (a, b) = (x.ty(0)?, x.ty(1)?);
    check::plain(op, "the first operand", a, &ALLOWED)?;
    check::plain(op, "the second operand", b, &ALLOWED)?;
    check::same_elem(op, a, b)?;
    one(Type::new(Elem::Plain(Storage::Bool), check::broadcast(op, &[&a.shape, &b.shape])?))
}

/// Declares comparisons by the operator that they are.
macro_rules! compare {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal, $op:tt;)*) => {$(
        attrs! {
            $(#[$doc])*
            ///
            /// Equal storage of floats, `i64`, `i32` or `bool` (false below true); false if one is NaN.
            pub struct $name {
            }
        }
        operands! { $name as $view { a: One, b: One } }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                infer($word, x)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                let data = match x.tensor(0)?.storage() {
                                        Storage::I64 => zip::<i64, _>(x, |a, b| Ok(a $op b))?,
                    Storage::I32 => zip::<i32, _>(x, |a, b| Ok(a $op b))?,
                    Storage::Bool => zip::<u8, _>(x, |a, b| Ok(a $op b))?,
                    _ => zip_float(x, |a, b| a $op b)?,
                };
                one(Tensor::bools(&x.shape(0)?, data))
            }
        }
    )*};
}

compare! {
    /// `a = b` as `bool`; operands broadcast.
    ///
    /// ```qir
    /// input %a: i64[2,3]
    /// input %b: i64[3]
    /// %y = equal %a, %b : bool[2,3]
    /// ```
    Equal as EqualView = "equal", ==;

    /// `a < b` as `bool`; operands broadcast.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = less %a, %b : bool[2,3]
    /// ```
    Less as LessView = "less", <;

    /// `a > b` as `bool`; operands broadcast.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = greater %a, %b : bool[2,3]
    /// ```
    Greater as GreaterView = "greater", >;

    /// `a ≤ b` as `bool`; operands broadcast.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = less_equal %a, %b : bool[2,3]
    /// ```
    LessEqual as LessEqualView = "less_equal", <=;

    /// `a ≥ b` as `bool`; operands broadcast.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[3]
    /// %y = greater_equal %a, %b : bool[2,3]
    /// ```
    GreaterEqual as GreaterEqualView = "greater_equal", >=;
}
