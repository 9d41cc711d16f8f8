//! `split`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef, check, moved};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Cuts along an axis into parts of the given sizes, which sum to its length. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %a, %b = split %x {axis=1, sizes=[2,3]} : f32[2,2], f32[2,3]
    /// ```
    pub struct Split {
        /// The axis, from 0.
        axis: u32,
        /// Length of each part.
        sizes: Vec<Dim>,
    }
}
operands! { Split as SplitView { x: One } }
impl OpDef for Split {
    const NAMES: &'static [&'static str] = &["split"];
    fn results(&self) -> usize {
        self.sizes.len()
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let axis = check::axis("split", self.axis, ty)?;
        check::dims("split", &self.sizes)?;
        if self.sizes.is_empty() {
            return Err(Reason::new("`split` needs at least one part").help("write `sizes=[…]`"));
        }
        let sum = self.sizes.iter().fold(Dim::lit(0), |s, d| s.add(d));
        let len = &ty.shape.0[axis];
        if check::same(&sum, len).is_none() {
            return Err(Reason::new(format!(
                "the sizes sum to {sum}, but axis {axis} of {} has length {len}",
                ty.shape
            ))
            .help("the parts must cover the axis"));
        }
        let mut start = Dim::lit(0);
        self.sizes
            .iter()
            .map(|size| {
                let end = start.add(size);
                let elem = moved::sliced("split", &ty.elem, axis, start.as_lit().zip(end.as_lit()))?;
                start = end;
                let mut shape = ty.shape.clone();
                shape.0[axis] = size.clone();
                Ok(Type::new(elem, shape))
            })
            .collect()
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        let (outer, len, inner) = moved::around(&t.shape, self.axis as usize)?;
        let mut start = 0;
        let mut parts = Vec::new();
        for (i, ty) in x.outs.iter().enumerate() {
            let shape = x.shape(i)?;
            let size = shape.get(self.axis as usize).copied().unwrap_or(0);
            let rows = (0..outer).flat_map(|o| (start..start + size).map(move |k| o * len + k));
            parts.push(moved::pick(t, &ty.elem, &shape, inner, rows)?);
            start += size;
        }
        if start != len {
            return Err(Reason::new(format!(
                "the sizes sum to {start}, but axis {} has length {len}",
                self.axis
            )));
        }
        Ok(parts)
    }
}
