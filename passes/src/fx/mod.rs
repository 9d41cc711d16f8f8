//! PyTorch's FX graph mode quantization: `fuse_fx`, `prepare_fx`, `convert_to_reference_fx`, `convert_fx`.
//!
//! The same steps as [`prepare`](crate::prepare), [`convert`](crate::convert) and [`lower`](crate::lower), by PyTorch's rules: a
//! [`BackendConfig`] says which patterns of calls are quantized and with which dtypes, a [`QConfigMapping`] which of them
//! the user wants, and observers, their sharing and their names are exactly PyTorch's. Graphs, phases and calibration are the
//! same, so both ways can be mixed.
//!
//! Rules speak of what the model's author called ([`Loc::call`](quantir_ir::Loc)), which tracing records. A graph
//! that tells no call at all, as from ONNX, gets for each op the call that its author most likely wrote.

mod calls;
mod convert;
pub mod custom;
mod decide;
mod fuse;
pub(crate) mod insert;
pub(crate) mod lower;
mod matching;
pub mod pass;
pub mod pattern;
mod support;
mod target;
mod view;

pub use custom::{ConvertCustomConfig, CustomCall, FromObserved, PrepareCustomConfig, Standalone};
pub use fuse::{FusedCall, fuse_fx};

use quantir_quant::{BackendConfig, Calibration, QConfigMapping};

use crate::prelude::*;
use crate::prepare::PrepareReport;

/// Fuses and puts observers into a float graph, which advances to phase `observed`.
///
/// Observers are called `activation_post_process_N` in order of creation, and so are the nodes that they observe at; nodes that share
/// an observer name the first one. Observers of parameters of modules are called like the parameter.
///
/// # Errors
/// A qconfig that makes no sense, or rules for classes that were fused into one and differ.
pub fn prepare_fx(
    g: &mut Graph,
    mapping: &QConfigMapping,
    backend: &BackendConfig,
    custom: &PrepareCustomConfig,
) -> Result<PrepareReport, Diag> {
    let mut cx = PassCx::new();
    fuse::run(g, &mut cx, backend)?;
    decide::prepare(g, &mut cx, mapping, backend, custom)
}

/// Replaces observers by `quantize` and `dequantize` around float ops: phase `reference`.
///
/// # Errors
/// An observer that saw nothing, naming all of them.
pub fn convert_to_reference_fx(
    g: &mut Graph,
    calibration: &Calibration,
    custom: &ConvertCustomConfig,
) -> Result<(), Diag> {
    convert::run(g, &mut PassCx::new(), calibration, custom)
}

/// As [`convert_to_reference_fx`], then to integer ops: phase `integer`.
///
/// # Errors
/// As [`convert_to_reference_fx`].
pub fn convert_fx(
    g: &mut Graph,
    calibration: &Calibration,
    custom: &ConvertCustomConfig,
) -> Result<(), Diag> {
    let mut cx = PassCx::new();
    convert::run(g, &mut cx, calibration, custom)?;
    lower::run(g, &mut cx)
}

/// What `mapping` says about each node of a graph that [`fuse_fx`] gave, in order: rules for classes hold for what they were fused to.
///
/// # Errors
/// Rules for classes that were fused into one and differ.
pub fn resolve_fx(
    g: &Graph,
    mapping: &QConfigMapping,
    backend: &BackendConfig,
) -> Result<Vec<(NodeId, quantir_quant::Resolution)>, Diag> {
    let mut named = g.clone();
    calls::name_calls(&mut named);
    Ok(crate::prepare::resolve(&named, &decide::fused_rules(&named, mapping, backend)?))
}
