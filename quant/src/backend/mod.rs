//! [`BackendConfig`]: which patterns an engine quantizes, with which dtypes, in PyTorch's terms.
//!
//! The data of PyTorch's back ends is in [`BackendConfig::named`]. Which kernels this project's runtime has is
//! [`KernelSupport`](crate::KernelSupport).

mod check;
mod dtype;
mod entry;
mod fuser;
mod pattern;
mod pytorch;
mod runtime;
pub mod toml;

use std::fmt;

use indexmap::IndexMap;

pub use check::{DTypeRule, Part, Request, Unsupported, same};
pub use dtype::{DType, DTypeConfig, DTypeWithConstraints};
pub use entry::{BackendPatternConfig, FuserMethod, ObservationType};
pub use fuser::{FuseMode, Fusion, FusionError};
pub use pattern::{Line, Operand, Pattern};

/// What an engine quantizes (`torch.ao.quantization.backend_config.BackendConfig`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BackendConfig {
    /// Its name, for messages.
    pub name: String,
    configs: IndexMap<Pattern, BackendPatternConfig>,
}

impl BackendConfig {
    /// An engine that quantizes nothing yet.
    pub fn new(name: &str) -> BackendConfig {
        BackendConfig { name: name.into(), configs: IndexMap::new() }
    }
    /// With this name.
    pub fn set_name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }
    /// With this pattern; an equal pattern is replaced and keeps its place.
    pub fn set_backend_pattern_config(mut self, config: BackendPatternConfig) -> Self {
        self.configs.insert(config.pattern.clone(), config);
        self
    }
    /// With these patterns.
    pub fn set_backend_pattern_configs(
        self,
        configs: impl IntoIterator<Item = BackendPatternConfig>,
    ) -> Self {
        configs.into_iter().fold(self, BackendConfig::set_backend_pattern_config)
    }
    /// All patterns in order of registration.
    pub fn configs(&self) -> impl ExactSizeIterator<Item = &BackendPatternConfig> {
        self.configs.values()
    }
    /// What is said about a pattern.
    pub fn get(&self, pattern: &Pattern) -> Option<&BackendPatternConfig> {
        self.configs.get(pattern)
    }
    /// Without the patterns in which `call` occurs.
    pub fn remove_operator(mut self, call: &str) -> Self {
        self.configs.retain(|p, _| p.ops().all(|op| op != call));
        self
    }
    /// The patterns in the order in which they are tried: more entries first, then order of registration.
    pub fn by_length(&self) -> Vec<&BackendPatternConfig> {
        let mut all: Vec<&BackendPatternConfig> = self.configs.values().collect();
        all.sort_by_key(|c| std::cmp::Reverse(c.pattern.weight()));
        all
    }
}

/// One line for each pattern: what is matched, how the result is observed, with which dtypes, and what it is fused to.
impl fmt::Display for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend {}", self.name)?;
        self.configs().try_for_each(|c| writeln!(f, "{c}"))
    }
}
