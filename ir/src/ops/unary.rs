//! `neg`, `abs`, `exp`, `log`, `sqrt`, `reciprocal`, `erf`, `floor`, `ceil`, `round`, `not`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `−x`.
    pub struct Neg {
    }
}
operands! { Neg as NegView { x: One } }
impl OpDef for Neg {
    const NAMES: &'static [&'static str] = &["neg"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `|x|`.
    pub struct Abs {
    }
}
operands! { Abs as AbsView { x: One } }
impl OpDef for Abs {
    const NAMES: &'static [&'static str] = &["abs"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `eˣ`.
    pub struct Exp {
    }
}
operands! { Exp as ExpView { x: One } }
impl OpDef for Exp {
    const NAMES: &'static [&'static str] = &["exp"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Natural logarithm.
    pub struct Log {
    }
}
operands! { Log as LogView { x: One } }
impl OpDef for Log {
    const NAMES: &'static [&'static str] = &["log"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Square root.
    pub struct Sqrt {
    }
}
operands! { Sqrt as SqrtView { x: One } }
impl OpDef for Sqrt {
    const NAMES: &'static [&'static str] = &["sqrt"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `1 / x`.
    pub struct Reciprocal {
    }
}
operands! { Reciprocal as ReciprocalView { x: One } }
impl OpDef for Reciprocal {
    const NAMES: &'static [&'static str] = &["reciprocal"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Error function.
    pub struct Erf {
    }
}
operands! { Erf as ErfView { x: One } }
impl OpDef for Erf {
    const NAMES: &'static [&'static str] = &["erf"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Largest integer not above x.
    pub struct Floor {
    }
}
operands! { Floor as FloorView { x: One } }
impl OpDef for Floor {
    const NAMES: &'static [&'static str] = &["floor"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Smallest integer not below x.
    pub struct Ceil {
    }
}
operands! { Ceil as CeilView { x: One } }
impl OpDef for Ceil {
    const NAMES: &'static [&'static str] = &["ceil"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Nearest integer, ties to even.
    pub struct Round {
    }
}
operands! { Round as RoundView { x: One } }
impl OpDef for Round {
    const NAMES: &'static [&'static str] = &["round"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Logical negation of `bool`.
    pub struct Not {
    }
}
operands! { Not as NotView { x: One } }
impl OpDef for Not {
    const NAMES: &'static [&'static str] = &["not"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
