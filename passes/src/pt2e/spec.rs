//! [`Spec`]: how one edge or node is quantized.

use std::fmt;
use std::sync::Arc;

use quantir_ir::{ObserverSpec, Quant};
use quantir_quant::ObserverTemplate;

use super::EdgeOrNode;
use crate::prelude::*;

/// A quantization of its own (`QuantizationSpec`, `FixedQParamsQuantizationSpec`).
#[derive(Clone, PartialEq, Debug)]
pub struct QuantizationSpec {
    /// The observer, which holds dtype, range, scheme and whether parameters are dynamic.
    pub observer: ObserverTemplate,
    /// The axis with parameters of its own for each index; what `per_channel` of the observer needs.
    pub ch_axis: u8,
}

impl QuantizationSpec {
    /// A spec with parameters along axis 0, if the observer has parameters for each channel.
    ///
    /// # Errors
    /// An observer that makes no sense, such as one with an empty range.
    pub fn new(observer: ObserverTemplate) -> Result<QuantizationSpec, Diag> {
        observer.check().map_err(|e| Diag::error("quantization-spec", e.to_string()))?;
        Ok(QuantizationSpec { observer, ch_axis: 0 })
    }
    /// Parameters that are known beforehand (`FixedQParamsQuantizationSpec`).
    ///
    /// # Errors
    /// A scale or zero point that the storage cannot have.
    pub fn fixed(storage: Storage, scale: f32, zero_point: i32) -> Result<QuantizationSpec, Diag> {
        QuantizationSpec::new(ObserverTemplate::new("fixed", storage).args(&[scale, zero_point as f32]))
    }
    /// With parameters along this axis.
    pub fn ch_axis(mut self, axis: u8) -> Self {
        self.ch_axis = axis;
        self
    }

    /// The declaration of the observer.
    pub(crate) fn declaration(&self) -> ObserverSpec {
        self.observer.spec(self.ch_axis)
    }
    /// Whether one observer can serve both: dtype, range, scheme, axis, dynamic or not, and fixed parameters are equal.
    pub(crate) fn shares_with(&self, other: &QuantizationSpec) -> bool {
        let (a, b) = (&self.observer, &other.observer);
        let fixed = |t: &ObserverTemplate| (t.kind == "fixed").then(|| t.args.clone());
        (a.storage, a.range, a.symmetric, a.per_channel, a.float_zero, a.dynamic)
            == (b.storage, b.range, b.symmetric, b.per_channel, b.float_zero, b.dynamic)
            && (!a.per_channel || self.ch_axis == other.ch_axis)
            && fixed(a) == fixed(b)
    }
}

/// Computes a quantization from those of its sources, in their order.
pub type Derive = Arc<dyn Fn(&[Arc<Quant>]) -> Result<Quant, Reason> + Send + Sync>;

/// Parameters that follow from those of other edges or nodes (`DerivedQuantizationSpec`).
#[derive(Clone)]
pub struct DerivedQuantizationSpec {
    /// Where the sources are.
    pub derived_from: Vec<EdgeOrNode>,
    /// What follows from them.
    pub derive: Derive,
    /// Storage of the integers.
    pub storage: Storage,
}

impl fmt::Debug for DerivedQuantizationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "derived from {:?} as {}", self.derived_from, self.storage)
    }
}

/// How one edge or node is quantized.
#[derive(Clone, Debug)]
pub enum Spec {
    /// By an observer of its own, or one that equal specs share.
    Own(QuantizationSpec),
    /// By the observer of another edge or node (`SharedQuantizationSpec`).
    Shared(EdgeOrNode),
    /// By parameters that follow from others.
    Derived(DerivedQuantizationSpec),
}

impl From<QuantizationSpec> for Spec {
    fn from(s: QuantizationSpec) -> Spec {
        Spec::Own(s)
    }
}
