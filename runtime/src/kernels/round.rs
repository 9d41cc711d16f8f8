//! Clamp and round shared by the element-wise kernels and the scalar epilogues.

use quantir_ir::ops::act::hard_swish;

use super::epilogue::OutputRange;

/// 1.5 · 2^23: adding it to a float below 2^22 in magnitude rounds that float to an integer,
/// ties to even, and leaves the integer in the low mantissa bits.
const MAGIC: f32 = 12_582_912.0;

/// [`OutputRange`] prepared for arithmetic: bounds as floats relative to the zero point, and the
/// store in the unsigned domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    /// Least value of the rounded float.
    pub lo: f32,
    /// Greatest value of the rounded float.
    pub hi: f32,
    /// Zero point in the unsigned domain, 0..=255.
    pub zero: i32,
    /// 0x80 when the output is signed.
    pub flip: u8,
    /// As in [`OutputRange`].
    pub hard_swish: Option<f32>,
}

impl Store {
    pub(crate) fn new(range: &OutputRange) -> Store {
        let shift = if range.signed { 128 } else { 0 };
        Store {
            lo: (range.lo - range.zero) as f32,
            hi: (range.hi - range.zero) as f32,
            zero: range.zero + shift,
            flip: if range.signed { 0x80 } else { 0 },
            hard_swish: range.hard_swish,
        }
    }

    /// Clamps, rounds to nearest even and adds the zero point. The value must be a number.
    #[inline(always)]
    pub(crate) fn apply(&self, value: f32) -> u8 {
        let value = match self.hard_swish {
            None => value,
            Some(inv) => {
                let curved = hard_swish(value) * inv;
                // Minus infinity times zero.
                if curved.is_nan() { 0.0 } else { curved }
            }
        };
        // The comparisons are written so that each is one vector min or max.
        let value = if value > self.lo { value } else { self.lo };
        let value = if value < self.hi { value } else { self.hi };
        let rounded = (value + MAGIC).to_bits() as i32;
        (rounded.wrapping_sub(MAGIC.to_bits() as i32).wrapping_add(self.zero) as u8) ^ self.flip
    }
}

/// Defines `$name` as the one body compiled for every tier: the vector tiers are the same
/// statements under wider target features, hence equal bit for bit.
macro_rules! for_each_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) {
                body($($arg),*)
            }

            match isa.or_available() {
                // SAFETY: `or_available` returns only tiers whose features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512Vnni => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}

pub(crate) use for_each_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_matches_the_definition() {
        let range = OutputRange::i8(-5);
        let store = Store::new(&range);
        for step in -4000..4000 {
            let value = step as f32 * 0.125;
            let expected = (value.round_ties_even() as i32 - 5).clamp(-128, 127);
            assert_eq!(store.apply(value) as i8 as i32, expected, "{value}");
        }
        assert_eq!(store.apply(f32::INFINITY) as i8, 127);
        assert_eq!(store.apply(f32::NEG_INFINITY) as i8, -128);
        assert_eq!(store.apply(1e30) as i8, 127);
    }
}
