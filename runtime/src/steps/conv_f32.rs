//! Float convolutions: matrix products over gathered patches, and depthwise.
//!
//! A transposed convolution is cut into phases: outputs that are a whole number of strides apart see the same
//! kernel positions, so each phase is a convolution with a part of the kernel.

use std::ops::Range;

use quantir_ir::Reason;
use quantir_ir::ops::{Act, Op};

use super::{Built, Io, Kernel, Site, shape};
use crate::kernels::float::depthwise::DepthwiseF32;
use crate::kernels::float::{Clamp, PackedF32, Width, map};
use crate::par::Par;

/// How results are rounded.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    pub width: Width,
    /// Off for the interpreter's bits.
    pub fused: bool,
}

/// The bounds that the product applies, and what follows it.
pub(super) fn clamp_of(act: &Act) -> (Clamp, bool) {
    match act.bounds() {
        Some((lo, hi)) => (Clamp { lo, hi }, false),
        None => (Clamp::OPEN, true),
    }
}

/// Applies the activation that is no clamp.
pub(super) fn curve(width: Width, out: &mut [f32]) {
    map::map_in_place(width, out, map::HardSwish {});
}

/// Whether zeros may stand for padding: a weight that is no number would make a difference.
fn all_finite(weights: &[f32]) -> Result<(), String> {
    if weights.iter().all(|w| w.is_finite()) { Ok(()) } else { Err("a weight is not finite".into()) }
}

/// Where the patch of an output comes from: kernel position `t` of output `j` is input `j · step + taps[t]`.
struct Patches {
    input: [usize; 3],
    channels: usize,
    /// Channels of a group.
    depth: usize,
    step: [usize; 3],
    taps: Vec<[isize; 3]>,
    /// Channels outermost, as the interpreter sums; otherwise innermost, as they lie.
    by_channel: bool,
}

impl Patches {
    /// Numbers in a patch.
    fn len(&self) -> usize {
        self.taps.len() * self.depth
    }

    /// Fills `to` with the patch of the output at `at`, for the channels from `first`.
    fn fill(&self, x: &[f32], first: usize, at: [usize; 3], to: &mut [f32]) {
        let count = self.taps.len();
        for (t, tap) in self.taps.iter().enumerate() {
            let place = |axis: usize| (at[axis] * self.step[axis]).wrapping_add_signed(tap[axis]);
            let [d, h, w] = [place(0), place(1), place(2)];
            let inside = d < self.input[0] && h < self.input[1] && w < self.input[2];
            let pixel = if inside {
                ((d * self.input[1] + h) * self.input[2] + w) * self.channels + first
            } else {
                0
            };
            let x = if inside { &x[pixel..pixel + self.depth] } else { &[][..] };
            match (self.by_channel, inside) {
                (false, true) => to[t * self.depth..][..self.depth].copy_from_slice(x),
                (false, false) => to[t * self.depth..][..self.depth].fill(0.0),
                (true, true) => to[t..].iter_mut().step_by(count).zip(x).for_each(|(to, &x)| *to = x),
                (true, false) => to[t..].iter_mut().step_by(count).for_each(|to| *to = 0.0),
            }
        }
    }
}

/// Outputs that see the same kernel positions.
struct Phase {
    patches: Patches,
    /// Number of outputs along each axis, the place of the first one, and the distance to the next.
    count: [usize; 3],
    first: [usize; 3],
    every: usize,
    /// One for each group.
    weights: Vec<PackedF32>,
}

/// A convolution or transposed convolution of channels-last images.
struct ConvF32 {
    batch: usize,
    input_len: usize,
    outputs: usize,
    output: [usize; 3],
    phases: Vec<Phase>,
    /// Phases for each height, by depth: phases repeat with the strides.
    strides: [usize; 2],
    /// Whether the patch of an output is its pixel.
    pointwise: bool,
    rounding: Rounding,
    curved: bool,
    macs: usize,
}

/// Bytes of patches at a time.
const PATCH_BYTES: usize = 96 << 10;

