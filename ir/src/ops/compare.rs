//! `equal`, `less`, `greater`, `less_equal`, `greater_equal`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `a = b` as `bool`; operands broadcast.
    pub struct Equal {
    }
}
operands! { Equal as EqualView { a: One, b: One } }
impl OpDef for Equal {
    const NAMES: &'static [&'static str] = &["equal"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a < b` as `bool`; operands broadcast.
    pub struct Less {
    }
}
operands! { Less as LessView { a: One, b: One } }
impl OpDef for Less {
    const NAMES: &'static [&'static str] = &["less"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a > b` as `bool`; operands broadcast.
    pub struct Greater {
    }
}
operands! { Greater as GreaterView { a: One, b: One } }
impl OpDef for Greater {
    const NAMES: &'static [&'static str] = &["greater"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a ≤ b` as `bool`; operands broadcast.
    pub struct LessEqual {
    }
}
operands! { LessEqual as LessEqualView { a: One, b: One } }
impl OpDef for LessEqual {
    const NAMES: &'static [&'static str] = &["less_equal"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `a ≥ b` as `bool`; operands broadcast.
    pub struct GreaterEqual {
    }
}
operands! { GreaterEqual as GreaterEqualView { a: One, b: One } }
impl OpDef for GreaterEqual {
    const NAMES: &'static [&'static str] = &["greater_equal"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
