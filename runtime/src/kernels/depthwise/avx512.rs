//! 512-bit depthwise rows for any kernel: four taps are interleaved per lane and summed by one
//! `vpdpbusd`.

use std::arch::x86_64::*;

use super::PackedDepthwise;
use super::pack::{Block, Weights};

/// # Safety
///
/// The machine must have the features, `x` must hold the image, `row` must be a row of the
/// geometry and `out` must hold it.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn row(packed: &PackedDepthwise, x: &[u8], row: usize, out: &mut [u8]) {
    let weights = &packed.weights;
    let channels = packed.geometry.channels_in;
    packed.for_each_output(x, row, 4 * weights.groups, |column, taps| {
        let pixel = &mut out[column * channels..][..channels];
        for block in &weights.blocks {
            // SAFETY: every pointer has the channels of the block after `block.channel`, and so
            // has the output pixel.
            unsafe {
                let out = pixel.as_mut_ptr().add(block.channel);
                if block.vectors == 2 {
                    let words = sums::<HALF>(weights, block, taps);
                    Finish::new(weights, block.channels).store_half(words, out);
                } else {
                    let (low, high) = (sums::<LOW>(weights, block, taps), sums::<HIGH>(weights, block, taps));
                    Finish::new(weights, block.channels).store_full(low, high, out);
                }
            }
        }
    });
}

/// Up to 32 channels, spread so that the low eight bytes of each 128-bit lane hold eight.
pub(super) const HALF: u8 = 0;
/// The low eight channels of every 16 of up to 64.
pub(super) const LOW: u8 = 1;
/// The high eight channels of every 16 of up to 64.
pub(super) const HIGH: u8 = 2;

/// Loads the channels of `mask`, arranged for `PART`.
///
/// # Safety
///
/// The channels of `mask` must be readable from `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn load<const PART: u8>(at: *const u8, mask: u64) -> __m512i {
    // SAFETY: masked channels are not accessed.
    let channels = unsafe { _mm512_maskz_loadu_epi8(mask, at.cast()) };
    if PART == HALF {
        _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), channels)
    } else {
        channels
    }
}

/// Interleaves the bytes of the channels of `PART`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn pair<const PART: u8>(a: __m512i, b: __m512i) -> __m512i {
    if PART == HIGH { _mm512_unpackhi_epi8(a, b) } else { _mm512_unpacklo_epi8(a, b) }
}

/// Interleaves pairs to groups of four, the first four channels of each lane and the last four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn quad(a: __m512i, b: __m512i) -> [__m512i; 2] {
    [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
}

/// The requantized sums of `PART` as 16-bit words with the zero point added.
///
/// # Safety
///
/// `taps` must hold four pointers per group, each with the channels of `block` readable.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn sums<const PART: u8>(weights: &Weights, block: &Block, taps: &[*const u8]) -> __m512i {
    let mask = !0 >> (64 - block.channels);
    let part = Part::new::<PART>(weights, block);
    let mut acc = part.bias;
    for (group, taps) in taps.chunks_exact(4).enumerate() {
        // SAFETY: the caller vouches for the taps; the part has two vectors for every group.
        unsafe {
            let x = |tap: usize| load::<PART>(taps[tap].add(block.channel), mask);
            let groups = quad(pair::<PART>(x(0), x(1)), pair::<PART>(x(2), x(3)));
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_dpbusd_epi32(*acc, groups[j], part.weight(group, j));
            }
        }
    }
    part.words(acc, _mm512_set1_epi16(weights.store.zero as i16))
}

/// Weights, bias and multipliers of two vectors.
pub(super) struct Part {
    weights: *const i8,
    pub bias: [__m512i; 2],
    pub mult: [__m512; 2],
}

impl Part {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn new<const PART: u8>(weights: &Weights, block: &Block) -> Part {
        let (bytes, params) = if PART == HIGH { (weights.groups * 128, 32) } else { (0, 0) };
        let packed = &weights.packed.as_slice()[block.weights + bytes..][..weights.groups * 128];
        let bias = &weights.bias[block.params + params..][..32];
        let mult = &weights.mult[block.params + params..][..32];
        // SAFETY: the slices have 32 elements.
        unsafe {
            Part {
                weights: packed.as_ptr(),
                bias: std::array::from_fn(|j| _mm512_loadu_si512(bias.as_ptr().add(16 * j).cast())),
                mult: std::array::from_fn(|j| _mm512_loadu_ps(mult.as_ptr().add(16 * j))),
            }
        }
    }

    /// # Safety
    ///
    /// `group` must be below the groups of the weights and `vector` below 2.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn weight(&self, group: usize, vector: usize) -> __m512i {
        // SAFETY: `new` checked that every group has two vectors, which start at cache lines.
        unsafe { _mm512_load_si512(self.weights.add(group * 128 + vector * 64).cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn words(&self, acc: [__m512i; 2], zero: __m512i) -> __m512i {
        let [a, b]: [__m512i; 2] = std::array::from_fn(|j| {
            _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[j]), self.mult[j]))
        });
        _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero)
    }
}

/// Clamps and stores the channels of a block.
pub(super) struct Finish {
    lo: __m512i,
    hi: __m512i,
    flip: __m512i,
    mask: u64,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn new(weights: &Weights, channels: usize) -> Finish {
        Finish {
            lo: _mm512_set1_epi8(weights.lo as i8),
            hi: _mm512_set1_epi8(weights.hi as i8),
            flip: _mm512_set1_epi8(weights.store.flip as i8),
            mask: !0 >> (64 - channels),
        }
    }

    /// Stores words of [`LOW`] and [`HIGH`] channels.
    ///
    /// # Safety
    ///
    /// The channels must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn store_full(&self, low: __m512i, high: __m512i, out: *mut u8) {
        let bytes = _mm512_packus_epi16(low, high);
        let clamped = _mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi);
        // SAFETY: masked channels are not accessed.
        unsafe { _mm512_mask_storeu_epi8(out.cast(), self.mask, _mm512_xor_si512(clamped, self.flip)) }
    }

    /// Stores words of [`HALF`] channels.
    ///
    /// # Safety
    ///
    /// The channels must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn store_half(&self, words: __m512i, out: *mut u8) {
        let bytes = _mm512_packus_epi16(words, words);
        let bytes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6), bytes);
        let clamped = _mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi);
        // SAFETY: masked channels are not accessed.
        unsafe { _mm512_mask_storeu_epi8(out.cast(), self.mask, _mm512_xor_si512(clamped, self.flip)) }
    }
}
