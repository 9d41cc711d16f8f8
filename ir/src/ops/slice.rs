//! `slice`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `start..end` by `step` along one axis. Elements of any kind.
    ///
    /// With a positive step `0 ≤ start ≤ end ≤ length`; a negative step walks from `start` down to above `end`,
    /// `−1 ≤ end ≤ start < length`. Negative indices do not count from the end.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = slice %x {axis=1, start=1, end=5, step=2} : f32[2,2]
    /// %z = slice %y {axis=1, start=1, end=-1, step=-1} : f32[2,2]
    /// ```
    pub struct Slice {
        /// The axis, from 0.
        axis: u32,
        /// The first index.
        start: Dim = Dim::lit(0),
        /// One past the last index in the direction of the step.
        end: Dim,
        /// Distance between indices; not 0.
        step: i64 = 1,
    }
}
operands! { Slice as SliceView { x: One } }
impl OpDef for Slice {
    const NAMES: &'static [&'static str] = &["slice"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let axis = check::axis("slice", self.axis, ty)?;
        let (start, end, len) = (&self.start, &self.end, &ty.shape.0[axis]);
        let Some(stride) = self.step.checked_abs().filter(|&s| s > 0) else {
            return Err(Reason::new(format!("`slice` cannot walk by step {}", self.step))
                .help("the step is any number but 0"));
        };
        let up = self.step > 0;
        let (first, last) = if up { (start, end) } else { (end, start) };
        let lowest = if up { 0 } else { -1 };
        let fits = check::at_most(&Dim::lit(lowest), first)
            && check::at_most(first, last)
            && check::at_most(last, &len.add_lit(lowest));
        if !fits {
            let r = Reason::new(format!(
                "`slice` from {start} to {end} by {} does not lie within axis {axis} of {}",
                self.step, ty.shape
            ));
            return Err(match up {
                true => r.help(format!("a positive step needs 0 ≤ start ≤ end ≤ {len}")),
                false => r.help(format!("a negative step needs -1 ≤ end ≤ start ≤ {}", len.add_lit(-1))),
            });
        }
        let contiguous = if self.step == 1 { start.as_lit().zip(end.as_lit()) } else { None };
        let elem = moved::sliced("slice", &ty.elem, axis, contiguous)?;
        let mut shape = ty.shape.clone();
        shape.0[axis] = last.sub(first).div_ceil(stride);
        one(Type::new(elem, shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        let (outer, len, inner) = moved::around(&t.shape, self.axis as usize)?;
        let (Some(start), Some(end)) = (self.start.as_lit(), self.end.as_lit()) else {
            return Err(Reason::new(format!("the bounds {} and {} are not known", self.start, self.end)));
        };
        let shape = x.shape(0)?;
        let count = shape.get(self.axis as usize).copied().unwrap_or(0);
        let at = |k: usize| {
            let i = (k as i64).checked_mul(self.step).and_then(|d| start.checked_add(d));
            i.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < len)
        };
        let places: Option<Vec<usize>> = (0..count).map(at).collect();
        let places = places.ok_or_else(|| {
            Reason::new(format!(
                "`slice` from {start} to {end} by {} leaves an axis of length {len}",
                self.step
            ))
        })?;
        let rows = (0..outer).flat_map(|o| places.iter().map(move |i| o * len + i));
        one(moved::pick(t, &x.out(0)?.elem, &shape, inner, rows)?)
    }
}
