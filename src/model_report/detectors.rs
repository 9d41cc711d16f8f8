//! The detectors: what each computes, its thresholds, and what it advises.

use quantir_ir::{QParams, Quant, Reason, Storage, Tensor, Zeros};
use quantir_quant::defaults::BACKENDS;

use super::findings::{Feature, Features};
use super::stats::{LayerStats, ranges};
use crate::error::Error;
use crate::numeric_suite::sqnr;

/// Looks at layers and says what would quantize them better.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    /// See [`PerChannelDetector`].
    PerChannel(PerChannelDetector),
    /// See [`DynamicStaticDetector`].
    DynamicStatic(DynamicStaticDetector),
    /// See [`OutlierDetector`].
    Outlier(OutlierDetector),
    /// See [`InputWeightEqualizationDetector`].
    InputWeightEqualization(InputWeightEqualizationDetector),
}

impl Detector {
    /// All detectors with their defaults.
    pub fn all() -> Vec<Detector> {
        vec![
            Detector::PerChannel(PerChannelDetector::default()),
            Detector::DynamicStatic(DynamicStaticDetector::default()),
            Detector::Outlier(OutlierDetector::default()),
            Detector::InputWeightEqualization(InputWeightEqualizationDetector::default()),
        ]
    }

    /// Its name, which results carry.
    pub fn name(&self) -> &'static str {
        match self {
            Detector::PerChannel(_) => "per_channel_detector",
            Detector::DynamicStatic(_) => "dynamic_vs_static_detector",
            Detector::Outlier(_) => "outlier_detector",
            Detector::InputWeightEqualization(_) => "input_weight_equalization_detector",
        }
    }

    /// The features of a layer, and what to do about it; `None` if the detector has nothing to say of such layers.
    pub fn inspect(&self, layer: &LayerStats) -> Result<Option<(Features, Option<String>)>, Reason> {
        match self {
            Detector::PerChannel(d) => d.inspect(layer).map(Some),
            Detector::DynamicStatic(d) => Ok(Some(d.inspect(layer))),
            Detector::Outlier(d) => Ok(Some(d.inspect(layer))),
            Detector::InputWeightEqualization(d) => d.inspect(layer),
        }
    }
}

fn refuse<T>(message: String, help: &str) -> Result<T, Error> {
    Err(Error::Usage(message, help.into()))
}

/// Weights per channel where the back end has them.
///
/// Beside PyTorch's features (supported, recommended) it says what the weight gains: SQNR of its 8-bit form per tensor and per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct PerChannelDetector {
    backend: String,
}

impl Default for PerChannelDetector {
    fn default() -> Self {
        PerChannelDetector { backend: "x86".into() }
    }
}

impl PerChannelDetector {
    /// For a back end: `fbgemm`, `qnnpack`, `onednn`, `x86`. Fails for others.
    pub fn new(backend: &str) -> Result<Self, Error> {
        if !BACKENDS.contains(&backend) {
            let known = format!("known are: {}", BACKENDS.join(", "));
            return refuse(format!("the per-channel detector knows no back end `{backend}`"), &known);
        }
        Ok(PerChannelDetector { backend: backend.into() })
    }

    fn inspect(&self, l: &LayerStats) -> Result<(Features, Option<String>), Reason> {
        let mut f = Features::new();
        // All of these back ends refuse transposed convolution per channel, as PyTorch does.
        let supported = !l.op.starts_with("conv_transpose");
        let per_tensor = weight_sqnr(&l.weight, None)?;
        let per_channel = weight_sqnr(&l.weight, Some(0))?;
        f.insert("backend", Feature::Text(self.backend.clone()));
        f.insert("per_channel_quantization_supported", Feature::Flag(supported));
        f.insert("per_channel_quantization_recommended", Feature::Flag(supported));
        f.insert("weight_sqnr_per_tensor", Feature::Number(per_tensor));
        f.insert("weight_sqnr_per_channel", Feature::Number(per_channel));
        let gain = per_channel - per_tensor;
        let advice = (supported && gain >= 1.0)
            .then(|| format!("quantize its weight per channel: {gain:.1} dB more SQNR than per tensor"));
        Ok((f, advice))
    }
}

/// SQNR of a weight in 8 bits, symmetric over −127..127, with one scale or one for each index of `axis`.
fn weight_sqnr(w: &Tensor, axis: Option<usize>) -> Result<f64, Reason> {
    let scale = |(lo, hi): (f32, f32)| (hi.abs().max(lo.abs()) / 127.0).max(f32::EPSILON);
    let params = match axis {
        None => {
            let flat = w.reshape(&[1, w.numel()])?;
            QParams::Tensor { scale: scale(ranges(&flat, 0)?[0]), zero: 0 }
        }
        Some(a) => QParams::Axis {
            axis: a as u8,
            scale: ranges(w, a)?.into_iter().map(scale).collect(),
            zero: Zeros::All(0),
        },
    };
    let q = Quant { storage: Storage::I8, range: (-127, 127), params };
    sqnr(w, &w.quantize(&q.into())?)
}

