//! PyTorch's named observers (`torch.ao.quantization.observer`).

use quantir_ir::Storage;

use super::{QNNPACK_EPS, named};
use crate::ObserverTemplate;

/// `HistogramObserver(dtype=...)`: 2048 bins, and a search that assumes 256 integers whatever the range, as in PyTorch.
pub fn histogram_observer(storage: Storage) -> ObserverTemplate {
    ObserverTemplate::new("histogram", storage).args(&[2048.0, 256.0])
}

/// `PlaceholderObserver(dtype=...)`: says how to quantize and sees nothing.
pub fn placeholder_observer(storage: Storage) -> ObserverTemplate {
    ObserverTemplate::new("placeholder", storage).no_range()
}

/// `FixedQParamsObserver(scale, zero_point)` over `u8`.
pub fn fixed_qparams_observer(scale: f32, zero_point: i32) -> ObserverTemplate {
    ObserverTemplate::new("fixed", Storage::U8).args(&[scale, zero_point as f32])
}

/// `torch.nn.Identity` in the place of an observer: nothing is quantized.
pub fn identity() -> ObserverTemplate {
    ObserverTemplate::new("identity", Storage::F32).no_range()
}

/// `NoopObserver(dtype=...)`.
pub fn noop_observer(storage: Storage) -> ObserverTemplate {
    ObserverTemplate::new("noop", storage).no_range()
}

named! {
    /// All named observers.
    OBSERVERS: ObserverTemplate;

    /// Range of activations over 0..127, whose products no 16-bit sum overflows.
    default_observer => ObserverTemplate::new("minmax", Storage::U8).range(0, 127);
    /// Keeps the activation in float.
    default_placeholder_observer => placeholder_observer(Storage::F32);
    /// Records the tensors it sees.
    default_debug_observer => ObserverTemplate::new("recording", Storage::U8).no_range();
    /// Range of weights, one pair per tensor.
    default_weight_observer => ObserverTemplate::new("minmax", Storage::I8).symmetric();
    /// The same over −127..127 for QNNPACK's symmetric kernels.
    weight_observer_range_neg_127_to_127 => default_weight_observer().range(-127, 127).eps(QNNPACK_EPS);
    /// Histogram of activations over 0..127.
    default_histogram_observer => histogram_observer(Storage::U8).range(0, 127);
    /// Range of weights, one pair for each output channel.
    default_per_channel_weight_observer => default_weight_observer().per_channel();
    /// The same over −127..127 for QNNPACK's symmetric kernels.
    per_channel_weight_observer_range_neg_127_to_127 =>
        weight_observer_range_neg_127_to_127().per_channel();
    /// Activations whose parameters follow from each run's data.
    default_dynamic_quant_observer => ObserverTemplate::new("placeholder", Storage::U8).dynamic();
    /// Rows of embedding tables, with float zero points.
    default_float_qparams_observer =>
        ObserverTemplate::new("minmax", Storage::U8).float_qparams().per_channel();
    /// The same in 4 bits.
    default_float_qparams_observer_4bit =>
        ObserverTemplate::new("minmax", Storage::U4).float_qparams().per_channel();
    /// Results between −1 and 1, such as those of `tanh`.
    default_fixed_qparams_range_neg1to1_observer => fixed_qparams_observer(2.0 / 256.0, 128);
    /// Results between 0 and 1, such as those of `sigmoid`.
    default_fixed_qparams_range_0to1_observer => fixed_qparams_observer(1.0 / 256.0, 0);
    /// An older name of [`default_fixed_qparams_range_neg1to1_observer`].
    default_symmetric_fixed_qparams_observer => default_fixed_qparams_range_neg1to1_observer();
    /// An older name of [`default_fixed_qparams_range_0to1_observer`].
    default_affine_fixed_qparams_observer => default_fixed_qparams_range_0to1_observer();
    /// The result has the parameters of the input.
    default_reuse_input_observer => ObserverTemplate::new("reuse_input", Storage::U8).no_range();
}
