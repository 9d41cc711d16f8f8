//! Depthwise convolution: channels fill the vectors and taps are summed four at a time.

mod pack;
mod scalar;

use std::ops::Range;

use super::conv::ConvGeometry;
use super::epilogue::Requant;
use super::error::KernelError;
use super::gemm::pack::choose_isa;
use crate::isa::Isa;
use pack::Weights;

/// A depthwise convolution's weights, bias and multipliers, packed for one tier and one geometry.
#[derive(Clone)]
pub struct PackedDepthwise {
    geometry: ConvGeometry,
    x_zero: u8,
    isa: Isa,
    weights: Weights,
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
        if !geometry.is_depthwise() && geometry.channels_out != 1 {
            return Err(KernelError::Geometry(format!(
                "{} groups of {} input and {} output channels are not depthwise",
                geometry.groups, geometry.channels_in, geometry.channels_out
            )));
        }
        requant.check(geometry.channels_out)?;
        let isa = choose_isa(isa, weights, geometry.depth(), x_zero, w_zero, requant)?;
        let weights = Weights::new(isa, &geometry, weights, x_zero, w_zero, requant);
        Ok(PackedDepthwise {
            geometry,
            x_zero: x_zero as u8,
            isa,
            weights,
        })
    }

    /// The shapes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// The tier that runs.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of scratch that each call needs.
    pub fn scratch_bytes(&self) -> usize {
        0
    }

    /// Computes the output rows `rows` of the image `x` into `out`, which holds those rows only.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry, the range or [`scratch_bytes`](Self::scratch_bytes) asks.
    pub fn run(&self, x: &[u8], out: &mut [u8], scratch: &mut [u8], rows: Range<usize>) {
        let row_len = self.geometry.row_len();
        assert!(
            x.len() >= self.geometry.input_len(),
            "image has {} bytes",
            x.len()
        );
        assert!(rows.end <= self.geometry.rows(), "rows end at {}", rows.end);
        assert!(
            out.len() >= rows.len() * row_len,
            "output has {} bytes",
            out.len()
        );
        assert!(
            scratch.len() >= self.scratch_bytes(),
            "scratch has {} bytes",
            scratch.len()
        );
        for (row, out) in rows.zip(out.chunks_exact_mut(row_len)) {
            scalar::row(self, x, row, out);
        }
    }
}