/// Dynamic or static quantization of activations.
///
/// `S = mean range of a batch / range of all batches`; a value is stationary if `S > tolerance`, for then one range serves all
/// batches. Dynamic quantization is recommended if the result is not stationary; only linear layers have it.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicStaticDetector {
    tolerance: f64,
}

impl Default for DynamicStaticDetector {
    fn default() -> Self {
        DynamicStaticDetector { tolerance: 0.5 }
    }
}

impl DynamicStaticDetector {
    /// With another tolerance, from 0 to 1. Fails outside.
    pub fn new(tolerance: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&tolerance) {
            return refuse(
                format!("a tolerance of {tolerance} makes no sense"),
                "give a share between 0 and 1",
            );
        }
        Ok(DynamicStaticDetector { tolerance })
    }

    fn inspect(&self, l: &LayerStats) -> (Features, Option<String>) {
        let stat = |s: &super::stats::ValueStats| s.average_range / s.range();
        let (pre, post) = (stat(&l.input), stat(&l.output));
        let word = |s: f64| if s > self.tolerance { "stationary" } else { "non-stationary" };
        let recommended = post <= self.tolerance;
        let supported = l.is_linear();
        let mut f = Features::new();
        f.insert("dynamic_static_tolerance", Feature::Number(self.tolerance));
        f.insert("pre_observer_statistic", Feature::Number(pre));
        f.insert("post_observer_statistic", Feature::Number(post));
        f.insert("pre_observer_distribution", Feature::Text(word(pre).into()));
        f.insert("post_observer_distribution", Feature::Text(word(post).into()));
        f.insert("dynamic_recommended", Feature::Flag(recommended));
        f.insert("dynamic_supported", Feature::Flag(supported));
        let advice = recommended.then(|| match supported {
            true => format!("quantize it dynamically: ranges of batches are {:.0} % of the whole", post * 100.0),
            false => format!(
                "ranges of batches are {:.0} % of the whole, which asks for dynamic quantization, but `{}` has none",
                post * 100.0,
                l.op
            ),
        });
        (f, advice)
    }
}

/// Channels with outliers in the input: large values that are rare, for which the whole range pays.
///
/// For each channel the mean over batches of `largest / reference percentile`; it has outliers if that is above
/// the threshold, and the verdict holds if enough batches could be used.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetector {
    ratio_threshold: f64,
    reference_percentile: f64,
    fraction_batches_used_threshold: f64,
    ch_axis: Option<usize>,
}

impl Default for OutlierDetector {
    fn default() -> Self {
        OutlierDetector {
            ratio_threshold: 3.5,
            reference_percentile: 0.975,
            fraction_batches_used_threshold: 0.95,
            ch_axis: None,
        }
    }
}

impl OutlierDetector {
    /// Fails if the percentile or the fraction lies outside 0..1, or the ratio is not above 1.
    pub fn new(
        ratio_threshold: f64,
        reference_percentile: f64,
        fraction_batches_used_threshold: f64,
    ) -> Result<Self, Error> {
        if ratio_threshold.is_nan() || ratio_threshold <= 1.0 {
            return refuse(
                format!("a ratio threshold of {ratio_threshold} would call every channel an outlier"),
                "give a number above 1; the default is 3.5",
            );
        }
        if !(reference_percentile > 0.0 && reference_percentile < 1.0) {
            return refuse(
                format!("{reference_percentile} is no percentile that the maximum can be compared with"),
                "give a share between 0 and 1; the default is 0.975",
            );
        }
        if !(0.0..=1.0).contains(&fraction_batches_used_threshold) {
            return refuse(
                format!("{fraction_batches_used_threshold} is no fraction of batches"),
                "give a share between 0 and 1; the default is 0.95",
            );
        }
        Ok(OutlierDetector {
            ratio_threshold,
            reference_percentile,
            fraction_batches_used_threshold,
            ch_axis: None,
        })
    }

    /// Channels lie on this axis of the input; otherwise on the last axis for linear layers, on axis 1 for others.
    pub fn channel_axis(mut self, axis: usize) -> Self {
        self.ch_axis = Some(axis);
        self
    }
    pub(super) fn percentile(&self) -> f64 {
        self.reference_percentile
    }
    pub(super) fn axis(&self) -> Option<usize> {
        self.ch_axis
    }