impl ConvF32 {
    fn rows(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Outputs whose patches are gathered at a time.
    fn pixels(&self) -> usize {
        let len = self.phases.iter().map(|p| p.patches.len()).max().unwrap_or(0).max(1);
        (PATCH_BYTES / 4 / len / 12 * 12).clamp(12, 192)
    }

    fn scratch_len(&self) -> usize {
        if self.pointwise {
            return 0;
        }
        self.pixels() * self.phases.iter().map(|p| p.patches.len()).max().unwrap_or(0)
    }

    /// Output rows `rows` of the whole batch.
    fn range(&self, x: &[f32], rows: Range<usize>, out: &mut [f32], scratch: &mut [f32]) {
        let row_len = self.output[2] * self.outputs;
        if self.pointwise {
            let Some(weights) = self.phases.first().and_then(|p| p.weights.first()) else { return };
            let (k, pixels) = (weights.k(), rows.len() * self.output[2]);
            weights.run(&x[rows.start * self.output[2] * k..], k, pixels, out, self.outputs);
        } else {
            let mut row = rows.start;
            while row < rows.end {
                let image = row / self.rows();
                let last = rows.end.min((image + 1) * self.rows());
                let x = &x[image * self.input_len..][..self.input_len];
                let part = &mut out[(row - rows.start) * row_len..][..(last - row) * row_len];
                let inner = row - image * self.rows()..last - image * self.rows();
                self.image(x, inner, part, scratch);
                row = last;
            }
        }
        if self.curved {
            curve(self.rounding.width, out);
        }
    }

    /// Output rows of one image.
    fn image(&self, x: &[f32], rows: Range<usize>, out: &mut [f32], scratch: &mut [f32]) {
        let [_, height, width] = self.output;
        if let [phase] = &self.phases[..] {
            // Outputs are dense, so that patches may be gathered across rows.
            let at = |i: usize| {
                let row = rows.start + i / width;
                [row / height, row % height, i % width]
            };
            return self.run(phase, x, rows.len() * width, at, (0, self.outputs), out, scratch);
        }
        for row in rows.clone() {
            let (d, h) = (row / height, row % height);
            let line = &mut out[(row - rows.start) * width * self.outputs..][..width * self.outputs];
            let own = |p: &&Phase| p.first[0] == d % self.strides[0] && p.first[1] == h % self.strides[1];
            for phase in self.phases.iter().filter(own) {
                let (d, h) = (d / self.strides[0], h / self.strides[1]);
                let places = (phase.first[2] * self.outputs, phase.every * self.outputs);
                self.run(phase, x, phase.count[2], |i| [d, h, i], places, line, scratch);
            }
        }
    }

    /// `count` outputs of a phase: output `i`, whose patch is at `at(i)`, goes to `first + i · step` of `out`.
    #[allow(clippy::too_many_arguments)]
    fn run(
        &self,
        phase: &Phase,
        x: &[f32],
        count: usize,
        at: impl Fn(usize) -> [usize; 3],
        (first, step): (usize, usize),
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (len, block) = (phase.patches.len(), self.pixels());
        let mut done = 0;
        while done < count {
            let n = block.min(count - done);
            for (group, weights) in phase.weights.iter().enumerate() {
                for (i, to) in scratch.chunks_exact_mut(len.max(1)).enumerate().take(n) {
                    phase.patches.fill(x, group * phase.patches.depth, at(done + i), to);
                }
                let start = first + done * step + group * weights.n();
                weights.run(scratch, len, n, &mut out[start..], step);
            }
            done += n;
        }
    }
}

impl Kernel for ConvF32 {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let (rows, row_len) = (self.batch * self.rows(), self.output[2] * self.outputs);
        let cost = self.macs / self.rows().max(1) / 8;
        let scratch: &mut [f32] = bytemuck::cast_slice_mut(io.scratch);
        let run =
            |rows: Range<usize>, out: &mut [f32], scratch: &mut [f32]| self.range(x, rows, out, scratch);
        io.par.rows(rows, row_len, cost, out, (scratch, self.scratch_len()), &run);
        Ok(())
    }
    fn scratch(&self, threads: usize) -> usize {
        self.scratch_len() * 4 * Par::leaves(threads)
    }
}

