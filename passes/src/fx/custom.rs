//! `PrepareCustomConfig` and `ConvertCustomConfig`: modules and edges of a model that are treated in a way of their own.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::edit::Editor;
use quantir_ir::{Path, Quant};
use quantir_quant::{BackendConfig, QConfigMapping};

use crate::prelude::*;

/// A part of the model that is prepared on its own (`set_standalone_module_name`).
#[derive(Clone, Debug, Default)]
pub struct Standalone {
    /// Its mapping; without one, what the model's mapping says about the module holds for all inside.
    pub qconfig_mapping: Option<QConfigMapping>,
    /// Which of its inputs come in quantized, whether its result stays so, and its own leaves.
    pub prepare_custom_config: PrepareCustomConfig,
    /// Its back end, if it is not the model's.
    pub backend_config: Option<BackendConfig>,
}

/// What `prepare_fx` treats in a way of its own (`torch.ao.quantization.fx.custom_config.PrepareCustomConfig`).
#[derive(Clone, Debug, Default)]
pub struct PrepareCustomConfig {
    pub(crate) standalone_names: IndexMap<String, Standalone>,
    pub(crate) standalone_classes: IndexMap<String, Standalone>,
    pub(crate) float_to_observed: IndexMap<String, String>,
    pub(crate) leaf_names: Vec<String>,
    pub(crate) leaf_classes: Vec<String>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
    pub(crate) preserved: Vec<String>,
}

impl PrepareCustomConfig {
    /// Nothing special.
    pub fn new() -> Self {
        Self::default()
    }
    /// Prepares the module at this path on its own; beats an entry for its class.
    pub fn set_standalone_module_name(mut self, path: &str, config: Standalone) -> Self {
        self.standalone_names.insert(path.into(), config);
        self
    }
    /// Prepares modules of this class on their own.
    pub fn set_standalone_module_class(mut self, class: &str, config: Standalone) -> Self {
        self.standalone_classes.insert(quantir_quant::call_type::canonical(class), config);
        self
    }
    /// Modules of class `float` are single calls that take and give quantized values; observed, they are of class `observed`.
    ///
    /// `nn.quantizable.LSTM` and `nn.quantizable.MultiheadAttention` are known here: such modules are taken apart, and every result
    /// within is observed as the observed module observes it (see [`crate::expand`]). For others
    /// [`ConvertCustomConfig::set_observed_to_quantized_mapping`] says what they become.
    pub fn set_float_to_observed_mapping(mut self, float: &str, observed: &str) -> Self {
        let canonical = quantir_quant::call_type::canonical;
        self.float_to_observed.insert(canonical(float), canonical(observed));
        self
    }
    /// These modules are single calls, float unless a pattern speaks of their class.
    pub fn set_non_traceable_module_names(mut self, paths: &[&str]) -> Self {
        self.leaf_names = paths.iter().map(|p| p.to_string()).collect();
        self
    }
    /// Modules of these classes are single calls, float unless a pattern speaks of their class.
    pub fn set_non_traceable_module_classes(mut self, classes: &[&str]) -> Self {
        self.leaf_classes = classes.iter().map(|c| quantir_quant::call_type::canonical(c)).collect();
        self
    }
    /// These inputs come in quantized; [`ConvertCustomConfig::set_input_quant`] says how.
    pub fn set_input_quantized_indexes(mut self, indexes: &[usize]) -> Self {
        self.inputs = indexes.to_vec();
        self
    }
    /// These outputs stay quantized.
    pub fn set_output_quantized_indexes(mut self, indexes: &[usize]) -> Self {
        self.outputs = indexes.to_vec();
        self
    }
    /// Names that the caller wants to keep. A graph's module table is never changed, so this is only kept for the round trip.
    pub fn set_preserved_attributes(mut self, names: &[&str]) -> Self {
        self.preserved = names.iter().map(|n| n.to_string()).collect();
        self
    }

