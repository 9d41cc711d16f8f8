//! Element types in PyTorch's names, and what a back end demands of them.

use std::fmt;
use std::str::FromStr;

use quantir_ir::Storage;
use quantir_ir::diag::did_you_mean;

use crate::Error;

/// An element type as PyTorch names it (`torch.quint8`, without `torch.`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum DType {
    QUint8,
    QInt8,
    QInt32,
    QUint4x2,
    QUint2x4,
    UInt8,
    Int8,
    Int16,
    Int32,
    Float16,
    BFloat16,
    Float32,
}

impl DType {
    /// All, in the order of their words.
    pub const ALL: &[(DType, &str)] = &[
        (DType::QUint8, "quint8"),
        (DType::QInt8, "qint8"),
        (DType::QInt32, "qint32"),
        (DType::QUint4x2, "quint4x2"),
        (DType::QUint2x4, "quint2x4"),
        (DType::UInt8, "uint8"),
        (DType::Int8, "int8"),
        (DType::Int16, "int16"),
        (DType::Int32, "int32"),
        (DType::Float16, "float16"),
        (DType::BFloat16, "bfloat16"),
        (DType::Float32, "float32"),
    ];

    /// PyTorch's word for it.
    pub fn word(self) -> &'static str {
        DType::ALL.iter().find(|(d, _)| *d == self).map_or("", |(_, w)| w)
    }

    /// The storage in the IR that holds it; `None` for 2-bit integers, which the IR does not have.
    pub fn storage(self) -> Option<Storage> {
        Some(match self {
            DType::QUint8 | DType::UInt8 => Storage::U8,
            DType::QInt8 | DType::Int8 => Storage::I8,
            DType::QInt32 | DType::Int32 => Storage::I32,
            DType::Int16 => Storage::I16,
            DType::QUint4x2 => Storage::U4,
            DType::QUint2x4 => return None,
            DType::Float16 => Storage::F16,
            DType::BFloat16 => Storage::BF16,
            DType::Float32 => Storage::F32,
        })
    }

    /// The name that an observer of this storage has in PyTorch's quantized world: `quint8` for `u8`.
    pub fn of_storage(storage: Storage) -> Option<DType> {
        Some(match storage {
            Storage::U8 => DType::QUint8,
            Storage::I8 => DType::QInt8,
            Storage::I32 => DType::QInt32,
            Storage::U4 => DType::QUint4x2,
            Storage::I16 => DType::Int16,
            Storage::F16 => DType::Float16,
            Storage::BF16 => DType::BFloat16,
            Storage::F32 => DType::Float32,
            _ => return None,
        })
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for DType {
    type Err = Error;

    /// A word of [`DType::ALL`]; `torch.` before it is allowed, and `float` and `half` mean what they mean in PyTorch.
    fn from_str(text: &str) -> Result<DType, Error> {
        let word = text.strip_prefix("torch.").unwrap_or(text);
        let word = match word {
            "float" => "float32",
            "half" => "float16",
            w => w,
        };
        DType::ALL.iter().find(|(_, w)| *w == word).map(|(d, _)| *d).ok_or_else(|| {
            let near = did_you_mean(word, DType::ALL.iter().map(|(_, w)| *w));
            let help = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            Error::Declaration(format!("unknown dtype `{text}`{help}"))
        })
    }
}

/// A dtype with demands on the observer that yields it (`DTypeWithConstraints`).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct DTypeWithConstraints {
    /// The dtype; `None` accepts any.
    pub dtype: Option<DType>,
    /// The observer's `quant_min` must not be less; checked only together with `quant_max_upper_bound`.
    pub quant_min_lower_bound: Option<i64>,
    /// The observer's `quant_max` must not be greater; checked only together with `quant_min_lower_bound`.
    pub quant_max_upper_bound: Option<i64>,
    /// The observer's `eps`, its least scale, must not be less.
    pub scale_min_lower_bound: Option<f64>,
    /// The scale must not be greater. PyTorch declares it and never checks it; here a fixed scale is checked, and of
    /// other observers nothing is known before calibration.
    pub scale_max_upper_bound: Option<f64>,
    /// The observer must have fixed parameters, with this scale; checked only together with `zero_point_exact_match`.
    pub scale_exact_match: Option<f64>,
    /// The observer must have fixed parameters, with this zero point; checked only together with `scale_exact_match`.
    pub zero_point_exact_match: Option<i64>,
}

