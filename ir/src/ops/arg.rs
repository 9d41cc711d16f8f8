//! `argmax`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Index of the largest element along an axis, the first one of equals; a NaN counts as the largest.
    ///
    /// Floats, `i64`, `i32`, or quantized with one scale along the axis; the result is `i64`.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = argmax %x {axis=1} : i64[2]
    /// ```
    pub struct ArgMax {
        /// The axis, from 0.
        axis: u32,
        /// Whether the axis stays with length 1.
        keep: bool = false,
    }
}
operands! { ArgMax as ArgMaxView { x: One } }
impl OpDef for ArgMax {
    const NAMES: &'static [&'static str] = &["argmax"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let axis = check::axis("argmax", self.axis, ty)?;
        match &ty.elem {
            Elem::Plain(_) => check::plain("argmax", "the operand", ty, &check::NUMBERS)?,
            // Integers of one scale are in the order of the numbers that they stand for.
            Elem::Quant(_) => drop(moved::elem("argmax", &ty.elem, |a| (a != axis).then_some(a))?),
        }
        if ty.shape.0[axis].is(0) {
            return Err(Reason::new(format!(
                "axis {axis} of {} is empty, so nothing is the largest",
                ty.shape
            )));
        }
        let mut shape = ty.shape.clone();
        match self.keep {
            true => shape.0[axis] = Dim::lit(1),
            false => drop(shape.0.remove(axis)),
        }
        one(Type::new(Elem::I64, shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        let around = moved::around(&t.shape, self.axis as usize)?;
        let data = match t.storage() {
            s if s.is_float() => {
                let data = t.floats()?;
                first_best(around, |new, old| {
                    let (new, old) = (data[new], data[old]);
                    new > old || new.is_nan() && !old.is_nan()
                })
            }
            _ => {
                let data = t.ints()?;
                first_best(around, |new, old| data[new] > data[old])
            }
        };
        one(Tensor::new(&x.shape(0)?, data?)?)
    }
}

/// For each row along an axis, the index of the first element that no later one beats.
fn first_best(
    (outer, len, inner): (usize, usize, usize),
    beats: impl Fn(usize, usize) -> bool,
) -> Result<Vec<i64>, Reason> {
    if len == 0 {
        return Err(Reason::new("the axis is empty, so nothing is the largest"));
    }
    let mut out = Vec::with_capacity(outer * inner);
    for row in 0..outer * inner {
        let flat = |k: usize| (row / inner * len + k) * inner + row % inner;
        let best = (1..len).fold(0, |best, k| if beats(flat(k), flat(best)) { k } else { best });
        out.push(best as i64);
    }
    Ok(out)
}
