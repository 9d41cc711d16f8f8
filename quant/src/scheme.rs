//! Scales and zero points from ranges: the one formula of calibration, convert and training.

use std::sync::Arc;

use quantir_ir::{ObserverSpec, QParams, Quant, Storage, Zeros};

use crate::Error;

/// The least scale, unless an observer says otherwise: `2⁻²³`.
pub const EPS: f32 = f32::EPSILON;

/// Scale and zero point for data between `min` and `max` (`_calculate_qparams` of PyTorch, in `f32`).
///
/// The range is widened to hold 0. Affine: `scale = max((max − min) / (qmax − qmin), 2⁻²³)`,
/// `zero = clamp(qmin − rne(min / scale), qmin, qmax)`. Symmetric: `scale = max(max(−min, max) / ((qmax − qmin) / 2), 2⁻²³)`
/// with zero point 0 for signed storage, 128 for full unsigned 8 bit (the middle of the storage), and
/// `(qmin + qmax) / 2` for a narrower unsigned range. A range too wide for `f32` is computed in `f64`.
pub fn scale_zero(min: f32, max: f32, range: (i64, i64), storage: Storage, symmetric: bool) -> (f32, i32) {
    let (neg, pos) = (min.min(0.0), max.max(0.0));
    let (qmin, qmax) = range;
    let levels = (qmax - qmin) as f32;
    let or_wide = |narrow: f32, wide: f64| if narrow.is_finite() { narrow } else { wide as f32 };
    if symmetric {
        let reach = (-neg).max(pos);
        let half = levels / 2.0;
        let scale = or_wide(reach / half, f64::from(reach) / f64::from(half)).max(EPS);
        let zero = match storage.int_range() {
            Some((lo, _)) if lo < 0 => 0,
            Some(full) if full == range => (full.1 + 1) / 2,
            _ => (qmin + qmax).div_euclid(2),
        };
        (scale, zero.clamp(qmin, qmax) as i32)
    } else {
        let wide = (f64::from(pos) - f64::from(neg)) / f64::from(levels);
        let scale = or_wide((pos - neg) / levels, wide).max(EPS);
        let steps = f64::from((neg / scale).round_ties_even());
        let zero = (qmin as f64 - steps).clamp(qmin as f64, qmax as f64);
        (scale, zero as i32)
    }
}

/// The quantization that `spec` asks for, given the range of the data: one pair per tensor, or one for each index of its axis.
pub fn quant_from_range(spec: &ObserverSpec, min: &[f32], max: &[f32]) -> Result<Quant, Error> {
    check(spec)?;
    let pairs: Vec<(f32, i32)> = min
        .iter()
        .zip(max)
        .map(|(&lo, &hi)| scale_zero(lo, hi, spec.range, spec.storage, spec.symmetric))
        .collect();
    let params = match spec.axis {
        None => match pairs.as_slice() {
            [(scale, zero)] => QParams::Tensor { scale: *scale, zero: *zero },
            _ => return Err(Error::NoData),
        },
        Some(axis) => {
            let scale: Arc<[f32]> = pairs.iter().map(|p| p.0).collect();
            let zero = match pairs.first() {
                Some(&(_, z)) if pairs.iter().all(|p| p.1 == z) => Zeros::All(z),
                _ => Zeros::Each(pairs.iter().map(|p| p.1).collect()),
            };
            QParams::Axis { axis, scale, zero }
        }
    };
    Ok(Quant { storage: spec.storage, range: spec.range, params })
}

/// Whether `spec` names integers that exist.
pub fn check(spec: &ObserverSpec) -> Result<(), Error> {
    let Some((lo, hi)) = spec.storage.int_range() else {
        return Err(Error::Declaration(format!("`{}` cannot hold quantized integers", spec.storage)));
    };
    let (qmin, qmax) = spec.range;
    if qmin >= qmax || qmin < lo || qmax > hi || i32::try_from(qmin).is_err() || i32::try_from(qmax).is_err()
    {
        return Err(Error::Declaration(format!(
            "range [{qmin}:{qmax}] does not lie within `{}` [{lo}:{hi}]",
            spec.storage
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_pytorch() {
        let u8_full = |lo, hi| scale_zero(lo, hi, (0, 255), Storage::U8, false);
        assert_eq!(u8_full(1.0, 2.0), (2.0 / 255.0, 0));
        assert_eq!(u8_full(-2.0, -1.0), (2.0 / 255.0, 255));
        assert_eq!(u8_full(0.0, 0.0), (EPS, 0));
        assert_eq!(scale_zero(-1.0, 3.0, (-64, 63), Storage::I8, false), (4.0 / 127.0, -32));
        assert_eq!(scale_zero(-1.0, 0.9, (-128, 127), Storage::I8, true), (1.0 / 127.5, 0));
        assert_eq!(scale_zero(-1.0, 0.9, (-127, 127), Storage::I8, true), (1.0 / 127.0, 0));
        assert_eq!(scale_zero(-1.0, 0.5, (0, 255), Storage::U8, true).1, 128);
    }

    #[test]
    fn a_range_wider_than_f32_has_a_finite_scale() {
        let (scale, zero) = scale_zero(f32::MIN, f32::MAX, (0, 255), Storage::U8, false);
        assert!(scale.is_finite() && (127..=128).contains(&zero));
    }
}
