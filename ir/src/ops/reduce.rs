//! `mean`, `sum`, `amax`, `amin`, `prod`, `l1`, `l2`, `sum_square`.

use crate::diag::Reason;
use crate::ops::operand::{axes, float, reduced};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

/// What a reduction computes; in the order of the op's names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Reduction {
    Mean,
    Sum,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
}
impl Reduction {
    /// All of them.
    pub const ALL: [Reduction; 8] = [
        Reduction::Mean,
        Reduction::Sum,
        Reduction::Max,
        Reduction::Min,
        Reduction::Prod,
        Reduction::L1,
        Reduction::L2,
        Reduction::SumSquare,
    ];
}

attrs! {
    /// Reduces over axes; `keep` leaves them with length 1.
    pub struct Reduce {
        @hidden /// Which reduction; the name says it.
        kind: Reduction = Reduction::Mean;
        /// See the op.
        axes: Vec<u32>,
        /// See the op.
        keep: bool = false,
    }
}
operands! { Reduce as ReduceView { x: One } }
impl OpDef for Reduce {
    const NAMES: &'static [&'static str] = &["mean", "sum", "amax", "amin", "prod", "l1", "l2", "sum_square"];
    fn name(&self) -> &'static str {
        Self::NAMES[self.kind as usize]
    }
    fn named(mut self, name: &str) -> Self {
        self.kind =
            Reduction::ALL.into_iter().find(|k| Self::NAMES[*k as usize] == name).unwrap_or(Reduction::Mean);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        if !matches!(input.elem.storage(), Storage::I32 | Storage::I64) || input.elem.quant().is_some() {
            float(self.name(), "input", input, (self.kind == Reduction::Mean).then_some("qmean"))?;
        }
        let on = axes(&self.axes, input)?;
        one(input.with_shape(reduced(&input.shape, &on, self.keep)))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
