//! Elementwise evaluation: one operand, and two or three that broadcast.

use std::borrow::Cow;

use crate::diag::Reason;
use crate::ops::{Eval, Infer, check, one, operand};
use crate::tensor::{Scalar, Tensor, checked_numel};
use crate::types::Type;

/// The result of an op on one float operand.
pub(crate) fn infer_float(op: &str, x: &Infer) -> Result<Vec<Type>, Reason> {
    let ty = x.ty(0)?;
    check::float(op, "the operand", ty)?;
    one(ty.clone())
}

/// `f` of each element, computed in `f32`.
pub(crate) fn map_float(x: &Eval, f: impl Fn(f32) -> f32) -> Result<Vec<Tensor>, Reason> {
    let t = x.tensor(0)?;
    one(operand::store(&t.elem, &t.shape, t.floats()?.iter().map(|&v| f(v)).collect())?)
}

/// The elements `data` of `t` repeated to fill `shape`, in row-major order. Fails if `t` does not broadcast to it.
fn spread<'a, T: Copy>(t: &Tensor, data: Cow<'a, [T]>, shape: &[usize]) -> Result<Cow<'a, [T]>, Reason> {
    if t.shape == shape {
        return Ok(data);
    }
    let places = Strided::spread(&t.shape, shape)?;
    Ok(Cow::Owned(places.map(|i| data[i]).collect()))
}

/// For each element of a shape, in row-major order, the element of an operand that strides lead to.
pub(crate) struct Strided {
    shape: Vec<usize>,
    strides: Vec<usize>,
    at: Vec<usize>,
    flat: usize,
    left: usize,
}

impl Strided {
    /// Walks over `shape`, whose number of elements must fit `usize`.
    pub(crate) fn new(shape: &[usize], strides: Vec<usize>) -> Strided {
        let left = checked_numel(shape).unwrap_or(0);
        Strided { shape: shape.to_vec(), strides, at: vec![0; shape.len()], flat: 0, left }
    }

    /// Walks over `to`, to which an operand of shape `from` broadcasts. Fails if it does not.
    pub(crate) fn spread(from: &[usize], to: &[usize]) -> Result<Strided, Reason> {
        let fits =
            from.len() <= to.len() && from.iter().rev().zip(to.iter().rev()).all(|(&f, &t)| f == t || f == 1);
        if !fits {
            return Err(Reason::new(format!("{from:?} does not broadcast to {to:?}")));
        }
        let mut strides = vec![0; to.len()];
        let mut stride = 1;
        for (s, &f) in strides.iter_mut().rev().zip(from.iter().rev()) {
            *s = if f == 1 { 0 } else { stride };
            stride *= f;
        }
        Ok(Strided::new(to, strides))
    }
}

impl Iterator for Strided {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let now = self.flat;
        for a in (0..self.shape.len()).rev() {
            self.at[a] += 1;
            self.flat += self.strides[a];
            if self.at[a] < self.shape[a] {
                break;
            }
            self.flat -= self.strides[a] * self.shape[a];
            self.at[a] = 0;
        }
        Some(now)
    }
}

/// `f` of each pair of elements, both operands broadcast to the result.
pub(crate) fn zip<T: Scalar, R>(x: &Eval, f: impl Fn(T, T) -> Result<R, Reason>) -> Result<Vec<R>, Reason> {
    let shape = x.shape(0)?;
    let (a, b) = (x.tensor(0)?, x.tensor(1)?);
    let (a, b) = (spread(a, a.data::<T>()?, &shape)?, spread(b, b.data::<T>()?, &shape)?);
    a.iter().zip(b.iter()).map(|(&a, &b)| f(a, b)).collect()
}

/// As [`zip`] for floats of any storage, computed in `f32`.
pub(crate) fn zip_float<R>(x: &Eval, f: impl Fn(f32, f32) -> R) -> Result<Vec<R>, Reason> {
    let shape = x.shape(0)?;
    let (a, b) = (x.tensor(0)?, x.tensor(1)?);
    let (a, b) = (spread(a, a.floats()?, &shape)?, spread(b, b.floats()?, &shape)?);
    Ok(a.iter().zip(b.iter()).map(|(&a, &b)| f(a, b)).collect())
}
