//! `where`.

use crate::diag::Reason;
use crate::ops::elementwise::Strided;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// `a` where `cond` holds, else `b`; operands broadcast.
    ///
    /// `cond` is `bool`; `a` and `b` have equal elements of any kind; quantized ones share one scale.
    ///
    /// ```qir
    /// input %c: bool[2,3]
    /// input %a: f32[3]
    /// input %b: f32[2,1]
    /// %y = where %c, %a, %b : f32[2,3]
    /// ```
    pub struct Where {
    }
}
operands! { Where as WhereView { cond: One, a: One, b: One } }
impl OpDef for Where {
    const NAMES: &'static [&'static str] = &["where"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (cond, a, b) = (x.ty(0)?, x.ty(1)?, x.ty(2)?);
        check::plain("where", "the condition", cond, &[Storage::Bool])?;
        check::same_elem("where", a, b)?;
        let elem = moved::elem("where", &a.elem, |_| None)?;
        one(Type::new(elem, check::broadcast("where", &[&cond.shape, &a.shape, &b.shape])?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let shape = x.shape(0)?;
        let (cond, a, b) = (x.tensor(0)?, x.tensor(1)?, x.tensor(2)?);
        let test = cond.data::<u8>()?;
        let width = a.storage().bytes();
        let mut out = Vec::new();
        let places = Strided::spread(&a.shape, &shape)?.zip(Strided::spread(&b.shape, &shape)?);
        for (c, (i, j)) in Strided::spread(&cond.shape, &shape)?.zip(places) {
            let (t, i) = if test[c] != 0 { (a, i) } else { (b, j) };
            out.extend_from_slice(&t.bytes()[i * width..(i + 1) * width]);
        }
        one(Tensor::from_bytes(x.out(0)?.elem.clone(), &shape, out.into())?)
    }
}
