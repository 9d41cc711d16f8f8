//! `observe`.

use crate::attr::{Attr, AttrValue};
use crate::diag::Reason;
use crate::graph::Name;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

/// The name of a declared observer, written `$name`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObserverName(pub Name);
impl Attr for ObserverName {
    fn to_value(&self) -> AttrValue {
        AttrValue::Observer(self.0.to_string())
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Observer(s) => Ok(ObserverName(s.as_str().into())),
            _ => Err("expected an observer such as `$act0`".into()),
        }
    }
}

attrs! {
    /// x itself, seen by an observer during calibration.
    pub struct Observe {
        /// See the op.
        by: ObserverName,
    }
}
operands! { Observe as ObserveView { x: One } }
impl OpDef for Observe {
    const NAMES: &'static [&'static str] = &["observe"];
    const PHASES: (Phase, Phase) = (Phase::Observed, Phase::Observed);
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
