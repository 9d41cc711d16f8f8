//! What to quantize and how, as data: observers, qconfigs, backends, calibration.
//!
//! **Architecture invariant.** Nothing here changes a graph; functions take slices and values and return values.
//! Formulae follow PyTorch 2.5.1 (`torch.ao.quantization`) except where a doc comment says otherwise.

pub mod backend;
pub mod calibration;
pub mod call_type;
pub mod defaults;
mod error;
mod fake_quantize;
pub mod mapping;
pub mod observer;
pub mod qconfig;
pub mod recipe;
pub mod scheme;
pub mod support;
pub mod template;
mod toml_reader;

pub use backend::{
    BackendConfig, BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints, FuserMethod,
    ObservationType, Pattern,
};
pub use calibration::{Calibration, Entry};
pub use error::Error;
pub use fake_quantize::FakeQuantize;
pub use mapping::{OpRef, QConfigDict, QConfigMapping, QConfigMultiMapping, Resolution, Rule};
pub use observer::{Observer, Stats};
pub use qconfig::QConfig;
pub use support::{Ends, KernelSupport, OpSupport, Role, WeightSupport};
pub use template::{FakeQuant, ObserverTemplate};
