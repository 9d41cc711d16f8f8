//! Parameters of dynamic quantization, which are found anew in each run.

use crate::diag::Reason;
use crate::quant::affine::quantize_per_tensor;
use crate::quant::choose::min_max;
use crate::tensor::Tensor;
use crate::types::Storage;

/// Scales below this are raised to it, since their reciprocals are too coarse for kernels.
const SMALL_SCALE: f32 = 6.1e-5;

/// How [`choose_quantization_params`] treats the range.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dynamic {
    /// Use half of the integers, so that 16-bit sums of products cannot overflow.
    pub reduce_range: bool,
    /// Keep 0 in the middle of the integers if data has both signs (symmetric quantization).
    pub preserve_sparsity: bool,
}

/// Scale and zero point for data between `min` and `max` in integers `qmin..=qmax`: what PyTorch calls
/// `ChooseQuantizationParams`.
///
/// Not the formula of observers ([`crate::quant::choose`]): the scale is computed in double precision, a scale that
/// is 0 or has no reciprocal becomes 0.1, one below 6.1e-5 is raised to it together with the range, and the zero point
/// comes from the end of the range that has the smaller error.
pub fn choose_quantization_params(
    (min, max): (f32, f32),
    (mut qmin, mut qmax): (i32, i32),
    how: Dynamic,
) -> (f64, i32) {
    if how.reduce_range {
        (qmin, qmax) = (qmin / 2, qmax / 2);
    }
    let (mut min, mut max) = (min.min(0.0), max.max(0.0));
    let levels = f64::from(qmax) - f64::from(qmin);
    let mut scale = (f64::from(max) - f64::from(min)) / levels;
    if scale as f32 == 0.0 || (1.0 / scale as f32).is_infinite() {
        scale = 0.1;
    }
    if scale < f64::from(SMALL_SCALE) {
        let amplifier = SMALL_SCALE / scale as f32;
        scale = SMALL_SCALE.into();
        if min == 0.0 {
            max = SMALL_SCALE * levels as f32;
        } else if max == 0.0 {
            min = -SMALL_SCALE * levels as f32;
        } else {
            (min, max) = (min * amplifier, max * amplifier);
        }
    }
    let both = min < 0.0 && max > 0.0;
    let (mut lo, mut hi) = (f64::from(min), f64::from(max));
    if how.preserve_sparsity && both {
        let half = (qmax - qmin) / 2;
        let (sym_lo, sym_hi) = (-(half + 1), half);
        scale = (lo / f64::from(sym_lo)).abs().max((hi / f64::from(sym_hi)).abs());
        // The range is held in `f32`.
        lo = f64::from((scale * f64::from(sym_lo)) as f32);
        hi = f64::from((scale * f64::from(sym_hi)) as f32);
    }
    let (qlo, qhi) = (f64::from(qmin), f64::from(qmax));
    let from_min = qlo - lo / scale;
    let from_max = qhi - hi / scale;
    let error_min = qlo.abs() - (lo / scale).abs();
    let error_max = qhi.abs() - (hi / scale).abs();
    let mut zero = if error_min < error_max { from_min } else { from_max };
    if how.preserve_sparsity && both {
        zero = f64::from(qmin + qmax) / 2.0;
    }
    (scale, zero.clamp(qlo, qhi).round_ties_even() as i32)
}

/// [`choose_quantization_params`] for `u8` integers, or for half of them with `reduce_range`: what dynamic ops use.
pub fn dynamic_params(min: f32, max: f32, reduce_range: bool) -> (f64, i32) {
    choose_quantization_params((min, max), (0, 255), Dynamic { reduce_range, ..Dynamic::default() })
}

/// Scale and zero point for the numbers of `x` in `u8` (`torch._choose_qparams_per_tensor`).
///
/// Fails if `x` is empty, or holds NaN or an infinity.
pub fn choose_qparams_per_tensor(x: &Tensor, reduce_range: bool) -> Result<(f64, i32), Reason> {
    params(x, (0, 255), reduce_range)
}

/// Quantizes `x` with parameters from its own numbers, in `u8` or `i8` (`torch.quantize_per_tensor_dynamic`).
///
/// Integers fill the whole storage also with `reduce_range`. Fails as [`choose_qparams_per_tensor`] does, and for
/// other storages.
pub fn quantize_per_tensor_dynamic(
    x: &Tensor,
    storage: Storage,
    reduce_range: bool,
) -> Result<Tensor, Reason> {
    let range = match storage {
        Storage::U8 => (0, 255),
        Storage::I8 => (-128, 127),
        s => return Err(Reason::new(format!("dynamic quantization yields `u8` or `i8`, not `{s}`"))),
    };
    let (scale, zero) = params(x, range, reduce_range)?;
    quantize_per_tensor(x, scale, zero.into(), storage)
}

fn params(x: &Tensor, range: (i32, i32), reduce_range: bool) -> Result<(f64, i32), Reason> {
    let ends = min_max(&x.floats()?).filter(|(lo, hi)| lo.is_finite() && hi.is_finite());
    let ends = ends.ok_or_else(|| {
        Reason::new(format!("no parameters follow from {}: it is empty or holds NaN or infinities", x.ty()))
    })?;
    Ok(choose_quantization_params(ends, range, Dynamic { reduce_range, ..Dynamic::default() }))
}
