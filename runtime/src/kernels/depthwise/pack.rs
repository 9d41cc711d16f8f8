//! Depthwise weight layouts.

use crate::isa::Isa;
use crate::kernels::conv::ConvGeometry;
use crate::kernels::epilogue::Requant;
use crate::kernels::gemm::pack::folded_bias;
use crate::kernels::round::Store;

/// Weights and per-channel parameters.
#[derive(Clone)]
pub(super) struct Weights {
    /// Scalar tier: `[tap][channel]`, zero points subtracted.
    pub plain: Vec<i16>,
    /// Bias with the activation zero point folded in.
    pub bias: Vec<i32>,
    pub mult: Vec<f32>,
    pub store: Store,
}

impl Weights {
    pub(super) fn new(
        _isa: Isa,
        geometry: &ConvGeometry,
        weights: &[i8],
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Weights {
        let (channels, taps) = (geometry.channels_out, geometry.depth());
        let zero_of = |channel: usize| w_zero.get(channel).copied().unwrap_or(0);
        let weight = |channel: usize, tap: usize| weights[channel * taps + tap] as i32 - zero_of(channel);
        Weights {
            plain: (0..taps * channels)
                .map(|i| weight(i % channels, i / channels) as i16)
                .collect(),
            bias: (0..channels)
                .map(|channel| {
                    let row = &weights[channel * taps..][..taps];
                    folded_bias(requant.bias_of(channel), x_zero, zero_of(channel), row)
                })
                .collect(),
            mult: requant.mult.clone(),
            store: Store::new(&requant.out),
        }
    }
}
