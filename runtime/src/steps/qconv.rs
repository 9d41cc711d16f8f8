//! `qconv` and `qlinear`.

use std::ops::Range;

use quantir_ir::attr::{Pads, PerAxis};
use quantir_ir::ops::{Act, Op};
use quantir_ir::{Reason, Tensor, quant};

use super::quantized::{factor, output_range, per_tensor, unsigned, unsigned_zero};
use super::{Built, Io, Kernel, Operand, Site, shape};
use crate::isa::Isa;
use crate::kernels::{PackedConv, PackedGemm, Requant};
use crate::par::Par;

/// Multiply-accumulates that cost as much as one simple operation.
const MACS: usize = 64;

struct Conv {
    batch: usize,
    inner: PackedConv,
}

impl Kernel for Conv {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x = io.ins[0];
        let (rows, row_len) = (self.inner.rows(), self.inner.row_len());
        let g = self.inner.geometry();
        let cost = g.macs() / rows.max(1) / MACS + row_len / 8;
        let run = |range: Range<usize>, out: &mut [u8], scratch: &mut [u8]| {
            let mut at = range.start;
            while at < range.end {
                let image = at / rows;
                let end = range.end.min((image + 1) * rows);
                let part = &mut out[(at - range.start) * row_len..(end - range.start) * row_len];
                let x = &x[image * g.input_len()..(image + 1) * g.input_len()];
                self.inner.run(x, part, scratch, at - image * rows..end - image * rows);
                at = end;
            }
        };
        let scratch = (io.scratch, self.inner.scratch_bytes());
        io.par.rows(self.batch * rows, row_len, cost, io.outs[0], scratch, &run);
        Ok(())
    }
    fn scratch(&self, threads: usize) -> usize {
        self.inner.scratch_bytes() * Par::leaves(threads)
    }
    fn isa(&self) -> Option<Isa> {
        Some(self.inner.isa())
    }
}

/// Bias, multipliers and output range, and the zero points of the weight.
fn requant(
    x: &Operand,
    (w, channels): (&Tensor, usize),
    bias: Option<&Tensor>,
    y: &Operand,
    act: &Act,
) -> Result<(Requant, Vec<i32>), String> {
    let (x_scale, _) = per_tensor(&x.shaped)?;
    let (y_scale, _) = per_tensor(&y.shaped)?;
    let wq = w.quant().ok_or("a quantized weight is expected")?;
    // Transposed convolutions have one scale for each channel of a group.
    let count = wq.count().ok_or("dynamic parameters are not known here")?.max(1);
    let product = |c: usize| x_scale * wq.scale(c % count);
    let out = output_range(&y.shaped, act)?;
    let mult: Result<Vec<f32>, String> = (0..channels).map(|c| factor(product(c), y_scale, &out)).collect();
    let (mut ints, mut offset) = (Vec::new(), Vec::new());
    match bias {
        Some(b) if b.quant().is_some() => ints = b.data::<i32>().map_err(|r| r.message)?.into_owned(),
        Some(b) => {
            let b = b.floats().map_err(|r| r.message)?;
            let each = wq.axis().is_some();
            offset = b.iter().enumerate().map(|(c, &b)| quant::bias_steps(b, product(c), each)).collect();
        }
        None => {}
    }
    let zeros: Vec<i32> = (0..channels).map(|c| wq.zero(c % count)).collect();
    let zeros = if zeros.iter().all(|&z| z == 0) { Vec::new() } else { zeros };
    Ok((Requant { bias: ints, offset, mult: mult?, out }, zeros))
}

/// Builds `qconv1d`, `qconv2d`, `qconv3d`.
pub(super) fn conv(site: &Site) -> Result<Built, String> {
    let Op::Qconv(op) = site.op else { return Err("expected `qconv`".into()) };
    let (x, w, y) = (site.operand(0)?, site.constant(1)?, site.out(0)?);
    let by = (&op.stride, &op.pad, &op.dilation);
    let g = shape::conv(x.dims(), &w.shape, by, op.groups as usize)?;
    let (requant, zeros) = requant(x, (w, w.shape[0]), site.maybe_constant(2)?, y, &op.act)?;
    let weights = w.data::<i8>().map_err(|r| r.message)?;
    let inner = PackedConv::new(site.isa, g, &weights, unsigned_zero(&x.shaped)?, &zeros, &requant)
        .map_err(|e| e.to_string())?;
    unsigned(site.isa, Conv { batch: x.dims()[0], inner }, &[x], &[0], false)
}

/// A transposed convolution: the convolution with the mirrored kernel over the input spread out by the stride.
struct Transposed {
    inner: Conv,
    /// Spatial extents of the input.
    input: [usize; 3],
    /// Distance of its elements in the spread image.
    step: [usize; 3],
    /// Bytes of an element.
    channels: usize,
    zero: u8,
}

impl Transposed {
    fn spread(&self) -> [usize; 3] {
        std::array::from_fn(|i| (self.input[i] - 1) * self.step[i] + 1)
    }
    fn bytes(&self) -> usize {
        self.inner.batch * self.spread().iter().product::<usize>() * self.channels
    }
}

