//! 512-bit depthwise rows for any kernel: four taps are interleaved per lane and summed by one
//! `vpdpbusd`.

use std::arch::x86_64::*;

use super::PackedDepthwise;
use super::pack::{Block, Weights};
use crate::kernels::gemm::avx512::curved;

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
                let finish = Finish::new(weights, block.channels);
                match (block.vectors, block.channels) {
                    (2, 32) => finish.store_half(sums::<HALF>(weights, block, taps), out),
                    (2, _) => finish.store_part(sums::<PART>(weights, block, taps), out),
                    _ => {
                        let low = sums::<LOW>(weights, block, taps);
                        finish.store_full(low, sums::<HIGH>(weights, block, taps), out);
                    }
                }
            }
        }
    });
}

/// Fewer than 32 channels, read through a mask.
pub(super) const PART: u8 = 0;
/// 32 channels.
pub(super) const HALF: u8 = 1;
/// The low eight channels of every 16 of 64.
pub(super) const LOW: u8 = 2;
/// The high eight channels of every 16 of 64.
pub(super) const HIGH: u8 = 3;

/// Loads the channels of a block of the kind `KIND`; `mask` tells which if that is [`PART`].
///
/// # Safety
///
/// The channels must be readable from `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn load<const KIND: u8>(at: *const u8, mask: u32) -> __m512i {
    // SAFETY: masked channels are not accessed.
    unsafe {
        match KIND {
            PART => _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(mask, at.cast())),
            HALF => _mm512_castsi256_si512(_mm256_loadu_si256(at.cast())),
            _ => _mm512_loadu_si512(at.cast()),
        }
    }
}

/// Interleaves the bytes of two taps, for the channels of `KIND`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn pair<const KIND: u8>(a: __m512i, b: __m512i) -> __m512i {
    match KIND {
        LOW => _mm512_unpacklo_epi8(a, b),
        HIGH => _mm512_unpackhi_epi8(a, b),
        _ => {
            let (a, b) = (_mm512_castsi512_si256(a), _mm512_castsi512_si256(b));
            let low = _mm512_castsi256_si512(_mm256_unpacklo_epi8(a, b));
            _mm512_inserti64x4::<1>(low, _mm256_unpackhi_epi8(a, b))
        }
    }
}

/// Interleaves pairs to groups of four, the first four channels of each lane and the last four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn quad(a: __m512i, b: __m512i) -> [__m512i; 2] {
    [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
}

/// The requantized sums of `KIND` as 16-bit words with the zero point added.
///
/// # Safety
///
/// `taps` must hold four pointers per group, each with the channels of `block` readable.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn sums<const KIND: u8>(weights: &Weights, block: &Block, taps: &[*const u8]) -> __m512i {
    let mask = mask_of(block.channels);
    let part = Part::new::<KIND>(weights, block);
    let mut acc = part.bias;
    for (group, taps) in taps.chunks_exact(4).enumerate() {
        // SAFETY: the caller vouches for the taps; the part has two vectors for every group.
        unsafe {
            let x = |tap: usize| load::<KIND>(taps[tap].add(block.channel), mask);
            let groups = quad(pair::<KIND>(x(0), x(1)), pair::<KIND>(x(2), x(3)));
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_dpbusd_epi32(*acc, groups[j], part.weight(group, j));
            }
        }
    }
    part.words(acc, zero_of(weights))
}

/// Weights, bias, offsets and multipliers of two vectors.
pub(super) struct Part {
    weights: *const i8,
    pub bias: [__m512i; 2],
    pub mult: [__m512; 2],
    /// 32 offsets, or null.
    offset: *const f32,
    hard_swish: Option<f32>,
}