/// A depthwise convolution of channels-last images.
struct Depthwise {
    batch: usize,
    inner: DepthwiseF32,
    rounding: Rounding,
    curved: bool,
}

impl Kernel for Depthwise {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let g = self.inner.geometry();
        let (rows, row_len) = (g.rows(), g.row_len());
        let cost = g.macs() / rows.max(1) / 4;
        io.par.rows_of(self.batch * rows, row_len, cost, out, &|range, out| {
            for (row, out) in range.zip(out.chunks_exact_mut(row_len)) {
                self.inner.row(&x[row / rows * g.input_len()..], row % rows, out);
            }
            if self.curved {
                curve(self.rounding.width, out);
            }
        });
        Ok(())
    }
}

/// Builds a convolution with fused multiply-add.
pub(super) fn fast(site: &Site) -> Result<Built, String> {
    conv(site, Rounding { width: Width::of(site.isa), fused: true })
}

/// Builds a convolution with the interpreter's bits.
pub(super) fn strict(site: &Site) -> Result<Built, String> {
    conv(site, Rounding { width: Width::of(site.isa), fused: false })
}

fn conv(site: &Site, rounding: Rounding) -> Result<Built, String> {
    let Op::Conv(op) = site.op else { return Err("expected a convolution".into()) };
    let (x, w) = (site.operand(0)?, site.constant(1)?);
    let by = (&op.stride, &op.pad, &op.dilation);
    let g = shape::conv(x.dims(), &w.shape, by, op.groups as usize)?;
    let weights = w.floats().map_err(|r| r.message)?;
    let bias = site.maybe_constant(2)?.map(|b| b.floats()).transpose().map_err(|r| r.message)?;
    let bias = bias.as_deref();
    all_finite(&weights)?;
    let (clamp, curved) = clamp_of(&op.act);
    let batch = x.dims()[0];
    if g.is_depthwise() {
        let Rounding { width, fused } = rounding;
        let inner = DepthwiseF32::new(width, fused, g, &weights, bias, clamp);
        return Built::kernel(Depthwise { batch, inner, rounding, curved }, &[0]);
    }
    let [kd, kh, kw] = g.kernel;
    let mut taps = Vec::with_capacity(kd * kh * kw);
    for t in 0..kd * kh * kw {
        let k = [t / (kh * kw), t / kw % kh, t % kw];
        taps.push(std::array::from_fn(|i| (k[i] * g.dilation[i]) as isize - g.pad_begin[i] as isize));
    }
    let all: Vec<usize> = (0..taps.len()).collect();
    let (depth, outputs) = (g.channels_in / g.groups, g.channels_out / g.groups);
    let patches = Patches {
        input: g.input,
        channels: g.channels_in,
        depth,
        step: g.stride,
        taps,
        by_channel: !rounding.fused,
    };
    let weight = |o: usize, c: usize, tap: usize| weights[(o * depth + c) * all.len() + tap];
    let packed = pack(&patches, &all, (g.groups, outputs), weight, bias, rounding, clamp);
    let pointwise = g.kernel == [1; 3] && g.stride == [1; 3] && !g.is_padded() && g.groups == 1;
    let phase = Phase { patches, count: g.output(), first: [0; 3], every: 1, weights: packed };
    let kernel = ConvF32 {
        batch,
        input_len: g.input_len(),
        outputs: g.channels_out,
        output: g.output(),
        phases: vec![phase],
        strides: [1; 2],
        pointwise,
        rounding,
        curved,
        macs: g.macs(),
    };
    Built::kernel(kernel, &[0])
}

/// The weights of each group in the order of the patches; `weight(output, channel of the group, kernel position)`.
fn pack(
    patches: &Patches,
    taps: &[usize],
    (groups, outputs): (usize, usize),
    weight: impl Fn(usize, usize, usize) -> f32,
    bias: Option<&[f32]>,
    Rounding { width, fused }: Rounding,
    clamp: Clamp,
) -> Vec<PackedF32> {
    let (depth, count) = (patches.depth, taps.len());
    let one = |group: usize| {
        let at = |o: usize, row: usize| match patches.by_channel {
            true => weight(group * outputs + o, row / count, taps[row % count]),
            false => weight(group * outputs + o, row % depth, taps[row / depth]),
        };
        let bias = bias.map(|b| &b[group * outputs..(group + 1) * outputs]);
        PackedF32::new(width, fused, (outputs, patches.len()), at, bias, clamp)
    };
    (0..groups).map(one).collect()
}

