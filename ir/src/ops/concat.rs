//! `concat`.

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef, check, moved, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Joins along an axis; quantized parts must share one quantization.
    ///
    /// Parts have equal elements of any kind and agree in every other dimension.
    ///
    /// ```qir
    /// input %a: f32[2,3]
    /// input %b: f32[2,1]
    /// %y = concat %a, %b {axis=1} : f32[2,4]
    /// ```
    pub struct Concat {
        /// The axis, from 0.
        axis: u32,
    }
}
operands! { Concat as ConcatView { parts: Many } }
impl OpDef for Concat {
    const NAMES: &'static [&'static str] = &["concat"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let first = x.ty(0)?;
        let axis = check::axis("concat", self.axis, first)?;
        let mut shape = first.shape.clone();
        for i in 1..x.ins.len() {
            let ty = x.ty(i)?;
            check::same_elem("concat", first, ty)?;
            let bad = |why: String| {
                Reason::new(format!("parts {} and {} of `concat` {why}", first.shape, ty.shape))
                    .help(format!("all dimensions but the one of axis {axis} must be equal"))
            };
            if ty.rank() != first.rank() {
                return Err(bad("have different ranks".into()));
            }
            for (a, d) in ty.shape.0.iter().enumerate() {
                shape.0[a] = match a == axis {
                    true => shape.0[a].add(d),
                    false => {
                        check::same(&shape.0[a], d).ok_or_else(|| bad(format!("differ along axis {a}")))?
                    }
                };
            }
        }
        let single = x.ins.len() == 1;
        let elem = moved::elem("concat", &first.elem, |a| (single || a != axis).then_some(a))?;
        one(Type::new(elem, shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let shape = x.shape(0)?;
        let (outer, _, inner) = moved::around(&shape, self.axis as usize)?;
        let mut out = Vec::new();
        for o in 0..outer {
            for i in 0..x.ins.len() {
                let t = x.tensor(i)?;
                let (_, len, other) = moved::around(&t.shape, self.axis as usize)?;
                if other != inner {
                    return Err(Reason::new(format!("part {:?} does not fit the result {shape:?}", t.shape)));
                }
                let width = len * inner * t.storage().bytes();
                let run = t.bytes().get(o * width..(o + 1) * width);
                out.extend_from_slice(run.ok_or("the parts differ in another dimension than the axis")?);
            }
        }
        one(Tensor::from_bytes(x.out(0)?.elem.clone(), &shape, out.into())?)
    }
}
