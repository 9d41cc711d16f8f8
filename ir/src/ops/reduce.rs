//! `mean`, `sum`, `amax`, `amin`, `prod`, `l1`, `l2`, `sum_square`.

use crate::diag::Reason;
use crate::ops::elementwise::Strided;
use crate::ops::operand::{axes, float, recheck, reduced, store};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

/// What a reduction computes; in the order of the op's names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Reduction {
    Mean,
    Sum,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
}
impl Reduction {
    /// All of them.
    pub const ALL: [Reduction; 8] = [
        Reduction::Mean,
        Reduction::Sum,
        Reduction::Max,
        Reduction::Min,
        Reduction::Prod,
        Reduction::L1,
        Reduction::L2,
        Reduction::SumSquare,
    ];
}

attrs! {
    /// Reduces over axes: their mean, sum, largest, smallest, product, sum of magnitudes, root of the sum of squares, sum
    /// of squares (ONNX `ReduceMean`, …).
    ///
    /// Floating-point elements, reduced in `f32`, or `i32` and `i64`, which wrap; a mean or root of integers is cut to an
    /// integer. Each result starts from the neutral element and takes its elements in row-major order; a mean is then
    /// divided by their number. NaN wins `amax` and `amin`. Without axes every element is reduced by itself.
    ///
    /// ```qir
    /// input %x: f32[1,8,4,4]
    /// %y = mean %x {axes=[2,3]} : f32[1,8]
    /// ```
    pub struct Reduce {
        @hidden /// Which reduction; the name says it.
        kind: Reduction = Reduction::Mean;
        /// The axes, each at most once.
        axes: Vec<u32>,
        /// Whether reduced axes stay, with length 1.
        keep: bool = false,
    }
}
operands! { Reduce as ReduceView { x: One } }
impl OpDef for Reduce {
    const NAMES: &'static [&'static str] = &["mean", "sum", "amax", "amin", "prod", "l1", "l2", "sum_square"];
    fn name(&self) -> &'static str {
        Self::NAMES[self.kind as usize]
    }
    fn named(mut self, name: &str) -> Self {
        self.kind =
            Reduction::ALL.into_iter().find(|k| Self::NAMES[*k as usize] == name).unwrap_or(Reduction::Mean);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        if !matches!(input.elem.storage(), Storage::I32 | Storage::I64) || input.elem.quant().is_some() {
            float(self.name(), "input", input, (self.kind == Reduction::Mean).then_some("qmean"))?;
        }
        let on = axes(self.name(), &self.axes, input)?;
        one(input.with_shape(reduced(&input.shape, &on, self.keep)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let on = axes(self.name(), &self.axes, &input.ty())?;
        let count: usize = input.shape.iter().zip(&on).filter(|(_, on)| **on).map(|(d, _)| d).product();
        if !input.elem.is_float() {
            let range = input.storage().int_range().ok_or("integers are expected")?;
            let data = self.ints(&mut targets(&input.shape, &on).zip(input.ints()?), &shape, count, range)?;
            return one(Tensor::from_ints(input.elem.clone(), &shape, &data)?);
        }
        let data =
            self.floats(&mut targets(&input.shape, &on).zip(input.floats()?.iter().copied()), &shape, count);
        one(store(&input.elem, &shape, data)?)
    }
}

impl Reduce {
    fn floats(&self, x: &mut dyn Iterator<Item = (usize, f32)>, shape: &[usize], count: usize) -> Vec<f32> {
        let start = match self.kind {
            Reduction::Max => f32::NEG_INFINITY,
            Reduction::Min => f32::INFINITY,
            Reduction::Prod => 1.0,
            _ => 0.0,
        };
        let mut acc = vec![start; shape.iter().product()];
        for (to, v) in x {
            let a = &mut acc[to];
            match self.kind {
                Reduction::Mean | Reduction::Sum => *a += v,
                Reduction::Prod => *a *= v,
                Reduction::L1 => *a += v.abs(),
                Reduction::L2 | Reduction::SumSquare => *a += v * v,
                Reduction::Max if v > *a || v.is_nan() => *a = v,
                Reduction::Min if v < *a || v.is_nan() => *a = v,
                Reduction::Max | Reduction::Min => {}
            }
        }
        match self.kind {
            Reduction::Mean => acc.iter_mut().for_each(|a| *a /= count as f32),
            Reduction::L2 => acc.iter_mut().for_each(|a| *a = a.sqrt()),
            _ => {}
        }
        acc
    }

    fn ints(
        &self,
        x: &mut dyn Iterator<Item = (usize, i64)>,
        shape: &[usize],
        count: usize,
        (least, most): (i64, i64),
    ) -> Result<Vec<i64>, Reason> {
        let start = match self.kind {
            Reduction::Max => least,
            Reduction::Min => most,
            Reduction::Prod => 1,
            _ => 0,
        };
        // Wrapping arithmetic in 64 bits, cut to 32, is wrapping arithmetic in 32 bits.
        let cut = |v: i64| if most == i64::from(i32::MAX) { i64::from(v as i32) } else { v };
        let mut acc = vec![start; shape.iter().product()];
        for (to, v) in x {
            let a = &mut acc[to];
            *a = match self.kind {
                Reduction::Mean | Reduction::Sum => a.wrapping_add(v),
                Reduction::Prod => a.wrapping_mul(v),
                Reduction::L1 => a.wrapping_add(v.wrapping_abs()),
                Reduction::L2 | Reduction::SumSquare => a.wrapping_add(v.wrapping_mul(v)),
                Reduction::Max => v.max(*a),
                Reduction::Min => v.min(*a),
            };
        }
        let count = count as i64;
        for a in &mut acc {
            *a = cut(match self.kind {
                Reduction::Mean => a.checked_div(count).ok_or("the mean of no integers is not defined")?,
                Reduction::L2 => libm::sqrt(*a as f64) as i64,
                _ => *a,
            });
        }
        Ok(acc)
    }
}

/// For each element of `shape` in row-major order, the number of the result element that it is reduced into.
pub(crate) fn targets(shape: &[usize], on: &[bool]) -> Strided {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for i in (0..shape.len()).rev().filter(|&i| !on[i]) {
        strides[i] = stride;
        stride *= shape[i];
    }
    Strided::new(shape, strides)
}
