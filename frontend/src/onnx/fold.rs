//! Constants that are computed at import, within bounds that the file's own size sets.

use quantir_ir::graph::Operands;
use quantir_ir::ops::{Const, ConstData, Eval, Infer, Op};
use quantir_ir::{Tensor, Type, ValueId};

use super::ctx::Import;
use crate::Error;

/// Computed constants up to this size need no larger ones behind them.
const SMALL_BYTES: usize = 1 << 16;

impl Import<'_> {
    /// The result of `op` if all its operands are constants.
    pub(super) fn fold(&mut self, op: &Op, ins: &Operands) -> Result<Option<Tensor>, Error> {
        use Op::*;
        // A dequantized weight stays one: that is what makes it quantized.
        let kept =
            matches!(op, Conv(_) | ConvTranspose(_) | Linear(_) | Matmul(_) | Resize(_) | Dequantize(_));
        if kept
            || op.results() != 1
            || ins.is_empty()
            || !ins.iter().flatten().all(|v| self.graph.is_const(*v))
        {
            return Ok(None);
        }
        let types: Vec<Option<&Type>> = ins.iter().map(|v| v.map(|v| self.graph.ty(v))).collect();
        let Ok(outs) = op.infer(&Infer { ins: &types, declared: &[] }) else { return Ok(None) };
        // Nothing grows much beyond what the file holds: a short file cannot ask for large constants.
        let Some(held) = ins.iter().flatten().map(|v| self.held_bytes(*v)).sum::<Option<usize>>() else {
            return Ok(None);
        };
        let most = held.saturating_mul(2).max(SMALL_BYTES);
        let Some(bytes) = outs.first().and_then(bytes_of).filter(|b| *b <= most) else { return Ok(None) };
        self.budget.charge(bytes as u64, "computed constants")?;
        let tensors: Vec<Option<Tensor>> =
            ins.iter().map(|v| v.and_then(|v| self.graph.constant(v))).collect();
        let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        let mut results = match op.eval(&Eval { ins: &tensors, outs: &outs }) {
            Ok(results) => results,
            Err(_) => return Ok(None),
        };
        Ok(results.pop())
    }

    /// The content of `v` if it is a constant that occupies memory already, or a small one.
    pub fn constant_of(&self, v: ValueId) -> Option<Tensor> {
        if !self.graph.is_const(v) {
            return None;
        }
        self.held_bytes(v)?;
        self.graph.constant(v)
    }

    /// Bytes that a constant occupies already; `None` if its content is generated and not small.
    fn held_bytes(&self, v: ValueId) -> Option<usize> {
        let bytes = bytes_of(self.graph.ty(v))?;
        match self.graph.op(self.graph.def_node(v)?) {
            Op::Const(Const { data: ConstData::Tensor(_) }) => Some(bytes),
            _ => Some(0).filter(|_| bytes <= SMALL_BYTES),
        }
    }
}

/// Bytes of a tensor of this type, if it has no symbols.
fn bytes_of(ty: &Type) -> Option<usize> {
    let shape = ty.shape.concrete()?;
    quantir_ir::tensor::checked_numel(&shape)?.checked_mul(ty.elem.storage().bytes())
}
