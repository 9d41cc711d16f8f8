//! Depthwise convolution: channels fill the vectors and taps are summed two or four at a time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pack;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sliding;

use std::ops::Range;

use super::conv::ConvGeometry;
use super::epilogue::Requant;
use super::error::KernelError;
use super::gemm::pack::choose_isa;
use crate::isa::Isa;
use pack::{Form, Weights};

/// A depthwise convolution's weights, bias and multipliers, packed for one tier and one geometry.
#[derive(Clone)]
pub struct PackedDepthwise {
    geometry: ConvGeometry,
    x_zero: u8,
    isa: Isa,
    weights: Weights,
    /// What taps outside the image read: a pixel, or a line if whole lines may be outside.
    outside: Vec<u8>,
}

impl PackedDepthwise {
    /// Packs `weights`, row-major `[channel][depth][height][width]`, for a depthwise `geometry`.
    ///
    /// The other arguments are those of [`PackedConv::new`](super::conv::PackedConv::new).
    pub fn new(
        isa: Isa,
        geometry: ConvGeometry,
        weights: &[i8],
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Result<PackedDepthwise, KernelError> {
        geometry.check()?;
        if !geometry.is_depthwise() {
            return Err(KernelError::Geometry(format!(
                "{} groups of {} input and {} output channels are not depthwise",
                geometry.groups, geometry.channels_in, geometry.channels_out
            )));
        }
        requant.check(geometry.channels_out)?;
        let isa = choose_isa(isa, weights, geometry.depth(), x_zero, w_zero, requant)?;
        let weights = Weights::new(isa, &geometry, weights, x_zero, w_zero, requant);
        let pixels = match weights.form {
            Form::Sliding { .. } => geometry.input[2],
            _ => 1,
        };
        let outside = vec![x_zero as u8; pixels * geometry.channels_in];
        Ok(PackedDepthwise { geometry, x_zero: x_zero as u8, isa, weights, outside })
    }

    /// The shapes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// The tier that runs.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Computes the output rows `rows` of the image `x` into `out`, which holds those rows only.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry and the range ask.
    pub fn run(&self, x: &[u8], out: &mut [u8], rows: Range<usize>) {
        let row_len = self.geometry.row_len();
        assert!(x.len() >= self.geometry.input_len(), "image has {} bytes", x.len());
        assert!(rows.end <= self.geometry.rows(), "rows end at {} of {}", rows.end, self.geometry.rows());
        assert!(out.len() >= rows.len() * row_len, "output has {} bytes", out.len());
        for (row, out) in rows.zip(out.chunks_exact_mut(row_len)) {
            match self.weights.form {
                // SAFETY: the form's tier was available when the weights were packed, `x` holds
                // the image, `row` is one of the geometry's, and `out` holds it.
                #[cfg(target_arch = "x86_64")]
                Form::Pairs => unsafe { avx2::row(self, x, row, out) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Form::Quads => unsafe { avx512::row(self, x, row, out) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Form::Sliding { kernel, stride } => unsafe {
                    match (kernel, stride) {
                        (3, 1) => sliding::row::<3, 1>(self, x, row, out),
                        (3, _) => sliding::row::<3, 2>(self, x, row, out),
                        (_, 1) => sliding::row::<5, 1>(self, x, row, out),
                        (_, _) => sliding::row::<5, 2>(self, x, row, out),
                    }
                },
                _ => scalar::row(self, x, row, out),
            }
        }
    }

    /// Calls `each` with every output column of `row` and the pointers of its taps, of which there
    /// are `count`: those of the kernel, then ones that meet zero weights.
    ///
    /// Every pointer has all channels of a pixel behind it: a pixel of `x`, or `outside`.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn for_each_output(&self, x: &[u8], row: usize, count: usize, mut each: impl FnMut(usize, &[*const u8])) {
        const ON_STACK: usize = 64;
        let outside = self.outside.as_ptr();
        let mut stack = ([Tap { line: outside, pitch: 0, shift: 0 }; ON_STACK], [outside; ON_STACK]);
        let mut heap;
        let (taps, pointers): (&mut [Tap], &mut [*const u8]) = if count <= ON_STACK {
            (&mut stack.0, &mut stack.1[..count])
        } else {
            heap = (vec![stack.0[0]; count], vec![outside; count]);
            (&mut heap.0, &mut heap.1)
        };
        let g = &self.geometry;
        let [_, height, width] = g.output();
        let outputs = [row / height, row % height];
        let at = |axis: usize, tap: usize| {
            (outputs[axis] * g.stride[axis] + tap * g.dilation[axis]).wrapping_sub(g.pad_begin[axis])
        };
        let [kd, kh, kw] = g.kernel;
        let taps = &mut taps[..kd * kh * kw];
        for (tap, place) in taps.iter_mut().enumerate() {
            let (d, h) = (at(0, tap / (kh * kw)), at(1, tap / kw % kh));
            if d < g.input[0] && h < g.input[1] {
                let line = (d * g.input[1] + h) * g.input[2] * g.channels_in;
                (place.line, place.pitch) = (x[line..].as_ptr(), g.channels_in);
            }
            place.shift = (tap % kw * g.dilation[2]).wrapping_sub(g.pad_begin[2]);
        }
        for column in 0..width {
            for (tap, pointer) in taps.iter().zip(pointers.iter_mut()) {
                let pixel = tap.shift.wrapping_add(column * g.stride[2]);
                let inside = tap.line.wrapping_add(pixel.wrapping_mul(tap.pitch));
                *pointer = if pixel < g.input[2] { inside } else { outside };
            }
            each(column, pointers);
        }
    }
}

/// Where a tap of a row of outputs reads.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Tap {
    /// First pixel of its line, or the pixel that stands for all of a line outside the image.
    line: *const u8,
    /// Bytes between pixels, 0 for a line outside.
    pitch: usize,
    /// Its column for output column 0, wrapping below zero.
    shift: usize,
}
