//! `ObserverTemplate`: an observer's declaration before its axis is known, with the fake quantizer around it if any.

use std::fmt;
use std::str::FromStr;

use quantir_ir::{ObserverSpec, Storage};

use crate::{Error, Observer};

/// An observer declaration whose axis is not decided yet: the op that it is used for decides it.
///
/// Text form: `histogram u8[0:127] affine`, `moving_average(0.01) u8 affine`, `minmax i8[-127:127] symmetric(axis)`;
/// a range left out is that of the storage, a scheme left out is `affine`.
#[derive(Clone, PartialEq, Debug)]
pub struct ObserverTemplate {
    /// Which kind, see [`Observer::KINDS`].
    pub kind: String,
    /// Its arguments.
    pub args: Vec<f32>,
    /// Storage of the integers.
    pub storage: Storage,
    /// Their range.
    pub range: (i64, i64),
    /// Zero point fixed (`symmetric`) or free (`affine`).
    pub symmetric: bool,
    /// Parameters for each index of the op's channel axis instead of one pair for the tensor.
    pub per_channel: bool,
    /// Zero points are floats and 0 need not lie in the range (`float_qparams`).
    pub float_zero: bool,
    /// The least scale; 2⁻²³ unless said otherwise.
    pub eps: f32,
    /// Parameters are chosen anew for each run from its data (PyTorch's `is_dynamic`).
    pub dynamic: bool,
    /// The range was halved (PyTorch's `reduce_range`); `range` already is the half.
    pub reduce_range: bool,
    /// The range was chosen by the user, which moves the zero point of `symmetric` over unsigned integers.
    pub custom_range: bool,
    /// The fake quantizer around the observer, if the declaration is for training.
    pub fake: Option<FakeQuant>,
}

/// The kinds of fake quantizers that training inserts around observers, under PyTorch's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FakeQuant {
    /// `FakeQuantize`: an observer, then quantize and dequantize.
    FakeQuantize,
    /// `FusedMovingAvgObsFakeQuantize`: both in one step; the observer is a moving average.
    FusedMovingAvgObsFakeQuantize,
    /// `FixedQParamsFakeQuantize`: parameters that never change.
    FixedQParamsFakeQuantize,
    /// `_LearnableFakeQuantize`: scale and zero point are trained.
    LearnableFakeQuantize,
}

impl FakeQuant {
    /// All kinds with the words for them in texts.
    pub const ALL: [(FakeQuant, &'static str); 4] = [
        (FakeQuant::FakeQuantize, "fake_quant"),
        (FakeQuant::FusedMovingAvgObsFakeQuantize, "fused_fake_quant"),
        (FakeQuant::FixedQParamsFakeQuantize, "fixed_fake_quant"),
        (FakeQuant::LearnableFakeQuantize, "learnable_fake_quant"),
    ];

    /// The word for it in texts.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(f, _)| *f == self).map_or("fake_quant", |(_, w)| w)
    }
}

