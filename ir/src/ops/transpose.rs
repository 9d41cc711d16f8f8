//! `transpose`.

use crate::diag::Reason;
use crate::ops::elementwise::Strided;
use crate::ops::{Eval, Infer, OpDef, moved, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Axis `i` of the result is axis `perm[i]` of x. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[1,3,8,4]
    /// %y = transpose %x {perm=[0,2,3,1]} : f32[1,8,4,3]
    /// ```
    pub struct Transpose {
        /// Every axis once.
        perm: Vec<u32>,
    }
}
operands! { Transpose as TransposeView { x: One } }
impl OpDef for Transpose {
    const NAMES: &'static [&'static str] = &["transpose"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().map(|&p| p as usize).eq(0..ty.rank()) {
            return Err(Reason::new(format!(
                "perm={:?} does not reorder the axes of {}",
                self.perm, ty.shape
            ))
            .help(format!("each of the axes 0 to {} must occur once", ty.rank().saturating_sub(1))));
        }
        let elem = moved::elem("transpose", &ty.elem, |a| self.perm.iter().position(|&p| p as usize == a))?;
        one(Type::new(elem, Shape(self.perm.iter().map(|&p| ty.shape.0[p as usize].clone()).collect())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let t = x.tensor(0)?;
        let shape = x.shape(0)?;
        let mut strides = vec![1; t.rank()];
        for a in (1..t.rank()).rev() {
            strides[a - 1] = strides[a] * t.shape[a];
        }
        let steps: Option<Vec<usize>> = self.perm.iter().map(|&p| strides.get(p as usize).copied()).collect();
        let steps = steps.ok_or("the permutation does not fit the operand")?;
        one(moved::pick(t, &x.out(0)?.elem, &shape, 1, Strided::new(&shape, steps))?)
    }
}
