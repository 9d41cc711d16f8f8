//! `qconv` and `qlinear`.

use std::ops::Range;

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
    w: &Tensor,
    bias: Option<&Tensor>,
    y: &Operand,
    act: &Act,
) -> Result<(Requant, Vec<i32>), String> {
    let (x_scale, _) = per_tensor(&x.shaped)?;
    let (y_scale, _) = per_tensor(&y.shaped)?;
    let wq = w.quant().ok_or("a quantized weight is expected")?;
    let channels = w.shape[0];
    let product = |c: usize| x_scale * wq.scale(c);
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
    let zeros: Vec<i32> = (0..channels).map(|c| wq.zero(if wq.axis().is_some() { c } else { 0 })).collect();
    let zeros = if zeros.iter().all(|&z| z == 0) { Vec::new() } else { zeros };
    Ok((Requant { bias: ints, offset, mult: mult?, out }, zeros))
}

/// Builds `qconv1d`, `qconv2d`, `qconv3d`.
pub(super) fn conv(site: &Site) -> Result<Built, String> {
    let Op::Qconv(op) = site.op else { return Err("expected `qconv`".into()) };
    let (x, w, y) = (site.operand(0)?, site.constant(1)?, site.out(0)?);
    let by = (&op.stride, &op.pad, &op.dilation);
    let g = shape::conv(x.dims(), &w.shape, by, op.groups as usize)?;
    let (requant, zeros) = requant(x, w, site.maybe_constant(2)?, y, &op.act)?;
    let weights = w.data::<i8>().map_err(|r| r.message)?;
    let inner = PackedConv::new(site.isa, g, &weights, unsigned_zero(&x.shaped)?, &zeros, &requant)
        .map_err(|e| e.to_string())?;
    unsigned(site.isa, Conv { batch: x.dims()[0], inner }, &[x], &[0], false)
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
    let (requant, zeros) = requant(x, w, site.maybe_constant(2)?, y, &op.act)?;
    let weights = w.data::<i8>().map_err(|r| r.message)?;
    let inner = PackedGemm::new(site.isa, &weights, n, k, unsigned_zero(&x.shaped)?, &zeros, &requant)
        .map_err(|e| e.to_string())?;
    let rows = x.dims()[..x.dims().len() - 1].iter().product();
    unsigned(site.isa, Linear { rows, inner }, &[x], &[0], false)
}
