//! `stack`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::operand::pass_through;
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Joins equal shapes along a new axis; quantized parts must share one quantization with one scale.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[2,3]
    /// %y = stack %a, %b {axis=1} : f32[2,2,3]
    /// ```
    pub struct Stack {
        /// The axis of the result, from 0.
        axis: u32,
    }
}
operands! { Stack as StackView { parts: Many } }
impl OpDef for Stack {
    const NAMES: &'static [&'static str] = &["stack"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let first = x.ty(0)?;
        pass_through("stack", "parts", first)?;
        let axis = self.axis as usize;
        if axis > first.rank() {
            return Err(Reason::new(format!(
                "`stack` names axis {axis} of a result of {} axes",
                first.rank() + 1
            )));
        }
        let mut shape = first.shape.0.clone();
        for i in 1..x.ins.len() {
            let ty = x.ty(i)?;
            check::same_elem("stack", first, ty)?;
            let bad =
                || Reason::new(format!("parts {} and {} of `stack` must be equal", first.shape, ty.shape));
            if ty.rank() != first.rank() {
                return Err(bad());
            }
            for (d, other) in shape.iter_mut().zip(&ty.shape.0) {
                *d = check::same(d, other).ok_or_else(bad)?;
            }
        }
        shape.insert(axis, Dim::from(x.ins.len()));
        one(first.with_shape(Shape(shape)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let shape = x.shape(0)?;
        let first = x.tensor(0)?;
        let outer: usize = first.shape.iter().take(self.axis as usize).product();
        let width = first.bytes().len() / outer.max(1);
        let mut out = Vec::new();
        for o in 0..outer {
            for i in 0..x.ins.len() {
                let t = x.tensor(i)?;
                if t.shape != first.shape {
                    return Err(Reason::new(format!("parts {:?} and {:?} differ", first.shape, t.shape)));
                }
                let run = t.bytes().get(o * width..(o + 1) * width);
                out.extend_from_slice(run.ok_or("the parts differ")?);
            }
        }
        one(Tensor::from_bytes(x.out(0)?.elem.clone(), &shape, out.into())?)
    }
}