    /// The names given to [`PrepareCustomConfig::set_preserved_attributes`].
    pub fn preserved_attributes(&self) -> &[String] {
        &self.preserved
    }
    /// What is said about the module at `path` of `class` as a standalone module.
    pub(crate) fn standalone(&self, path: &str, class: &str) -> Option<&Standalone> {
        self.standalone_names.get(path).or_else(|| self.standalone_classes.get(class))
    }
    /// Whether the module is a single call that is not looked into.
    pub(crate) fn is_leaf(&self, path: &str, class: &str) -> bool {
        self.leaf_names.iter().any(|p| p == path) || self.leaf_classes.iter().any(|c| c == class)
    }
}

/// A call of a custom module at conversion.
pub struct CustomCall<'a> {
    /// The module's path.
    pub path: &'a Path,
    /// What it reads, quantized where it was observed.
    pub inputs: Vec<ValueId>,
    /// Its parameters, as the graph holds them.
    pub params: Vec<ValueId>,
    /// What the observer of its result found.
    pub output: &'a Arc<Quant>,
    /// The float result's type.
    pub ty: &'a Type,
}

/// Builds the quantized form of a custom module and returns its quantized result (`from_observed`).
pub type FromObserved = Arc<dyn Fn(&mut Editor, &CustomCall) -> Result<ValueId, Reason> + Send + Sync>;

/// What conversion treats in a way of its own (`ConvertCustomConfig`).
#[derive(Clone, Default)]
pub struct ConvertCustomConfig {
    pub(crate) observed_to_quantized: IndexMap<String, FromObserved>,
    pub(crate) input_quants: IndexMap<usize, Arc<Quant>>,
    pub(crate) outputs: Vec<usize>,
    pub(crate) mapping: Option<QConfigMapping>,
    pub(crate) backend: Option<BackendConfig>,
    pub(crate) reduce_range: bool,
}

impl ConvertCustomConfig {
    /// Nothing special.
    pub fn new() -> Self {
        Self::default()
    }
    /// What modules of class `observed` become.
    pub fn set_observed_to_quantized_mapping<F>(mut self, observed: &str, quantized: F) -> Self
    where
        F: Fn(&mut Editor, &CustomCall) -> Result<ValueId, Reason> + Send + Sync + 'static,
    {
        let class = quantir_quant::call_type::canonical(observed);
        self.observed_to_quantized.insert(class, Arc::new(quantized));
        self
    }
    /// Input `index` comes in quantized like this; in PyTorch the tensor itself says so at run time.
    pub fn set_input_quant(mut self, index: usize, quant: Quant) -> Self {
        self.input_quants.insert(index, Arc::new(quant));
        self
    }
    /// These outputs stay quantized; the same as in [`PrepareCustomConfig::set_output_quantized_indexes`].
    pub fn set_output_quantized_indexes(mut self, indexes: &[usize]) -> Self {
        self.outputs = indexes.to_vec();
        self
    }
    /// Switches layers off: those that this mapping leaves float, stay float (`convert_fx(..., qconfig_mapping=...)`).
    pub fn set_qconfig_mapping(mut self, mapping: QConfigMapping) -> Self {
        self.mapping = Some(mapping);
        self
    }
    /// The back end that the graph was prepared for; rules for fused classes need it, and lowering.
    pub fn set_backend_config(mut self, backend: BackendConfig) -> Self {
        self.backend = Some(backend);
        self
    }
    /// Dynamic activations use 7 of 8 bits, as PyTorch has it with the engines fbgemm and x86.
    pub fn set_dynamic_reduce_range(mut self, reduce: bool) -> Self {
        self.reduce_range = reduce;
        self
    }
}

impl fmt::Debug for ConvertCustomConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConvertCustomConfig")
            .field("observed_to_quantized", &self.observed_to_quantized.keys().collect::<Vec<_>>())
            .field("input_quants", &self.input_quants)
            .field("outputs", &self.outputs)
            .field("reduce_range", &self.reduce_range)
            .finish_non_exhaustive()
    }
}
