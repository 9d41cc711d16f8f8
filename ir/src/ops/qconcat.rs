//! `qconcat`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::integer::{Output, store};
use crate::ops::moved::around;
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::quantize::requantized;
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Joins quantized parts along an axis, each requantized to the declared type as by
    /// [`Requantize`](crate::ops::Requantize); parts of the same quantization are copied.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %a: u8!x[1,3,4,4]
    /// input %b: u8!y[1,5,4,4]
    /// %y = qconcat %a, %b {axis=1} : u8!y[1,8,4,4]
    /// ```
    pub struct Qconcat {
        /// The axis along which parts follow each other.
        axis: u32,
    }
}
operands! { Qconcat as QconcatView { parts: Many } }
impl OpDef for Qconcat {
    const NAMES: &'static [&'static str] = &["qconcat"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let yq = declared_per_tensor("qconcat", x)?;
        let first = x.ty(0)?;
        let at = check::axis("qconcat", self.axis, first)?;
        let mut dims = first.shape.0.clone();
        for i in 0..x.ins.len() {
            let part = x.ty(i)?;
            per_tensor("qconcat", "operand", part)?;
            if i == 0 {
                continue;
            }
            if part.rank() != dims.len() {
                return Err(Reason::new(format!(
                    "operand {} is {part} but the first is {first}: both need the same number of dimensions",
                    i + 1
                )));
            }
            for (j, d) in dims.iter_mut().enumerate() {
                if j == at {
                    *d = d.add(&part.shape[j]);
                } else if let Some(both) = check::same(d, &part.shape[j]) {
                    // The same shape as that of `concat`, which lowering replaces.
                    *d = both;
                } else {
                    return Err(Reason::new(format!(
                        "operand {} is {part} but the first is {first}: they differ along axis {j}",
                        i + 1
                    )));
                }
            }
        }
        one(Type::new(Elem::Quant(yq.clone()), Shape(dims)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (out, to, shape) = (Output::new(x, &Act::None)?, x.out(0)?, x.shape(0)?);
        let (outer, ..) = around(&shape, self.axis as usize)?;
        let parts: Result<Vec<Vec<i32>>, Reason> =
            (0..x.ins.len()).map(|i| requantized(x.tensor(i)?, &out, to)).collect();
        let parts = parts?;
        let mut data = Vec::with_capacity(shape.iter().product());
        for i in 0..outer {
            for p in &parts {
                let run = p.len() / outer;
                data.extend_from_slice(&p[i * run..][..run]);
            }
        }
        store(x, data.into_iter())
    }
}
