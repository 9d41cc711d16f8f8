//! `cumsum`.

use crate::diag::Reason;
use crate::ops::moved::around;
use crate::ops::operand::{recheck, store};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Running sums along an axis, in order from 0; floats in `f32`, integers wrap.
    ///
    /// ```qir
    /// input %x: f32[2,5]
    /// %y = cumsum %x {axis=1} : f32[2,5]
    /// ```
    pub struct Cumsum {
        /// The axis, from 0.
        axis: u32,
        /// Whether an element's own value is left out of its sum.
        exclusive: bool = false,
        /// Whether sums run from the end.
        reverse: bool = false,
    }
}
operands! { Cumsum as CumsumView { x: One } }
impl OpDef for Cumsum {
    const NAMES: &'static [&'static str] = &["cumsum"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::plain("cumsum", "the operand", ty, &check::NUMBERS)?;
        check::axis("cumsum", self.axis, ty)?;
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let t = x.tensor(0)?;
        one(match t.storage() {
            Storage::I64 => Tensor::new(&t.shape, self.sums(t, &t.data()?, i64::wrapping_add)?)?,
            Storage::I32 => Tensor::new(&t.shape, self.sums(t, &t.data()?, i32::wrapping_add)?)?,
            _ => store(&t.elem, &t.shape, self.sums(t, &t.floats()?, |a: f32, b| a + b)?)?,
        })
    }
}

impl Cumsum {
    fn sums<T: Copy + Default>(
        &self,
        t: &Tensor,
        data: &[T],
        add: impl Fn(T, T) -> T,
    ) -> Result<Vec<T>, Reason> {
        let (_, len, inner) = around(&t.shape, self.axis as usize)?;
        let mut out = data.to_vec();
        for run in out.chunks_exact_mut((len * inner).max(1)) {
            for at in 0..inner {
                let mut sum = T::default();
                for i in 0..len {
                    let i = if self.reverse { len - 1 - i } else { i };
                    let slot = &mut run[i * inner + at];
                    let before = sum;
                    sum = add(sum, *slot);
                    *slot = if self.exclusive { before } else { sum };
                }
            }
        }
        Ok(out)
    }
}
