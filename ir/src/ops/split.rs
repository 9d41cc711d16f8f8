//! `split`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Cuts along an axis into parts of the given sizes.
    pub struct Split {
        /// See the op.
        axis: u32,
        /// See the op.
        sizes: Vec<Dim>,
    }
}
operands! { Split as SplitView { x: One } }
impl OpDef for Split {
    const NAMES: &'static [&'static str] = &["split"];
    fn results(&self) -> usize {
        self.sizes.len()
    }
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
