//! `expand`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::elementwise::Strided;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Repeats axes of length 1, and adds axes in front, to fill a shape (numpy's `broadcast_to`).
    ///
    /// Elements of any kind; an axis along which quantization parameters vary must keep its length.
    ///
    /// ```qir
    /// input %x: f32[3,1]
    /// %y = expand %x {shape=[2,3,4]} : f32[2,3,4]
    /// ```
    pub struct Expand {
        /// The dimensions of the result; symbols are allowed.
        shape: Vec<Dim>,
    }
}
operands! { Expand as ExpandView { x: One } }
impl OpDef for Expand {
    const NAMES: &'static [&'static str] = &["expand"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::dims("expand", &self.shape)?;
        let added = self.shape.len().checked_sub(ty.rank());
        let clash = |d: &Dim, to: &Dim| !d.is(1) && check::same(d, to).is_none();
        let added = match added {
            Some(n) if !ty.shape.0.iter().zip(&self.shape[n..]).any(|(d, to)| clash(d, to)) => n,
            _ => {
                let shape = Shape(self.shape.clone());
                return Err(Reason::new(format!("{} does not expand to {shape}", ty.shape))
                    .help("aligned from the right, each dimension must be 1 or equal to that of the shape"));
            }
        };
        let elem = moved::elem("expand", &ty.elem, |a| {
            (ty.shape.0.get(a)? == self.shape.get(a + added)?).then_some(a + added)
        })?;
        one(Type::new(elem, Shape(self.shape.clone())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let (t, shape) = (x.tensor(0)?, x.shape(0)?);
        one(moved::pick(t, &x.out(0)?.elem, &shape, 1, Strided::spread(&t.shape, &shape)?)?)
    }
}
