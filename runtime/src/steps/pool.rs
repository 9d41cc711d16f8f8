//! Pools and means over windows, of floats and of bytes.

use quantir_ir::Reason;
use quantir_ir::attr::{Pads, PerAxis};
use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{Act, Op};

use super::quantized::{is_signed, output_range, per_tensor, unsigned, unsigned_zero};
use super::{Built, Io, Kernel, Operand, Site, shape};
use crate::isa::Isa;
use crate::kernels::float::pool::{PoolKind, row};
use crate::kernels::pool::{Average, PoolGeometry, max_pool};
use crate::par::Par;

/// What is computed of each window.
enum Of {
    Float(PoolKind),
    /// The largest byte.
    Largest,
    Average(Average),
}

struct Pool {
    isa: Isa,
    batch: usize,
    geometry: PoolGeometry,
    of: Of,
}

impl Pool {
    fn split<T: bytemuck::Pod + Send + Sync>(
        &self,
        x: &[T],
        out: &mut [T],
        par: Par,
        f: impl Fn(&[T], std::ops::Range<usize>, &mut [T]) + Sync,
    ) {
        let g = &self.geometry;
        let (rows, row_len, image) = (g.rows(), g.row_len(), g.input_len());
        let cost = row_len * g.kernel.iter().product::<usize>();
        par.rows_of(self.batch * rows, row_len, cost, out, &|range, out| {
            let mut at = range.start;
            while at < range.end {
                let n = at / rows;
                let end = range.end.min((n + 1) * rows);
                let part = &mut out[(at - range.start) * row_len..(end - range.start) * row_len];
                f(&x[n * image..(n + 1) * image], at - n * rows..end - n * rows, part);
                at = end;
            }
        });
    }
}

impl Kernel for Pool {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (g, isa) = (&self.geometry, self.isa);
        match &self.of {
            Of::Float(kind) => {
                let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
                let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
                self.split(x, out, io.par, |x, rows, out| {
                    for (r, out) in rows.zip(out.chunks_exact_mut(g.row_len().max(1))) {
                        row(isa, *kind, g, x, r, out);
                    }
                });
            }
            Of::Largest => {
                self.split(io.ins[0], io.outs[0], io.par, |x, rows, out| max_pool(isa, g, x, out, rows));
            }
            Of::Average(a) => {
                self.split(io.ins[0], io.outs[0], io.par, |x, rows, out| a.run(isa, g, x, out, rows));
            }
        }
        Ok(())
    }
}

fn step(site: &Site, x: &Operand, geometry: PoolGeometry, of: Of) -> Result<Built, String> {
    let flip = matches!(of, Of::Largest) && is_signed(&x.shaped);
    let pool = Pool { isa: site.isa, batch: x.dims()[0], geometry, of };
    unsigned(site.isa, pool, &[x], &[0], flip)
}

/// Builds `max_pool` of floats or bytes.
pub(super) fn max(site: &Site) -> Result<Built, String> {
    let Op::MaxPool(op) = site.op else { return Err("expected `max_pool`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let g = shape::pool(x.dims(), y.dims(), &op.kernel, (&op.stride, &op.pad, &op.dilation))?;
    let of = match x.shaped.elem.is_float() {
        true => Of::Float(PoolKind::Max),
        false => {
            // A window that lies in padding altogether gives the least integer of the range, not 0.
            let least =
                x.shaped.elem.quant().map_or(0, |q| q.range.0) + if is_signed(&x.shaped) { 128 } else { 0 };
            let outside = |i: usize| g.pad_begin[i] >= span(&g, i) || g.pad_end[i] >= span(&g, i);
            if least != 0 && ((0..3).any(outside) || (0..3).any(|i| g.dilation[i] > 1)) {
                return Err("a window may lie in padding altogether".into());
            }
            Of::Largest
        }
    };
    step(site, x, g, of)
}

fn span(g: &PoolGeometry, axis: usize) -> usize {
    (g.kernel[axis] - 1) * g.dilation[axis] + 1
}

/// Builds `avg_pool` of floats.
pub(super) fn average(site: &Site) -> Result<Built, String> {
    let Op::AvgPool(op) = site.op else { return Err("expected `avg_pool`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let g = shape::pool(x.dims(), y.dims(), &op.kernel, (&op.stride, &op.pad, &PerAxis::all(1)))?;
    step(site, x, g, Of::Float(if op.count_pad { PoolKind::MeanPadded } else { PoolKind::Mean }))
}

/// Builds `qavg_pool`.
pub(super) fn quantized_average(site: &Site) -> Result<Built, String> {
    let Op::QavgPool(op) = site.op else { return Err("expected `qavg_pool`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let g = shape::pool(x.dims(), y.dims(), &op.kernel, (&op.stride, &op.pad, &PerAxis::all(1)))?;
    let of = averaging(x, y, op.count_pad, false)?;
    step(site, x, g, of)
}

fn averaging(x: &Operand, y: &Operand, count_padding: bool, zero_inside: bool) -> Result<Of, String> {
    let (x_scale, _) = per_tensor(&x.shaped)?;
    let x_zero = unsigned_zero(&x.shaped)?;
    let (y_scale, _) = per_tensor(&y.shaped)?;
    let out = output_range(&y.shaped, &Act::None)?;
    Ok(Of::Average(Average { x_zero, x_scale, y_scale, count_padding, zero_inside, out }))
}

/// The window over all spatial axes of x, if `axes` are these.
fn global(x: &Operand, axes: &[u32]) -> Result<PoolGeometry, String> {
    let rank = x.dims().len();
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !(3..=5).contains(&rank) || !sorted.iter().map(|&a| a as usize).eq(2..rank) {
        return Err("only means over all spatial axes have a kernel".into());
    }
    let one = vec![1; rank - 2];
    let dims = [&x.dims()[..2], &one].concat();
    let kernel: Vec<u32> = x.dims()[2..].iter().map(|&d| d as u32).collect();
    let all = PerAxis::all(1);
    shape::pool(x.dims(), &dims, &PerAxis::of(&kernel), (&all, &Pads::none(), &all))
}

/// Builds `mean` and `amax` over the spatial axes.
pub(super) fn reduce(site: &Site) -> Result<Built, String> {
    let Op::Reduce(op) = site.op else { return Err("expected a reduction".into()) };
    let x = site.operand(0)?;
    let kind = match op.kind {
        Reduction::Mean => PoolKind::Mean,
        Reduction::Max => PoolKind::Max,
        _ => return Err("only `mean` and `amax` have a kernel".into()),
    };
    let g = global(x, &op.axes)?;
    step(site, x, g, Of::Float(kind))
}

/// Builds `qmean` over the spatial axes.
pub(super) fn quantized_mean(site: &Site) -> Result<Built, String> {
    let Op::Qmean(op) = site.op else { return Err("expected `qmean`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    // The spatial axes are the last ones.
    let of = averaging(x, y, false, true)?;
    let g = global(x, &op.axes)?;
    step(site, x, g, of)
}
