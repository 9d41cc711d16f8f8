//! Any unary function of a byte, as a table of 256 results.

use crate::isa::Isa;

/// Replaces each byte of `x` by its entry in `table`.
///
/// # Panics
///
/// If the lengths differ.
pub fn lookup(isa: Isa, table: &[u8; 256], x: &[u8], out: &mut [u8]) {
    assert!(x.len() == out.len(), "operands differ in length");
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512Vnni && isa.is_available() && is_x86_feature_detected!("avx512vbmi") {
        // SAFETY: the features were detected, and `x` and `out` have the same length.
        unsafe { avx512::lookup(table, x.as_ptr(), out.as_mut_ptr(), x.len()) };
        return;
    }
    let _ = isa;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x)];
    }
}

/// As [`lookup`], with `x` overwritten by the result.
pub fn lookup_in_place(isa: Isa, table: &[u8; 256], x: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512Vnni && isa.is_available() && is_x86_feature_detected!("avx512vbmi") {
        // SAFETY: the features were detected; each vector is read before its place is written.
        unsafe { avx512::lookup(table, x.as_ptr(), x.as_mut_ptr(), x.len()) };
        return;
    }
    let _ = isa;
    for x in x {
        *x = table[usize::from(*x)];
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// # Safety
    ///
    /// `x` must point to `len` readable and `out` to `len` writable bytes, which are either the
    /// same or do not overlap.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) unsafe fn lookup(table: &[u8; 256], x: *const u8, out: *mut u8, len: usize) {
        // SAFETY: the four loads cover the 256 bytes of the table; the masks keep every other
        // access below `len`.
        unsafe {
            let part = |i: usize| _mm512_loadu_si512(table.as_ptr().add(64 * i).cast());
            let (t0, t1, t2, t3) = (part(0), part(1), part(2), part(3));
            let mut at = 0;
            while at < len {
                let rest = len - at;
                let mask = if rest >= 64 { !0 } else { (1u64 << rest) - 1 };
                let index = _mm512_maskz_loadu_epi8(mask, x.add(at).cast());
                let low = _mm512_permutex2var_epi8(t0, index, t1);
                let high = _mm512_permutex2var_epi8(t2, index, t3);
                let result = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
                _mm512_mask_storeu_epi8(out.add(at).cast(), mask, result);
                at += 64;
            }
        }
    }
}