impl DTypeWithConstraints {
    /// A dtype without further demands.
    pub const fn new(dtype: DType) -> Self {
        DTypeWithConstraints { dtype: Some(dtype), ..Self::ANY }
    }
    /// Any dtype.
    pub const ANY: Self = DTypeWithConstraints {
        dtype: None,
        quant_min_lower_bound: None,
        quant_max_upper_bound: None,
        scale_min_lower_bound: None,
        scale_max_upper_bound: None,
        scale_exact_match: None,
        zero_point_exact_match: None,
    };
    /// With these bounds of the integers.
    pub const fn range(mut self, lo: i64, hi: i64) -> Self {
        self.quant_min_lower_bound = Some(lo);
        self.quant_max_upper_bound = Some(hi);
        self
    }
    /// With this least `eps`.
    pub const fn scale_min(mut self, least: f64) -> Self {
        self.scale_min_lower_bound = Some(least);
        self
    }
    /// With this greatest scale.
    pub const fn scale_max(mut self, greatest: f64) -> Self {
        self.scale_max_upper_bound = Some(greatest);
        self
    }
    /// With exactly these parameters.
    pub const fn exactly(mut self, scale: f64, zero_point: i64) -> Self {
        self.scale_exact_match = Some(scale);
        self.zero_point_exact_match = Some(zero_point);
        self
    }
    /// Whether nothing is demanded.
    pub fn is_any(&self) -> bool {
        *self == Self::ANY
    }
}

impl From<DType> for DTypeWithConstraints {
    fn from(dtype: DType) -> Self {
        DTypeWithConstraints::new(dtype)
    }
}

/// `quint8[0:127] scale=0.00390625 zero_point=0 scale>=0.000244140625`; `_` for anything.
impl fmt::Display for DTypeWithConstraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            None => f.write_str("_")?,
            Some(d) => write!(f, "{d}")?,
        }
        let end = |v: Option<i64>| v.map_or(String::new(), |v| v.to_string());
        if self.quant_min_lower_bound.is_some() || self.quant_max_upper_bound.is_some() {
            write!(f, "[{}:{}]", end(self.quant_min_lower_bound), end(self.quant_max_upper_bound))?;
        }
        if let Some(s) = self.scale_exact_match {
            write!(f, " scale={s}")?;
        }
        if let Some(z) = self.zero_point_exact_match {
            write!(f, " zero_point={z}")?;
        }
        if let Some(s) = self.scale_min_lower_bound {
            write!(f, " scale>={s}")?;
        }
        if let Some(s) = self.scale_max_upper_bound {
            write!(f, " scale<={s}")?;
        }
        Ok(())
    }
}

impl FromStr for DTypeWithConstraints {
    type Err = Error;

    /// The text that it prints as.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| {
            let example = "quint8[0:127] scale=0.00390625 zero_point=0 scale>=0.000244140625";
            Error::Declaration(format!("{what} in dtype `{text}`; write for example `{example}`"))
        };
        let mut words = text.split_whitespace();
        let head = words.next().ok_or_else(|| bad("nothing"))?;
        let (name, range) = match head.split_once('[') {
            None => (head, None),
            Some((name, rest)) => {
                let ends = rest.strip_suffix(']').and_then(|r| r.split_once(':'));
                (name, Some(ends.ok_or_else(|| bad("a range that is not `[min:max]`"))?))
            }
        };
        let mut d = DTypeWithConstraints::ANY;
        if name != "_" {
            d.dtype = Some(name.parse()?);
        }
        if let Some((lo, hi)) = range {
            let end = |s: &str| match s {
                "" => Ok(None),
                s => s.parse().map(Some).map_err(|_| bad("an end of a range that is no integer")),
            };
            (d.quant_min_lower_bound, d.quant_max_upper_bound) = (end(lo)?, end(hi)?);
        }
        for word in words {
            let number = |n: &str| n.parse::<f64>().map_err(|_| bad("a scale that is no number"));
            if let Some(n) = word.strip_prefix("scale>=") {
                d.scale_min_lower_bound = Some(number(n)?);
            } else if let Some(n) = word.strip_prefix("scale<=") {
                d.scale_max_upper_bound = Some(number(n)?);
            } else if let Some(n) = word.strip_prefix("scale=") {
                d.scale_exact_match = Some(number(n)?);
            } else if let Some(n) = word.strip_prefix("zero_point=") {
                let zero = n.parse().map_err(|_| bad("a zero point that is no integer"))?;
                d.zero_point_exact_match = Some(zero);
            } else {
                return Err(bad("a constraint that is not `scale>=`, `scale<=`, `scale=` or `zero_point=`"));
            }
        }
        Ok(d)
    }
}