impl Kernel for Transposed {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (image, scratch) = io.scratch.split_at_mut(self.bytes().next_multiple_of(64));
        let image = &mut image[..self.bytes()];
        image.fill(self.zero);
        let [_, height, width] = self.spread();
        let (plane, c) = (self.input.iter().product::<usize>(), self.channels);
        for (i, x) in io.ins[0].chunks_exact(c).enumerate() {
            let (sample, at) = (i / plane, i % plane);
            let d = at / (self.input[1] * self.input[2]) * self.step[0];
            let h = at / self.input[2] % self.input[1] * self.step[1];
            let w = at % self.input[2] * self.step[2];
            let to = sample * self.bytes() / self.inner.batch + ((d * height + h) * width + w) * c;
            image[to..to + c].copy_from_slice(x);
        }
        io.ins[0] = image;
        self.inner.run(Io { scratch, ..io })
    }
    fn scratch(&self, threads: usize) -> usize {
        self.bytes().next_multiple_of(64) + self.inner.scratch(threads)
    }
    fn isa(&self) -> Option<Isa> {
        self.inner.isa()
    }
}

/// Builds `qconv_transpose1d`, `qconv_transpose2d`, `qconv_transpose3d`.
pub(super) fn transposed(site: &Site) -> Result<Built, String> {
    let Op::QconvTranspose(op) = site.op else { return Err("expected `qconv_transpose`".into()) };
    let (x, w, y) = (site.operand(0)?, site.constant(1)?, site.out(0)?);
    let (dims, groups) = (x.dims(), op.groups as usize);
    if dims.contains(&0) || w.shape.contains(&0) {
        return Err("an operand is empty".into());
    }
    let rank = dims.len() - 2;
    let (depth, width, taps) = (w.shape[0] / groups, w.shape[1], w.shape[2..].iter().product::<usize>());
    let mut spread = dims[..2].to_vec();
    let mut pads = Vec::new();
    for i in 0..rank {
        spread.push((dims[i + 2] - 1) * op.stride.at(i) + 1);
        let reach = op.dilation.at(i) * (w.shape[i + 2] - 1);
        let (before, after) = op.pad.at(i);
        let (begin, end) = (reach.checked_sub(before), (reach + op.out_pad.at(i)).checked_sub(after));
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err("the padding cuts off more than the kernel reaches".into());
        };
        pads.push((begin as u32, end as u32));
    }
    // `[C,O/groups,*K]` to `[O,C/groups,*K]`, kernel positions in reverse.
    let from = w.data::<i8>().map_err(|r| r.message)?;
    let outputs = width * groups;
    let mut weights = vec![0; from.len()];
    for (o, row) in weights.chunks_exact_mut(depth * taps).enumerate() {
        for (i, to) in row.iter_mut().enumerate() {
            let channel = o / width * depth + i / taps;
            *to = from[(channel * width + o % width) * taps + taps - 1 - i % taps];
        }
    }
    let shape = [&[outputs, depth], &w.shape[2..]].concat();
    let g = shape::conv(&spread, &shape, (&PerAxis::all(1), &Pads::of(&pads), &op.dilation), groups)?;
    let (requant, zeros) = requant(x, (w, outputs), site.maybe_constant(2)?, y, &op.act)?;
    let zero = unsigned_zero(&x.shaped)?;
    let inner = PackedConv::new(site.isa, g, &weights, zero, &zeros, &requant).map_err(|e| e.to_string())?;
    let three = |fill: usize, at: &dyn Fn(usize) -> usize| -> [usize; 3] {
        std::array::from_fn(|i| if i + rank < 3 { fill } else { at(i + rank - 3) })
    };
    let kernel = Transposed {
        inner: Conv { batch: dims[0], inner },
        input: three(1, &|i| dims[i + 2]),
        step: three(1, &|i| op.stride.at(i)),
        channels: dims[1],
        zero: zero as u8,
    };
    unsigned(site.isa, kernel, &[x], &[0], false)
}

struct Linear {
    rows: usize,
    inner: PackedGemm,
}

impl Kernel for Linear {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x = io.ins[0];
        let (n, k) = (self.inner.n(), self.inner.k());
        io.par.rows_of(self.rows, n, n * k / MACS + n / 8, io.outs[0], &|rows, out| {
            self.inner.run(&x[rows.start * k..], k, rows.len(), out, n);
        });
        Ok(())
    }
    fn isa(&self) -> Option<Isa> {
        Some(self.inner.isa())
    }
}

/// Builds `qlinear`.
pub(super) fn linear(site: &Site) -> Result<Built, String> {
    let Op::Qlinear(op) = site.op else { return Err("expected `qlinear`".into()) };
    let (x, w, y) = (site.operand(0)?, site.constant(1)?, site.out(0)?);
    let (n, k) = (w.shape[0], w.shape[1]);
    let (requant, zeros) = requant(x, (w, w.shape[0]), site.maybe_constant(2)?, y, &op.act)?;
    let weights = w.data::<i8>().map_err(|r| r.message)?;
    let inner = PackedGemm::new(site.isa, &weights, n, k, unsigned_zero(&x.shaped)?, &zeros, &requant)
        .map_err(|e| e.to_string())?;
    let rows = x.dims()[..x.dims().len() - 1].iter().product();
    unsigned(site.isa, Linear { rows, inner }, &[x], &[0], false)
}
