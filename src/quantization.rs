//! PyTorch's `torch.ao.quantization` under its own names, with its rules and its numbers.
//!
//! The functions take and give [`Model`]s, whose type says how far they are, instead of changing modules in place.
//! [`BackendConfig`] says what a back end quantizes, [`QConfigMapping`] what the user wants; both speak of what the model's author
//! called (`nn.Conv2d`, `F.relu`, `.reshape`), so models come from [`Model::trace`] or from graphs that know their calls. What is left
//! of `torch.ao.quantization` is re-exported here under the same names. `docs/coming-from-pytorch.md` has the whole table.
//!
//! [`Model::prepare`] and [`Model::lower`] follow this project's runtime instead, and need no calls.

use std::sync::Arc;

use quantir_ir::Graph;
use quantir_passes::pt2e::{self, Prepared, Quantizer};
use quantir_quant::{Calibration, KernelSupport};

pub use quantir_frontend::trace::nn::{DeQuantStub, FloatFunctional, QuantStub, QuantWrapper};
pub use quantir_quant::defaults::*;
pub use quantir_quant::{
    BackendConfig, BackendPatternConfig, DTypeConfig, DTypeWithConstraints, ObservationType,
    ObserverTemplate, QConfig, QConfigMapping,
};

pub use crate::fx::{
    ConvertCustomConfig, PrepareCustomConfig, convert_fx, convert_to_reference_fx, fuse_fx, prepare_fx,
};

use crate::error::Error;
use crate::model::{Calibrated, Float, Integer, Model, Observed, Reference};

/// Quantizes the given classes dynamically: weights in `i8`, activations while running (`quantize_dynamic`).
///
/// `classes` are call types in any of PyTorch's spellings: `torch.nn.Linear`, `nn.Linear`. No data is needed.
///
/// # Errors
/// Those of [`prepare_fx`] and [`convert_fx`].
pub fn quantize_dynamic(model: Model<Float>, classes: &[&str]) -> Result<Model<Integer>, Error> {
    let mut mapping = QConfigMapping::new();
    for class in classes {
        mapping.set_object_type(class, Some(default_dynamic_qconfig()));
    }
    // Modules are taken one by one: nothing is fused.
    let native = BackendConfig::named("native")?;
    let single = native.configs().filter(|c| c.pattern.len() == 1).cloned();
    let backend = BackendConfig::new("dynamic").set_backend_pattern_configs(single);
    let observed = prepare_fx(model, &mapping, &backend, &PrepareCustomConfig::new())?;
    convert_fx(observed.with_calibration(Calibration::default()), &ConvertCustomConfig::new())
}

/// Lets a quantizer annotate the model and puts observers where it says (`prepare_pt2e`). What comes back beside the
/// model is needed by [`convert_pt2e`].
///
/// # Errors
/// Annotations that contradict each other.
pub fn prepare_pt2e(
    model: Model<Float>,
    quantizer: &dyn Quantizer,
) -> Result<(Model<Observed>, Prepared), Error> {
    let mut g = Arc::unwrap_or_clone(model.shared_graph());
    let prepared = pt2e::prepare_pt2e(&mut g, quantizer)?;
    Ok((Model::observed(g, Default::default()), prepared))
}

/// Replaces observers by quantize and dequantize (`convert_pt2e`).
///
/// # Errors
/// Observers that saw nothing.
pub fn convert_pt2e(model: Model<Calibrated>, prepared: &Prepared) -> Result<Model<Reference>, Error> {
    let mut g: Graph = model.graph().clone();
    pt2e::convert_pt2e(&mut g, prepared, model.calibration())?;
    Ok(Model::reference(g))
}

/// What this project's runtime computes on integers; [`Model::lower`] uses it.
pub fn runtime_support() -> KernelSupport {
    crate::backend::native()
}
