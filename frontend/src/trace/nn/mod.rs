//! Modules with the names, constructors and parameters of `torch.nn`.
//!
//! A module holds settings only; parameters come from the tracer's [`Weights`](super::Weights) under the path that the
//! module is called by. Optional arguments of PyTorch are builder methods: `Conv2d::new(3, 8, 3).stride(2).bias(false)`.

mod activation;
mod attention;
mod container;
mod conv;
mod eager;
mod embedding;
mod linear;
mod norm;
mod pool;
mod recurrent;
mod shape;

pub use activation::*;
pub use attention::MultiheadAttention;
pub use container::{ModuleList, Sequential};
pub use conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use eager::{DeQuantStub, FloatFunctional, QuantStub, QuantWrapper};
pub use embedding::{BagMode, Embedding, EmbeddingBag};
pub use linear::{Dropout, Identity, Linear};
pub use norm::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d,
    LayerNorm,
};
pub use pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d,
    MaxPool2d, MaxPool3d,
};
pub use recurrent::{GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell};
pub use shape::{ChannelShuffle, Flatten, PixelShuffle, PixelUnshuffle, Upsample};

/// The bound of PyTorch's default initialization: weights and biases are uniform within `1/√fan_in`.
fn bound(fan_in: usize) -> super::Init {
    super::Init::Uniform(1.0 / (fan_in.max(1) as f32).sqrt())
}
