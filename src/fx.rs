//! The names that users of PyTorch's FX graph mode know, for the same steps.

use quantir_quant::QConfigMapping;

use crate::error::Error;
use crate::model::{Calibrated, Float, Integer, Model, Observed, Reference};

/// Fuses batch norms and activations: `torch.ao.quantization.quantize_fx.fuse_fx`.
pub fn fuse_fx(model: Model<Float>) -> Result<Model<Float>, Error> {
    model.fuse()
}

/// Fuses and inserts observers: `prepare_fx`.
pub fn prepare_fx(model: Model<Float>, mapping: &QConfigMapping) -> Result<Model<Observed>, Error> {
    model.fuse()?.prepare(mapping)
}

/// Converts a calibrated model to integer ops: `convert_fx`.
pub fn convert_fx(model: Model<Calibrated>) -> Result<Model<Integer>, Error> {
    model.convert()?.lower()
}

/// Converts a calibrated model to quantize/dequantize form: `convert_to_reference_fx`.
pub fn convert_to_reference_fx(model: Model<Calibrated>) -> Result<Model<Reference>, Error> {
    model.convert()
}
