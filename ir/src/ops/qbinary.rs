//! `qadd`, `qmul`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::matmul::broadcast;
use crate::ops::operand::{declared_per_tensor, per_tensor};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Sum of quantized operands, requantized to the declared type.
    pub struct Qadd {
        /// See the op.
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
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Product of quantized operands, requantized to the declared type.
    pub struct Qmul {
        /// See the op.
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
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

/// Broadcast shape in the declared elements.
fn infer_binary(op: &str, x: &Infer) -> Result<Vec<Type>, Reason> {
    let (a, b) = (x.ty(0)?, x.ty(1)?);
    per_tensor(op, "first operand", a)?;
    per_tensor(op, "second operand", b)?;
    let yq = declared_per_tensor(op, x)?;
    let dims = broadcast(&a.shape.0, &b.shape.0)
        .ok_or_else(|| Reason::new(format!("shapes {} and {} do not broadcast", a.shape, b.shape)))?;
    one(Type::new(Elem::Quant(yq.clone()), Shape(dims)))
}
