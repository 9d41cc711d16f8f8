//! The names that users of PyTorch's FX graph mode know, for the same steps by the same rules.
//!
//! `fuse_fx`, `prepare_fx`, `convert_to_reference_fx` and `convert_fx` follow PyTorch 2.5.1 in structure and numbers: which calls are
//! observed, which share an observer, what each observer is called, what is lowered. [`Model::prepare`] and
//! [`Model::convert`] are the way of this project's own, which quantizes what its kernels are fast at.
//!
//! ```
//! use quantir::fx::{self, PrepareCustomConfig};
//! use quantir::{BackendConfig, Cx, Model, Module, Traced, Tracer, ir::Type, nn};
//! use quantir::quant::defaults::get_default_qconfig_mapping;
//!
//! struct Net(nn::Linear);
//! impl Module for Net {
//!     fn forward(&self, cx: &Cx, x: Traced) -> Traced {
//!         cx.call("fc", &self.0, &x)
//!     }
//! }
//! let model = Model::trace(Tracer::new().input("x", Type::f32(&[2, 8])), &Net(nn::Linear::new(8, 4)))?;
//! let mapping = get_default_qconfig_mapping("x86")?;
//! let observed = fx::prepare_fx(model, &mapping, &BackendConfig::named("x86")?, &PrepareCustomConfig::new())?;
//! assert!(quantir::ir::text::print(observed.graph()).contains("activation_post_process_1"));
//! # Ok::<(), quantir::Error>(())
//! ```

use quantir_quant::{BackendConfig, QConfigMapping};

use crate::error::Error;
use crate::model::{Calibrated, Float, Integer, Model, Observed, Reference};

pub use quantir_passes::fx::{
    ConvertCustomConfig, CustomCall, FromObserved, FusedCall, PrepareCustomConfig, Standalone,
};

/// Joins calls by the fusions of `backend`: `torch.ao.quantization.quantize_fx.fuse_fx`.
pub fn fuse_fx(model: Model<Float>, backend: &BackendConfig) -> Result<Model<Float>, Error> {
    model.fuse_fx(backend)
}

/// Fuses and inserts observers: `prepare_fx`.
pub fn prepare_fx(
    model: Model<Float>,
    mapping: &QConfigMapping,
    backend: &BackendConfig,
    custom: &PrepareCustomConfig,
) -> Result<Model<Observed>, Error> {
    model.prepare_fx(mapping, backend, custom)
}

/// Converts a calibrated model to integer ops: `convert_fx`.
pub fn convert_fx(model: Model<Calibrated>, custom: &ConvertCustomConfig) -> Result<Model<Integer>, Error> {
    model.convert_fx(custom)
}

/// Converts a calibrated model to quantize/dequantize form: `convert_to_reference_fx`.
pub fn convert_to_reference_fx(
    model: Model<Calibrated>,
    custom: &ConvertCustomConfig,
) -> Result<Model<Reference>, Error> {
    model.convert_to_reference_fx(custom)
}
