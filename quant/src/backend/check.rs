//! Whether a back end computes with the dtypes that a qconfig asks for, and if not, what to change.
//!
//! The test is PyTorch's: any one combination of a pattern is enough; dtypes must be equal; constraints are asked of
//! an observer only if it has the dtype that they speak of. PyTorch says nothing when dtypes differ, so that an op
//! stays float without a word; here every refusal is an [`Unsupported`].

use std::fmt;

use quantir_ir::Storage;

use super::{BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints};
use crate::{ObserverTemplate, QConfig};

/// What of an op is spoken of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// An activation that comes in.
    Input,
    /// The result.
    Output,
    /// The weight.
    Weight,
    /// The bias.
    Bias,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Part::Input => "input",
            Part::Output => "output",
            Part::Weight => "weight",
            Part::Bias => "bias",
        })
    }
}

/// The rule that a qconfig breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DTypeRule {
    /// The dtype is another.
    Dtype,
    /// Activations are quantized at run time, or are not.
    Dynamic,
    /// The integers exceed the bounds, or the observer has none.
    Range,
    /// The observer's least scale is too small, or it has none.
    ScaleMin,
    /// The fixed scale is too great.
    ScaleMax,
    /// Parameters must be fixed to certain values.
    Fixed,
    /// The back end has no combination of dtypes for the pattern.
    Nothing,
}

/// Why a qconfig is not supported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// What of the op.
    pub part: Part,
    /// The rule that failed.
    pub rule: DTypeRule,
    /// What the qconfig has.
    pub has: String,
    /// What the back end wants.
    pub wants: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule == DTypeRule::Nothing {
            return write!(f, "{}", self.wants);
        }
        write!(
            f,
            "the qconfig has {} for the {}, the back end wants {}; {}",
            self.has, self.part, self.wants, self.cure
        )
    }
}

/// What an op asks of a back end: dtypes of what it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Observer of activations that come in; `None`: there are none.
    pub input: Option<&'a ObserverTemplate>,
    /// Observer of the result.
    pub output: Option<&'a ObserverTemplate>,
    /// Observer of the weight; `None`: the op has none.
    pub weight: Option<&'a ObserverTemplate>,
    /// The dtype of the bias; `None`: the op has none.
    pub bias: Option<DType>,
}

