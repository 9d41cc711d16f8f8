//! `qconv1d`, `qconv2d`, `qconv3d`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::act::Act;
use crate::ops::grid::{Grid, conv_sums};
use crate::ops::integer::{centred, finish_sums};
use crate::ops::operand::{declared_per_tensor, per_tensor, product_bias, recheck, weight};
use crate::ops::window::{Windows, conv_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

attrs! {
    /// Convolution of quantized x and weight with exact i32 accumulation; bias has type `product(x, weight)`.
    pub struct Qconv {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// See the op.
        stride: PerAxis = PerAxis::all(1),
        /// See the op.
        pad: Pads = Pads::none(),
        /// See the op.
        dilation: PerAxis = PerAxis::all(1),
        /// See the op.
        groups: u32 = 1,
        /// See the op.
        act: Act = Act::None,
    }
}
operands! { Qconv as QconvView { x: One, weight: One, bias: Maybe } }
impl Qconv {
    /// Number of spatial axes.
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
}
impl OpDef for Qconv {
    const NAMES: &'static [&'static str] = &["qconv1d", "qconv2d", "qconv3d"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn name(&self) -> &'static str {
        Self::NAMES[self.rank() - 1]
    }
    fn named(mut self, name: &str) -> Self {
        self.rank = Self::NAMES.iter().position(|n| *n == name).map_or(2, |i| i as u8 + 1);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        let op = self.name();
        let xq = per_tensor(op, "input", input)?;
        let wq = weight(op, w)?;
        let yq = declared_per_tensor(op, x)?;
        let shape = conv_shape(op, self.rank(), input, w, self.groups, &self.windows())?;
        if let Some(b) = x.opt(2) {
            product_bias(b, xq, wq, &shape[1])?;
        }
        one(Type::new(Elem::Quant(yq.clone()), shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let shape = x.shape(0)?;
        let grid = Grid::new(&input.shape[2..], &shape[2..], &w.shape[2..], &self.windows());
        let sizes = (shape[0], input.shape[1]);
        let outputs = (shape[1], self.groups as usize);
        let sums =
            conv_sums(&grid, sizes, outputs, &centred(input)?, &centred(w)?, |a: i32, x: i32, w: i32| {
                a.wrapping_add(x.wrapping_mul(w))
            });
        finish_sums(x, &self.act, sums, shape[1], grid.outputs())
    }
}
