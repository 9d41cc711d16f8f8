//! 512-bit tiles: `vpdpbusd` on four activations broadcast to all lanes and four weights per lane.

use std::arch::x86_64::*;

use super::pack::{Panel, Panels};
use super::tile::{Destination, Rows, load_tail, unrolled};

/// Bytes of activations that stay in the second-level cache while the panels go by.
const BLOCK_BYTES: usize = 192 << 10;

/// What all tiles of a call share.
struct Call<'a> {
    panels: &'a Panels,
    src: *const u8,
    rows: Rows<'a>,
    /// Bytes of a last group that must not be read whole.
    tail: usize,
    out: *mut u8,
    stride: usize,
}

/// # Safety
///
/// The machine must have the features, `panels` must be packed for them, every row of `rows`
/// below `m` must be readable from `src` as [`Rows`] says, and `out` must hold `m` rows of
/// `panels.n` columns.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn run(
    panels: &Panels,
    src: *const u8,
    rows: Rows<'_>,
    m: usize,
    mut out: Destination<'_>,
) {
    let tail = rows.tail(panels);
    let call = Call { panels, src, rows, tail, stride: out.stride(), out: out.as_mut_ptr() };
    let block = (BLOCK_BYTES / (4 * panels.groups).max(1)).max(84).next_multiple_of(84);
    let mut first = 0;
    while first < m {
        let last = (first + block).min(m);
        for panel in &panels.panels {
            // SAFETY: the caller's promises, for the rows `first..last` of one panel. The heights
            // keep accumulators, weights and one activation within 32 registers.
            unsafe {
                match panel.vectors {
                    1 => rows_of::<14, 1>(&call, panel, first, last),
                    2 => rows_of::<12, 2>(&call, panel, first, last),
                    3 => rows_of::<8, 3>(&call, panel, first, last),
                    _ => rows_of::<6, 4>(&call, panel, first, last),
                }
            }
        }
        first = last;
    }
}

/// # Safety
///
/// As [`run`], for rows `first..last` of `panel`, which has `NV` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn rows_of<const MR: usize, const NV: usize>(
    call: &Call<'_>,
    panel: &Panel,
    first: usize,
    last: usize,
) {
    let mut row = first;
    // SAFETY: every tile stays within `first..last`.
    unsafe {
        while row + MR <= last {
            tile::<MR, NV>(call, panel, row, MR);
            row += MR;
        }
        match (last - row, NV) {
            (0, _) => {}
            (1, _) => tile::<1, NV>(call, panel, row, 1),
            (n @ 2, _) => tile::<2, NV>(call, panel, row, n),
            (n @ 3..=4, _) => tile::<4, NV>(call, panel, row, n),
            (n @ 5..=7, 1) => tile::<7, NV>(call, panel, row, n),
            (n @ 5..=8, 2) => tile::<8, NV>(call, panel, row, n),
            (n, _) => tile::<MR, NV>(call, panel, row, n),
        }
    }
}

