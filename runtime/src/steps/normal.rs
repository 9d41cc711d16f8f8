//! Softmax and layer normalization over the innermost elements.

use quantir_ir::Reason;
use quantir_ir::ops::Op;

use super::{Built, Io, Kernel, Site};
use crate::kernels::float::map::compiled;
use crate::kernels::float::{Width, math};

struct Softmax {
    width: Width,
    len: usize,
}

impl Kernel for Softmax {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let len = self.len;
        io.par.rows_of(out.len() / len.max(1), len, len * 4, out, &|range, out| {
            for (row, out) in range.zip(out.chunks_exact_mut(len)) {
                let x = &x[row * len..][..len];
                compiled(self.width, || {
                    let max = fold(x, f32::NEG_INFINITY, |m, v| if v > m { v } else { m });
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = math::exp(x - max);
                    }
                    let inv = 1.0 / fold(out, 0.0, |s, v| s + v);
                    for out in out.iter_mut() {
                        *out *= inv;
                    }
                });
            }
        });
        Ok(())
    }
}

/// A fold in sixteen lanes, then of the lanes.
#[inline(always)]
fn fold(x: &[f32], init: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [init; 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (a, &v) in acc.iter_mut().zip(chunk) {
            *a = f(*a, v);
        }
    }
    let all = acc.into_iter().reduce(&f).unwrap_or(init);
    rest.iter().fold(all, |a, &v| f(a, v))
}

/// Builds `softmax` along the last axis.
pub(super) fn softmax(site: &Site) -> Result<Built, String> {
    let Op::Softmax(op) = site.op else { return Err("expected `softmax`".into()) };
    let x = site.operand(0)?;
    let axis = op.axis as usize;
    if x.dims()[axis + 1..].iter().product::<usize>() != 1 {
        return Err("only the last axis has a kernel".into());
    }
    Built::kernel(Softmax { width: Width::of(site.isa), len: x.dims()[axis] }, &[0])
}

struct LayerNorm {
    width: Width,
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
            for (row, out) in range.zip(out.chunks_exact_mut(len)) {
                let x = &x[row * len..][..len];
                compiled(self.width, || {
                    let n = len as f32;
                    let mean = fold(x, 0.0, |s, v| s + v) / n;
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = (x - mean) * (x - mean);
                    }
                    let inv = 1.0 / (fold(out, 0.0, |s, v| s + v) / n + self.eps).sqrt();
                    for (((out, &x), &g), &b) in out.iter_mut().zip(x).zip(&self.gamma).zip(&self.beta) {
                        *out = (x - mean) * inv * g + b;
                    }
                });
            }
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
    Built::kernel(LayerNorm { width: Width::of(site.isa), eps: op.eps.0, gamma, beta }, &[0])
}
