//! Convolution without im2col: outputs read runs of contiguous bytes of an NHWC image.

mod band;
mod geometry;

use std::ops::Range;

pub use geometry::ConvGeometry;

use super::depthwise::PackedDepthwise;
use super::epilogue::Requant;
use super::error::KernelError;
use super::gemm::pack::{Panels, Segment, choose_isa};
use super::gemm::tile::{self, Destination, Rows};
use crate::isa::Isa;
use band::Band;

/// A convolution's weights, bias and multipliers, packed for one tier and one geometry.
///
/// Depthwise geometries use [`PackedDepthwise`] inside.
#[derive(Clone)]
pub struct PackedConv {
    geometry: ConvGeometry,
    x_zero: u8,
    isa: Isa,
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// The image is a matrix of pixels and channels.
    Pointwise(Panels),
    /// Row offsets into the image or into a padded copy of a band of it.
    Direct {
        groups: Vec<Panels>,
        band: Band,
    },
    Depthwise(PackedDepthwise),
}

impl PackedConv {
    /// Packs `weights`, row-major `[out][in / groups][depth][height][width]`.
    ///
    /// `x_zero` is the zero point of the `u8` input, which is also what padding holds; `w_zero`
    /// holds one zero point per output channel or is empty for zeros. [`isa`](Self::isa) tells
    /// the tier that was packed for, which may be lower, see [`PackedGemm::new`].
    ///
    /// [`PackedGemm::new`]: super::gemm::PackedGemm::new
    pub fn new(
        isa: Isa,
        geometry: ConvGeometry,
        weights: &[i8],
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Result<PackedConv, KernelError> {
        geometry.check()?;
        requant.check(geometry.channels_out)?;
        if geometry.is_depthwise() {
            let inner = PackedDepthwise::new(isa, geometry.clone(), weights, x_zero, w_zero, requant)?;
            let isa = inner.isa();
            return Ok(PackedConv { geometry, x_zero: x_zero as u8, isa, form: Form::Depthwise(inner) });
        }
        let depth = geometry.depth();
        let isa = choose_isa(isa, weights, depth, x_zero, w_zero, requant)?;
        let channels = geometry.channels_in / geometry.groups;
        let taps: usize = geometry.kernel.iter().product();
        // Activations hold channels innermost, so weights follow them.
        let mut reordered = vec![0; weights.len()];
        for (from, to) in weights.chunks_exact(depth).zip(reordered.chunks_exact_mut(depth)) {
            for channel in 0..channels {
                for tap in 0..taps {
                    to[tap * channels + channel] = from[channel * taps + tap];
                }
            }
        }
        let form = if geometry.is_pointwise() {
            let segments = vec![Segment { offset: 0, len: channels }];
            Form::Pointwise(Panels::new(isa, &reordered, segments, x_zero, w_zero, requant))
        } else {
            let band = Band::new(&geometry);
            let outputs = geometry.channels_out / geometry.groups;
            let groups = (0..geometry.groups)
                .map(|group| {
                    let of = group * outputs..(group + 1) * outputs;
                    let part = requant.part(of.clone());
                    let zeros = w_zero.get(of.clone()).unwrap_or_default();
                    let rows = &reordered[of.start * depth..of.end * depth];
                    Panels::new(isa, rows, band.segments().to_vec(), x_zero, zeros, &part)
                })
                .collect();
            Form::Direct { groups, band }
        };
        Ok(PackedConv { geometry, x_zero: x_zero as u8, isa, form })
    }

    /// The shapes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// The tier that runs.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Output rows of one image, which are what work is split into.
    pub fn rows(&self) -> usize {
        self.geometry.rows()
    }

    /// Bytes of an output row.
    pub fn row_len(&self) -> usize {
        self.geometry.row_len()
    }

    /// Bytes of scratch that each call needs; ranges that run at the same time need their own.
    pub fn scratch_bytes(&self) -> usize {
        match &self.form {
            Form::Direct { band, .. } => band.scratch_bytes(),
            Form::Pointwise(_) | Form::Depthwise(_) => 0,
        }
    }

    /// Computes the output rows `rows` of the image `x` into `out`, which holds those rows only.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the geometry, the range or [`scratch_bytes`](Self::scratch_bytes) asks.
    pub fn run(&self, x: &[u8], out: &mut [u8], scratch: &mut [u8], rows: Range<usize>) {
        let geometry = &self.geometry;
        assert!(x.len() >= geometry.input_len(), "image has {} bytes", x.len());
        assert!(rows.end <= self.rows(), "rows end at {} of {}", rows.end, self.rows());
        assert!(out.len() >= rows.len() * self.row_len(), "output has {} bytes", out.len());
        assert!(scratch.len() >= self.scratch_bytes(), "scratch has {} bytes", scratch.len());
        if rows.is_empty() {
            return;
        }
        let x = &x[..geometry.input_len()];
        match &self.form {
            Form::Pointwise(panels) => {
                let width = geometry.output()[2];
                let (channels, pixels) = (geometry.channels_in, rows.len() * width);
                let out = Destination::new(out, panels.n, pixels, 0, panels.n);
                let origin = rows.start * width * channels;
                tile::run(panels, x, origin, Rows::Strided { stride: channels }, pixels, out);
            }
            Form::Direct { groups, band } => {
                let (inputs, outputs) =
                    (geometry.channels_in / geometry.groups, geometry.channels_out / geometry.groups);
                let mut done = 0;
                while done < rows.len() {
                    let count = band.rows_from(rows.start + done).min(rows.len() - done);
                    let (src, origin) = band.source(geometry, x, scratch, self.x_zero, rows.start + done);
                    let table = band.table(count);
                    let part = &mut out[done * self.row_len()..][..count * self.row_len()];
                    for (group, panels) in groups.iter().enumerate() {
                        let target = Destination::new(
                            part,
                            geometry.channels_out,
                            table.len(),
                            group * outputs,
                            outputs,
                        );
                        tile::run(
                            panels,
                            src,
                            origin + group * inputs,
                            Rows::Table(table),
                            table.len(),
                            target,
                        );
                    }
                    done += count;
                }
            }
            Form::Depthwise(inner) => inner.run(x, out, rows),
        }
    }
}