/// Builds a transposed convolution with fused multiply-add.
pub(super) fn transpose_fast(site: &Site) -> Result<Built, String> {
    transpose(site, Rounding { width: Width::of(site.isa), fused: true })
}

/// Builds a transposed convolution with the interpreter's bits.
pub(super) fn transpose_strict(site: &Site) -> Result<Built, String> {
    transpose(site, Rounding { width: Width::of(site.isa), fused: false })
}

fn transpose(site: &Site, rounding: Rounding) -> Result<Built, String> {
    let Op::ConvTranspose(op) = site.op else { return Err("expected a transposed convolution".into()) };
    let (x, w, y) = (site.operand(0)?, site.constant(1)?, site.out(0)?);
    let weights = w.floats().map_err(|r| r.message)?;
    let bias = site.maybe_constant(2)?.map(|b| b.floats()).transpose().map_err(|r| r.message)?;
    all_finite(&weights)?;
    let (clamp, curved) = clamp_of(&op.act);
    let rank = x.dims().len() - 2;
    let skip = 3 - rank;
    let three = |fill: usize, at: &dyn Fn(usize) -> usize| -> [usize; 3] {
        std::array::from_fn(|i| if i < skip { fill } else { at(i - skip) })
    };
    let input = three(1, &|i| x.dims()[i + 2]);
    let output = three(1, &|i| y.dims()[i + 2]);
    let kernel = three(1, &|i| w.shape[i + 2]);
    let stride = three(1, &|i| op.stride.at(i));
    let dilation = three(1, &|i| op.dilation.at(i));
    let pad = three(0, &|i| op.pad.at(i).0);
    let groups = op.groups as usize;
    let (channels, outputs) = (x.dims()[1], w.shape[1]);
    let depth = channels / groups;
    let all: usize = kernel.iter().product();
    let weight = |o: usize, c: usize, tap: usize| {
        let channel = o / outputs * depth + c;
        weights[(channel * outputs + o % outputs) * all + tap]
    };
    let mut phases = Vec::new();
    for p in 0..stride.iter().product() {
        let first = [p / (stride[1] * stride[2]), p / stride[2] % stride[1], p % stride[2]];
        if (0..3).any(|i| first[i] >= output[i]) {
            continue;
        }
        let (mut taps, mut numbers) = (Vec::new(), Vec::new());
        for t in 0..all {
            let k = [t / (kernel[1] * kernel[2]), t / kernel[2] % kernel[1], t % kernel[2]];
            // Output o sees input i at kernel position k if o + pad = i · stride + k · dilation.
            let from: [isize; 3] =
                std::array::from_fn(|i| (first[i] + pad[i]) as isize - (k[i] * dilation[i]) as isize);
            if (0..3).all(|i| from[i].rem_euclid(stride[i] as isize) == 0) {
                taps.push(std::array::from_fn(|i| from[i].div_euclid(stride[i] as isize)));
                numbers.push(t);
            }
        }
        let patches = Patches { input, channels, depth, step: [1; 3], taps, by_channel: !rounding.fused };
        let packed = pack(&patches, &numbers, (groups, outputs), weight, bias.as_deref(), rounding, clamp);
        let count = std::array::from_fn(|i| (output[i] - first[i]).div_ceil(stride[i]));
        phases.push(Phase { patches, count, first, every: stride[2], weights: packed });
    }
    let kernel = ConvF32 {
        batch: x.dims()[0],
        input_len: input.iter().product::<usize>() * channels,
        outputs: outputs * groups,
        output,
        phases,
        strides: [stride[0], stride[1]],
        pointwise: false,
        rounding,
        curved,
        macs: input.iter().product::<usize>() * channels * outputs * all,
    };
    Built::kernel(kernel, &[0])
}
