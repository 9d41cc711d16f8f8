//! `cast`.

use half::{bf16, f16};

use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Converts plain elements to another storage.
    ///
    /// Floats to integers truncate towards zero and saturate, NaN becomes 0. Integers to narrower ones wrap.
    /// Anything but 0 becomes `true`. Numbers to floats round to nearest, ties to even.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = cast %x {to=i64} : i64[2,3]
    /// ```
    pub struct Cast {
        /// The storage of the result.
        to: Storage,
    }
}
operands! { Cast as CastView { x: One } }
impl OpDef for Cast {
    const NAMES: &'static [&'static str] = &["cast"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        check::plain("cast", "the operand", ty, &Storage::ALL)?;
        one(Type::new(Elem::Plain(self.to), ty.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(convert(x.tensor(0)?, self.to)?)
    }
}

/// Plain elements in another storage, by the rules of [`Cast`].
pub fn convert(t: &Tensor, to: Storage) -> Result<Tensor, Reason> {
    let (from, shape) = (t.storage(), &t.shape);
    if from == to {
        return Ok(t.clone());
    }
    if to.is_float() {
        // Integers go to `f32` in one rounding, and on from there.
        let data = t.floats()?;
        return match to {
            Storage::F16 => Tensor::new(shape, data.iter().map(|&x| f16::from_f32(x)).collect()),
            Storage::BF16 => Tensor::new(shape, data.iter().map(|&x| bf16::from_f32(x)).collect()),
            _ => Tensor::new(shape, data.into_owned()),
        };
    }
    if to == Storage::Bool {
        let data = match from.is_float() {
            true => t.floats()?.iter().map(|&x| x != 0.0).collect(),
            false => t.ints()?.iter().map(|&x| x != 0).collect(),
        };
        return Ok(Tensor::bools(shape, data));
    }
    let (lo, hi) = to.int_range().ok_or("this storage holds no integers")?;
    let data: Vec<i64> = match from.is_float() {
        true => t.floats()?.iter().map(|&x| (x as i64).clamp(lo, hi)).collect(),
        false => {
            let unused = 64 - bits(to);
            let wrap = |x: i64| match lo < 0 {
                true => (x << unused) >> unused,
                false => (((x as u64) << unused) >> unused) as i64,
            };
            t.ints()?.into_iter().map(wrap).collect()
        }
    };
    Tensor::from_ints(Elem::Plain(to), shape, &data)
}

/// Bits of an integer storage.
fn bits(s: Storage) -> u32 {
    match s {
        Storage::I4 | Storage::U4 => 4,
        _ => s.bytes() as u32 * 8,
    }
}
