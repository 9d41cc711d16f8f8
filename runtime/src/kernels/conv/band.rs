//! Bands of output rows and the input bytes that they read.

use super::geometry::ConvGeometry;
use crate::kernels::gemm::pack::Segment;

/// Bytes of a padded copy that stay in the second-level cache beside a panel of weights.
const COPY_BYTES: usize = 96 << 10;
/// Output positions of a band that is read in place.
const IN_PLACE_POSITIONS: usize = 4096;
/// Bytes behind a copy that a group of four may touch.
const SLACK: usize = 64;

/// How a geometry is cut into bands of output rows of equal depth index.
#[derive(Clone)]
pub(super) struct Band {
    /// Rows of a full band.
    rows: usize,
    /// Output rows per depth index.
    height: usize,
    /// Output positions per row.
    width: usize,
    /// Extent of the copy: depth, height, width in elements; `None` when read in place.
    copy: Option<[usize; 3]>,
    /// Bases of the positions of a full band, relative to that of its first.
    table: Vec<u32>,
    segments: Vec<Segment>,
    channels: usize,
}

impl Band {
    pub(super) fn new(geometry: &ConvGeometry) -> Band {
        let channels = geometry.channels_in;
        let [_, height, width] = geometry.output();
        let span: [usize; 3] = std::array::from_fn(|axis| geometry.span(axis));
        let extent_of =
            |rows: usize| [span[0], (rows - 1) * geometry.stride[1] + span[1], geometry.padded(2)];
        let run = |pitch: [usize; 2]| segments(geometry, pitch);

        let in_place_pitch = [geometry.input[1] * geometry.input[2] * channels, geometry.input[2] * channels];
        let in_place = run(in_place_pitch);
        let copies = geometry.is_padded() || in_place.iter().any(|s| s.len % 4 != 0);
        let (rows, copy, pitch, segments) = if copies {
            let mut rows = 1;
            while rows < height && extent_of(rows + 1).iter().product::<usize>() * channels <= COPY_BYTES {
                rows += 1;
            }
            let extent = extent_of(rows);
            let pitch = [extent[1] * extent[2] * channels, extent[2] * channels];
            (rows, Some(extent), pitch, run(pitch))
        } else {
            (height.min((IN_PLACE_POSITIONS / width).max(1)), None, in_place_pitch, in_place)
        };
        let mut table = Vec::with_capacity(rows * width);
        for row in 0..rows {
            for column in 0..width {
                let offset = row * geometry.stride[1] * pitch[1] + column * geometry.stride[2] * channels;
                table.push(offset as u32);
            }
        }
        Band { rows, height, width, copy, table, segments, channels }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn scratch_bytes(&self) -> usize {
        self.copy.map_or(0, |extent| extent.iter().product::<usize>() * self.channels + SLACK)
    }

    /// Rows of the longest band that starts at output row `row`.
    pub(super) fn rows_from(&self, row: usize) -> usize {
        self.rows.min(self.height - row % self.height)
    }

    /// Bases of the positions of the first `rows` rows.
    pub(super) fn table(&self, rows: usize) -> &[u32] {
        &self.table[..rows * self.width]
    }

    /// The bytes to read output row `row` and those below it from, and the base of its first
    /// position. Fills `scratch` if the band is copied.
    pub(super) fn source<'a>(
        &self,
        geometry: &ConvGeometry,
        x: &'a [u8],
        scratch: &'a mut [u8],
        x_zero: u8,
        row: usize,
    ) -> (&'a [u8], usize) {
        let first = [row / self.height * geometry.stride[0], row % self.height * geometry.stride[1]];
        let Some(extent) = self.copy else {
            let line = geometry.input[2] * self.channels;
            return (x, (first[0] * geometry.input[1] + first[1]) * line);
        };
        let line = extent[2] * self.channels;
        let (left, filled) = (geometry.pad_begin[2] * self.channels, geometry.input[2] * self.channels);
        for (index, to) in scratch[..extent[0] * extent[1] * line].chunks_exact_mut(line).enumerate() {
            let plane = (first[0] + index / extent[1]).wrapping_sub(geometry.pad_begin[0]);
            let height = (first[1] + index % extent[1]).wrapping_sub(geometry.pad_begin[1]);
            if plane < geometry.input[0] && height < geometry.input[1] {
                let from = (plane * geometry.input[1] + height) * filled;
                to[..left].fill(x_zero);
                to[left..left + filled].copy_from_slice(&x[from..from + filled]);
                to[left + filled..].fill(x_zero);
            } else {
                to.fill(x_zero);
            }
        }
        (scratch, 0)
    }
}

/// The runs of contiguous bytes under the kernel, for planes and lines `pitch` bytes apart.
fn segments(geometry: &ConvGeometry, pitch: [usize; 2]) -> Vec<Segment> {
    let channels = geometry.channels_in / geometry.groups;
    let mut segments: Vec<Segment> = Vec::new();
    for depth in 0..geometry.kernel[0] {
        for height in 0..geometry.kernel[1] {
            for width in 0..geometry.kernel[2] {
                let offset = depth * geometry.dilation[0] * pitch[0]
                    + height * geometry.dilation[1] * pitch[1]
                    + width * geometry.dilation[2] * geometry.channels_in;
                match segments.last_mut() {
                    Some(last) if last.offset + last.len == offset => last.len += channels,
                    _ => segments.push(Segment { offset, len: channels }),
                }
            }
        }
    }
    segments
}
