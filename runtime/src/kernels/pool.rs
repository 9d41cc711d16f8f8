//! Maximum and average pooling of `u8` images.

use std::ops::Range;

use super::epilogue::OutputRange;
use super::round::{Store, for_each_isa};
use crate::isa::Isa;

/// Windows over one image `[depth][height][width][channels]`, axes in that order.
///
/// Windows are clipped to the image, so that padding never takes part in a maximum or a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Channels of input and output.
    pub channels: usize,
    /// Input extent.
    pub input: [usize; 3],
    /// Output extent; the caller decides between rounding down and up.
    pub output: [usize; 3],
    /// Window extent.
    pub kernel: [usize; 3],
    /// Step between windows.
    pub stride: [usize; 3],
    /// Step between the elements of a window.
    pub dilation: [usize; 3],
    /// Padding in front of each axis.
    pub pad_begin: [usize; 3],
    /// Padding behind each axis.
    pub pad_end: [usize; 3],
}

impl PoolGeometry {
    /// One window that covers the whole image.
    pub fn global(channels: usize, input: [usize; 3]) -> PoolGeometry {
        PoolGeometry {
            channels,
            input,
            output: [1; 3],
            kernel: input,
            stride: [1; 3],
            dilation: [1; 3],
            pad_begin: [0; 3],
            pad_end: [0; 3],
        }
    }

    /// Output rows of one image, which are what work is split into: depth times height.
    pub fn rows(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Bytes of an output row.
    pub fn row_len(&self) -> usize {
        self.output[2] * self.channels
    }

    /// Bytes of one input image.
    pub fn input_len(&self) -> usize {
        self.input.iter().product::<usize>() * self.channels
    }

    /// Start of the window and the elements of it along `axis` that lie inside the image.
    fn window(&self, axis: usize, output: usize) -> Taps {
        let begin = output * self.stride[axis];
        let step = self.dilation[axis];
        let steps = |len: usize| if step == 1 { len } else { len.div_ceil(step) };
        let first = steps(self.pad_begin[axis].saturating_sub(begin));
        let room = (self.input[axis] + self.pad_begin[axis]).saturating_sub(begin);
        let last = steps(room).min(self.kernel[axis]);
        Taps {
            start: (begin + first * step).wrapping_sub(self.pad_begin[axis]),
            count: last.saturating_sub(first),
            step,
        }
    }

    /// Windows of an output row along depth and height.
    fn window_of_row(&self, row: usize) -> (Taps, Taps) {
        (self.window(0, row / self.output[1]), self.window(1, row % self.output[1]))
    }

    /// Elements of the window along `axis` that lie inside the padded image.
    fn padded_count(&self, axis: usize, output: usize) -> usize {
        let begin = output * self.stride[axis];
        let padded = self.input[axis] + self.pad_begin[axis] + self.pad_end[axis];
        padded.saturating_sub(begin).div_ceil(self.dilation[axis]).min(self.kernel[axis])
    }

    fn check(&self, x: &[u8], out: &[u8], rows: &Range<usize>) {
        assert!(x.len() >= self.input_len(), "image has {} bytes", x.len());
        assert!(rows.end <= self.rows(), "rows end at {} of {}", rows.end, self.rows());
        assert!(out.len() >= rows.len() * self.row_len(), "output has {} bytes", out.len());
    }
}

#[derive(Clone, Copy)]
struct Taps {
    start: usize,
    count: usize,
    step: usize,
}

/// Calls `$visit` with the channels `$block` of every tap of the window `$taps`, an array of
/// [`Taps`] per axis. A macro because closures are not compiled for the features of a caller.
macro_rules! for_each_tap {
    ($geometry:expr, $x:expr, $taps:expr, $block:expr, |$channels:ident| $visit:expr) => {{
        let (geometry, [d, h, w]): (&PoolGeometry, [Taps; 3]) = ($geometry, $taps);
        for i in 0..d.count {
            for j in 0..h.count {
                let line = (d.start + i * d.step) * geometry.input[1] + h.start + j * h.step;
                for k in 0..w.count {
                    let pixel = line * geometry.input[2] + w.start + k * w.step;
                    let $channels = &$x[pixel * geometry.channels..][..geometry.channels][$block];
                    $visit
                }
            }
        }
    }};
}

/// Maximum pooling of the output rows `rows` into `out`, which holds those rows only.
///
/// A window without a single element inside the image gives 0.
///
/// # Panics
///
/// If a slice is shorter than the geometry and the range ask.
pub fn max_pool(isa: Isa, geometry: &PoolGeometry, x: &[u8], out: &mut [u8], rows: Range<usize>) {
    geometry.check(x, out, &rows);
    if geometry.row_len() == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512Vnni && isa.is_available() {
        // SAFETY: the features were detected.
        unsafe { avx512::max_rows(geometry, x, out, rows) };
        return;
    }
    max_rows(isa, geometry, x, out, rows);
}

for_each_isa! {
    fn max_rows(geometry: &PoolGeometry, x: &[u8], out: &mut [u8], rows: Range<usize>) {
        for (row, out) in rows.zip(out.chunks_exact_mut(geometry.row_len())) {
            let (d, h) = geometry.window_of_row(row);
            for (column, pixel) in out.chunks_exact_mut(geometry.channels).enumerate() {
                pixel.fill(0);
                for_each_tap!(geometry, x, [d, h, geometry.window(2, column)], .., |taps| {
                    for (out, &x) in pixel.iter_mut().zip(taps) {
                        *out = (*out).max(x);
                    }
                });
            }
        }
    }
}

/// A quantized average over windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    /// Zero point of the `u8` input.
    pub x_zero: i32,
    /// Scale of the input.
    pub x_scale: f32,
    /// Scale of the output.
    pub y_scale: f32,
    /// Whether padding counts as elements of value zero.
    pub count_padding: bool,
    /// Whether the zero point is added before rounding rather than after it.
    pub zero_inside: bool,
    /// Where results are stored.
    pub out: OutputRange,
}

