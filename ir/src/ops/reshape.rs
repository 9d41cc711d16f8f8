//! `reshape`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::{Tensor, checked_numel};
use crate::types::{Elem, Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// The same elements, in row-major order, in another shape of as many elements.
    ///
    /// Elements of any kind; an axis along which quantization parameters vary must survive.
    ///
    /// ```qir
    /// input %x: f32[2,3,4]
    /// %y = reshape %x {shape=[2,12]} : f32[2,12]
    /// ```
    pub struct Reshape {
        /// The dimensions of the result; symbols are allowed.
        shape: Vec<Dim>,
    }
}
operands! { Reshape as ReshapeView { x: One } }
impl OpDef for Reshape {
    const NAMES: &'static [&'static str] = &["reshape"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::dims("reshape", &self.shape)?;
        let shape = Shape(self.shape.clone());
        one(Type::new(reshaped("reshape", ty, &shape)?, shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(refill(x.tensor(0)?, &x.shape(0)?, &x.out(0)?.elem)?)
    }
}

/// The elements of `t` in another shape, which with symbols may turn out to have more or fewer.
pub(crate) fn refill(t: &Tensor, shape: &[usize], elem: &Elem) -> Result<Tensor, Reason> {
    if checked_numel(shape) != Some(t.numel()) {
        let (have, want) = (Shape::of(&t.shape), Shape::of(shape));
        return Err(Reason::new(format!("{have} has {} elements, which do not fill {want}", t.numel())));
    }
    t.reshape(shape)?.retype(elem.clone())
}

/// The element type of `ty`'s elements in another shape, which must have as many.
pub(crate) fn reshaped(op: &str, ty: &Type, shape: &Shape) -> Result<Elem, Reason> {
    let (have, want) = (ty.shape.numel(), shape.numel());
    if check::same(&have, &want).is_none() {
        return Err(Reason::new(format!("{} has {have} elements, but {shape} has {want}", ty.shape))
            .help("the number of elements must stay the same"));
    }
    let unchanged = *shape == ty.shape;
    moved::elem(op, &ty.elem, |a| {
        if unchanged {
            return Some(a);
        }
        let numel = |dims: &[Dim]| dims.iter().fold(Dim::lit(1), |n, d| n.mul(d));
        let (len, before) = (ty.shape.0.get(a)?, numel(ty.shape.0.get(..a)?));
        (0..shape.rank()).find(|&i| shape.0[i] == *len && numel(&shape.0[..i]) == before)
    })
}
