//! Conversions: `quantize`, `dequantize`, and every function of one byte as a table.

use std::ops::Range;

use quantir_ir::ops::{Act, Op};
use quantir_ir::{Reason, Storage, Tensor, quant};

use super::quantized::{is_signed, output_range, per_tensor};
use super::{Built, Io, Kernel, Operand, Site};
use crate::isa::Isa;
use crate::kernels::OutputRange;
use crate::kernels::lut::{lookup, lookup_in_place};
use crate::kernels::quantize::{dequantize, dequantize_signed, quantize};
use crate::par::Par;
use crate::plan::{Layout, Shaped};

struct Quantize {
    isa: Isa,
    inv: f32,
    out: OutputRange,
    /// Channels and elements of a channel, if the result is channels-last and x is not.
    relayout: Option<(usize, usize)>,
}

/// Pixels that are quantized and interleaved at a time.
const PIXELS: usize = 256;

impl Quantize {
    /// Quantizes pixels `range` of images that are channels-first into pixels that are channels-last.
    fn interleave(
        &self,
        x: &[f32],
        (channels, area): (usize, usize),
        range: Range<usize>,
        out: &mut [u8],
        rows: &mut [u8],
    ) {
        let mut at = range.start;
        while at < range.end {
            let (image, first) = (at / area, at % area);
            let count = PIXELS.min(area - first).min(range.end - at);
            let block = &mut out[(at - range.start) * channels..][..count * channels];
            for (c, row) in rows.chunks_exact_mut(PIXELS).enumerate().take(channels) {
                let x = &x[(image * channels + c) * area + first..][..count];
                quantize(self.isa, x, self.inv, &self.out, &mut row[..count]);
            }
            if channels == 3 {
                let (r, rest) = rows.split_at(PIXELS);
                let (g, b) = rest.split_at(PIXELS);
                for (((out, &r), &g), &b) in block.chunks_exact_mut(3).zip(r).zip(g).zip(b) {
                    out.copy_from_slice(&[r, g, b]);
                }
            } else {
                for (c, row) in rows.chunks_exact(PIXELS).enumerate().take(channels) {
                    block[c..].iter_mut().step_by(channels).zip(row).for_each(|(o, &q)| *o = q);
                }
            }
            at += count;
        }
    }
}

impl Kernel for Quantize {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        match self.relayout {
            None => io.par.rows_of(x.len(), 1, 1, io.outs[0], &|range, out| {
                quantize(self.isa, &x[range], self.inv, &self.out, out);
            }),
            Some((channels, area)) => {
                let scratch = (io.scratch, channels * PIXELS);
                let run = |range: Range<usize>, out: &mut [u8], rows: &mut [u8]| {
                    self.interleave(x, (channels, area), range, out, rows);
                };
                io.par.rows(x.len() / channels, channels, channels * 2, io.outs[0], scratch, &run);
            }
        }
        Ok(())
    }
    fn scratch(&self, threads: usize) -> usize {
        self.relayout.map_or(0, |(channels, _)| channels * PIXELS * Par::leaves(threads))
    }
}

/// Builds `quantize` to bytes with one scale.
pub(super) fn to_bytes(site: &Site) -> Result<Built, String> {
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let (scale, _) = per_tensor(&y.shaped)?;
    let relayout = (x.layout != y.layout && !Layout::is_moot(y.dims()))
        .then(|| (x.dims()[1], x.dims()[2..].iter().product()));
    let out = output_range(&y.shaped, &Act::None)?;
    Built::kernel(Quantize { isa: site.isa, inv: 1.0 / scale, out, relayout }, &[0])
}

struct Dequantize {
    isa: Isa,
    scale: f32,
    zero: i32,
    signed: bool,
}

impl Kernel for Dequantize {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x = io.ins[0];
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        io.par.rows_of(x.len(), 1, 1, out, &|range, out| match self.signed {
            true => dequantize_signed(self.isa, bytemuck::cast_slice(&x[range]), self.scale, self.zero, out),
            false => dequantize(self.isa, &x[range], self.scale, self.zero, out),
        });
        Ok(())
    }
}

/// Builds `dequantize` of bytes with one scale.
pub(super) fn from_bytes(site: &Site) -> Result<Built, String> {
    let x = site.operand(0)?;
    let (scale, zero) = per_tensor(&x.shaped)?;
    Built::kernel(Dequantize { isa: site.isa, scale, zero, signed: is_signed(&x.shaped) }, &[0])
}

struct Table {
    isa: Isa,
    table: Box<[u8; 256]>,
}

