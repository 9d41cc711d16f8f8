//! Vectors of `f32`, one body for every tier.
//!
//! A kernel is a [`Job`] written over [`Lanes`]; [`dispatch`] compiles it for the features of a tier. Everything
//! on the way is `inline(always)`, so that the intrinsics end up inside the function that has the features.

use crate::isa::Isa;

/// The tiers of float kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    /// Plain Rust.
    Scalar,
    /// 256 bits with fused multiply-add.
    V256,
    /// 512 bits.
    V512,
}

impl Width {
    /// The widest one that `isa` allows and the machine has.
    pub(crate) fn of(isa: Isa) -> Width {
        #[cfg(target_arch = "x86_64")]
        {
            let isa = isa.or_available();
            if isa >= Isa::Avx512Vnni {
                return Width::V512;
            }
            if isa >= Isa::Avx2 && is_x86_feature_detected!("fma") {
                return Width::V256;
            }
        }
        let _ = isa;
        Width::Scalar
    }
    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Width::Scalar | Width::V256 => 8,
            Width::V512 => 16,
        }
    }
}

/// A vector of `f32`.
///
/// # Safety
///
/// Methods may be called only where the features of the vector are enabled; pointers must be valid for the
/// lanes that a method names. No pointer needs to be aligned.
pub(crate) unsafe trait Lanes: Copy {
    /// Numbers in it.
    const N: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    /// The first `n < N` numbers; the others are 0.
    unsafe fn load_first(p: *const f32, n: usize) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// Stores the first `n < N` numbers.
    unsafe fn store_first(self, p: *mut f32, n: usize);
    unsafe fn add(self, o: Self) -> Self;
    unsafe fn mul(self, o: Self) -> Self;
    /// `self · a + b`, rounded once where the tier can.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger of both; `o` if one is not a number.
    unsafe fn max(self, o: Self) -> Self;
    /// The smaller of both; `o` if one is not a number.
    unsafe fn min(self, o: Self) -> Self;
}

// SAFETY: plain Rust needs no feature.
unsafe impl Lanes for [f32; 8] {
    const N: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for `n` numbers.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        for (i, x) in self.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for `n` numbers.
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        std::array::from_fn(|i| self[i] + o[i])
    }
    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        std::array::from_fn(|i| self[i] * o[i])
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] * a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        std::array::from_fn(|i| if self[i] > o[i] { self[i] } else { o[i] })
    }
    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        std::array::from_fn(|i| if self[i] < o[i] { self[i] } else { o[i] })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// Lane numbers, compared with a count to make a mask.
    #[inline(always)]
    unsafe fn mask256(n: usize) -> __m256i {
        // SAFETY: the caller has AVX2 enabled.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    // SAFETY: every method forwards to intrinsics of AVX2 and FMA with the caller's pointers.
    unsafe impl Lanes for __m256 {
        const N: usize = 8;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            unsafe { _mm256_maskload_ps(p, mask256(n)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm256_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            unsafe { _mm256_maskstore_ps(p, mask256(n), self) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm256_add_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn mul(self, o: Self) -> Self {
            unsafe { _mm256_mul_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm256_fmadd_ps(self, a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, o: Self) -> Self {
            unsafe { _mm256_max_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn min(self, o: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm256_min_ps(self, o) }
        }
    }

    // SAFETY: every method forwards to intrinsics of AVX-512F with the caller's pointers.
    unsafe impl Lanes for __m512 {
        const N: usize = 16;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            unsafe { _mm512_maskz_loadu_ps((1u16 << n).wrapping_sub(1), p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm512_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            unsafe { _mm512_mask_storeu_ps(p, (1u16 << n).wrapping_sub(1), self) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm512_add_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn mul(self, o: Self) -> Self {
            unsafe { _mm512_mul_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm512_fmadd_ps(self, a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, o: Self) -> Self {
            unsafe { _mm512_max_ps(self, o) }
        }
        #[inline(always)]
        unsafe fn min(self, o: Self) -> Self {
            // SAFETY: the caller keeps the contract of `Lanes`: the features are enabled, the pointers valid.
            unsafe { _mm512_min_ps(self, o) }
        }
    }
}

/// A piece of work that is compiled for each tier.
pub(crate) trait Job {
    /// Does it; must be `inline(always)`.
    ///
    /// # Safety
    ///
    /// The features of `V` must be enabled, and what the job's pointers promise must hold.
    unsafe fn run<V: Lanes>(self);
}

/// Runs the job on a tier.
///
/// # Safety
///
/// What the job's pointers promise must hold; `width` must come from [`Width::of`].
#[inline]
pub(crate) unsafe fn dispatch(width: Width, job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn v256(job: impl Job) {
            // SAFETY: the features are enabled here; the rest is the caller's promise.
            unsafe { job.run::<std::arch::x86_64::__m256>() }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn v512(job: impl Job) {
            // SAFETY: the features are enabled here; the rest is the caller's promise.
            unsafe { job.run::<std::arch::x86_64::__m512>() }
        }
        match width {
            // SAFETY: `Width::of` detected the features.
            Width::V512 => return unsafe { v512(job) },
            // SAFETY: `Width::of` detected the features.
            Width::V256 => return unsafe { v256(job) },
            Width::Scalar => {}
        }
    }
    let _ = width;
    // SAFETY: plain Rust needs no feature; the rest is the caller's promise.
    unsafe { job.run::<[f32; 8]>() }
}
