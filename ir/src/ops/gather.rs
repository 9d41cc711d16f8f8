//! `gather`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Takes the entries of `x` along an axis that `indices` names; negative ones count from the end.
    ///
    /// The axis is replaced by the dimensions of `indices` (`i64` or `i32`). Elements of any kind; parameters of
    /// quantized ones must not vary along the axis.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %i = const {data=[0,-1,2]} : i64[3]
    /// %y = gather %x, %i {axis=1} : f32[2,3]
    /// ```
    pub struct Gather {
        /// The axis of `x`, from 0.
        axis: u32 = 0,
    }
}
operands! { Gather as GatherView { x: One, indices: One } }
impl OpDef for Gather {
    const NAMES: &'static [&'static str] = &["gather"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (ty, indices) = (x.ty(0)?, x.ty(1)?);
        let axis = check::axis("gather", self.axis, ty)?;
        check::plain("gather", "`indices`", indices, &[Storage::I64, Storage::I32])?;
        let added = indices.rank();
        let elem = moved::elem("gather", &ty.elem, |a| match a.cmp(&axis) {
            std::cmp::Ordering::Less => Some(a),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(a + added - 1),
        })?;
        let (before, after) = (&ty.shape.0[..axis], &ty.shape.0[axis + 1..]);
        one(Type::new(elem, Shape([before, &indices.shape.0, after].concat())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let (t, indices) = (x.tensor(0)?, x.tensor(1)?.ints()?);
        let (outer, len, inner) = moved::around(&t.shape, self.axis as usize)?;
        let places: Result<Vec<usize>, Reason> = indices
            .into_iter()
            .map(|i| {
                let from_start = if i < 0 { i.saturating_add(len as i64) } else { i };
                usize::try_from(from_start).ok().filter(|&i| i < len).ok_or_else(|| {
                    Reason::new(format!("index {i} lies outside axis {} of length {len}", self.axis))
                })
            })
            .collect();
        let places = places?;
        let rows = (0..outer).flat_map(|o| places.iter().map(move |i| o * len + i));
        one(moved::pick(t, &x.out(0)?.elem, &x.shape(0)?, inner, rows)?)
    }
}