impl Average {
    /// Averages the output rows `rows` into `out`, which holds those rows only:
    /// `Σ (x − z_x)` in `i32`, times `s_x / (s_y · count)` computed in `f64` and rounded once,
    /// then clamp, round to even and add the zero point, or add it first.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry and the range ask.
    pub fn run(&self, isa: Isa, geometry: &PoolGeometry, x: &[u8], out: &mut [u8], rows: Range<usize>) {
        geometry.check(x, out, &rows);
        if geometry.row_len() > 0 {
            let inside = OutputRange { zero: 0, ..self.out };
            let store = Store::new(if self.zero_inside { &inside } else { &self.out });
            average_rows(isa, self, store, geometry, x, out, rows);
        }
    }
}

/// Channels whose sums are on the stack at a time.
const BLOCK: usize = 128;

for_each_isa! {
    fn average_rows(
        average: &Average,
        store: Store,
        geometry: &PoolGeometry,
        x: &[u8],
        out: &mut [u8],
        rows: Range<usize>,
    ) {
        let channels = geometry.channels;
        let shift = if average.zero_inside { average.out.zero as f32 } else { 0.0 };
        for (row, out) in rows.zip(out.chunks_exact_mut(geometry.row_len())) {
            let (d, h) = geometry.window_of_row(row);
            for (column, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let w = geometry.window(2, column);
                let inside = d.count * h.count * w.count;
                let count = if average.count_padding {
                    let at = [row / geometry.output[1], row % geometry.output[1], column];
                    (0..3).map(|axis| geometry.padded_count(axis, at[axis])).product()
                } else {
                    inside
                };
                let divisor = f64::from(average.y_scale) * count.max(1) as f64;
                let mult = (f64::from(average.x_scale) / divisor) as f32;
                let offset = average.x_zero.wrapping_mul(inside as i32);
                for first in (0..channels).step_by(BLOCK) {
                    let block = first..(first + BLOCK).min(channels);
                    let mut sums = [0i32; BLOCK];
                    for_each_tap!(geometry, x, [d, h, w], block.clone(), |taps| {
                        for (sum, &x) in sums.iter_mut().zip(taps) {
                            *sum += i32::from(x);
                        }
                    });
                    for (out, &sum) in pixel[block].iter_mut().zip(&sums) {
                        *out = store.apply(sum.wrapping_sub(offset) as f32 * mult + shift);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::{PoolGeometry, Taps};

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn max_rows(geometry: &PoolGeometry, x: &[u8], out: &mut [u8], rows: Range<usize>) {
        for (row, out) in rows.zip(out.chunks_exact_mut(geometry.row_len())) {
            let (d, h) = geometry.window_of_row(row);
            for (column, pixel) in out.chunks_exact_mut(geometry.channels).enumerate() {
                let w = geometry.window(2, column);
                for first in (0..geometry.channels).step_by(64) {
                    let rest = (geometry.channels - first).min(64);
                    let mask = !0 >> (64 - rest);
                    let mut max = _mm512_setzero_si512();
                    for_each_tap!(geometry, x, [d, h, w], first..first + rest, |taps| {
                        // SAFETY: the mask keeps the load within `taps`.
                        let taps = unsafe { _mm512_maskz_loadu_epi8(mask, taps.as_ptr().cast()) };
                        max = _mm512_max_epu8(max, taps);
                    });
                    let out = pixel[first..first + rest].as_mut_ptr();
                    // SAFETY: the mask keeps the store within the `rest` bytes at `out`.
                    unsafe { _mm512_mask_storeu_epi8(out.cast(), mask, max) };
                }
            }
        }
    }
}
