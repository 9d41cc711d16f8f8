//! quantir: a quantization compiler.
//!
//! A float model comes in ([`Model::load`]), observers find the ranges of its values ([`Model::prepare`],
//! [`Model::calibrate`]), and an integer model comes out ([`Model::convert`], [`Model::lower`]) that its own SIMD
//! runtime executes ([`Session`]). Every stage is a [`Graph`] that prints as text and parses back.

pub mod backend;
pub mod calibrate;
pub mod data;
pub mod equalize;
mod error;
pub mod evaluate;
pub mod file;
pub mod fx;
mod model;
pub mod model_report;
pub mod numeric_suite;
pub mod quantization;
pub mod quantization_plan;
mod session;
pub mod table;

pub use error::Error;
pub use fx::{convert_fx, convert_to_reference_fx, fuse_fx, prepare_fx};
pub use model::{Calibrated, Float, Integer, Model, Observed, Reference};
pub use quantir_ir::{Graph, QTensor, Tensor};
pub use quantir_quant::{BackendConfig, Calibration, QConfig, QConfigMapping};
pub use quantir_runtime::Isa;
pub use session::{Session, SessionOptions};

pub use quantir_frontend::trace::{Cx, Module, Traced, Tracer, Weights, functional, nn, torch};

pub use quantir_frontend as frontend;
pub use quantir_ir as ir;
pub use quantir_passes as passes;
pub use quantir_quant as quant;
pub use quantir_runtime as runtime;

/// The page for users of PyTorch, whose tables and examples are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from-pytorch.md")]
struct ComingFromPytorch;
