//! `conv_transpose1d`, `conv_transpose2d`, `conv_transpose3d`.

use crate::attr::Pads;
use crate::attr::PerAxis;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::act::Act;
use crate::ops::conv::finish;
use crate::ops::grid::Grid;
use crate::ops::operand::{agree, float, known, recheck, same_elem, store, vector};
use crate::ops::window::{Windows, check_rank, positive};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// Transposed convolution: x `[N,C,*S]`, weight `[C,O/groups,*K]`, bias `[O]` (ONNX `ConvTranspose`).
    ///
    /// Result `[N,O,*T]` with `T = (S−1)·stride + dilation·(K−1) + 1 + out_pad − before − after`: element `i` of the input
    /// adds `x·w` to position `i·stride + k·dilation − before`. Each output starts from 0 and adds its products for
    /// the input channels of its group in order, within a channel for the kernel positions in row-major order; then
    /// comes the bias, then `act`.
    ///
    /// ```qir
    /// input %x: f32[1,4,5,5]
    /// input %w: f32[4,3,3,3]
    /// %y = conv_transpose2d %x, %w {stride=2, pad=1, out_pad=1} : f32[1,3,10,10]
    /// ```
    pub struct ConvTranspose {
        @hidden /// Number of spatial axes, 1 to 3; the name says it.
        rank: u8 = 2;
        /// Step between the places that neighbouring inputs add to, at least 1.
        stride: PerAxis = PerAxis::all(1),
        /// What is cut off before and after each spatial axis of the result.
        pad: Pads = Pads::none(),
        /// What is added after each spatial axis of the result.
        out_pad: PerAxis = PerAxis::all(0),
        /// Step between the kernel's elements, at least 1.
        dilation: PerAxis = PerAxis::all(1),
        /// Groups of channels that do not see each other.
        groups: u32 = 1,
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { ConvTranspose as ConvTransposeView { x: One, weight: One, bias: Maybe } }
impl ConvTranspose {
    /// Number of spatial axes.
    fn rank(&self) -> usize {
        (self.rank as usize).clamp(1, 3)
    }
    fn windows(&self) -> Windows<'_> {
        Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false }
    }
    /// Result size of spatial axis `i`.
    fn size(&self, i: usize, size: &Dim, kernel: &Dim) -> Result<Dim, Reason> {
        if size.as_lit().is_some_and(|n| n < 1) || kernel.as_lit().is_some_and(|k| k < 1) {
            return Err(Reason::new(format!("the input or the kernel is empty along spatial axis {i}")));
        }
        let (before, after) = self.pad.at(i);
        let out = size
            .add_lit(-1)
            .mul_lit(self.stride.at(i) as i64)
            .add(&kernel.add_lit(-1).mul_lit(self.dilation.at(i) as i64))
            .add_lit(1 + self.out_pad.at(i) as i64)
            .add_lit(-(before as i64 + after as i64));
        if out.as_lit().is_some_and(|n| n < 1) {
            return Err(Reason::new(format!(
                "`pad` of {before} and {after} leaves nothing of the result along spatial axis {i}"
            )));
        }
        Ok(out)
    }
}
impl OpDef for ConvTranspose {
    const NAMES: &'static [&'static str] = &["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"];
    fn name(&self) -> &'static str {
        Self::NAMES[self.rank() - 1]
    }
    fn named(mut self, name: &str) -> Self {
        self.rank = Self::NAMES.iter().position(|n| *n == name).map_or(2, |i| i as u8 + 1);
        self
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        let (op, rank) = (self.name(), self.rank());
        float(op, "input", input, None)?;
        same_elem("weight", w, input)?;
        check_rank(op, "input", input, rank)?;
        check_rank(op, "weight", w, rank)?;
        self.windows().check(rank)?;
        self.out_pad.check("out_pad", rank)?;
        positive("groups", self.groups as usize)?;
        for i in 0..rank {
            positive("out_pad", self.out_pad.at(i).max(1))?;
        }
        if !agree(&input.shape[1], &w.shape[0]) {
            return Err(Reason::new(format!(
                "input has {} channels but the weight {w} expects {}",
                input.shape[1], w.shape[0]
            )));
        }
        let channels = known(&input.shape[1], &w.shape[0]);
        if channels.as_lit().is_some_and(|c| c % i64::from(self.groups) != 0) {
            return Err(Reason::new(format!(
                "the {channels} input channels do not divide into groups={}",
                self.groups
            )));
        }
        let mut dims = vec![input.shape[0].clone(), w.shape[1].mul_lit(self.groups.into())];
        for i in 0..rank {
            dims.push(self.size(i, &input.shape[i + 2], &w.shape[i + 2])?);
        }
        if let Some(b) = x.opt(2) {
            same_elem("bias", b, input)?;
            vector("bias", b, &dims[1])?;
        }
        one(input.with_shape(Shape(dims)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let shape = x.shape(0)?;
        // The grid of the convolution that this one reverses: its input is the result here.
        let grid = Grid::new(&shape[2..], &input.shape[2..], &w.shape[2..], &self.windows());
        let (plane, area, taps) = (grid.outputs(), grid.inputs(), grid.taps());
        let (channels, outputs) = (input.shape[1], shape[1]);
        let (depth, width) = (channels / self.groups as usize, outputs / self.groups as usize);
        let (data, kernel) = (input.floats()?, w.floats()?);
        let mut sums = vec![0.0; shape[0] * outputs * area];
        for (at, acc) in sums.chunks_exact_mut(area).enumerate() {
            let (sample, o) = (at / outputs, at % outputs);
            for c in o / width * depth..(o / width + 1) * depth {
                let plane = &data[(sample * channels + c) * plane..][..plane];
                let kernel = &kernel[(c * width + o % width) * taps..][..taps];
                grid.scatter(acc, plane, kernel, |a, x, w| a + x * w);
            }
        }
        one(store(&input.elem, &shape, finish(x, &self.act, sums, outputs, area)?)?)
    }
}
