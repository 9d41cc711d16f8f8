//! `conv1d`, `conv2d`, `conv3d`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::grid::{Grid, conv_sums};
use crate::ops::operand::{float, recheck, same_elem, store, vector};
use crate::ops::qconv::Qconv;
use crate::ops::window::{Windows, conv_shape};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// Convolution over 1 to 3 spatial axes: x `[N,C,*S]`, weight `[O,C/groups,*K]`, bias `[O]` (ONNX `Conv`, PyTorch
    /// `conv2d`).
    ///
    /// Result `[N,O,*T]` with `T = ⌊(S + before + after − (dilation·(K−1)+1)) / stride⌋ + 1`. Operands have one floating-point
    /// element type; arithmetic is in `f32`. Each output starts from 0 and adds `x·w` (multiplied, then added, each
    /// rounded) for the input channels of its group in order, within a channel for the kernel positions in row-major
    /// order; then comes the bias, then `act`. Positions in the padding are left out, which for finite weights is the
    /// same as adding zeros there.
    ///
    /// ```qir
    /// input %x: f32[1,4,8,8]
    /// input %w: f32[6,2,3,3]
    /// input %b: f32[6]
    /// %y = conv2d %x, %w, %b {stride=2, pad=1, groups=2, act=relu} : f32[1,6,4,4]
    /// ```
    pub struct Conv {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// Step between windows, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// Zeros before and after each spatial axis.
        pad: Pads = Pads::none(),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Groups of channels that do not see each other.
        groups: u32 = 1,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { Conv as ConvView { x: One, weight: One, bias: Maybe } }
impl Conv {
    /// Number of spatial axes.
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
}
impl OpDef for Conv {
    const NAMES: &'static [&'static str] = &["conv1d", "conv2d", "conv3d"];
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
        float(op, "input", input, Some(Qconv::NAMES[self.rank() - 1]))?;
        same_elem("weight", w, input)?;
        let shape = conv_shape(op, self.rank(), input, w, self.groups, &self.windows())?;
        if let Some(b) = x.opt(2) {
            same_elem("bias", b, input)?;
            vector("bias", b, &shape[1])?;
        }
        one(input.with_shape(shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let shape = x.shape(0)?;
        let grid = Grid::new(&input.shape[2..], &shape[2..], &w.shape[2..], &self.windows());
        let sizes = (shape[0], input.shape[1]);
        let outputs = (shape[1], self.groups as usize);
        let sums = conv_sums(&grid, sizes, outputs, &input.floats()?, &w.floats()?, |a, x, w| a + x * w);
        one(store(&input.elem, &shape, finish(x, &self.act, sums, shape[1], grid.outputs())?)?)
    }
}

/// Adds the bias, if there is one, to the sums of its channel, then applies the activation.
///
/// `sums` holds, for each index of `[_, channels]`, `area` consecutive sums.
pub(crate) fn finish(
    x: &Eval,
    act: &Act,
    mut sums: Vec<f32>,
    channels: usize,
    area: usize,
) -> Result<Vec<f32>, Reason> {
    if let Some(b) = x.opt(2) {
        let bias = b.floats()?;
        for (i, run) in sums.chunks_exact_mut(area.max(1)).enumerate() {
            run.iter_mut().for_each(|s| *s += bias[i % channels]);
        }
    }
    if *act != Act::None {
        sums.iter_mut().for_each(|s| *s = act.apply(*s));
    }
    Ok(sums)
}