impl Part {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn new<const KIND: u8>(weights: &Weights, block: &Block) -> Part {
        let (bytes, params) = if KIND == HIGH { (weights.groups * 128, 32) } else { (0, 0) };
        let packed = &weights.packed.as_slice()[block.weights + bytes..][..weights.groups * 128];
        let bias = &weights.bias[block.params + params..][..32];
        let mult = &weights.mult[block.params + params..][..32];
        let offset = weights.offset.get(block.params + params..block.params + params + 32);
        // SAFETY: the slices have 32 elements.
        unsafe {
            Part {
                weights: packed.as_ptr(),
                bias: std::array::from_fn(|j| _mm512_loadu_si512(bias.as_ptr().add(16 * j).cast())),
                mult: std::array::from_fn(|j| _mm512_loadu_ps(mult.as_ptr().add(16 * j))),
                offset: offset.map_or(std::ptr::null(), <[f32]>::as_ptr),
                hard_swish: weights.store.hard_swish,
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
    pub(super) fn words(&self, acc: [__m512i; 2], zero: Option<__m512i>) -> __m512i {
        let [a, b]: [__m512i; 2] = std::array::from_fn(|j| {
            let mut acc = _mm512_cvtepi32_ps(acc[j]);
            if !self.offset.is_null() {
                // SAFETY: there are 32 offsets.
                acc = _mm512_add_ps(acc, unsafe { _mm512_loadu_ps(self.offset.add(16 * j)) });
            }
            let x = _mm512_mul_ps(acc, self.mult[j]);
            match self.hard_swish {
                None => _mm512_cvtps_epi32(x),
                Some(inv) => curved(x, inv),
            }
        });
        let words = _mm512_packs_epi32(a, b);
        zero.map_or(words, |zero| _mm512_adds_epi16(words, zero))
    }
}

/// The zero point to add, if it is not zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn zero_of(weights: &Weights) -> Option<__m512i> {
    (weights.store.zero != 0).then(|| _mm512_set1_epi16(weights.store.zero as i16))
}

/// The channels of a block that has fewer than 32, as a mask; not used for others.
pub(super) fn mask_of(channels: usize) -> u32 {
    if channels < 32 { (1 << channels) - 1 } else { !0 }
}

/// Clamps and stores the channels of a block.
pub(super) struct Finish {
    lo: __m512i,
    hi: __m512i,
    flip: __m512i,
    /// Whether the saturation of the packs is not all there is to do.
    clamp: bool,
    mask: u32,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn new(weights: &Weights, channels: usize) -> Finish {
        Finish {
            lo: _mm512_set1_epi8(weights.lo as i8),
            hi: _mm512_set1_epi8(weights.hi as i8),
            flip: _mm512_set1_epi8(weights.store.flip as i8),
            clamp: (weights.lo, weights.hi, weights.store.flip) != (0, 255, 0),
            mask: mask_of(channels),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn bytes(&self, low: __m512i, high: __m512i) -> __m512i {
        let bytes = _mm512_packus_epi16(low, high);
        if self.clamp {
            _mm512_xor_si512(_mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi), self.flip)
        } else {
            bytes
        }
    }

    /// Stores words of [`LOW`] and [`HIGH`] channels.
    ///
    /// # Safety
    ///
    /// 64 channels must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn store_full(&self, low: __m512i, high: __m512i, out: *mut u8) {
        // SAFETY: the caller vouches for 64 bytes.
        unsafe { _mm512_storeu_si512(out.cast(), self.bytes(low, high)) }
    }

    /// The bytes of 32 channels in their order.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn half(&self, words: __m512i) -> __m256i {
        let order = _mm512_setr_epi64(0, 4, 2, 6, 0, 0, 0, 0);
        _mm512_castsi512_si256(_mm512_permutexvar_epi64(order, self.bytes(words, words)))
    }

    /// Stores words of [`HALF`] channels.
    ///
    /// # Safety
    ///
    /// 32 channels must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn store_half(&self, words: __m512i, out: *mut u8) {
        // SAFETY: the caller vouches for 32 bytes.
        unsafe { _mm256_storeu_si256(out.cast(), self.half(words)) }
    }

    /// Stores words of [`PART`] channels.
    ///
    /// # Safety
    ///
    /// The channels of the block must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn store_part(&self, words: __m512i, out: *mut u8) {
        // SAFETY: masked channels are not accessed.
        unsafe { _mm256_mask_storeu_epi8(out.cast(), self.mask, self.half(words)) }
    }
}
