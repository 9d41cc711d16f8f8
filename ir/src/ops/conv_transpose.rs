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
    fn slots(&self) -> Slots<'_> {
        let by = Windows { stride: &self.stride, pad: &self.pad, dilation: &self.dilation, ceil: false };
        Slots { by, out_pad: &self.out_pad, groups: self.groups }
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
        let shape = self.slots().shape(op, rank, input, w)?;
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
        let sums =
            scatter_sums(&self.slots(), (input, w), &shape, &input.floats()?, &w.floats()?, |a, x, w| {
                a + x * w
            });
        let area = shape[2..].iter().product();
        one(store(&input.elem, &shape, finish(x, &self.act, sums, shape[1], area)?)?)
    }
}

/// Where the elements of the input go: what transposed convolutions of floats and of integers share.
pub(crate) struct Slots<'a> {
    pub by: Windows<'a>,
    pub out_pad: &'a PerAxis,
    pub groups: u32,
}

impl Slots<'_> {
    /// Result shape of x `[N,C,*S]` and w `[C,O/groups,*K]`.
    pub fn shape(&self, op: &str, rank: usize, input: &Type, w: &Type) -> Result<Shape, Reason> {
        check_rank(op, "input", input, rank)?;
        check_rank(op, "weight", w, rank)?;
        self.by.check(rank)?;
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
        Ok(Shape(dims))
    }

    /// Result size of spatial axis `i`.
    fn size(&self, i: usize, size: &Dim, kernel: &Dim) -> Result<Dim, Reason> {
        if size.as_lit().is_some_and(|n| n < 1) || kernel.as_lit().is_some_and(|k| k < 1) {
            return Err(Reason::new(format!("the input or the kernel is empty along spatial axis {i}")));
        }
        let (before, after) = self.by.pad.at(i);
        let out = size
            .add_lit(-1)
            .mul_lit(self.by.stride.at(i) as i64)
            .add(&kernel.add_lit(-1).mul_lit(self.by.dilation.at(i) as i64))
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

/// Accumulators of a transposed convolution with result `shape`, in the order of [`ConvTranspose`], from `T::default()`.
pub(crate) fn scatter_sums<T: Copy + Default>(
    slots: &Slots,
    (input, w): (&Tensor, &Tensor),
    shape: &[usize],
    data: &[T],
    kernel: &[T],
    madd: impl Fn(T, T, T) -> T + Copy,
) -> Vec<T> {
    // The grid of the convolution that this one reverses: its input is the result here.
    let grid = Grid::new(&shape[2..], &input.shape[2..], &w.shape[2..], &slots.by);
    let (plane, area, taps) = (grid.outputs(), grid.inputs(), grid.taps());
    let (channels, outputs, groups) = (input.shape[1], shape[1], slots.groups as usize);
    let (depth, width) = (channels / groups, outputs / groups);
    let mut sums = vec![T::default(); shape[0] * outputs * area];
    for (at, acc) in sums.chunks_exact_mut(area.max(1)).enumerate() {
        let (sample, o) = (at / outputs, at % outputs);
        for c in o / width * depth..(o / width + 1) * depth {
            let plane = &data[(sample * channels + c) * plane..][..plane];
            let kernel = &kernel[(c * width + o % width) * taps..][..taps];
            grid.scatter(acc, plane, kernel, madd);
        }
    }
    sums
}
