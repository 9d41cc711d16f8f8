//! PyTorch's default mappings (`torch.ao.quantization.qconfig_mapping`).

use super::*;
use crate::{Error, QConfig, QConfigMapping};

/// Ops whose results lie between 0 and 1, in the order of PyTorch's table.
const ZERO_TO_ONE: &[&str] = &[
    "nn.Hardsigmoid",
    "F.hardsigmoid",
    ".hardsigmoid",
    ".hardsigmoid_",
    "nn.Sigmoid",
    "torch.sigmoid",
    ".sigmoid",
    ".sigmoid_",
    "nn.Softmax",
];
/// Ops whose results lie between −1 and 1.
const MINUS_ONE_TO_ONE: &[&str] = &["nn.Tanh", "torch.tanh", ".tanh", ".tanh_"];
const CONV_TRANSPOSE: &[&str] = &[
    "nn.ConvTranspose1d",
    "nn.ConvTranspose2d",
    "nn.ConvTranspose3d",
    "F.conv_transpose1d",
    "F.conv_transpose2d",
    "F.conv_transpose3d",
];

/// PyTorch's mapping for quantization after training on `backend`: [`get_default_qconfig`] and its exceptions by type.
///
/// ```
/// let m = quantir_quant::defaults::get_default_qconfig_mapping("x86")?;
/// assert_eq!(m.rules().len(), 24);
/// # Ok::<(), quantir_quant::Error>(())
/// ```
pub fn get_default_qconfig_mapping(backend: &str) -> Result<QConfigMapping, Error> {
    get_default_qconfig_mapping_version(backend, 0)
}

/// [`get_default_qconfig_mapping`] with the version of the qconfigs.
pub fn get_default_qconfig_mapping_version(backend: &str, version: u32) -> Result<QConfigMapping, Error> {
    let default = get_default_qconfig(backend, version)?;
    Ok(with_exceptions(default, backend, Training::No))
}

/// PyTorch's mapping for training on `backend`, with fused fake quantizers (version 1).
pub fn get_default_qat_qconfig_mapping(backend: &str) -> Result<QConfigMapping, Error> {
    get_default_qat_qconfig_mapping_version(backend, 1)
}

/// [`get_default_qat_qconfig_mapping`] with the version of the qconfigs.
pub fn get_default_qat_qconfig_mapping_version(backend: &str, version: u32) -> Result<QConfigMapping, Error> {
    let default = get_default_qat_qconfig(backend, version)?;
    Ok(with_exceptions(default, backend, Training::Yes))
}

/// PyTorch's mapping for QNNPACK's symmetric kernels: [`default_symmetric_qnnpack_qconfig`] everywhere but for ops with fixed
/// parameters.
pub fn get_default_symmetric_qnnpack_qconfig_mapping() -> QConfigMapping {
    everywhere(default_symmetric_qnnpack_qconfig(), Training::No)
}

/// [`get_default_symmetric_qnnpack_qconfig_mapping`] for training.
pub fn get_default_symmetric_qnnpack_qat_qconfig_mapping() -> QConfigMapping {
    everywhere(default_symmetric_qnnpack_qat_qconfig(), Training::Yes)
}

#[derive(Clone, Copy, PartialEq)]
enum Training {
    Yes,
    No,
}

fn with_exceptions(default: QConfig, backend: &str, training: Training) -> QConfigMapping {
    let with_weight = |weight| QConfig { activation: default.activation.clone(), weight };
    let transposed = match (backend, training) {
        ("fbgemm" | "x86", Training::No) => with_weight(default_weight_observer()),
        ("fbgemm" | "x86", Training::Yes) => with_weight(default_weight_fake_quant()),
        _ => default.clone(),
    };
    let layer_norm = with_weight(default_placeholder_observer());
    let mut m = QConfigMapping::new();
    m.set_global(Some(default)).set_object_type(".reshape", Some(default_reuse_input_qconfig()));
    for op in CONV_TRANSPOSE {
        m.set_object_type(op, Some(transposed.clone()));
    }
    for op in ["F.layer_norm", "nn.LayerNorm"] {
        m.set_object_type(op, Some(layer_norm.clone()));
    }
    m.set_object_type("nn.PReLU", Some(default_quint8_weight_qconfig()));
    fixed(&mut m, training);
    m
}

fn everywhere(default: QConfig, training: Training) -> QConfigMapping {
    let mut m = QConfigMapping::new();
    m.set_global(Some(default.clone())).set_object_type(".reshape", Some(default.clone()));
    for op in CONV_TRANSPOSE.iter().chain(&["F.layer_norm", "nn.LayerNorm", "nn.PReLU"]) {
        m.set_object_type(op, Some(default.clone()));
    }
    fixed(&mut m, training);
    m
}

/// Ops with known ranges; their weight is never looked at.
fn fixed(m: &mut QConfigMapping, training: Training) {
    let (unit, both, weight) = match training {
        Training::No => (
            default_fixed_qparams_range_0to1_observer(),
            default_fixed_qparams_range_neg1to1_observer(),
            default_weight_observer(),
        ),
        Training::Yes => (
            default_fixed_qparams_range_0to1_fake_quant(),
            default_fixed_qparams_range_neg1to1_fake_quant(),
            default_weight_fake_quant(),
        ),
    };
    for (ops, activation) in [(ZERO_TO_ONE, unit), (MINUS_ONE_TO_ONE, both)] {
        for op in ops {
            let q = QConfig { activation: activation.clone(), weight: weight.clone() };
            m.set_object_type(op, Some(q));
        }
    }
}
