//! `qmean`, `qavg_pool`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::grid::Grid;
use crate::ops::integer::{Output, centred, params, store};
use crate::ops::operand::{axes, declared_per_tensor, per_tensor, recheck, reduced};
use crate::ops::pool::planes;
use crate::ops::reduce::targets;
use crate::ops::window::{Windows, pool_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Mean over axes of quantized x, requantized to the declared type.
    ///
    /// Both have one scale and at most 16 bits. `clamp(rne(f32(Σ (x − zero_x)) · m) + zero_y)`, the sum in wrapping `i32`, with
    /// `m = scale_x / (scale_y · count)` in double precision, rounded to `f32` once. Where the axes are the last ones, the
    /// zero point is added before rounding, `clamp(rne(f32(Σ (x − zero_x)) · m + zero_y))`, so that ties go to even
    /// integers of the result: that is what PyTorch does.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,8,4,4]
    /// %y = qmean %x {axes=[2,3]} : u8!y[1,8]
    /// ```
    pub struct Qmean {
        /// The axes, each at most once.
        axes: Vec<u32>,
        /// Whether reduced axes stay, with length 1.
        keep: bool = false,
    }
}
operands! { Qmean as QmeanView { x: One } }
impl OpDef for Qmean {
    const NAMES: &'static [&'static str] = &["qmean"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("qmean", "input", input)?;
        let yq = declared_per_tensor("qmean", x)?;
        let on = axes("qmean", &self.axes, input)?;
        one(Type::new(Elem::Quant(yq.clone()), reduced(&input.shape, &on, self.keep)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let on = axes("qmean", &self.axes, &input.ty())?;
        let mut sums = vec![0i32; x.shape(0)?.iter().product()];
        for (to, v) in targets(&input.shape, &on).zip(centred(input)?) {
            sums[to] = sums[to].wrapping_add(v);
        }
        let count: usize = input.shape.iter().zip(&on).filter(|(_, on)| **on).map(|(d, _)| d).product();
        let out = Output::new(x, &Act::None)?;
        let m = mean_factor(params(&input.elem)?.1, out.scale, count);
        let trailing = is_trailing(&on);
        store(
            x,
            sums.into_iter()
                .map(|s| if trailing { out.place(s as f32 * m) } else { out.round(s as f32 * m) }),
        )
    }
}

attrs! {
    /// Mean of each window of quantized x, requantized to the declared type; windows as of [`AvgPool`](crate::ops::AvgPool).
    ///
    /// The arithmetic is that of [`Qmean`], with the number of elements that `avg_pool` divides by.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,3,8,8]
    /// %y = qavg_pool %x {kernel=2, stride=2} : u8!y[1,3,4,4]
    /// ```
    pub struct QavgPool {
        /// Size of the window, at least 1.
        kernel: PerAxis,
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Elements of real value 0 before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Whether the number of windows rounds up.
        ceil: bool = false,
        /// Whether padding counts as zeros.
        count_pad: bool = false,
    }
}
operands! { QavgPool as QavgPoolView { x: One } }
impl OpDef for QavgPool {
    const NAMES: &'static [&'static str] = &["qavg_pool"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        per_tensor("qavg_pool", "input", input)?;
        let yq = declared_per_tensor("qavg_pool", x)?;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        let shape = pool_shape("qavg_pool", input, &self.kernel, &by)?;
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let rank = shape.len() - 2;
        let by =
            Windows { stride: &self.stride, pad: &self.pad, dilation: &PerAxis::all(1), ceil: self.ceil };
        let grid = Grid::new(&input.shape[2..], &shape[2..], &self.kernel.get(rank), &by);
        let out = Output::new(x, &Act::None)?;
        let scale = params(&input.elem)?.1;
        let factors: Vec<f32> = grid
            .counts(self.count_pad)
            .into_iter()
            .map(|n| mean_factor(scale, out.scale, n.max(1)))
            .collect();
        let data = planes(&grid, &centred(input)?, |p| {
            let mut sums = grid.fold(p, 0, i32::wrapping_add);
            sums.iter_mut().zip(&factors).for_each(|(s, m)| *s = out.round(*s as f32 * m));
            sums
        });
        store(x, data.into_iter())
    }
}

/// Whether the flagged axes are the last ones.
fn is_trailing(on: &[bool]) -> bool {
    on.iter().skip_while(|on| !**on).all(|on| *on)
}

/// `x_scale / (y_scale · count)` in double precision, rounded to `f32` once: the factor of a sum of `count`.
pub fn mean_factor(x_scale: f32, y_scale: f32, count: usize) -> f32 {
    (f64::from(x_scale) / (f64::from(y_scale) * count as f64)) as f32
}
