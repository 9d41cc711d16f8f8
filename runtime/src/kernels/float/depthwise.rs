//! Depthwise `f32` convolution: channels fill the vectors.

use super::gemm::Clamp;
use super::simd::{Job, Lanes, Width, dispatch};
use crate::kernels::ConvGeometry;

/// Weights and bounds of a depthwise convolution with as many output as input channels.
pub(crate) struct DepthwiseF32 {
    width: Width,
    /// As in [`super::gemm::PackedF32`].
    fused: bool,
    geometry: ConvGeometry,
    /// `[tap][channel]`.
    weights: Vec<f32>,
    /// One for each channel; empty for none.
    bias: Vec<f32>,
    clamp: Clamp,
}

impl DepthwiseF32 {
    /// Reorders `weights` from `[channel][tap]`. The geometry must be depthwise and sound.
    pub(crate) fn new(
        width: Width,
        fused: bool,
        geometry: ConvGeometry,
        weights: &[f32],
        bias: Option<&[f32]>,
        clamp: Clamp,
    ) -> DepthwiseF32 {
        let (channels, taps) = (geometry.channels_out, geometry.depth());
        let at = |i: usize| weights[i % channels * taps + i / channels];
        let weights = (0..channels * taps).map(at).collect();
        let bias = bias.map_or(Vec::new(), <[f32]>::to_vec);
        DepthwiseF32 { width, fused, geometry, weights, bias, clamp }
    }

    /// The shapes.
    pub(crate) fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Computes output row `row` (depth and height) of the image `x`.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry asks.
    pub(crate) fn row(&self, x: &[f32], row: usize, out: &mut [f32]) {
        assert!(x.len() >= self.geometry.input_len() && out.len() >= self.geometry.row_len());
        assert!(row < self.geometry.rows());
        // SAFETY: the lengths were checked, and taps outside the image are left out.
        unsafe { dispatch(self.width, Row { packed: self, x: x.as_ptr(), row, out: out.as_mut_ptr() }) }
    }
}

/// Kernel positions from `first` that lie inside the axis, and the input of the first one.
fn taps(geometry: &ConvGeometry, axis: usize, output: usize) -> (std::ops::Range<usize>, usize) {
    let begin = output * geometry.stride[axis];
    let (pad, step) = (geometry.pad_begin[axis], geometry.dilation[axis]);
    let first = pad.saturating_sub(begin).div_ceil(step).min(geometry.kernel[axis]);
    let room = (geometry.input[axis] + pad).saturating_sub(begin);
    let last = room.div_ceil(step).min(geometry.kernel[axis]).max(first);
    (first..last, (begin + first * step).wrapping_sub(pad))
}

struct Row<'a> {
    packed: &'a DepthwiseF32,
    x: *const f32,
    row: usize,
    out: *mut f32,
}

impl Job for Row<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: `DepthwiseF32::row` checked the lengths.
        unsafe {
            match self.packed.fused {
                true => self.pixels::<V, true>(),
                false => self.pixels::<V, false>(),
            }
        }
    }
}

impl Row<'_> {
    #[inline(always)]
    unsafe fn pixels<V: Lanes, const FUSED: bool>(&self) {
        let g = &self.packed.geometry;
        let [_, height, width] = g.output();
        let d = taps(g, 0, self.row / height);
        let h = taps(g, 1, self.row % height);
        let channels = g.channels_in;
        for column in 0..width {
            let w = taps(g, 2, column);
            let mut c = 0;
            // SAFETY: `c` stays below the channels, and the taps lie inside the image.
            unsafe {
                while c + 4 * V::N <= channels {
                    self.block::<V, 4, FUSED>([&d, &h, &w], column, c, 4 * V::N);
                    c += 4 * V::N;
                }
                while c < channels {
                    self.block::<V, 1, FUSED>([&d, &h, &w], column, c, channels - c);
                    c += V::N;
                }
            }
        }
    }

    /// `NV` vectors of channels from `c` of one output pixel, of which `left` channels exist.
    #[inline(always)]
    unsafe fn block<V: Lanes, const NV: usize, const FUSED: bool>(
        &self,
        [d, h, w]: [&(std::ops::Range<usize>, usize); 3],
        column: usize,
        c: usize,
        left: usize,
    ) {
        let DepthwiseF32 { geometry: g, weights, bias, clamp, .. } = self.packed;
        let channels = g.channels_in;
        let [_, kh, kw] = g.kernel;
        // SAFETY: the caller keeps `c + left` within the channels and the taps within the image.
        unsafe {
            let load = |p: *const f32| if left >= V::N { V::load(p) } else { V::load_first(p, left) };
            let mut acc = [V::splat(0.0); NV];
            for i in d.0.clone() {
                let plane = d.1 + (i - d.0.start) * g.dilation[0];
                for j in h.0.clone() {
                    let line = plane * g.input[1] + h.1 + (j - h.0.start) * g.dilation[1];
                    let mut x = self.x.add((line * g.input[2] + w.1) * channels + c);
                    let mut k = weights.as_ptr().add(((i * kh + j) * kw + w.0.start) * channels + c);
                    for _ in w.0.clone() {
                        for v in 0..NV {
                            let (x, k) = (load(x.add(v * V::N)), load(k.add(v * V::N)));
                            acc[v] = match FUSED {
                                true => x.mul_add(k, acc[v]),
                                false => acc[v].add(x.mul(k)),
                            };
                        }
                        x = x.wrapping_add(g.dilation[2] * channels);
                        k = k.wrapping_add(channels);
                    }
                }
            }
            for v in 0..NV {
                let mut y = acc[v];
                if !bias.is_empty() {
                    y = y.add(load(bias.as_ptr().add(c + v * V::N)));
                }
                if !clamp.is_open() {
                    y = V::splat(clamp.hi).min(V::splat(clamp.lo).max(y));
                }
                let out = self.out.add(column * channels + c + v * V::N);
                if left >= V::N {
                    y.store(out);
                } else {
                    y.store_first(out, left);
                }
            }
        }
    }
}
