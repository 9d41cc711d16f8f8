//! PyTorch's named fake quantizers (`torch.ao.quantization.fake_quantize`), as declarations.

use quantir_ir::Storage;

use super::{
    QNNPACK_EPS, default_fixed_qparams_range_0to1_observer, default_fixed_qparams_range_neg1to1_observer,
    histogram_observer, named,
};
use crate::FakeQuant::{FakeQuantize, FixedQParamsFakeQuantize, FusedMovingAvgObsFakeQuantize};
use crate::ObserverTemplate;

/// A moving average with PyTorch's constant, 0.01.
pub fn moving_average_observer(storage: Storage) -> ObserverTemplate {
    ObserverTemplate::new("moving_average", storage).args(&[0.01])
}

/// A moving average that forgets everything but the last batch.
fn last_batch(storage: Storage) -> ObserverTemplate {
    ObserverTemplate::new("moving_average", storage).args(&[1.0])
}

named! {
    /// All named fake quantizers.
    FAKE_QUANTS: ObserverTemplate;

    /// Activations over 0..127.
    default_fake_quant => moving_average_observer(Storage::U8).reduce_range().fake(FakeQuantize);
    /// Weights, one pair per tensor.
    default_weight_fake_quant => moving_average_observer(Storage::I8).symmetric().fake(FakeQuantize);
    /// Activations whose parameters follow from each run's data.
    default_dynamic_fake_quant => last_batch(Storage::U8).dynamic().fake(FakeQuantize);
    /// Results between −1 and 1.
    default_fixed_qparams_range_neg1to1_fake_quant =>
        default_fixed_qparams_range_neg1to1_observer().fake(FixedQParamsFakeQuantize);
    /// Results between 0 and 1.
    default_fixed_qparams_range_0to1_fake_quant =>
        default_fixed_qparams_range_0to1_observer().fake(FixedQParamsFakeQuantize);
    /// An older name of [`default_fixed_qparams_range_neg1to1_fake_quant`].
    default_symmetric_fixed_qparams_fake_quant => default_fixed_qparams_range_neg1to1_fake_quant();
    /// An older name of [`default_fixed_qparams_range_0to1_fake_quant`].
    default_affine_fixed_qparams_fake_quant => default_fixed_qparams_range_0to1_fake_quant();
    /// Weights, one pair for each output channel.
    default_per_channel_weight_fake_quant => default_weight_fake_quant().per_channel();
    /// Rows of embedding tables.
    default_embedding_fake_quant =>
        last_batch(Storage::U8).float_qparams().per_channel().fake(FakeQuantize);
    /// The same in 4 bits.
    default_embedding_fake_quant_4bit =>
        last_batch(Storage::U4).float_qparams().per_channel().fake(FakeQuantize);
    /// Activations by histograms.
    default_histogram_fake_quant => histogram_observer(Storage::U8).reduce_range().fake(FakeQuantize);
    /// Activations over 0..255, observed and quantized in one step.
    default_fused_act_fake_quant =>
        moving_average_observer(Storage::U8).fake(FusedMovingAvgObsFakeQuantize);
    /// Weights, one pair per tensor, in one step.
    default_fused_wt_fake_quant =>
        moving_average_observer(Storage::I8).symmetric().fake(FusedMovingAvgObsFakeQuantize);
    /// Weights, one pair for each output channel, in one step.
    default_fused_per_channel_wt_fake_quant => default_fused_wt_fake_quant().per_channel();
    /// [`default_fused_wt_fake_quant`] over −127..127 for QNNPACK's symmetric kernels.
    fused_wt_fake_quant_range_neg_127_to_127 =>
        default_fused_wt_fake_quant().range(-127, 127).eps(QNNPACK_EPS);
    /// [`default_fused_per_channel_wt_fake_quant`] over −127..127 for QNNPACK's symmetric kernels.
    fused_per_channel_wt_fake_quant_range_neg_127_to_127 =>
        fused_wt_fake_quant_range_neg_127_to_127().per_channel();
}
