//! `observe`.

use crate::attr::{Attr, AttrValue};
use crate::diag::Reason;
use crate::graph::Name;
use crate::graph::Phase;
use crate::ops::{Eval, Infer, OpDef, check, one};
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
    /// x itself (floats), seen by an observer during calibration.
    ///
    /// The graph declares the observer by its name.
    ///
    /// ```qir
    /// observer $act0 = minmax u8[0:255] affine
    /// input %x: f32[2,5]
    /// %y = observe %x {by=$act0} : f32[2,5]
    /// ```
    pub struct Observe {
        /// The observer.
        by: ObserverName,
    }
}
operands! { Observe as ObserveView { x: One } }
impl OpDef for Observe {
    const NAMES: &'static [&'static str] = &["observe"];
    const PHASES: (Phase, Phase) = (Phase::Observed, Phase::Observed);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::float("observe", "the operand", ty)?;
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(x.tensor(0)?.clone())
    }
}
