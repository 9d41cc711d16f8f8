//! PyTorch's named qconfigs and defaults of back ends (`torch.ao.quantization.qconfig`).

use quantir_ir::Storage;
use quantir_ir::diag::did_you_mean;

use super::*;
use crate::FakeQuant::FusedMovingAvgObsFakeQuantize;
use crate::{Error, ObserverTemplate, QConfig};

fn q(activation: ObserverTemplate, weight: ObserverTemplate) -> QConfig {
    QConfig { activation, weight }
}

fn symmetric_activation() -> ObserverTemplate {
    histogram_observer(Storage::I8).eps(QNNPACK_EPS)
}

fn symmetric_qat_activation() -> ObserverTemplate {
    moving_average_observer(Storage::I8).eps(QNNPACK_EPS).fake(FusedMovingAvgObsFakeQuantize)
}

named! {
    /// All named qconfigs.
    QCONFIGS: QConfig;

    /// Static, ranges, weights per tensor.
    default_qconfig => q(default_observer(), default_weight_observer());
    /// Records activations.
    default_debug_qconfig => q(default_debug_observer(), default_weight_observer());
    /// Static, ranges, weights per channel.
    default_per_channel_qconfig => q(default_observer(), default_per_channel_weight_observer());
    /// Dynamic activations, weights per tensor.
    default_dynamic_qconfig => q(default_dynamic_quant_observer(), default_weight_observer());
    /// Dynamic float16: weights in 16 bits.
    float16_dynamic_qconfig =>
        q(placeholder_observer(Storage::F16).dynamic(), placeholder_observer(Storage::F16));
    /// Static float16.
    float16_static_qconfig => q(placeholder_observer(Storage::F16), placeholder_observer(Storage::F16));
    /// Dynamic activations, weights per channel.
    per_channel_dynamic_qconfig =>
        q(default_dynamic_quant_observer(), default_per_channel_weight_observer());
    /// Embedding tables in 8 bits.
    float_qparams_weight_only_qconfig =>
        q(default_placeholder_observer(), default_float_qparams_observer());
    /// Embedding tables in 4 bits.
    float_qparams_weight_only_qconfig_4bit =>
        q(default_placeholder_observer(), default_float_qparams_observer_4bit());
    /// Training with fake quantizers.
    default_qat_qconfig => q(default_fake_quant(), default_weight_fake_quant());
    /// Training for dynamic quantization.
    default_dynamic_qat_qconfig => q(default_dynamic_fake_quant(), default_weight_fake_quant());
    /// Training with fake quantized weights alone.
    default_weight_only_qconfig => q(identity(), default_weight_fake_quant());
    /// Training with fake quantized activations alone.
    default_activation_only_qconfig => q(default_fake_quant(), identity());
    /// Training with fused fake quantizers.
    default_qat_qconfig_v2 => q(default_fused_act_fake_quant(), default_fused_wt_fake_quant());
    /// Ops whose result has the parameters of their input.
    default_reuse_input_qconfig => q(default_reuse_input_observer(), noop_observer(Storage::F16));
    /// QNNPACK's symmetric kernels: `i8`, weights over −127..127. Activations are affine, whatever the name says.
    default_symmetric_qnnpack_qconfig =>
        q(symmetric_activation(), weight_observer_range_neg_127_to_127());
    /// The same with weights per channel.
    default_per_channel_symmetric_qnnpack_qconfig =>
        q(symmetric_activation(), per_channel_weight_observer_range_neg_127_to_127());
    /// [`default_symmetric_qnnpack_qconfig`] for training.
    default_symmetric_qnnpack_qat_qconfig =>
        q(symmetric_qat_activation(), fused_wt_fake_quant_range_neg_127_to_127());
    /// [`default_per_channel_symmetric_qnnpack_qconfig`] for training.
    default_per_channel_symmetric_qnnpack_qat_qconfig =>
        q(symmetric_qat_activation(), fused_per_channel_wt_fake_quant_range_neg_127_to_127());
    /// Training of embedding tables in 8 bits.
    default_embedding_qat_qconfig => q(noop_observer(Storage::F32), default_embedding_fake_quant());
    /// Training of embedding tables in 4 bits.
    default_embedding_qat_qconfig_4bit =>
        q(noop_observer(Storage::F32), default_embedding_fake_quant_4bit());
    /// For PReLU, whose slope is quantized as an activation.
    default_quint8_weight_qconfig =>
        q(histogram_observer(Storage::U8), ObserverTemplate::new("minmax", Storage::U8));
    /// Everything stays `f32`.
    _default_fp32_placeholder_qconfig =>
        q(placeholder_observer(Storage::F32), placeholder_observer(Storage::F32));
    /// Marks `u8` activations; nothing is said of weights.
    _default_quint8_placeholder_qconfig => q(placeholder_observer(Storage::U8), identity());
}

/// The back ends that have defaults.
pub const BACKENDS: &[&str] = &["fbgemm", "qnnpack", "onednn", "x86"];

fn check_backend(backend: &str) -> Result<(), Error> {
    if BACKENDS.contains(&backend) {
        return Ok(());
    }
    let near = did_you_mean(backend, BACKENDS.iter().copied());
    let near = near.map_or(String::new(), |b| format!("; did you mean `{b}`?"));
    Err(Error::Declaration(format!(
        "back end `{backend}` has no default qconfig; those that have are: {}{near}",
        BACKENDS.join(", ")
    )))
}

/// PyTorch's qconfig for quantization after training on `backend` ([`BACKENDS`]); there is version 0.
///
/// fbgemm and x86 halve the range of activations; qnnpack has weights per tensor.
pub fn get_default_qconfig(backend: &str, version: u32) -> Result<QConfig, Error> {
    if version != 0 {
        return Err(Error::Declaration(format!(
            "there is no version {version} of the default qconfigs; there is version 0"
        )));
    }
    check_backend(backend)?;
    let activation = match backend {
        "fbgemm" | "x86" => histogram_observer(Storage::U8).reduce_range(),
        _ => histogram_observer(Storage::U8),
    };
    let weight = match backend {
        "qnnpack" => default_weight_observer(),
        _ => default_per_channel_weight_observer(),
    };
    Ok(q(activation, weight))
}

/// PyTorch's qconfig for training on `backend` ([`BACKENDS`]): version 0 with `FakeQuantize`, version 1 with fused fake quantizers.
pub fn get_default_qat_qconfig(backend: &str, version: u32) -> Result<QConfig, Error> {
    check_backend(backend)?;
    let per_tensor = backend == "qnnpack";
    let reduced = matches!(backend, "fbgemm" | "x86");
    let activation = moving_average_observer(Storage::U8);
    let activation = if reduced { activation.reduce_range() } else { activation };
    Ok(match version {
        0 => {
            let weight = match per_tensor {
                true => default_weight_fake_quant(),
                false => default_per_channel_weight_fake_quant(),
            };
            q(activation.fake(crate::FakeQuant::FakeQuantize), weight)
        }
        1 => {
            let weight = match per_tensor {
                true => default_fused_wt_fake_quant(),
                false => default_fused_per_channel_wt_fake_quant(),
            };
            q(activation.fake(FusedMovingAvgObsFakeQuantize), weight)
        }
        _ => {
            return Err(Error::Declaration(format!(
                "there is no version {version} of the default qconfigs for training; there are 0 and 1"
            )));
        }
    })
}