/// One combination of dtypes that a back end computes with (`DTypeConfig`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DTypeConfig {
    /// Of activations that come in.
    pub input_dtype: DTypeWithConstraints,
    /// Of the result.
    pub output_dtype: DTypeWithConstraints,
    /// Of the weight.
    pub weight_dtype: DTypeWithConstraints,
    /// Of the bias; `None` accepts any.
    pub bias_dtype: Option<DType>,
    /// Whether activations are quantized with parameters found at run time; `None` counts as no.
    pub is_dynamic: Option<bool>,
}

impl DTypeConfig {
    /// Input and result, nothing said of weights.
    pub fn new(input: impl Into<DTypeWithConstraints>, output: impl Into<DTypeWithConstraints>) -> Self {
        DTypeConfig { input_dtype: input.into(), output_dtype: output.into(), ..DTypeConfig::default() }
    }
    /// With this weight.
    pub fn weight(mut self, weight: impl Into<DTypeWithConstraints>) -> Self {
        self.weight_dtype = weight.into();
        self
    }
    /// With this bias.
    pub fn bias(mut self, bias: DType) -> Self {
        self.bias_dtype = Some(bias);
        self
    }
    /// With parameters of activations found at run time.
    pub fn dynamic(mut self) -> Self {
        self.is_dynamic = Some(true);
        self
    }
    /// Whether activations are quantized with parameters found at run time.
    pub fn dynamic_input(&self) -> bool {
        self.is_dynamic == Some(true)
    }
}

/// `input quint8, output quint8, weight qint8, bias float32, dynamic`; what is not demanded is left out.
impl fmt::Display for DTypeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}, output {}", self.input_dtype, self.output_dtype)?;
        if !self.weight_dtype.is_any() {
            write!(f, ", weight {}", self.weight_dtype)?;
        }
        if let Some(b) = self.bias_dtype {
            write!(f, ", bias {b}")?;
        }
        match self.is_dynamic {
            None => Ok(()),
            Some(true) => f.write_str(", dynamic"),
            Some(false) => f.write_str(", static"),
        }
    }
}

impl FromStr for DTypeConfig {
    type Err = Error;

    /// The text that it prints as.
    fn from_str(text: &str) -> Result<Self, Error> {
        const WORDS: [&str; 6] = ["input", "output", "weight", "bias", "dynamic", "static"];
        let mut d = DTypeConfig::default();
        for part in text.split(',').map(str::trim) {
            let (word, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            match word {
                "input" => d.input_dtype = rest.parse()?,
                "output" => d.output_dtype = rest.parse()?,
                "weight" => d.weight_dtype = rest.parse()?,
                "bias" => d.bias_dtype = Some(rest.trim().parse()?),
                "dynamic" | "static" if rest.is_empty() => d.is_dynamic = Some(word == "dynamic"),
                _ => {
                    let near =
                        did_you_mean(word, WORDS).map_or(String::new(), |n| format!("did you mean `{n}`? "));
                    return Err(Error::Declaration(format!(
                        "unknown part `{part}` of dtypes; {near}write for example `input quint8, output quint8, weight qint8, \
                         bias float32`"
                    )));
                }
            }
        }
        Ok(d)
    }
}
