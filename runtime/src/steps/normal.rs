//! Softmax, layer normalization and reductions of row-major floats.

use quantir_ir::Reason;
use quantir_ir::ops::Op;
use quantir_ir::ops::reduce::Reduction;

use super::{Built, Io, Kernel, Site};
use crate::isa::Isa;
use crate::kernels::float::normal::{self, Term};

struct Softmax {
    isa: Isa,
    len: usize,
}

impl Kernel for Softmax {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let len = self.len;
        io.par.rows_of(out.len() / len.max(1), len, len * 4, out, &|range, out| {
            normal::softmax(self.isa, len, &x[range.start * len..range.end * len], out);
        });
        Ok(())
    }
}

/// Builds `softmax` along the last axis that is longer than 1.
pub(super) fn softmax(site: &Site) -> Result<Built, String> {
    let Op::Softmax(op) = site.op else { return Err("expected `softmax`".into()) };
    let x = site.operand(0)?;
    let axis = op.axis as usize;
    if x.dims()[axis + 1..].iter().product::<usize>() != 1 {
        return Err("only the last axis has a kernel".into());
    }
    Built::kernel(Softmax { isa: site.isa, len: x.dims()[axis] }, &[0])
}

struct LayerNorm {
    isa: Isa,
    len: usize,
    eps: f32,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Kernel for LayerNorm {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let len = self.len;
        io.par.rows_of(out.len() / len.max(1), len, len * 2, out, &|range, out| {
            let x = &x[range.start * len..range.end * len];
            normal::layer_norm(self.isa, len, self.eps, &self.gamma, &self.beta, x, out);
        });
        Ok(())
    }
}

/// Builds `layer_norm` with constant parameters.
pub(super) fn layer_norm(site: &Site) -> Result<Built, String> {
    let Op::LayerNorm(op) = site.op else { return Err("expected `layer_norm`".into()) };
    let x = site.operand(0)?;
    let len: usize = x.dims()[op.axis as usize..].iter().product();
    let floats = |i: usize| match site.maybe_constant(i)? {
        Some(t) => Ok::<_, String>(t.floats().map_err(|r| r.message)?.into_owned()),
        None => Ok(Vec::new()),
    };
    let (gamma, beta) = (floats(1)?, floats(2)?);
    Built::kernel(LayerNorm { isa: site.isa, len, eps: op.eps.0, gamma, beta }, &[0])
}

/// A reduction over neighbouring axes.
struct Reduce {
    isa: Isa,
    term: Term,
    /// Elements before, along and after the axes.
    outer: usize,
    len: usize,
    inner: usize,
}

impl Kernel for Reduce {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let Reduce { isa, term, outer, len, inner } = *self;
        let block = len * inner;
        io.par.rows_of(outer, inner, block, out, &|range, out| {
            let x = &x[range.start * block..range.end * block];
            if inner == 1 {
                normal::reduce_rows(isa, term, len, x, out);
            } else {
                for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
                    normal::reduce_columns(isa, term, len, &x[i * block..][..block], out);
                }
            }
        });
        Ok(())
    }
}

/// Builds a reduction over neighbouring axes of a row-major value.
pub(super) fn reduce(site: &Site) -> Result<Built, String> {
    let Op::Reduce(op) = site.op else { return Err("expected a reduction".into()) };
    let term = match op.kind {
        Reduction::Mean => Term::Mean,
        Reduction::Sum => Term::Sum,
        Reduction::Max => Term::Max,
        Reduction::Min => Term::Min,
        Reduction::L1 => Term::L1,
        Reduction::L2 => Term::L2,
        Reduction::SumSquare => Term::SumSquare,
        Reduction::Prod => return Err("products have no kernel".into()),
    };
    let dims = site.operand(0)?.dims();
    let on = |axis: &usize| op.axes.contains(&(*axis as u32));
    // Axes of length 1 stand in nobody's way.
    let long: Vec<usize> = (0..dims.len()).filter(|&i| dims[i] != 1).collect();
    let first = long.iter().position(on).unwrap_or(long.len());
    let count = long[first..].iter().take_while(|i| on(i)).count();
    if long[first + count..].iter().any(on) {
        return Err("only neighbouring axes can be reduced".into());
    }
    let size = |axes: &[usize]| axes.iter().map(|&i| dims[i]).product();
    let (outer, len, inner) =
        (size(&long[..first]), size(&long[first..first + count]), size(&long[first + count..]));
    Built::kernel(Reduce { isa: site.isa, term, outer, len, inner }, &[0])
}