impl Kernel for Table {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (isa, table) = (self.isa, &*self.table);
        let len = io.outs[0].len();
        if io.in_place {
            io.par.rows_of(len, 1, 1, io.outs[0], &|_, out| lookup_in_place(isa, table, out));
        } else {
            let x = io.ins[0];
            io.par.rows_of(len, 1, 1, io.outs[0], &|range, out| lookup(isa, table, &x[range], out));
        }
        Ok(())
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// The byte of the result for each byte of x, by a function of the integers.
fn tabulate(x: &Shaped, f: impl Fn(i32) -> i32) -> Box<[u8; 256]> {
    let signed = is_signed(x);
    Box::new(std::array::from_fn(|b| f(if signed { i32::from(b as u8 as i8) } else { b as i32 }) as u8))
}

/// Builds `qlut`.
pub(super) fn lut(site: &Site) -> Result<Built, String> {
    let (x, table) = (site.operand(0)?, site.constant(1)?);
    let least = if is_signed(&x.shaped) { -128 } else { 0 };
    let bytes = table.bytes();
    if bytes.len() != 256 {
        return Err("a table of 256 bytes is expected".into());
    }
    let table = tabulate(&x.shaped, |q| i32::from(bytes[(q - least) as usize]));
    Built::kernel(Table { isa: site.isa, table }, &[0])
}

/// The table that takes integers of one quantization to another; `None` if both are equal.
fn requantization(x: &Shaped, y: &Shaped) -> Result<Option<Box<[u8; 256]>>, String> {
    if x.elem == y.elem {
        return Ok(None);
    }
    let ((x_scale, x_zero), (y_scale, _)) = (per_tensor(x)?, per_tensor(y)?);
    let out = output_range(y, &Act::None)?;
    let inv = 1.0 / y_scale;
    let f = |q| quant::quantize((q - x_zero) as f32 * x_scale, inv, out.zero, out.lo, out.hi);
    Ok(Some(tabulate(x, f)))
}

/// Builds `requantize`.
pub(super) fn requantize(site: &Site) -> Result<Built, String> {
    let (x, y) = (site.operand(0)?, site.out(0)?);
    match requantization(&x.shaped, &y.shaped)? {
        None => Ok(Built::Alias(0)),
        Some(table) => Built::kernel(Table { isa: site.isa, table }, &[0]),
    }
}

/// Builds `relu` and `clip` of bytes with one scale, by the op itself on all 256 bytes.
pub(super) fn clamp(site: &Site) -> Result<Built, String> {
    use quantir_ir::ops::Eval;
    let x = site.operand(0)?;
    let elem = &x.shaped.elem;
    let all: Vec<u8> = (0..=255).collect();
    let ints = match elem.storage() {
        Storage::I8 => Tensor::with_elem(elem.clone(), &[256], all.iter().map(|&b| b as i8).collect()),
        _ => Tensor::with_elem(elem.clone(), &[256], all),
    };
    let ints = ints.map_err(|r| r.message)?;
    let out = ints.ty();
    let result = site.op.eval(&Eval { ins: &[Some(&ints)], outs: &[out] }).map_err(|r| r.message)?;
    let bytes = result.first().ok_or("no result")?.bytes();
    let table = bytes[..].try_into().map_err(|_| "256 results are expected")?;
    Built::kernel(Table { isa: site.isa, table: Box::new(table) }, &[0])
}

/// Joins parts, each by a table of its own.
struct Concat {
    isa: Isa,
    outer: usize,
    parts: Vec<(usize, Option<Box<[u8; 256]>>)>,
}

impl Kernel for Concat {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let line: usize = self.parts.iter().map(|p| p.0).sum();
        let ins = &io.ins;
        io.par.rows_of(self.outer, line, line, io.outs[0], &|range, out| {
            for (i, out) in range.zip(out.chunks_exact_mut(line.max(1))) {
                let mut at = 0;
                for (x, (block, table)) in ins.iter().zip(&self.parts) {
                    let (x, out) = (&x[i * block..][..*block], &mut out[at..at + block]);
                    match table {
                        Some(table) => lookup(self.isa, table, x, out),
                        None => out.copy_from_slice(x),
                    }
                    at += block;
                }
            }
        });
        Ok(())
    }
}

/// Builds `qconcat`.
pub(super) fn concat(site: &Site) -> Result<Built, String> {
    let Op::Qconcat(op) = site.op else { return Err("expected `qconcat`".into()) };
    let y = site.out(0)?;
    let axis = y.layout.axis(op.axis as usize, y.dims().len());
    let outer = y.physical()[..axis].iter().product();
    let part = |x: &Operand| -> Result<_, String> {
        let block = x.physical()[axis..].iter().product();
        Ok((block, requantization(&x.shaped, &y.shaped)?))
    };
    let parts: Result<Vec<_>, String> = (0..site.ins.len()).map(|i| part(site.operand(i)?)).collect();
    let uses: Vec<usize> = (0..site.ins.len()).collect();
    Built::kernel(Concat { isa: site.isa, outer, parts: parts? }, &uses)
}