    fn inspect(&self, l: &LayerStats) -> (Features, Option<String>) {
        let s = &l.input;
        let outliers: Vec<bool> = s.ratio.iter().map(|&r| r > self.ratio_threshold).collect();
        let enough: Vec<bool> = s
            .ratio_batches
            .iter()
            .map(|&n| n as f64 / s.batches.max(1) as f64 >= self.fraction_batches_used_threshold)
            .collect();
        let found: Vec<String> = (0..outliers.len())
            .filter(|&c| outliers[c] && enough[c])
            .map(|c| format!("{c} ({:.1})", s.ratio[c]))
            .collect();
        let mut f = Features::new();
        f.insert("outlier_detection_ratio_threshold", Feature::Number(self.ratio_threshold));
        f.insert("outlier_detection_reference_percentile", Feature::Number(self.reference_percentile));
        f.insert("outlier_detection_channel_axis", Feature::Number(s.axis as f64));
        f.insert("outlier_detection_percentile_ratios", Feature::Numbers(s.ratio.clone()));
        f.insert("outliers_detected", Feature::Flags(outliers));
        f.insert("outlier_detection_is_sufficient_batches", Feature::Flags(enough));
        let constant = s.constant_batches.iter().map(|&n| n as f64).collect();
        f.insert("outlier_detection_batch_count_constant", Feature::Numbers(constant));
        let advice = (!found.is_empty()).then(|| {
            format!(
                "its input has outliers in channels {}: the largest value is more than {} times the {} percentile; \
                 try equalization, or a percentile or histogram observer",
                found.join(", "),
                self.ratio_threshold,
                self.reference_percentile
            )
        });
        (f, advice)
    }
}

/// Whether equalizing input and weight channels pays.
///
/// `s_c = sqrt(w_c / w) / sqrt(x_c / x)` with `w_c`, `x_c` the ranges of channel `c` of weight and input and `w`, `x` those of the
/// whole; recommended for a channel if `threshold <= s_c <= 1 / threshold`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputWeightEqualizationDetector {
    ratio_threshold: f64,
    ch_axis: usize,
}

impl Default for InputWeightEqualizationDetector {
    fn default() -> Self {
        InputWeightEqualizationDetector { ratio_threshold: 0.5, ch_axis: 1 }
    }
}

impl InputWeightEqualizationDetector {
    /// With a threshold between 0 and 1, and the axis of input channels in the weight. Fails for other thresholds.
    pub fn new(ratio_threshold: f64, ch_axis: usize) -> Result<Self, Error> {
        if !(ratio_threshold > 0.0 && ratio_threshold < 1.0) {
            return refuse(
                format!("a ratio threshold of {ratio_threshold} leaves no interval"),
                "give a number between 0 and 1, both excluded",
            );
        }
        Ok(InputWeightEqualizationDetector { ratio_threshold, ch_axis })
    }

    fn inspect(&self, l: &LayerStats) -> Result<Option<(Features, Option<String>)>, Reason> {
        let weight = ranges(&l.weight, self.ch_axis)?;
        let channels = l.input.channel_min.len();
        if weight.is_empty() || channels == 0 || !channels.is_multiple_of(weight.len()) {
            return Ok(None);
        }
        // A weight with groups has its channels once for each group.
        let weight: Vec<(f32, f32)> = (0..channels).map(|c| weight[c % weight.len()]).collect();
        let width = |(lo, hi): (f32, f32)| f64::from(hi) - f64::from(lo);
        let input: Vec<(f32, f32)> =
            l.input.channel_min.iter().copied().zip(l.input.channel_max.iter().copied()).collect();
        let (lo, hi) =
            weight.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &(x, y)| (a.min(x), b.max(y)));
        let (whole_w, whole_x) = (width((lo, hi)), l.input.range());
        let stat = |c: usize| (width(weight[c]) / whole_w).sqrt() / (width(input[c]) / whole_x).sqrt();
        let stats: Vec<f64> = (0..channels).map(stat).collect();
        let pays = |s: &f64| *s >= self.ratio_threshold && *s <= 1.0 / self.ratio_threshold;
        let recommended: Vec<bool> = stats.iter().map(pays).collect();
        let share = recommended.iter().filter(|x| **x).count();
        let mut f = Features::new();
        f.insert("input_weight_threshold", Feature::Number(self.ratio_threshold));
        f.insert("input_weight_channel_axis", Feature::Number(self.ch_axis as f64));
        f.insert("input_weight_channel_comparison_metrics", Feature::Numbers(stats));
        f.insert("input_weight_equalization_recommended", Feature::Flags(recommended));
        let all = |pick: fn(&(f32, f32)) -> f32, of: &[(f32, f32)]| {
            Feature::Numbers(of.iter().map(|x| f64::from(pick(x))).collect())
        };
        f.insert("input_activation_per_channel_min", all(|x| x.0, &input));
        f.insert("input_activation_per_channel_max", all(|x| x.1, &input));
        f.insert("weight_per_channel_min", all(|x| x.0, &weight));
        f.insert("weight_per_channel_max", all(|x| x.1, &weight));
        let advice = (share * 2 > channels)
            .then(|| format!("equalize input and weight: it pays for {share} of {channels} channels"));
        Ok(Some((f, advice)))
    }
}
