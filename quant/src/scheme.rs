//! Scales and zero points from ranges: the one formula of calibration, convert and training.

use std::sync::Arc;

use quantir_ir::quant::choose::{Scheme, choose_float_qparams, choose_qparams};
use quantir_ir::{ObserverSpec, QParams, Quant, Zeros};

use crate::Error;

/// The least scale, unless an observer says otherwise: `2⁻²³`.
pub const EPS: f32 = ObserverSpec::EPS;

/// Scale and zero point for data between `min` and `max` ([`choose_qparams`], PyTorch's `_calculate_qparams`). An
/// unsigned symmetric range that is not the whole storage has its zero point in the middle, as one that the user chose.
pub fn scale_zero(spec: &ObserverSpec, min: f32, max: f32) -> (f32, i32) {
    let custom_range = spec.custom_range || spec.storage.int_range() != Some(spec.range);
    let scheme = if spec.symmetric { Scheme::Symmetric { custom_range } } else { Scheme::Affine };
    choose_qparams((min, max), spec.range, spec.storage, scheme, spec.eps)
}

/// Scale and float zero point for data between `min` and `max`, which need not hold 0 ([`choose_float_qparams`]).
pub fn scale_zero_float(spec: &ObserverSpec, min: f32, max: f32) -> (f32, f32) {
    choose_float_qparams((min, max), spec.range, spec.eps)
}

/// The quantization that `spec` asks for, given the range of the data: one pair per tensor, or one for each index of its axis.
pub fn quant_from_range(spec: &ObserverSpec, min: &[f32], max: &[f32]) -> Result<Quant, Error> {
    check(spec)?;
    if min.iter().zip(max).any(|(lo, hi)| !(lo.is_finite() && hi.is_finite() && lo <= hi)) {
        return Err(Error::NoRange);
    }
    let ranges = || min.iter().zip(max).map(|(&lo, &hi)| (lo, hi));
    let params = match (spec.axis, spec.float_zero) {
        (None, false) => match ranges().next() {
            Some((lo, hi)) if min.len() == 1 => {
                let (scale, zero) = scale_zero(spec, lo, hi);
                QParams::Tensor { scale, zero }
            }
            _ => return Err(Error::NoData),
        },
        (Some(axis), false) => {
            let pairs: Vec<(f32, i32)> = ranges().map(|(lo, hi)| scale_zero(spec, lo, hi)).collect();
            let scale: Arc<[f32]> = pairs.iter().map(|p| p.0).collect();
            let zero = match pairs.first() {
                Some(&(_, z)) if pairs.iter().all(|p| p.1 == z) => Zeros::All(z),
                _ => Zeros::Each(pairs.iter().map(|p| p.1).collect()),
            };
            QParams::Axis { axis, scale, zero }
        }
        (Some(axis), true) => {
            let pairs: Vec<(f32, f32)> = ranges().map(|(lo, hi)| scale_zero_float(spec, lo, hi)).collect();
            let zero = Zeros::Float(pairs.iter().map(|p| p.1).collect());
            QParams::Axis { axis, scale: pairs.iter().map(|p| p.0).collect(), zero }
        }
        (None, true) => {
            return Err(Error::Declaration(
                "float zero points are for tables with a scale for each row".into(),
            ));
        }
    };
    Ok(Quant { storage: spec.storage, range: spec.range, params })
}

/// Whether `spec` names integers that exist, and a scheme that makes sense for them.
pub fn check(spec: &ObserverSpec) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Declaration(why));
    let Some((lo, hi)) = spec.storage.int_range() else {
        return refuse(format!("`{}` cannot hold quantized integers", spec.storage));
    };
    let (qmin, qmax) = spec.range;
    if qmin >= qmax || qmin < lo || qmax > hi || i32::try_from(qmin).is_err() || i32::try_from(qmax).is_err()
    {
        return refuse(format!("range [{qmin}:{qmax}] does not lie within `{}` [{lo}:{hi}]", spec.storage));
    }
    if qmin > 0 || qmax < 0 {
        return refuse(format!("range [{qmin}:{qmax}] does not include 0"));
    }
    if !(spec.eps > 0.0 && spec.eps.is_finite()) {
        return refuse(format!("the least scale, `eps {}`, is not positive and finite", spec.eps));
    }
    if spec.float_zero && spec.symmetric {
        return refuse("a zero point is either fixed (`symmetric`) or a float (`float_qparams`)".into());
    }
    if spec.float_zero && spec.axis.is_none() {
        return refuse(
            "`float_qparams` is for tables with a scale for each row: write `float_qparams(axis)`".into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    #[test]
    fn parameters_are_those_of_pytorch() {
        let spec = |range, storage, symmetric| ObserverSpec {
            range,
            symmetric,
            ..ObserverSpec::new("minmax", storage)
        };
        let u8_full = |lo, hi| scale_zero(&spec((0, 255), Storage::U8, false), lo, hi);
        assert_eq!(u8_full(1.0, 2.0), (2.0 / 255.0, 0));
        assert_eq!(u8_full(-2.0, -1.0), (2.0 / 255.0, 255));
        assert_eq!(u8_full(0.0, 0.0), (EPS, 0));
        assert_eq!(scale_zero(&spec((-64, 63), Storage::I8, false), -1.0, 3.0), (4.0 / 127.0, -32));
        assert_eq!(scale_zero(&spec((-128, 127), Storage::I8, true), -1.0, 0.9), (1.0 / 127.5, 0));
        assert_eq!(scale_zero(&spec((-127, 127), Storage::I8, true), -1.0, 0.9), (1.0 / 127.0, 0));
        let mut full = spec((0, 255), Storage::U8, true);
        assert_eq!(scale_zero(&full, -1.0, 0.5).1, 128);
        full.custom_range = true;
        assert_eq!(scale_zero(&full, -1.0, 0.5).1, 127);
        assert_eq!(scale_zero(&ObserverSpec { eps: 0.25, ..full }, 0.0, 1e-3).0, 0.25);
    }

    #[test]
    fn a_range_wider_than_f32_has_a_finite_scale() {
        let (scale, zero) = scale_zero(&ObserverSpec::new("minmax", Storage::U8), f32::MIN, f32::MAX);
        assert!(scale.is_finite() && (127..=128).contains(&zero));
    }
}
