//! What the tiles of all tiers share: where rows come from and where they go.

use super::pack::Panels;
use super::scalar;
use crate::isa::Isa;

/// Bases of the activation rows, in bytes from the origin of a call.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// Row `i` starts at `i * stride` and nothing behind its last byte is read.
    Strided {
        /// Bytes between rows.
        stride: usize,
    },
    /// Row `i` starts at `table[i]`; up to three bytes behind each segment are read.
    Table(&'a [u32]),
}

impl Rows<'_> {
    #[inline(always)]
    pub(crate) fn offset(&self, row: usize) -> usize {
        match *self {
            Rows::Strided { stride } => row * stride,
            Rows::Table(table) => table[row] as usize,
        }
    }

    /// Bytes of the last group of a row whose excess must not be read, 0 if the group is whole.
    pub(crate) fn tail(&self, panels: &Panels) -> usize {
        match self {
            Rows::Strided { .. } => panels.segments[0].len % 4,
            Rows::Table(_) => 0,
        }
    }
}

/// A checked block of output rows.
pub(crate) struct Destination<'a> {
    bytes: &'a mut [u8],
    stride: usize,
}

impl<'a> Destination<'a> {
    /// Row `i < rows` starts at `bytes[column + i * stride]` and has `columns` bytes.
    pub(crate) fn new(
        bytes: &'a mut [u8],
        stride: usize,
        rows: usize,
        column: usize,
        columns: usize,
    ) -> Destination<'a> {
        assert!(stride >= column + columns || rows <= 1, "output row stride {stride} is below its columns");
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + column + columns };
        assert!(bytes.len() >= needed, "output has {} bytes, expected {needed}", bytes.len());
        Destination { bytes: bytes.get_mut(column..).unwrap_or_default(), stride }
    }

    pub(crate) fn row(&mut self, row: usize, columns: usize) -> &mut [u8] {
        &mut self.bytes[row * self.stride..][..columns]
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }
}

/// Computes `m` rows whose bases are `src[origin + rows.offset(i)]`.
pub(crate) fn run(
    panels: &Panels,
    src: &[u8],
    origin: usize,
    rows: Rows<'_>,
    m: usize,
    mut out: Destination<'_>,
) {
    let reach = match rows {
        Rows::Strided { stride } => (m.max(1) - 1) * stride + panels.segments[0].len,
        Rows::Table(table) => table[..m].iter().max().map_or(0, |&last| last as usize) + panels.reach(),
    };
    assert!(m == 0 || src.len() >= origin + reach, "input has {} bytes, reads {}", src.len(), origin + reach);
    match panels.isa {
        // SAFETY: the tier was available when the weights were packed. Every row reads at most
        // `reach` bytes after `origin`, and `out` holds `m` rows of `n` columns.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { super::avx512::run(panels, src.as_ptr().add(origin), rows, m, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { super::avx2::run(panels, src.as_ptr().add(origin), rows, m, out) },
        _ => scalar::run(panels, &src[origin..], rows, m, &mut out),
    }
}

/// Reads the last `tail` (1 to 3) bytes of a row of `len` bytes into the low bytes of a group.
///
/// # Safety
///
/// `row` must point to `len` readable bytes, and `len % 4 == tail`.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn load_tail(row: *const u8, len: usize, tail: usize) -> i32 {
    // SAFETY: the caller vouches for `len` bytes; the wide read ends at the last of them.
    unsafe {
        if len >= 4 {
            let last = row.add(len - 4).cast::<u32>().read_unaligned();
            (last >> (32 - 8 * tail)) as i32
        } else {
            (0..tail).fold(0, |group, i| group | i32::from(*row.add(i)) << (8 * i))
        }
    }
}

/// Expands `$body` for the constants 0 to 15 below `$count`, so that arrays indexed by `$i` stay
/// in registers; a loop that is left rolled would move the accumulators to memory.
#[cfg(target_arch = "x86_64")]
macro_rules! unrolled {
    ($i:ident < $count:expr, $body:block) => {
        unrolled!(@ $i, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident, $count:expr, $body:block, $($n:literal)*) => {
        $({
            #[allow(non_upper_case_globals)]
            const $i: usize = $n;
            if $i < $count $body
        })*
    };
}

#[cfg(target_arch = "x86_64")]
pub(crate) use unrolled;
