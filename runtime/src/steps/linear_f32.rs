//! Float matrix products: `linear` with packed weights, `matmul` with packed or computed ones.

use quantir_ir::Reason;
use quantir_ir::ops::Op;

use super::conv_f32::{Rounding, clamp_of, curve};
use super::{Built, Io, Kernel, Site};
use crate::kernels::float::gemm::{pack_rows, panels_len, product};
use crate::kernels::float::{Clamp, PackedF32, Width};

/// A product with constant weights.
struct LinearF32 {
    rows: usize,
    weights: PackedF32,
    rounding: Rounding,
    curved: bool,
}

impl Kernel for LinearF32 {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let (n, k) = (self.weights.n(), self.weights.k());
        if self.rows == 1 {
            // A single row is cut along its columns; all panels but the last are whole.
            let step = self.weights.panel();
            let whole = n / step;
            let (head, tail) = out.split_at_mut(whole * step);
            io.par.rows_of(whole, step, step * k / 8, head, &|panels, out| {
                self.weights.run_panels(x, panels, out);
            });
            if !tail.is_empty() {
                self.weights.run_panels(x, whole..whole + 1, tail);
            }
        } else {
            io.par.rows_of(self.rows, n, n * k / 8, out, &|rows, out| {
                self.weights.run(&x[rows.start * k..], k, rows.len(), out, n);
            });
        }
        if self.curved {
            curve(self.rounding.width, bytemuck::cast_slice_mut(io.outs[0]));
        }
        Ok(())
    }
}

/// Builds with fused multiply-add.
pub(super) fn fast(site: &Site) -> Result<Built, String> {
    linear(site, Rounding { width: Width::of(site.isa), fused: true })
}

/// Builds with the interpreter's bits.
pub(super) fn strict(site: &Site) -> Result<Built, String> {
    linear(site, Rounding { width: Width::of(site.isa), fused: false })
}

fn linear(site: &Site, rounding: Rounding) -> Result<Built, String> {
    let Op::Linear(op) = site.op else { return Err("expected `linear`".into()) };
    let (x, w) = (site.operand(0)?, site.constant(1)?);
    let weights = w.floats().map_err(|r| r.message)?;
    let bias = site.maybe_constant(2)?.map(|b| b.floats()).transpose().map_err(|r| r.message)?;
    let (n, k) = (w.shape[0], w.shape[1]);
    let (clamp, curved) = clamp_of(&op.act);
    let Rounding { width, fused } = rounding;
    let packed = PackedF32::new(width, fused, (n, k), |c, r| weights[c * k + r], bias.as_deref(), clamp);
    let rows = x.dims()[..x.dims().len() - 1].iter().product();
    Built::kernel(LinearF32 { rows, weights: packed, rounding, curved }, &[0])
}

/// Products of pairs of matrices.
struct Matmul {
    m: usize,
    n: usize,
    k: usize,
    /// For each product, the matrices of a and b.
    pairs: Vec<(u32, u32)>,
    rounding: Rounding,
}

impl Matmul {
    fn panels(&self) -> usize {
        panels_len(self.rounding.width, (self.n, self.k))
    }
}

impl Kernel for Matmul {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (a, b): (&[f32], &[f32]) = (bytemuck::cast_slice(io.ins[0]), bytemuck::cast_slice(io.ins[1]));
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let scratch: &mut [f32] = bytemuck::cast_slice_mut(io.scratch);
        let Matmul { m, n, k, .. } = *self;
        let Rounding { width, fused } = self.rounding;
        io.par.rows(
            self.pairs.len(),
            m * n,
            m * n * k / 8,
            out,
            (scratch, self.panels()),
            &|range, out, panels| {
                let mut packed = None;
                for (&(i, j), out) in self.pairs[range].iter().zip(out.chunks_exact_mut((m * n).max(1))) {
                    if packed != Some(j) {
                        pack_rows(width, (n, k), &b[j as usize * k * n..][..k * n], panels);
                        packed = Some(j);
                    }
                    product(width, fused, (n, k), panels, &a[i as usize * m * k..], m, out);
                }
            },
        );
        Ok(())
    }
    fn scratch(&self, threads: usize) -> usize {
        self.panels() * 4 * crate::par::Par::leaves(threads)
    }
}

/// Builds with fused multiply-add.
pub(super) fn matmul_fast(site: &Site) -> Result<Built, String> {
    matmul(site, Rounding { width: Width::of(site.isa), fused: true })
}

/// Builds with the interpreter's bits.
pub(super) fn matmul_strict(site: &Site) -> Result<Built, String> {
    matmul(site, Rounding { width: Width::of(site.isa), fused: false })
}

fn matmul(site: &Site, rounding: Rounding) -> Result<Built, String> {
    let (a, b, y) = (site.operand(0)?, site.operand(1)?, site.out(0)?);
    let (da, db) = (a.dims(), b.dims());
    if da.len() < 2 || db.len() < 2 {
        return Err("vectors are left to the interpreter".into());
    }
    let (m, k, n) = (da[da.len() - 2], da[da.len() - 1], db[db.len() - 1]);
    let Rounding { width, fused } = rounding;
    if db.len() == 2
        && let Some(w) = &b.constant
    {
        let w = w.floats().map_err(|r| r.message)?;
        let packed = PackedF32::new(width, fused, (n, k), |c, r| w[r * n + c], None, Clamp::OPEN);
        let rows = da[..da.len() - 1].iter().product();
        return Built::kernel(LinearF32 { rows, weights: packed, rounding, curved: false }, &[0]);
    }
    let batch = &y.dims()[..y.dims().len() - 2];
    let places = |dims: &[usize]| super::strided::places(&dims[..dims.len() - 2], batch);
    let pairs = places(da).into_iter().zip(places(db)).map(|(i, j)| (i as u32, j as u32)).collect();
    Built::kernel(Matmul { m, n, k, pairs, rounding }, &[0, 1])
}
