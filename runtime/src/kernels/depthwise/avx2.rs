//! 256-bit depthwise rows for any kernel: two taps are interleaved per lane, widened to 16 bits
//! and summed by one `vpmaddwd`.

use std::arch::x86_64::*;

use super::PackedDepthwise;
use super::pack::{Block, Weights};
use crate::kernels::gemm::avx2::curved;

/// # Safety
///
/// The machine must have the features, `x` must hold the image, `row` must be a row of the
/// geometry and `out` must hold it.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn row(packed: &PackedDepthwise, x: &[u8], row: usize, out: &mut [u8]) {
    let weights = &packed.weights;
    let channels = packed.geometry.channels_in;
    packed.for_each_output(x, row, 2 * weights.groups, |column, taps| {
        let pixel = &mut out[column * channels..][..channels];
        for block in &weights.blocks {
            let out = &mut pixel[block.channel..][..block.channels];
            // SAFETY: every pointer has the channels of the block after `block.channel`, and
            // `out` has as many bytes as the block has channels.
            unsafe {
                match (block.vectors, block.channels) {
                    (4, _) => {
                        let v = sums::<4, true>(weights, block, taps);
                        let bytes = finish(weights, [v[0], v[1]], [v[2], v[3]]);
                        _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes);
                    }
                    (_, 16) => {
                        let v = sums::<2, true>(weights, block, taps);
                        _mm_storeu_si128(out.as_mut_ptr().cast(), low_quads(finish(weights, v, v)));
                    }
                    _ => {
                        let v = sums::<2, false>(weights, block, taps);
                        let mut bytes = [0u8; 16];
                        _mm_storeu_si128(bytes.as_mut_ptr().cast(), low_quads(finish(weights, v, v)));
                        out.copy_from_slice(&bytes[..block.channels]);
                    }
                }
            }
        }
    });
}

/// The requantized sums of a block of `8 * NV` channels; one that is not `WHOLE` has fewer.
///
/// # Safety
///
/// `taps` must hold two pointers per group, each with the channels of `block` readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const NV: usize, const WHOLE: bool>(
    weights: &Weights,
    block: &Block,
    taps: &[*const u8],
) -> [__m256i; NV] {
    let groups = weights.groups;
    let packed = &weights.packed.as_slice()[block.weights..][..groups * NV * 32];
    let bias = &weights.bias[block.params..][..8 * NV];
    let mult = &weights.mult[block.params..][..8 * NV];
    let offset = weights.offset.get(block.params..block.params + 8 * NV);
    let zero = _mm256_setzero_si256();
    // SAFETY: the slices have `NV` vectors, per group or in all; the caller vouches for the taps,
    // of which a partial block reads its channels only.
    unsafe {
        let load = |tap: usize| {
            let at = taps.get_unchecked(tap).add(block.channel);
            if NV == 4 {
                return _mm256_loadu_si256(at.cast());
            }
            let channels = if WHOLE {
                _mm_loadu_si128(at.cast())
            } else {
                let mut bytes = [0u8; 16];
                std::ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), block.channels);
                _mm_loadu_si128(bytes.as_ptr().cast())
            };
            // Eight channels in the low half of each 128-bit lane.
            _mm256_permute4x64_epi64::<0b01_01_00_00>(_mm256_castsi128_si256(channels))
        };
        let mut acc: [__m256i; NV] =
            std::array::from_fn(|j| _mm256_loadu_si256(bias.as_ptr().add(8 * j).cast()));
        for group in 0..groups {
            let (a, b) = (load(2 * group), load(2 * group + 1));
            let pairs = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
            for j in 0..NV {
                let pair = pairs[j / 2];
                let x = if j % 2 == 0 {
                    _mm256_unpacklo_epi8(pair, zero)
                } else {
                    _mm256_unpackhi_epi8(pair, zero)
                };
                let index = (j / 2 * groups + group) * 2 + j % 2;
                let w = _mm256_load_si256(packed.as_ptr().add(index * 32).cast());
                acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(x, w));
            }
        }
        std::array::from_fn(|j| {
            let scale = _mm256_loadu_ps(mult.as_ptr().add(8 * j));
            let acc = _mm256_cvtepi32_ps(acc[j]);
            let acc = match offset {
                None => acc,
                Some(offset) => _mm256_add_ps(acc, _mm256_loadu_ps(offset.as_ptr().add(8 * j))),
            };
            let x = _mm256_mul_ps(acc, scale);
            match weights.store.hard_swish {
                None => _mm256_cvtps_epi32(x),
                Some(inv) => curved(x, inv),
            }
        })
    }
}

/// Adds the zero point and clamps; in each 128-bit lane the eight of `low`, then those of `high`.
#[inline]
#[target_feature(enable = "avx2")]
fn finish(weights: &Weights, low: [__m256i; 2], high: [__m256i; 2]) -> __m256i {
    let zero = _mm256_set1_epi16(weights.store.zero as i16);
    let words = |v: [__m256i; 2]| _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), zero);
    let bytes = _mm256_packus_epi16(words(low), words(high));
    let raised = _mm256_max_epu8(bytes, _mm256_set1_epi8(weights.lo as i8));
    let clamped = _mm256_min_epu8(raised, _mm256_set1_epi8(weights.hi as i8));
    _mm256_xor_si256(clamped, _mm256_set1_epi8(weights.store.flip as i8))
}

/// The low eight bytes of both lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn low_quads(bytes: __m256i) -> __m128i {
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b10_00>(bytes))
}
