//! Row-major to channels-last and back.

use quantir_ir::Reason;

use super::{Io, Kernel};
use crate::par::Par;
use crate::plan::Layout;

/// Changes the layout of a value.
pub(crate) struct Relayout {
    batch: usize,
    /// Extent of the axis that is outer before and inner after.
    rows: usize,
    columns: usize,
    /// Bytes of an element.
    size: usize,
}

impl Relayout {
    /// From the other layout to `to`, for a value of logical `dims`.
    pub(crate) fn new(dims: &[usize], size: usize, to: Layout) -> Relayout {
        let (batch, channels) = (dims[0], dims[1]);
        let space = dims[2..].iter().product();
        let (rows, columns) = match to {
            Layout::ChannelsLast => (channels, space),
            Layout::RowMajor => (space, channels),
        };
        Relayout { batch, rows, columns, size }
    }

    /// Writes `[batch, columns, rows]` of what is `[batch, rows, columns]` in `x`.
    pub(crate) fn apply(&self, x: &[u8], out: &mut [u8], par: Par) {
        match self.size {
            1 => self.typed::<u8>(x, out, par),
            2 => self.typed::<u16>(x, out, par),
            4 => self.typed::<u32>(x, out, par),
            _ => self.typed::<u64>(x, out, par),
        }
    }

    fn typed<T: bytemuck::Pod + Send + Sync>(&self, x: &[u8], out: &mut [u8], par: Par) {
        let (x, out): (&[T], &mut [T]) = (bytemuck::cast_slice(x), bytemuck::cast_slice_mut(out));
        let (rows, columns) = (self.rows, self.columns);
        // One work item is one output row: `rows` elements, a column of x.
        par.rows_of(self.batch * columns, rows, rows, out, &|range, out| {
            let mut at = range.start;
            while at < range.end {
                let (image, first) = (at / columns, at % columns);
                let count = (columns - first).min(range.end - at);
                let part = &mut out[(at - range.start) * rows..][..count * rows];
                transpose(&x[image * rows * columns..][..rows * columns], part, rows, columns, first);
                at += count;
            }
        });
    }
}

/// Output row `i` is column `first + i` of the `[rows, columns]` matrix `x`.
fn transpose<T: Copy>(x: &[T], out: &mut [T], rows: usize, columns: usize, first: usize) {
    if rows <= 4 {
        // Few channels, as in images: each is one stream.
        for (row, x) in x.chunks_exact(columns).enumerate() {
            for (out, &x) in out[row..].iter_mut().step_by(rows).zip(&x[first..]) {
                *out = x;
            }
        }
        return;
    }
    const TILE: usize = 16;
    let count = out.len() / rows;
    for c0 in (0..count).step_by(TILE) {
        let c1 = (c0 + TILE).min(count);
        for r0 in (0..rows).step_by(TILE) {
            let r1 = (r0 + TILE).min(rows);
            for r in r0..r1 {
                let line = &x[r * columns + first..][c0..c1];
                for (c, &x) in (c0..c1).zip(line) {
                    out[c * rows + r] = x;
                }
            }
        }
    }
}

impl Kernel for Relayout {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        self.apply(io.ins[0], io.outs[0], io.par);
        Ok(())
    }
}
