//! 256-bit tiles: activations and weights widened to 16 bits, so that sums of pairs are exact.

use std::arch::x86_64::*;

use super::pack::{Panel, Panels};
use super::tile::{Destination, Rows, load_tail, unrolled};

/// Bytes of activations that stay in the second-level cache while the panels go by.
const BLOCK_BYTES: usize = 96 << 10;

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
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(
    panels: &Panels,
    src: *const u8,
    rows: Rows<'_>,
    m: usize,
    mut out: Destination<'_>,
) {
    let tail = rows.tail(panels);
    let call = Call { panels, src, rows, tail, stride: out.stride(), out: out.as_mut_ptr() };
    let block = (BLOCK_BYTES / (4 * panels.groups).max(1)).max(32).next_multiple_of(4);
    let mut first = 0;
    while first < m {
        let last = (first + block).min(m);
        for panel in &panels.panels {
            // SAFETY: the caller's promises, for the rows `first..last` of one panel.
            unsafe {
                match panel.vectors {
                    1 => rows_of::<1>(&call, panel, first, last),
                    _ => rows_of::<2>(&call, panel, first, last),
                }
            }
        }
        first = last;
    }
}

/// # Safety
///
/// As [`run`], for rows `first..last` of `panel`, which has `NV` vectors.
#[target_feature(enable = "avx2")]
unsafe fn rows_of<const NV: usize>(call: &Call<'_>, panel: &Panel, first: usize, last: usize) {
    let mut row = first;
    // SAFETY: every tile stays within `first..last`.
    unsafe {
        while row + 4 <= last {
            tile::<4, NV>(call, panel, row);
            row += 4;
        }
        while row < last {
            tile::<1, NV>(call, panel, row);
            row += 1;
        }
    }
}

/// # Safety
///
/// As [`run`], for the `MR` rows at `row`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const MR: usize, const NV: usize>(call: &Call<'_>, panel: &Panel, row: usize) {
    // SAFETY: bases, segments and tables are within the caller's promises; weights, bias and
    // multipliers of the panel have `NV` vectors for each of their entries.
    unsafe {
        let panels = call.panels;
        let bases: [*const u8; MR] = std::array::from_fn(|i| call.src.add(call.rows.offset(row + i)));
        let bias = panels.bias.as_ptr().add(panel.params);
        let start: [__m256i; NV] = std::array::from_fn(|j| _mm256_loadu_si256(bias.add(8 * j).cast()));
        let mut acc = [start; MR];

        let mut weights = panels.weights.as_slice().as_ptr().add(panel.weights);
        for segment in &panels.segments {
            let mut at = segment.offset;
            let end = at + if call.tail == 0 { segment.groups() * 4 } else { segment.len - call.tail };
            while at < end {
                let w = Weights::<NV>::load(weights);
                unrolled!(i < MR, {
                    let x = bases[i].add(at).cast::<i32>().read_unaligned();
                    acc[i] = w.multiply(x, acc[i]);
                });
                weights = weights.add(32 * NV);
                at += 4;
            }
        }
        if call.tail > 0 {
            let len = panels.segments[0].len;
            let w = Weights::<NV>::load(weights);
            unrolled!(i < MR, {
                acc[i] = w.multiply(load_tail(bases[i], len, call.tail), acc[i]);
            });
        }

        let scale = panels.mult.as_ptr().add(panel.params);
        let mut scale: [__m256; NV] = std::array::from_fn(|j| _mm256_loadu_ps(scale.add(8 * j)));
        if panels.store.hard_swish.is_some() || !panels.offset.is_empty() {
            // Rounding the steps again changes nothing: what no float holds exactly lies beyond every bound.
            let offset: [__m256; NV] = match panels.offset.get(panel.params..panel.params + 8 * NV) {
                Some(offset) => std::array::from_fn(|j| _mm256_loadu_ps(offset.as_ptr().add(8 * j))),
                None => [_mm256_setzero_ps(); NV],
            };
            unrolled!(i < MR, {
                acc[i] = std::array::from_fn(|j| {
                    let x = _mm256_mul_ps(_mm256_add_ps(_mm256_cvtepi32_ps(acc[i][j]), offset[j]), scale[j]);
                    match panels.store.hard_swish {
                        None => _mm256_cvtps_epi32(x),
                        Some(inv) => curved(x, inv),
                    }
                });
            });
            scale = [_mm256_set1_ps(1.0); NV];
        }
        let zero = _mm256_set1_epi16(panels.store.zero as i16);
        unrolled!(i < MR, {
            let v: [__m256i; NV] = std::array::from_fn(|j| rounded(acc[i][j], scale[j]));
            // Two vectors pack to 8 columns in each 128-bit block, one to 4.
            let words = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1 % NV]), zero);
            let bytes = _mm256_packus_epi16(words, words);
            let bytes = if NV == 2 {
                _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(bytes))
            } else {
                let order = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
                _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order))
            };
            let clamped = _mm_min_epu8(
                _mm_max_epu8(bytes, _mm_set1_epi8(panels.lo as i8)),
                _mm_set1_epi8(panels.hi as i8),
            );
            let flipped = _mm_xor_si128(clamped, _mm_set1_epi8(panels.store.flip as i8));
            let out = call.out.add((row + i) * call.stride + panel.column);
            if panel.columns == 16 {
                _mm_storeu_si128(out.cast(), flipped);
            } else {
                let mut bytes = [0u8; 16];
                _mm_storeu_si128(bytes.as_mut_ptr().cast(), flipped);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, panel.columns);
            }
        });
    }
}

/// Four weights of `8 · NV` columns as 16-bit pairs.
struct Weights<const NV: usize> {
    /// Weights 0 and 2 of each lane.
    even: [__m256i; NV],
    /// Weights 1 and 3 of each lane.
    odd: [__m256i; NV],
}

impl<const NV: usize> Weights<NV> {
    /// # Safety
    ///
    /// `32 * NV` bytes must be readable from `at`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(at: *const i8) -> Self {
        // SAFETY: the caller vouches for the bytes.
        let half = |i: usize| unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(at.add(16 * i).cast())) };
        Weights { even: std::array::from_fn(|j| half(2 * j)), odd: std::array::from_fn(|j| half(2 * j + 1)) }
    }

    /// Adds the products with the four activations in `x`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn multiply(&self, x: i32, acc: [__m256i; NV]) -> [__m256i; NV] {
        let x = _mm256_set1_epi32(x);
        let even = _mm256_and_si256(x, _mm256_set1_epi16(0xFF));
        let odd = _mm256_srli_epi16::<8>(x);
        std::array::from_fn(|j| {
            let sum = _mm256_add_epi32(acc[j], _mm256_madd_epi16(even, self.even[j]));
            _mm256_add_epi32(sum, _mm256_madd_epi16(odd, self.odd[j]))
        })
    }
}

/// The product of accumulators and multipliers, rounded to nearest even.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn rounded(acc: __m256i, scale: __m256) -> __m256i {
    _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale))
}

/// The hard swish of real numbers, in output steps.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn curved(x: __m256, inv: f32) -> __m256i {
    let (three, six) = (_mm256_set1_ps(3.0), _mm256_set1_ps(6.0));
    let gate = _mm256_min_ps(six, _mm256_max_ps(_mm256_setzero_ps(), _mm256_add_ps(x, three)));
    let y = _mm256_div_ps(_mm256_mul_ps(x, gate), six);
    _mm256_cvtps_epi32(_mm256_mul_ps(y, _mm256_set1_ps(inv)))
}
