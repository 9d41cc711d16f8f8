//! The combinations of dtypes that PyTorch's back ends know.

use super::super::{DType, DTypeConfig, DTypeWithConstraints};
use DType::{Float16, Float32, QInt8, QUint4x2, QUint8};

/// Least scale of QNNPACK's symmetric kernels: `2⁻¹²`.
const SCALE_MIN: f64 = 1.0 / 4096.0;

/// A list of combinations.
pub(super) type Dtypes = Vec<DTypeConfig>;

/// 8-bit unsigned activations, 8-bit signed weights.
pub(super) fn weighted() -> DTypeConfig {
    activations().weight(QInt8).bias(Float32)
}
/// The same with activations quantized at run time.
pub(super) fn weighted_dynamic() -> DTypeConfig {
    DTypeConfig::new(QUint8, Float32).weight(QInt8).bias(Float32).dynamic()
}
/// Half precision at run time.
pub(super) fn half_dynamic() -> DTypeConfig {
    DTypeConfig::new(Float16, Float32).weight(Float16).bias(Float32).dynamic()
}
/// 8-bit unsigned activations, no weights.
pub(super) fn activations() -> DTypeConfig {
    DTypeConfig::new(QUint8, QUint8)
}
/// 8-bit unsigned activations with known parameters.
fn fixed(scale: f64, zero_point: i64) -> DTypeConfig {
    let ends = DTypeWithConstraints::new(QUint8).range(0, 255).exactly(scale, zero_point);
    DTypeConfig::new(ends, ends)
}
/// Values from 0 to 1.
pub(super) fn zero_to_one() -> DTypeConfig {
    fixed(1.0 / 256.0, 0)
}
/// Values from −1 to 1.
pub(super) fn minus_one_to_one() -> DTypeConfig {
    fixed(2.0 / 256.0, 128)
}
/// The same combination with weights, which ops without weights ignore: the x86 back end writes it so.
pub(super) fn with_weight(config: DTypeConfig) -> DTypeConfig {
    config.weight(QInt8).bias(Float32)
}
/// 8-bit activations around float weights.
pub(super) fn float_weight() -> DTypeConfig {
    activations().weight(Float32).bias(Float32)
}
/// Float activations, embeddings in these weights.
pub(super) fn embedding(weight: DType) -> DTypeConfig {
    DTypeConfig::new(Float32, Float32).weight(weight)
}
/// Both embedding formats.
pub(super) fn embeddings() -> Dtypes {
    vec![embedding(QUint8), embedding(QUint4x2)]
}
/// Signed activations and weights (TensorRT).
pub(super) fn signed() -> DTypeConfig {
    with_weight(signed_activations())
}
/// Signed activations.
pub(super) fn signed_activations() -> DTypeConfig {
    DTypeConfig::new(QInt8, QInt8)
}
fn symmetric_weight() -> DTypeWithConstraints {
    DTypeWithConstraints::new(QInt8).range(-127, 127).scale_min(SCALE_MIN)
}
/// Signed activations and weights as XNNPACK's kernels want them.
pub(super) fn symmetric() -> DTypeConfig {
    symmetric_activations().weight(symmetric_weight()).bias(Float32)
}
/// The same with activations quantized at run time.
pub(super) fn symmetric_dynamic() -> DTypeConfig {
    let input = DTypeWithConstraints::new(QInt8).scale_min(SCALE_MIN);
    DTypeConfig::new(input, Float32).weight(symmetric_weight()).bias(Float32).dynamic()
}
/// Signed activations as XNNPACK's kernels want them.
pub(super) fn symmetric_activations() -> DTypeConfig {
    let ends = DTypeWithConstraints::new(QInt8).scale_min(SCALE_MIN);
    DTypeConfig::new(ends, ends)
}
