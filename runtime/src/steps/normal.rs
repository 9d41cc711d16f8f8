//! Softmax and layer normalization over the innermost elements.

use quantir_ir::Reason;
use quantir_ir::ops::Op;

use super::{Built, Io, Kernel, Site};
use crate::isa::Isa;
use crate::kernels::float::normal;

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

/// Builds `softmax` along the last axis.
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
    eps: f32,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Kernel for LayerNorm {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let len = self.gamma.len();
        io.par.rows_of(out.len() / len.max(1), len, len * 2, out, &|range, out| {
            let x = &x[range.start * len..range.end * len];
            normal::layer_norm(self.isa, self.eps, &self.gamma, &self.beta, x, out);
        });
        Ok(())
    }
}

/// Builds `layer_norm` with constant parameters.
pub(super) fn layer_norm(site: &Site) -> Result<Built, String> {
    let Op::LayerNorm(op) = site.op else { return Err("expected `layer_norm`".into()) };
    let x = site.operand(0)?;
    let len: usize = x.dims()[op.axis as usize..].iter().product();
    let floats = |i: usize, fill: f32| match site.maybe_constant(i)? {
        Some(t) => Ok::<_, String>(t.floats().map_err(|r| r.message)?.into_owned()),
        None => Ok(vec![fill; len]),
    };
    let (gamma, beta) = (floats(1, 1.0)?, floats(2, 0.0)?);
    Built::kernel(LayerNorm { isa: site.isa, eps: op.eps.0, gamma, beta }, &[0])
}
