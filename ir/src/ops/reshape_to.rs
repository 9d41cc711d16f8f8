//! `reshape_to`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::reshape::{refill, reshaped};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// The same elements in the shape that an integer tensor holds, which the declared result type states.
    ///
    /// Becomes `reshape` when the shape is known. The run fails if the tensor holds another shape than declared;
    /// −1 in it stands for what remains, and 0 may stand for the dimension of x in the same place.
    ///
    /// ```qir
    /// input %x: f32[2,6]
    /// %s = const {data=[3,4]} : i64[2]
    /// %y = reshape_to %x, %s : f32[3,4]
    /// ```
    pub struct ReshapeTo {
    }
}
operands! { ReshapeTo as ReshapeToView { x: One, shape: One } }
impl OpDef for ReshapeTo {
    const NAMES: &'static [&'static str] = &["reshape_to"];
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Float);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (ty, shape, declared) = (x.ty(0)?, x.ty(1)?, x.declared(0)?);
        check::plain("reshape_to", "the shape", shape, &[Storage::I64, Storage::I32])?;
        let rank = declared.rank();
        if shape.rank() != 1 || shape.shape.0[0].as_lit().is_some_and(|n| n != rank as i64) {
            return Err(Reason::new(format!(
                "the shape operand is {shape}, but the result {} has rank {rank}",
                declared.shape
            ))
            .help(format!("declare a result of the rank that the operand says, or give an i64[{rank}]")));
        }
        check::dims("reshape_to", &declared.shape.0)?;
        let elem = reshaped("reshape_to", ty, &declared.shape)?;
        if elem != declared.elem {
            return Err(Reason::new(format!(
                "`reshape_to` keeps the elements of {ty}, but {declared} is declared"
            ))
            .help(format!("declare {}", Type::new(elem, declared.shape.clone()))));
        }
        one(declared.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let (shape, wanted, t) = (x.shape(0)?, x.tensor(1)?.ints()?, x.tensor(0)?);
        let fits = |(i, (&w, &s)): (usize, (&i64, &usize))| {
            w == s as i64 || w == -1 || w == 0 && t.shape.get(i) == Some(&s)
        };
        let agrees = wanted.len() == shape.len() && wanted.iter().zip(&shape).enumerate().all(fits);
        if !agrees {
            return Err(Reason::new(format!(
                "the shape operand holds {wanted:?}, but the result type says {shape:?}"
            )));
        }
        one(refill(t, &shape, &x.out(0)?.elem)?)
    }
}
