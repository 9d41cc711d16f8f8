//! 256-bit depthwise rows for any kernel: two taps are interleaved per lane, widened to 16 bits
//! and summed by one `vpmaddwd`.

use std::arch::x86_64::*;

use super::PackedDepthwise;
use super::pack::{Block, Weights};

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
            // SAFETY: every pointer has the channels of the block after `block.channel`.
            let bytes = unsafe {
                if block.channels == 16 {
                    sums::<true>(weights, block, taps)
                } else {
                    sums::<false>(weights, block, taps)
                }
            };
            out.copy_from_slice(&bytes[..block.channels]);
        }
    });
}

/// The outputs of a block; a block that is not `WHOLE` has fewer than 16 channels.
///
/// # Safety
///
/// `taps` must hold two pointers per group, each with the channels of `block` readable.
#[target_feature(enable = "avx2")]
unsafe fn sums<const WHOLE: bool>(weights: &Weights, block: &Block, taps: &[*const u8]) -> [u8; 16] {
    let packed = &weights.packed.as_slice()[block.weights..][..weights.groups * 64];
    let bias = &weights.bias[block.params..][..16];
    let mult = &weights.mult[block.params..][..16];
    // SAFETY: the slices have two vectors per group and 16 parameters; the caller vouches for
    // the taps, of which a partial block reads its channels only.
    unsafe {
        let load = |tap: usize| {
            let at = taps[tap].add(block.channel);
            if WHOLE {
                _mm_loadu_si128(at.cast())
            } else {
                let mut bytes = [0u8; 16];
                std::ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), block.channels);
                _mm_loadu_si128(bytes.as_ptr().cast())
            }
        };
        let mut acc: [__m256i; 2] =
            std::array::from_fn(|j| _mm256_loadu_si256(bias.as_ptr().add(8 * j).cast()));
        for group in 0..taps.len() / 2 {
            let (a, b) = (load(2 * group), load(2 * group + 1));
            let x = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            for (j, acc) in acc.iter_mut().enumerate() {
                let w = _mm256_load_si256(packed.as_ptr().add(group * 64 + j * 32).cast());
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(_mm256_cvtepu8_epi16(x[j]), w));
            }
        }
        let [low, high]: [__m256i; 2] = std::array::from_fn(|j| {
            let scale = _mm256_loadu_ps(mult.as_ptr().add(8 * j));
            _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(acc[j]), scale))
        });
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
        let words = _mm256_adds_epi16(words, _mm256_set1_epi16(weights.store.zero as i16));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        let clamped = _mm_min_epu8(
            _mm_max_epu8(bytes, _mm_set1_epi8(weights.lo as i8)),
            _mm_set1_epi8(weights.hi as i8),
        );
        let mut out = [0u8; 16];
        let flipped = _mm_xor_si128(clamped, _mm_set1_epi8(weights.store.flip as i8));
        _mm_storeu_si128(out.as_mut_ptr().cast(), flipped);
        out
    }
}
