//! `matmul`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::operand::{agree, float};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Matrix product with numpy broadcasting of leading axes.
    pub struct Matmul {
    }
}
operands! { Matmul as MatmulView { a: One, b: One } }
impl OpDef for Matmul {
    const NAMES: &'static [&'static str] = &["matmul"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (a, b) = (x.ty(0)?, x.ty(1)?);
        if !matches!(a.elem, Elem::Plain(Storage::I32 | Storage::I64)) {
            float("matmul", "first operand", a, None)?;
        }
        if a.elem != b.elem {
            return Err(Reason::new(format!("the operands have different elements: {a} and {b}")));
        }
        let (Some((ka, rows)), false) = (a.shape.0.split_last(), b.shape.0.is_empty()) else {
            return Err(Reason::new(format!("`matmul` needs at least one dimension, found {a} and {b}")));
        };
        let at = b.rank().saturating_sub(2);
        let kb = &b.shape[at];
        if !agree(ka, kb) {
            return Err(Reason::new(format!("{a} has {ka} columns but {b} has {kb} rows")));
        }
        let (row, batch_a) = match rows.split_last() {
            Some((r, batch)) => (Some(r), batch),
            None => (None, rows),
        };
        let mut dims = broadcast(batch_a, &b.shape.0[..at])
            .ok_or_else(|| Reason::new(format!("the leading dimensions of {a} and {b} do not broadcast")))?;
        dims.extend(row.cloned());
        if b.rank() > 1 {
            dims.push(b.shape[at + 1].clone());
        }
        one(a.with_shape(Shape(dims)))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

/// Dimensions broadcast by numpy's rule, aligned at the last.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |d: &[Dim], i: usize| (i + d.len()).checked_sub(rank).map_or(Dim::lit(1), |j| d[j].clone());
    (0..rank).map(|i| at(a, i).broadcast(&at(b, i))).collect()
}
