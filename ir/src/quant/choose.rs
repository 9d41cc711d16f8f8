//! Parameters from the ends of the data, as observers compute them.

use crate::types::Storage;

/// How the parameters of an observer follow from its range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `per_tensor_affine` and `per_channel_affine`.
    Affine,
    /// `per_tensor_symmetric` and `per_channel_symmetric`.
    Symmetric {
        /// Whether the range was given by the user: then the zero point of unsigned integers is its middle.
        custom_range: bool,
    },
}

/// Scale and zero point for data between `min` and `max`, in `f32`.
///
/// The range is widened to hold 0. Affine: `scale = max((max − min) / (qmax − qmin), eps)`,
/// `zero = clamp(qmin − rne(min / scale), qmin, qmax)`. Symmetric:
/// `scale = max(max(−min, max) / ((qmax − qmin) / 2), eps)` with zero point 0 for signed storage, 128 for unsigned, and
/// `⌊(qmin + qmax) / 2⌋` for an unsigned range that the user gave.
///
/// Where PyTorch's integer arithmetic would wrap, the zero point saturates, and a range too wide for `f32` is computed in
/// `f64`, so that the scale is finite.
pub fn choose_qparams(
    (min, max): (f32, f32),
    (qmin, qmax): (i64, i64),
    storage: Storage,
    scheme: Scheme,
    eps: f32,
) -> (f32, i32) {
    let (neg, pos) = (min.min(0.0), max.max(0.0));
    let levels = (qmax - qmin) as f32;
    let or_wide = |narrow: f32, wide: f64| if narrow.is_finite() { narrow } else { wide as f32 };
    match scheme {
        Scheme::Symmetric { custom_range } => {
            let (reach, half) = ((-neg).max(pos), levels / 2.0);
            let scale = or_wide(reach / half, f64::from(reach) / f64::from(half)).max(eps);
            let zero = match storage.int_range() {
                Some((lo, _)) if lo < 0 => 0,
                Some((_, hi)) if !custom_range => (hi + 1) / 2,
                _ => (qmin + qmax).div_euclid(2),
            };
            (scale, zero.clamp(qmin, qmax) as i32)
        }
        Scheme::Affine => {
            let wide = (f64::from(pos) - f64::from(neg)) / f64::from(levels);
            let scale = or_wide((pos - neg) / levels, wide).max(eps);
            let steps = f64::from((neg / scale).round_ties_even());
            (scale, (qmin as f64 - steps).clamp(qmin as f64, qmax as f64) as i32)
        }
    }
}

/// Scale and real zero point for data between `min` and `max`, the format of embedding tables:
/// `scale = (max − min) / (qmax − qmin)`, 1 if that is not above `eps`, and `zero = −min / scale`. The range need not
/// hold 0.
pub fn choose_float_qparams((min, max): (f32, f32), (qmin, qmax): (i64, i64), eps: f32) -> (f32, f32) {
    let scale = (max - min) / (qmax - qmin) as f32;
    let scale = if scale > eps { scale } else { 1.0 };
    (scale, -min / scale)
}

/// The smallest and the largest number of a slice; `None` if it is empty or holds a NaN.
pub fn min_max(x: &[f32]) -> Option<(f32, f32)> {
    let (&first, rest) = x.split_first()?;
    let ends = rest.iter().fold((first, first), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    (!x.iter().any(|v| v.is_nan())).then_some(ends)
}