impl ObserverTemplate {
    /// One kind over the whole range of a storage, affine, one pair for the tensor.
    pub fn new(kind: &str, storage: Storage) -> ObserverTemplate {
        let range = storage.int_range().unwrap_or((0, 0));
        ObserverTemplate {
            kind: kind.into(),
            args: Vec::new(),
            storage,
            range,
            symmetric: false,
            per_channel: false,
            float_zero: false,
            eps: ObserverSpec::EPS,
            dynamic: false,
            reduce_range: false,
            custom_range: false,
            fake: None,
        }
    }
    /// With these arguments.
    pub fn args(mut self, args: &[f32]) -> Self {
        self.args = args.to_vec();
        self
    }
    /// With this range of integers.
    pub fn range(mut self, lo: i64, hi: i64) -> Self {
        self.range = (lo, hi);
        self
    }
    /// With half the range, as PyTorch's `reduce_range`.
    pub fn reduce_range(mut self) -> Self {
        let (lo, hi) = self.range;
        self.reduce_range = true;
        self.range(lo.div_euclid(2), hi.div_euclid(2))
    }
    /// Without a range, for observers that give no parameters.
    pub fn no_range(self) -> Self {
        self.range(0, 0)
    }
    /// With float zero points.
    pub fn float_qparams(mut self) -> Self {
        self.float_zero = true;
        self
    }
    /// With this least scale.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }
    /// With parameters chosen anew for each run.
    pub fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }
    /// Within a fake quantizer.
    pub fn fake(mut self, fake: FakeQuant) -> Self {
        self.fake = Some(fake);
        self
    }
    /// Whether its observer only marks a value and never gives parameters.
    pub fn is_passive(&self) -> bool {
        Observer::new(&self.spec(0)).is_ok_and(|o| o.is_passive())
    }
    /// The range of integers; `None` for observers that give no parameters, such as most placeholders.
    pub fn int_range(&self) -> Option<(i64, i64)> {
        (self.range != (0, 0)).then_some(self.range)
    }
    /// With a fixed zero point.
    pub fn symmetric(mut self) -> Self {
        self.symmetric = true;
        self
    }
    /// With parameters for each index of the channel axis.
    pub fn per_channel(mut self) -> Self {
        self.per_channel = true;
        self
    }
    /// The declaration for a tensor whose channel axis is `axis`.
    pub fn spec(&self, axis: u8) -> ObserverSpec {
        ObserverSpec {
            kind: self.kind.clone(),
            args: self.args.clone(),
            storage: self.storage,
            range: self.range,
            symmetric: self.symmetric,
            axis: self.per_channel.then_some(axis),
            float_zero: self.float_zero,
            eps: self.eps,
            dynamic: self.dynamic,
            custom_range: self.custom_range,
        }
    }
    /// Whether an observer can be made of it, and the fake quantizer around it.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Declaration(why));
        if self.reduce_range && self.symmetric && self.storage == Storage::U8 {
            return refuse(
                "`reduce_range` has no meaning for `symmetric` over `u8`, whose zero point is 128; use `i8`, or `affine`".into(),
            );
        }
        let parameters = Observer::new(&self.spec(0))?;
        if self.dynamic && !parameters.is_passive() {
            let last_batch = self.kind == "moving_average" && self.args.first() == Some(&1.0);
            if self.per_channel || !(self.kind == "minmax" || last_batch) {
                return refuse(format!(
                    "`{self}` cannot be dynamic, because its parameters follow from more than one run's data; \
                     use `placeholder`, `minmax` or `moving_average(1)` with one pair per tensor"
                ));
            }
        }
        match self.fake {
            Some(FakeQuant::FusedMovingAvgObsFakeQuantize) if self.kind != "moving_average" => {
                refuse(format!("`fused_fake_quant` observes by `moving_average`, not by `{}`", self.kind))
            }
            Some(FakeQuant::FixedQParamsFakeQuantize) if self.kind != "fixed" => {
                refuse(format!("`fixed_fake_quant` has the parameters of `fixed`, not of `{}`", self.kind))
            }
            Some(_) if parameters.is_passive() => {
                refuse(format!("nothing can be fake quantized by `{}`, which has no parameters", self.kind))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ObserverTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fake) = self.fake {
            write!(f, "{} ", fake.word())?;
        }
        f.write_str(&self.kind)?;
        if !self.args.is_empty() {
            let args: Vec<String> = self.args.iter().map(|a| a.to_string()).collect();
            write!(f, "({})", args.join(","))?;
        }
        write!(f, " {}", self.storage)?;
        match self.int_range() {
            Some((lo, hi)) => write!(f, "[{lo}:{hi}]")?,
            None if self.storage.int_range().is_some() => f.write_str("[]")?,
            None => {}
        }
        f.write_str(match (self.float_zero, self.symmetric) {
            (true, _) => " float_qparams",
            (false, true) => " symmetric",
            (false, false) => " affine",
        })?;
        f.write_str(if self.per_channel { "(axis)" } else { "" })?;
        if self.eps != ObserverSpec::EPS {
            write!(f, " eps {:?}", self.eps)?;
        }
        for (word, set) in [
            ("dynamic", self.dynamic),
            ("reduce_range", self.reduce_range),
            ("custom_range", self.custom_range),
        ] {
            if set {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}

/// PyTorch's classes, which texts may name instead of the word of the kind.
const PYTORCH_CLASSES: &[(&str, &str)] = &[
    ("MinMaxObserver", "minmax"),
    ("PerChannelMinMaxObserver", "minmax"),
    ("MovingAverageMinMaxObserver", "moving_average"),
    ("MovingAveragePerChannelMinMaxObserver", "moving_average"),
    ("HistogramObserver", "histogram"),
    ("FixedQParamsObserver", "fixed"),
    ("PlaceholderObserver", "placeholder"),
    ("NoopObserver", "noop"),
    ("RecordingObserver", "recording"),
    ("ReuseInputObserver", "reuse_input"),
    ("Identity", "identity"),
];

impl FromStr for ObserverTemplate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| {
            Error::Declaration(format!(
                "{what} in observer `{text}`; write for example `histogram u8[0:127] affine` or \
                 `minmax i8[-127:127] symmetric(axis)`"
            ))
        };
        // Arguments may be written with spaces after commas.
        let compact = text.replace(", ", ",");
        let mut words = compact.split_whitespace();
        let mut head = words.next().ok_or_else(|| bad("nothing"))?;
        let fake = FakeQuant::ALL.iter().find(|(_, w)| *w == head).map(|(f, _)| *f);
        if fake.is_some() {
            head = words.next().ok_or_else(|| bad("no observer"))?;
        }
        let (kind, args) = match head.split_once('(') {
            None => (head, Vec::new()),
            Some((kind, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(|| bad("a missing `)`"))?;
                let args: Result<Vec<f32>, _> = inner.split(',').map(|a| a.trim().parse::<f32>()).collect();
                (kind, args.map_err(|_| bad("an argument that is no number"))?)
            }
        };
        let integers = words.next().ok_or_else(|| bad("no storage"))?;
        let (storage, range) = match integers.split_once('[') {
            None => (integers, None),
            Some((s, "]")) => (s, Some((0, 0))),
            Some((s, rest)) => {
                let parse = || {
                    let (lo, hi) = rest.strip_suffix(']')?.split_once(':')?;
                    Some((lo.parse().ok()?, hi.parse().ok()?))
                };
                (s, Some(parse().ok_or_else(|| bad("a range that is not `[min:max]`"))?))
            }
        };
        let storage = Storage::from_word(storage).ok_or_else(|| bad("an unknown storage"))?;
        let kind = PYTORCH_CLASSES.iter().find(|(class, _)| *class == kind).map_or(kind, |(_, word)| word);
        let mut t = ObserverTemplate::new(kind, storage).args(&args);
        if let Some((lo, hi)) = range {
            t = t.range(lo, hi);
        }
        t.fake = fake;
        let scheme = words.next().unwrap_or("affine");
        let (scheme, per_channel) = match scheme.strip_suffix("(axis)") {
            Some(s) => (s, true),
            None => (scheme, false),
        };
        t.per_channel = per_channel;
        match scheme {
            "affine" => {}
            "symmetric" => t.symmetric = true,
            "float_qparams" => t.float_zero = true,
            _ => {
                return Err(bad(
                    "a scheme that is not `affine`, `symmetric` or `float_qparams`, or one of them with `(axis)`",
                ));
            }
        }
        while let Some(word) = words.next() {
            match word {
                "dynamic" => t.dynamic = true,
                "reduce_range" => t.reduce_range = true,
                "custom_range" => t.custom_range = true,
                "eps" => {
                    let eps = words.next().and_then(|w| w.parse().ok());
                    t.eps = eps.ok_or_else(|| bad("an `eps` without a number"))?;
                }
                _ => return Err(bad("an unknown word")),
            }
        }
        t.check()?;
        Ok(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_print_and_parse() {
        for t in [
            "histogram(2048,256) u8[0:127] affine",
            "moving_average(0.01) u8[0:255] affine",
            "minmax i8[-127:127] symmetric(axis)",
            "fixed(0.00390625,0) u8[0:255] affine",
        ] {
            assert_eq!(t.parse::<ObserverTemplate>().unwrap().to_string(), t);
        }
        assert_eq!(
            "MinMaxObserver i8 symmetric".parse::<ObserverTemplate>().unwrap().to_string(),
            "minmax i8[-128:127] symmetric"
        );
        assert_eq!(
            "minmax i8".parse::<ObserverTemplate>().unwrap().to_string(),
            "minmax i8[-128:127] affine"
        );
    }

    #[test]
    fn nonsense_is_refused_with_advice() {
        for (t, says) in [
            ("histgram u8", "did you mean `histogram`"),
            ("histogram u8[0:300]", "does not lie within"),
            ("histogram f32", "cannot hold"),
            ("histogram u8 symetric", "scheme"),
            ("histogram u8 symmetric(axis)", "use `minmax`"),
            ("moving_average(7) u8", "between 0 and 1"),
        ] {
            let e = t.parse::<ObserverTemplate>().unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }
}
