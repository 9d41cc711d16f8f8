//! Pools of `f32` images, channels innermost.

use crate::kernels::pool::PoolGeometry;
use crate::kernels::round::for_each_isa;

/// Which pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PoolKind {
    /// The largest element; not-a-number wins.
    Max,
    /// The mean of the elements inside the image.
    Mean,
    /// The mean with padding counted as zeros.
    MeanPadded,
}

/// Kernel positions of output `o` along `axis` that lie inside the image, and the input of the first one.
fn taps(g: &PoolGeometry, axis: usize, o: usize) -> (usize, usize) {
    let begin = o * g.stride[axis];
    let (pad, step) = (g.pad_begin[axis], g.dilation[axis]);
    let first = pad.saturating_sub(begin).div_ceil(step);
    let room = (g.input[axis] + pad).saturating_sub(begin);
    let count = room.div_ceil(step).min(g.kernel[axis]).saturating_sub(first);
    (count, (begin + first * step).wrapping_sub(pad))
}

/// Kernel positions that lie inside the padded image.
fn padded(g: &PoolGeometry, axis: usize, o: usize) -> usize {
    let size = g.input[axis] + g.pad_begin[axis] + g.pad_end[axis];
    size.saturating_sub(o * g.stride[axis]).div_ceil(g.dilation[axis]).min(g.kernel[axis])
}

for_each_isa! {
    /// Computes output row `row` (depth and height) of the image `x` with the interpreter's bits.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry asks.
    pub(crate) fn row(kind: PoolKind, g: &PoolGeometry, x: &[f32], row: usize, out: &mut [f32]) {
        let channels = g.channels;
        let at = [row / g.output[1], row % g.output[1]];
        let ((nd, d0), (nh, h0)) = (taps(g, 0, at[0]), taps(g, 1, at[1]));
        for (column, out) in out.chunks_exact_mut(channels.max(1)).enumerate().take(g.output[2]) {
            let (nw, w0) = taps(g, 2, column);
            out.fill(if kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 });
            for i in 0..nd {
                for j in 0..nh {
                    let line = (d0 + i * g.dilation[0]) * g.input[1] + h0 + j * g.dilation[1];
                    for k in 0..nw {
                        let pixel = line * g.input[2] + w0 + k * g.dilation[2];
                        let x = &x[pixel * channels..][..channels];
                        if kind == PoolKind::Max {
                            for (m, &v) in out.iter_mut().zip(x) {
                                *m = if v > *m || v.is_nan() { v } else { *m };
                            }
                        } else {
                            for (s, &v) in out.iter_mut().zip(x) {
                                *s += v;
                            }
                        }
                    }
                }
            }
            if kind != PoolKind::Max {
                let count = match kind {
                    PoolKind::Mean => nd * nh * nw,
                    _ => padded(g, 0, at[0]) * padded(g, 1, at[1]) * padded(g, 2, column),
                };
                let count = count.max(1) as f32;
                for s in out {
                    *s /= count;
                }
            }
        }
    }
}