impl<'a> Request<'a> {
    /// An op without weights under this qconfig.
    pub fn of(qconfig: &'a QConfig) -> Request<'a> {
        let activation = Some(&qconfig.activation);
        Request { input: activation, output: activation, weight: None, bias: None }
    }
    /// An op with weight and bias under this qconfig. The bias is half precision where activations are, else `float32`.
    pub fn weighted(qconfig: &'a QConfig) -> Request<'a> {
        let half = qconfig.activation.storage == Storage::F16 && !qconfig.activation.dynamic;
        let bias = Some(if half { DType::Float16 } else { DType::Float32 });
        Request { weight: Some(&qconfig.weight), bias, ..Request::of(qconfig) }
    }
}

impl BackendPatternConfig {
    /// The first combination of dtypes that fits.
    ///
    /// # Errors
    /// The reason of the combination that comes nearest: the one that refuses last of its parts, the first such one.
    pub fn supports(&self, request: Request) -> Result<&DTypeConfig, Unsupported> {
        let mut nearest: Option<(usize, Unsupported)> = None;
        for config in &self.dtype_configs {
            match config.check(request) {
                Ok(()) => return Ok(config),
                Err((passed, why)) if nearest.as_ref().is_none_or(|(p, _)| passed > *p) => {
                    nearest = Some((passed, why));
                }
                Err(_) => {}
            }
        }
        Err(nearest.map(|n| n.1).unwrap_or_else(|| Unsupported {
            part: Part::Input,
            rule: DTypeRule::Nothing,
            has: String::new(),
            wants: format!("the back end has no combination of dtypes for `{}`", self.pattern),
            cure: "add one with `add_dtype_config`".into(),
        }))
    }
}

impl DTypeConfig {
    /// Whether a request fits; the number of checks passed before the one that did not.
    fn check(&self, r: Request) -> Result<(), (usize, Unsupported)> {
        let steps: [&dyn Fn() -> Result<(), Unsupported>; 4] = [
            &|| r.input.map_or(Ok(()), |t| self.check_input(t)),
            &|| r.weight.map_or(Ok(()), |t| self.check_weight(t)),
            &|| r.output.map_or(Ok(()), |t| self.check_output(t)),
            &|| r.bias.map_or(Ok(()), |d| self.check_bias(Some(d))),
        ];
        steps.iter().enumerate().try_for_each(|(i, step)| step().map_err(|e| (2 * i + depth(&e), e)))
    }

    /// Whether activations from this observer may come in: dtype, then dynamic or static, then constraints.
    pub fn check_input(&self, t: &ObserverTemplate) -> Result<(), Unsupported> {
        let Some(wanted) = self.input_dtype.dtype else { return Ok(()) };
        same(Part::Input, DType::of_storage(t.storage), wanted)?;
        self.check_dynamic(t.dynamic)?;
        self.input_dtype.check(Part::Input, t)
    }

    /// Whether activations may be quantized at run time, or not.
    pub fn check_dynamic(&self, dynamic: bool) -> Result<(), Unsupported> {
        if self.dynamic_input() == dynamic {
            return Ok(());
        }
        let word = |dynamic: bool| if dynamic { "dynamic" } else { "static" };
        Err(Unsupported {
            part: Part::Input,
            rule: DTypeRule::Dynamic,
            has: format!("{} quantization", word(dynamic)),
            wants: format!("{} quantization", word(self.dynamic_input())),
            cure: format!("use a {} observer for activations", word(self.dynamic_input())),
        })
    }

    /// Whether the result may go through this observer: dtype (dynamic quantization yields `float32`), then constraints.
    pub fn check_output(&self, t: &ObserverTemplate) -> Result<(), Unsupported> {
        let Some(wanted) = self.output_dtype.dtype else { return Ok(()) };
        let has = if t.dynamic { Some(DType::Float32) } else { DType::of_storage(t.storage) };
        same(Part::Output, has, wanted)?;
        self.output_dtype.check(Part::Output, t)
    }

    /// Whether the weight may have this observer: dtype, then constraints.
    pub fn check_weight(&self, t: &ObserverTemplate) -> Result<(), Unsupported> {
        let Some(wanted) = self.weight_dtype.dtype else { return Ok(()) };
        same(Part::Weight, DType::of_storage(t.storage), wanted)?;
        self.weight_dtype.check(Part::Weight, t)
    }

    /// Whether the bias may have this dtype.
    pub fn check_bias(&self, dtype: Option<DType>) -> Result<(), Unsupported> {
        self.bias_dtype.map_or(Ok(()), |wanted| same(Part::Bias, dtype, wanted))
    }
}

/// Constraints are asked after dtypes, so what breaks one came nearer.
fn depth(e: &Unsupported) -> usize {
    usize::from(e.rule != DTypeRule::Dtype)
}

/// Whether dtypes are equal; those of one storage are (`int8` and `qint8` are the same integers).
pub fn same(part: Part, has: Option<DType>, wanted: DType) -> Result<(), Unsupported> {
    let storage = |d: DType| d.storage().ok_or(d);
    if has.is_some_and(|h| storage(h) == storage(wanted)) {
        return Ok(());
    }
    let observer = match part {
        Part::Input | Part::Output => "activation observer",
        Part::Weight => "weight observer",
        Part::Bias => "bias",
    };
    let of = wanted.storage().map_or(String::new(), |s| format!(" (`{s}`)"));
    Err(Unsupported {
        part,
        rule: DTypeRule::Dtype,
        has: has.map_or("no dtype".into(), |d| d.to_string()),
        wants: wanted.to_string(),
        cure: format!("use an {observer} of dtype {wanted}{of}, or a back end that takes this one")
            .replace("an weight", "a weight")
            .replace("an bias", "a bias"),
    })
}

impl DTypeWithConstraints {
    /// Whether an observer of this dtype satisfies the constraints; one of another dtype does.
    pub fn check(&self, part: Part, t: &ObserverTemplate) -> Result<(), Unsupported> {
        if self.dtype.is_none() || self.dtype != DType::of_storage(t.storage) {
            return Ok(());
        }
        let refuse = |rule, has: String, wants: String, cure: String| {
            Err(Unsupported { part, rule, has, wants, cure })
        };
        if let (Some(lo), Some(hi)) = (self.quant_min_lower_bound, self.quant_max_upper_bound) {
            let has = t.int_range();
            if has.is_none_or(|(min, max)| min < lo || max > hi) {
                let has =
                    has.map_or("an observer without a range".into(), |(a, b)| format!("the range {a}..{b}"));
                let cure = format!("give the observer a range, `{}[{lo}:{hi}]`", t.storage);
                return refuse(DTypeRule::Range, has, format!("a range within {lo}..{hi}"), cure);
            }
        }
        let fixed = t.kind == "fixed";
        if let Some(least) = self.scale_min_lower_bound {
            let eps = has_eps(t).then_some(f64::from(t.eps));
            if eps.is_none_or(|e| e < least) {
                let has = eps.map_or("an observer without `eps`".into(), |e| format!("the least scale {e}"));
                let cure = format!("give the observer `eps {least}`");
                return refuse(DTypeRule::ScaleMin, has, format!("a least scale of {least} or more"), cure);
            }
        }
        let scale = t.args.first().copied().map(f64::from);
        if let (Some(most), Some(scale), true) = (self.scale_max_upper_bound, scale, fixed)
            && scale > most
        {
            let cure = "fix a smaller scale".to_string();
            return refuse(
                DTypeRule::ScaleMax,
                format!("the scale {scale}"),
                format!("a scale of {most} or less"),
                cure,
            );
        }
        if let (Some(scale_wanted), Some(zero_wanted)) = (self.scale_exact_match, self.zero_point_exact_match)
        {
            // PyTorch lets its two half precision qconfigs through, for its own tests.
            let half = t.storage == Storage::F16 && t.kind == "placeholder";
            let zero = t.args.get(1).map(|&z| z as i64);
            let fits = fixed && scale == Some(scale_wanted) && zero == Some(zero_wanted);
            if !fits && !half {
                let wants = format!("fixed parameters, scale {scale_wanted} and zero point {zero_wanted}");
                let cure = format!(
                    "use `fixed({scale_wanted},{zero_wanted}) {}`, as the default mappings do",
                    t.storage
                );
                return refuse(DTypeRule::Fixed, format!("`{t}`"), wants, cure);
            }
        }
        Ok(())
    }
}

/// Whether PyTorch's observer of this kind has an `eps`.
fn has_eps(t: &ObserverTemplate) -> bool {
    !matches!(t.kind.as_str(), "placeholder" | "fixed" | "reuse_input" | "noop" | "identity" | "recording")
}

#[cfg(test)]
mod tests {
    use super::super::BackendConfig;
    use super::*;

    fn t(text: &str) -> ObserverTemplate {
        text.parse().unwrap()
    }
    fn q(activation: &str, weight: &str) -> QConfig {
        QConfig { activation: t(activation), weight: t(weight) }
    }
    const BOUND: f64 = 1.0 / 4096.0;

    fn linear(input: DTypeWithConstraints, weight: DTypeWithConstraints) -> BackendPatternConfig {
        let dtypes = DTypeConfig::new(input, input).weight(weight).bias(DType::Float32);
        BackendPatternConfig::new("nn.Linear").add_dtype_config(dtypes)
    }
    fn rule(c: &BackendPatternConfig, q: &QConfig) -> Option<(Part, DTypeRule)> {
        c.supports(Request::weighted(q)).err().map(|e| (e.part, e.rule))
    }

    /// T79: ranges of activations and weights must lie within those of the back end.
    #[test]
    fn ranges() {
        let c = linear(
            DTypeWithConstraints::new(DType::QUint8).range(0, 31),
            DTypeWithConstraints::new(DType::QInt8).range(-64, 63),
        );
        let weight = "minmax i8[-32:31] symmetric";
        assert_eq!(rule(&c, &q("minmax u8[0:15]", weight)), None);
        assert_eq!(rule(&c, &q("minmax u8[0:63]", weight)), Some((Part::Input, DTypeRule::Range)));
        assert_eq!(rule(&c, &q("minmax u8", weight)), Some((Part::Input, DTypeRule::Range)));
        assert_eq!(rule(&c, &q("reuse_input u8[]", weight)), Some((Part::Input, DTypeRule::Range)));
        assert_eq!(
            rule(&c, &q("minmax u8[0:15]", "minmax i8 symmetric")),
            Some((Part::Weight, DTypeRule::Range))
        );
        let e = c.supports(Request::weighted(&q("minmax u8[0:63]", weight))).unwrap_err();
        assert_eq!(
            e.to_string(),
            "the qconfig has the range 0..63 for the input, the back end wants a range within 0..31; give the observer a range, \
             `u8[0:31]`"
        );
    }

    /// T80: the least scale is the observer's `eps`.
    #[test]
    fn least_scales() {
        let c = linear(
            DTypeWithConstraints::new(DType::QUint8).scale_min(BOUND),
            DTypeWithConstraints::new(DType::QInt8).scale_min(BOUND),
        );
        let with = |activation: f64, weight: f64| {
            q(&format!("minmax u8 affine eps {activation}"), &format!("minmax i8 symmetric eps {weight}"))
        };
        assert_eq!(rule(&c, &with(BOUND, BOUND)), None);
        assert_eq!(rule(&c, &with(BOUND * 4.0, BOUND * 4.0)), None);
        assert_eq!(rule(&c, &with(BOUND / 4.0, BOUND)), Some((Part::Input, DTypeRule::ScaleMin)));
        assert_eq!(rule(&c, &with(BOUND, BOUND / 4.0)), Some((Part::Weight, DTypeRule::ScaleMin)));
        assert_eq!(
            rule(&c, &q("minmax u8", "minmax i8 symmetric")),
            Some((Part::Input, DTypeRule::ScaleMin))
        );
        let fixed = q("fixed(1,0) u8", &format!("minmax i8 symmetric eps {BOUND}"));
        assert_eq!(rule(&c, &fixed), Some((Part::Input, DTypeRule::ScaleMin)));
    }

    /// T81: the dtype of the weight counts, and a bias is float.
    #[test]
    fn weights_and_biases() {
        let native = BackendConfig::native();
        let linear = native.get(&"nn.Linear".into()).unwrap();
        assert_eq!(rule(linear, &q("minmax u8", "minmax i8 symmetric")), None);
        assert_eq!(rule(linear, &q("minmax u8", "minmax u8")), Some((Part::Weight, DTypeRule::Dtype)));
        let embedding = native.get(&"nn.Embedding".into()).unwrap();
        let table = q("placeholder f32", "minmax i8 symmetric");
        assert_eq!(rule(embedding, &table), Some((Part::Weight, DTypeRule::Dtype)));
    }

    /// T82: a back end of one's own may fix other parameters.
    #[test]
    fn fixed_parameters_of_a_back_end_of_ones_own() {
        let ends = DTypeWithConstraints::new(DType::QInt8).range(-128, 127).exactly(1.0 / 128.0, 0);
        let tanh = BackendPatternConfig::new("nn.Tanh").add_dtype_config(DTypeConfig::new(ends, ends));
        let weight = "minmax i8 symmetric";
        let of = |activation: &str| tanh.supports(Request::of(&q(activation, weight))).err().map(|e| e.rule);
        assert_eq!(of("fixed(0.0078125,0) i8"), None);
        assert_eq!(of("fixed(0.00390625,0) i8"), Some(DTypeRule::Fixed));
        assert_eq!(of("fixed(0.0078125,1) i8"), Some(DTypeRule::Fixed));
        assert_eq!(of("minmax i8"), Some(DTypeRule::Fixed));
        assert_eq!(of("fixed(0.0078125,128) u8"), Some(DTypeRule::Dtype));
    }

    /// T83: ops of known ranges are refused other observers, with the cure.
    #[test]
    fn known_ranges_need_fixed_observers() {
        let native = BackendConfig::native();
        let sigmoid = native.get(&"nn.Sigmoid".into()).unwrap();
        let e = sigmoid.supports(Request::of(&q("histogram u8", "minmax i8 symmetric"))).unwrap_err();
        assert_eq!(e.rule, DTypeRule::Fixed);
        assert_eq!(e.cure, "use `fixed(0.00390625,0) u8`, as the default mappings do");
    }

    /// T84: QNNPACK takes `qint8` only with weights over −127..127 and `eps` 2⁻¹², and `quint8` always.
    #[test]
    fn qnnpack_takes_symmetric_qconfigs() {
        for name in ["qnnpack", "executorch"] {
            let backend = BackendConfig::named(name).unwrap();
            let linear = backend.get(&"nn.Linear".into()).unwrap();
            let eps = format!(" eps {BOUND}");
            let good = q(&format!("minmax i8 affine{eps}"), &format!("minmax i8[-127:127] symmetric{eps}"));
            assert_eq!(rule(linear, &good), None);
            let wide = q(&format!("minmax i8 affine{eps}"), &format!("minmax i8 symmetric{eps}"));
            assert_eq!(rule(linear, &wide), Some((Part::Weight, DTypeRule::Range)));
            let small = q("minmax i8", &format!("minmax i8[-127:127] symmetric{eps}"));
            assert_eq!(rule(linear, &small), Some((Part::Input, DTypeRule::ScaleMin)));
            assert_eq!(rule(linear, &q("histogram u8", "minmax i8 symmetric")), None);
        }
    }

    /// A signed activation on a back end that wants unsigned ones: PyTorch leaves the op float and says nothing.
    #[test]
    fn other_dtypes_are_said() {
        let fbgemm = BackendConfig::named("fbgemm").unwrap();
        let conv = fbgemm.get(&"nn.Conv2d".into()).unwrap();
        let e = conv.supports(Request::weighted(&q("minmax i8", "minmax i8 symmetric"))).unwrap_err();
        assert_eq!(
            e.to_string(),
            "the qconfig has qint8 for the input, the back end wants quint8; use an activation observer of dtype quint8 (`u8`), \
             or a back end that takes this one"
        );
    }

    /// PyTorch declares the greatest scale and never looks at it; here a fixed one is held to it.
    #[test]
    fn greatest_scales_are_checked_where_they_are_known() {
        let ends = DTypeWithConstraints::new(DType::QUint8).scale_max(0.5);
        let c = BackendPatternConfig::new("nn.Tanh").add_dtype_config(DTypeConfig::new(ends, ends));
        let of =
            |activation: &str| c.supports(Request::of(&q(activation, "minmax i8"))).err().map(|e| e.rule);
        assert_eq!(of("fixed(0.5,0) u8"), None);
        assert_eq!(of("fixed(0.75,0) u8"), Some(DTypeRule::ScaleMax));
        assert_eq!(of("minmax u8"), None);
    }
}