/// Computes rows `row..row + count` of a panel; a tile of `MR` rows repeats the last of them.
///
/// # Safety
///
/// As [`run`], for these rows, and `1 <= count <= MR`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const MR: usize, const NV: usize>(call: &Call<'_>, panel: &Panel, row: usize, count: usize) {
    // SAFETY: bases, segments and tables are within the caller's promises; weights, bias and
    // multipliers of the panel have `NV` vectors for each of their entries.
    unsafe {
        let panels = call.panels;
        let bases: [*const u8; MR] =
            std::array::from_fn(|i| call.src.add(call.rows.offset(row + i.min(count - 1))));
        let bias = panels.bias.as_ptr().add(panel.params);
        let start: [__m512i; NV] = std::array::from_fn(|j| _mm512_loadu_si512(bias.add(16 * j).cast()));
        let mut acc = [start; MR];

        let mut weights = panels.weights.as_slice().as_ptr().add(panel.weights);
        for segment in &panels.segments {
            let mut at = segment.offset;
            let end = at + if call.tail == 0 { segment.groups() * 4 } else { segment.len - call.tail };
            while at < end {
                let w: [__m512i; NV] = std::array::from_fn(|j| _mm512_load_si512(weights.add(64 * j).cast()));
                unrolled!(i < MR, {
                    let x = _mm512_set1_epi32(bases[i].add(at).cast::<i32>().read_unaligned());
                    for j in 0..NV {
                        acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], x, w[j]);
                    }
                });
                weights = weights.add(64 * NV);
                at += 4;
            }
        }
        if call.tail > 0 {
            let len = panels.segments[0].len;
            let w: [__m512i; NV] = std::array::from_fn(|j| _mm512_load_si512(weights.add(64 * j).cast()));
            unrolled!(i < MR, {
                let x = _mm512_set1_epi32(load_tail(bases[i], len, call.tail));
                for j in 0..NV {
                    acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], x, w[j]);
                }
            });
        }

        let scale = panels.mult.as_ptr().add(panel.params);
        let scale: [__m512; NV] = std::array::from_fn(|j| _mm512_loadu_ps(scale.add(16 * j)));
        let finish = Finish::new(panels, panel);
        unrolled!(i < MR, {
            if i < count {
                let out = call.out.add((row + i) * call.stride + panel.column);
                finish.store::<NV>(std::array::from_fn(|j| rounded(acc[i][j], scale[j])), out);
            }
        });
    }
}

/// The product of accumulators and multipliers, rounded to nearest even.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn rounded(acc: __m512i, scale: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale))
}

/// Adds the zero point, clamps and stores the columns of a panel.
///
/// Saturating to 16 bits, adding with saturation, saturating to 8 bits and clamping there equals
/// clamping the rounded float, because the zero point and the bounds lie within 0..=255.
struct Finish {
    zero: __m512i,
    lo: __m512i,
    hi: __m512i,
    flip: __m512i,
    /// Columns of each 64-byte store.
    mask: u64,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn new(panels: &Panels, panel: &Panel) -> Finish {
        Finish {
            zero: _mm512_set1_epi16(panels.store.zero as i16),
            lo: _mm512_set1_epi8(panels.lo as i8),
            hi: _mm512_set1_epi8(panels.hi as i8),
            flip: _mm512_set1_epi8(panels.store.flip as i8),
            mask: !0 >> (64 - panel.columns),
        }
    }

    /// # Safety
    ///
    /// The columns of the mask must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn store<const NV: usize>(&self, v: [__m512i; NV], out: *mut u8) {
        let words = |a, b| _mm512_adds_epi16(_mm512_packs_epi32(a, b), self.zero);
        // SAFETY: the mask covers the columns that the caller vouches for.
        unsafe {
            if NV == 4 {
                // The packing order makes 64 columns come out in sequence.
                let bytes = _mm512_packus_epi16(words(v[0], v[1]), words(v[2 % NV], v[3 % NV]));
                self.put(bytes, out);
            } else if NV == 1 {
                let bytes = _mm512_packus_epi16(words(v[0], v[0]), _mm512_setzero_si512());
                let order = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
                self.put(_mm512_permutexvar_epi32(order, bytes), out);
            } else {
                // Two vectors pack to 8 columns in each 128-bit block, a third adds 4.
                let third = if NV == 3 { words(v[2 % NV], v[2 % NV]) } else { _mm512_setzero_si512() };
                let bytes = _mm512_packus_epi16(words(v[0], v[1 % NV]), third);
                let order = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 6, 10, 14, 0, 0, 0, 0);
                self.put(_mm512_permutexvar_epi32(order, bytes), out);
            }
        }
    }

    /// # Safety
    ///
    /// As [`store`](Self::store).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn put(&self, bytes: __m512i, out: *mut u8) {
        let clamped = _mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi);
        // SAFETY: masked columns are not accessed.
        unsafe { _mm512_mask_storeu_epi8(out.cast(), self.mask, _mm512_xor_si512(clamped, self.flip)) }
    }
}
