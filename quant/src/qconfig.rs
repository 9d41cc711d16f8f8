//! `QConfig`: which observers an op's activations and weights get.

use std::fmt;

use quantir_ir::Storage;

use crate::{Error, ObserverTemplate};

/// Observers for an op's activations (inputs and output) and its weight.
#[derive(Clone, PartialEq, Debug)]
pub struct QConfig {
    /// For inputs and outputs.
    pub activation: ObserverTemplate,
    /// For weights.
    pub weight: ObserverTemplate,
}

impl QConfig {
    /// PyTorch's default for x86: `histogram` over 0..127 with PyTorch's 256 target bins, weights per channel.
    pub fn x86() -> QConfig {
        let activation =
            ObserverTemplate::new("histogram", Storage::U8).args(&[2048.0, 256.0]).reduce_range();
        QConfig { activation, weight: Self::weight() }
    }

    /// The default here: `histogram` over 0..255, since accumulation is exact; weights per channel over −127..127.
    ///
    /// Over −128..127 the scale is `max / 127.5`, so a largest weight that is positive is rounded to 128 and clamped, half a
    /// step too low. In depthwise layers, whose channels have few weights, that shifts every output: EfficientNet-Lite0 lost 3 dB.
    pub fn native() -> QConfig {
        QConfig {
            activation: ObserverTemplate::new("histogram", Storage::U8),
            weight: Self::weight().range(-127, 127),
        }
    }

    /// As [`QConfig::native`] with range observers instead of histograms: faster, for a first look.
    pub fn minmax() -> QConfig {
        QConfig { activation: ObserverTemplate::new("minmax", Storage::U8), ..QConfig::native() }
    }

    /// The named qconfig, for recipes: one of [`QConfig::NAMES`] or one of PyTorch's constants ([`crate::defaults::QCONFIGS`]).
    ///
    /// ```
    /// use quantir_quant::{QConfig, defaults};
    ///
    /// assert_eq!(QConfig::named("default_dynamic_qconfig"), Some(defaults::default_dynamic_qconfig()));
    /// ```
    pub fn named(name: &str) -> Option<QConfig> {
        Some(match name {
            "native" => QConfig::native(),
            "x86" => QConfig::x86(),
            "minmax" => QConfig::minmax(),
            _ => crate::defaults::QCONFIGS.iter().find(|(n, _)| *n == name)?.1(),
        })
    }

    /// The short names that [`QConfig::named`] knows.
    pub const NAMES: &'static [&'static str] = &["native", "x86", "minmax"];

    /// All names that [`QConfig::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        Self::NAMES.iter().copied().chain(crate::defaults::QCONFIGS.iter().map(|(n, _)| *n))
    }

    /// The name of this qconfig, the first if several are equal.
    pub fn name(&self) -> Option<&'static str> {
        Self::names().find(|n| QConfig::named(n).as_ref() == Some(self))
    }

    fn weight() -> ObserverTemplate {
        ObserverTemplate::new("minmax", Storage::I8).symmetric().per_channel()
    }

    /// Whether observers can be made of it: activations have one pair per tensor.
    pub fn check(&self) -> Result<(), Error> {
        if self.activation.per_channel {
            return Err(Error::Declaration(
                "activations have one scale for the whole tensor; `(axis)` is for weights".into(),
            ));
        }
        self.activation.check()?;
        self.weight.check()
    }
}

impl fmt::Display for QConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "activation: {}, weight: {}", self.activation, self.weight)
    }
}
