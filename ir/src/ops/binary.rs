//! `add`, `mul`, `sub`, `div`, `pow`, `maximum`, `minimum`.

use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `a + b`, then the activation; operands broadcast.
    pub struct Add {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Add as AddView { a: One, b: One } }
impl OpDef for Add {
    const NAMES: &'static [&'static str] = &["add"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a · b`, then the activation; operands broadcast.
    pub struct Mul {
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Mul as MulView { a: One, b: One } }
impl OpDef for Mul {
    const NAMES: &'static [&'static str] = &["mul"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a − b`; operands broadcast.
    pub struct Sub {
    }
}
operands! { Sub as SubView { a: One, b: One } }
impl OpDef for Sub {
    const NAMES: &'static [&'static str] = &["sub"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a / b`; integers truncate towards zero; operands broadcast.
    pub struct Div {
    }
}
operands! { Div as DivView { a: One, b: One } }
impl OpDef for Div {
    const NAMES: &'static [&'static str] = &["div"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `aᵇ`; operands broadcast.
    pub struct Pow {
    }
}
operands! { Pow as PowView { a: One, b: One } }
impl OpDef for Pow {
    const NAMES: &'static [&'static str] = &["pow"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// The larger of both; operands broadcast.
    pub struct Maximum {
    }
}
operands! { Maximum as MaximumView { a: One, b: One } }
impl OpDef for Maximum {
    const NAMES: &'static [&'static str] = &["maximum"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// The smaller of both; operands broadcast.
    pub struct Minimum {
    }
}
operands! { Minimum as MinimumView { a: One, b: One } }
impl OpDef for Minimum {
    const NAMES: &'static [&'static str] = &["minimum"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
