//! `repeat`, `flip`, `roll`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::elementwise::Strided;
use crate::ops::operand::{axes, pass_through, recheck};
use crate::ops::{Eval, Infer, OpDef, moved, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Repeats the whole tensor along each axis (PyTorch `Tensor.repeat`); missing leading axes count as 1.
    ///
    /// Elements of any kind, quantized ones with one scale.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = repeat %x {times=[4,1,2]} : f32[4,2,6]
    /// ```
    pub struct Repeat {
        /// For each axis of the result; at least as many as the operand has axes.
        times: Vec<u32>,
    }
}
operands! { Repeat as RepeatView { x: One } }
impl OpDef for Repeat {
    const NAMES: &'static [&'static str] = &["repeat"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        pass_through("repeat", "input", ty)?;
        let Some(more) = self.times.len().checked_sub(ty.rank()) else {
            return Err(Reason::new(format!("{} repetitions for the axes of {ty}", self.times.len()))
                .help("give one for each axis"));
        };
        let dims = (0..more).map(|_| Dim::lit(1)).chain(ty.shape.0.iter().cloned());
        one(ty.with_shape(Shape(dims.zip(&self.times).map(|(d, &n)| d.mul_lit(n.into())).collect())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (t, shape) = (x.tensor(0)?, x.shape(0)?);
        let more = shape.len() - t.rank();
        // Each axis as (repetition, index within the operand), of which only the second moves within the operand.
        let (mut dims, mut strides) = (Vec::new(), Vec::new());
        for (a, &n) in self.times.iter().enumerate() {
            let len = a.checked_sub(more).map_or(1, |a| t.shape[a]);
            let stride = a.checked_sub(more).map_or(0, |a| t.shape[a + 1..].iter().product());
            dims.extend([n as usize, len]);
            strides.extend([0, stride]);
        }
        one(moved::pick(t, &x.out(0)?.elem, &shape, 1, Strided::new(&dims, strides))?)
    }
}

attrs! {
    /// Reverses the order along axes. Elements of any kind, quantized ones with one scale.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = flip %x {axes=[1]} : f32[2,3]
    /// ```
    pub struct Flip {
        /// The axes, from 0.
        axes: Vec<u32>,
    }
}
operands! { Flip as FlipView { x: One } }
impl OpDef for Flip {
    const NAMES: &'static [&'static str] = &["flip"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        pass_through("flip", "input", ty)?;
        axes("flip", &self.axes, ty)?;
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let on = axes("flip", &self.axes, x.out(0)?)?;
        rearranged(x, |a, i, len| if on[a] { len - 1 - i } else { i })
    }
}

attrs! {
    /// Moves elements along axes by `shifts`, those beyond the end to the start (PyTorch `torch.roll`).
    ///
    /// Elements of any kind, quantized ones with one scale.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = roll %x {axes=[1], shifts=[-1]} : f32[2,3]
    /// ```
    pub struct Roll {
        /// The axes, from 0.
        axes: Vec<u32>,
        /// For each of them the number of places; negative towards the start.
        shifts: Vec<i64>,
    }
}
operands! { Roll as RollView { x: One } }
impl OpDef for Roll {
    const NAMES: &'static [&'static str] = &["roll"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        pass_through("roll", "input", ty)?;
        axes("roll", &self.axes, ty)?;
        if self.axes.len() != self.shifts.len() {
            return Err(Reason::new(format!("{} shifts for {} axes", self.shifts.len(), self.axes.len())));
        }
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let mut shift = vec![0; x.tensor(0)?.rank()];
        self.axes.iter().zip(&self.shifts).for_each(|(&a, &s)| shift[a as usize] = s);
        rearranged(x, |a, i, len| (i as i128 - i128::from(shift[a])).rem_euclid(len.max(1) as i128) as usize)
    }
}

/// The element at `[i0, i1, …]` is the operand's at `[from(0, i0, len0), from(1, i1, len1), …]`.
fn rearranged(x: &Eval, from: impl Fn(usize, usize, usize) -> usize) -> Result<Vec<Tensor>, Reason> {
    let t = x.tensor(0)?;
    let places = (0..t.numel()).map(|flat| {
        let (mut rest, mut stride, mut place) = (flat, 1, 0);
        for a in (0..t.rank()).rev() {
            let len = t.shape[a];
            place += from(a, rest % len, len) * stride;
            (rest, stride) = (rest / len, stride * len);
        }
        place
    });
    one(moved::pick(t, &x.out(0)?.elem, &t.shape, 1, places)?)
}
