//! `max_pool`, `avg_pool`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::ops::grid::Grid;
use crate::ops::operand::{float, pass_through, recheck, store};
use crate::ops::window::{Windows, pool_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Largest element of each window over the spatial axes of `[N,C,*S]` (ONNX `MaxPool`).
    ///
    /// The result has as many windows as the convolution of the same attributes has outputs. With `ceil` the number of
    /// windows rounds up instead of down; a window that would start behind the input and the padding before it does not
    /// count. Padding never wins; a window that sees nothing else gives the smallest number. NaN wins. Any plain
    /// numbers, and quantized elements with one scale, whose integers are compared.
    ///
    /// ```qir
    /// input %x: f32[1,3,8,8]
    /// %y = max_pool %x {kernel=3, stride=2, pad=1} : f32[1,3,4,4]
    /// ```
    pub struct MaxPool {
        /// Size of the window, at least 1.
        kernel: PerAxis,
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Elements that never win before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Whether the number of windows rounds up.
        ceil: bool = false,
    }
}
operands! { MaxPool as MaxPoolView { x: One } }
impl OpDef for MaxPool {
    const NAMES: &'static [&'static str] = &["max_pool"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        pass_through("max_pool", "input", input)?;
        if input.elem == Elem::Plain(Storage::Bool) {
            return Err(Reason::new(format!("`max_pool` needs numbers, found {input}")));
        }
        let by = Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: self.ceil };
        one(input.with_shape(pool_shape("max_pool", input, &self.kernel, &by)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let rank = shape.len() - 2;
        let by = Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: self.ceil };
        let grid = Grid::new(&input.shape[2..], &shape[2..], &self.kernel.get(rank), &by);
        if input.elem.is_float() {
            let larger = |m: f32, v: f32| if v > m || v.is_nan() { v } else { m };
            let data = planes(&grid, &input.floats()?, |p| grid.fold(p, f32::NEG_INFINITY, larger));
            return one(store(&input.elem, &shape, data)?);
        }
        let least = match &input.elem {
            Elem::Quant(q) => q.range.0,
            Elem::Plain(s) => s.int_range().map_or(0, |r| r.0),
        };
        let data = planes(&grid, &input.ints()?, |p| grid.fold(p, least, i64::max));
        one(Tensor::from_ints(input.elem.clone(), &shape, &data)?)
    }
}

attrs! {
    /// Mean of each window over the spatial axes of `[N,C,*S]` (ONNX `AveragePool`).
    ///
    /// The number of windows is that of `max_pool`. The elements are added in `f32` from 0 in row-major order of the
    /// window, then divided by their number; with `count_pad` by the number of positions in the padded input, where
    /// positions behind its end, which `ceil` may reach, do not count.
    ///
    /// ```qir
    /// input %x: f32[1,3,8,8]
    /// %y = avg_pool %x {kernel=2, stride=2} : f32[1,3,4,4]
    /// ```
    pub struct AvgPool {
        /// Size of the window, at least 1.
        kernel: PerAxis,
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Zeros before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Whether the number of windows rounds up.
        ceil: bool = false,
        /// Whether padding counts as zeros.
        count_pad: bool = false,
    }
}
operands! { AvgPool as AvgPoolView { x: One } }
impl OpDef for AvgPool {
    const NAMES: &'static [&'static str] = &["avg_pool"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        float("avg_pool", "input", input, Some("qavg_pool"))?;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        one(input.with_shape(pool_shape("avg_pool", input, &self.kernel, &by)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let rank = shape.len() - 2;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        let grid = Grid::new(&input.shape[2..], &shape[2..], &self.kernel.get(rank), &by);
        let counts: Vec<f32> = grid.counts(self.count_pad).into_iter().map(|n| n.max(1) as f32).collect();
        let data = planes(&grid, &input.floats()?, |p| {
            let mut sums = grid.fold(p, 0.0, |s, v| s + v);
            sums.iter_mut().zip(&counts).for_each(|(s, n)| *s /= n);
            sums
        });
        one(store(&input.elem, &shape, data)?)
    }
}

/// `f` of each input plane, one after the other.
pub(crate) fn planes<T: Copy>(grid: &Grid, x: &[T], f: impl Fn(&[T]) -> Vec<T>) -> Vec<T> {
    x.chunks_exact(grid.inputs().max(1)).flat_map(f).collect()
}
