//! Functions of `torch.nn.functional` (call types `F.…`); functions of `torch` that have no namesake here are at hand too.

pub use super::calls::torch::{
    abs, add, amax, amin, argmax, bmm, cat, ceil, chunk, clamp, cumsum, div, erf, exp, flatten, flip, floor,
    log, log1p, matmul, maximum, mean, minimum, mul, neg, permute, pow, reciprocal, reshape, roll, round,
    split, sqrt, squeeze, stack, sub, sum, t, transpose, unbind, unsqueeze, where_,
};
use super::cx::Cx;
use super::make::{self, ConvOptions, PoolOptions, Resampling};
use super::site::Call;
use super::traced::Traced;

/// For each line a function whose call type is the literal.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident ($x:ident $(, $arg:ident: $ty:ty)*) $call:literal |$site:ident| $make:expr;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name($x: &Traced $(, $arg: $ty)*) -> Traced {
            let $site = &$x.cx().site(Call::Function($call));
            $make
        }
    )*};
}

functions! {
    /// `max(x, 0)`.
    relu(x) "F.relu" |s| make::relu(s, x);
    /// `min(max(x, 0), 6)`.
    relu6(x) "F.relu6" |s| make::relu6(s, x);
    /// `min(max(x, min), max)`.
    hardtanh(x, min: f32, max: f32) "F.hardtanh" |s| make::clamp(s, x, min, max);
    /// `x` if not negative, else `slope · x`.
    leaky_relu(x, slope: f32) "F.leaky_relu" |s| make::leaky_relu(s, x, slope);
    /// `x` if positive, else `alpha · (eˣ − 1)`.
    elu(x, alpha: f32) "F.elu" |s| make::elu(s, x, alpha);
    /// `x` if positive, else `alpha · (exp(x / alpha) − 1)`.
    celu(x, alpha: f32) "F.celu" |s| make::celu(s, x, alpha);
    /// `x` if greater than `threshold`, else `value`.
    threshold(x, threshold: f32, value: f32) "F.threshold" |s| make::threshold(s, x, threshold, value);
    /// `x` if not negative, else the slope of its channel times `x`.
    prelu(x, weight: &Traced) "F.prelu" |s| make::prelu(s, x, weight);
    /// Gaussian error linear unit, exact.
    gelu(x) "F.gelu" |s| make::gelu(s, x, false);
    /// Gaussian error linear unit, approximated by tanh.
    gelu_tanh(x) "F.gelu" |s| make::gelu(s, x, true);
    /// `x · sigmoid(x)`.
    silu(x) "F.silu" |s| make::silu(s, x);
    /// `x · tanh(softplus(x))`.
    mish(x) "F.mish" |s| make::mish(s, x);
    /// `x · relu6(x + 3) / 6`.
    hardswish(x) "F.hardswish" |s| make::hardswish(s, x);
    /// `relu6(x + 3) / 6`.
    hardsigmoid(x) "F.hardsigmoid" |s| make::hardsigmoid(s, x);
    /// `ln(1 + eˣ)`.
    softplus(x) "F.softplus" |s| make::softplus(s, x);
    /// Exponentials along an axis, divided by their sum.
    softmax(x, dim: i64) "F.softmax" |s| make::softmax(s, x, dim);
    /// Logarithm of the softmax.
    log_softmax(x, dim: i64) "F.log_softmax" |s| make::log_softmax(s, x, dim);
    /// x itself: dropout outside of training.
    dropout(x, p: f32) "F.dropout" |s| make::dropout(s, x, p);
    /// `x · weightᵀ + bias`.
    linear(x, weight: &Traced, bias: Option<&Traced>) "F.linear" |s| make::linear(s, x, weight, bias);
    /// Convolution of sequences.
    conv1d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv1d"
        |s| make::conv(s, x, weight, bias, 1, options);
    /// Convolution of images.
    conv2d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv2d"
        |s| make::conv(s, x, weight, bias, 2, options);
    /// Convolution of volumes.
    conv3d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv3d"
        |s| make::conv(s, x, weight, bias, 3, options);
    /// Transposed convolution of sequences.
    conv_transpose1d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv_transpose1d"
        |s| make::conv_transpose(s, x, weight, bias, 1, options);
    /// Transposed convolution of images.
    conv_transpose2d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv_transpose2d"
        |s| make::conv_transpose(s, x, weight, bias, 2, options);
    /// Transposed convolution of volumes.
    conv_transpose3d(x, weight: &Traced, bias: Option<&Traced>, options: &ConvOptions) "F.conv_transpose3d"
        |s| make::conv_transpose(s, x, weight, bias, 3, options);
    /// Largest element of each window.
    max_pool1d(x, options: impl Into<PoolOptions>) "F.max_pool1d" |s| make::max_pool(s, x, 1, &options.into());
    /// Largest element of each window.
    max_pool2d(x, options: impl Into<PoolOptions>) "F.max_pool2d" |s| make::max_pool(s, x, 2, &options.into());
    /// Largest element of each window.
    max_pool3d(x, options: impl Into<PoolOptions>) "F.max_pool3d" |s| make::max_pool(s, x, 3, &options.into());
    /// Mean of each window.
    avg_pool1d(x, options: impl Into<PoolOptions>) "F.avg_pool1d" |s| make::avg_pool(s, x, 1, &options.into());
    /// Mean of each window.
    avg_pool2d(x, options: impl Into<PoolOptions>) "F.avg_pool2d" |s| make::avg_pool(s, x, 2, &options.into());
    /// Mean of each window.
    avg_pool3d(x, options: impl Into<PoolOptions>) "F.avg_pool3d" |s| make::avg_pool(s, x, 3, &options.into());
    /// Means over `size` windows that cover the axis.
    adaptive_avg_pool1d(x, size: u32) "F.adaptive_avg_pool1d"
        |s| make::adaptive_avg_pool(s, x, 1, &[Some(size)]);
    /// Means over `size` windows of each axis that cover it.
    adaptive_avg_pool2d(x, size: u32) "F.adaptive_avg_pool2d"
        |s| make::adaptive_avg_pool(s, x, 2, &[Some(size)]);
    /// Means over `size` windows of each axis that cover it.
    adaptive_avg_pool3d(x, size: u32) "F.adaptive_avg_pool3d"
        |s| make::adaptive_avg_pool(s, x, 3, &[Some(size)]);
    /// Resamples the spatial axes.
    interpolate(x, options: &Resampling) "F.interpolate" |s| make::interpolate(s, x, options);
    /// Takes blocks of channels to blocks of pixels.
    pixel_shuffle(x, factor: u32) "F.pixel_shuffle" |s| make::pixel_shuffle(s, x, factor);
    /// Takes blocks of pixels to blocks of channels.
    pixel_unshuffle(x, factor: u32) "F.pixel_unshuffle" |s| make::pixel_unshuffle(s, x, factor);
    /// Interleaves groups of channels.
    channel_shuffle(x, groups: u32) "F.channel_shuffle" |s| make::channel_shuffle(s, x, groups);
    /// Pads the last axes with `value`: two numbers for each axis, the last axis first.
    pad(x, pads: &[i64], value: f32) "F.pad" |s| make::pad(s, x, pads, value);
    /// The rows of a table that `indices` name.
    embedding(indices, table: &Traced) "F.embedding" |s| make::embedding(s, indices, table);
    /// Normalises the last `over` axes.
    layer_norm(x, over: usize, weight: Option<&Traced>, bias: Option<&Traced>, eps: f32) "F.layer_norm"
        |s| make::layer_norm(s, x, over, weight, bias, eps);
    /// Normalises groups of channels.
    group_norm(x, groups: u32, weight: Option<&Traced>, bias: Option<&Traced>, eps: f32) "F.group_norm"
        |s| make::group_norm(s, x, groups, weight, bias, eps);
    /// Normalises each channel of each sample.
    instance_norm(x, weight: Option<&Traced>, bias: Option<&Traced>, eps: f32) "F.instance_norm"
        |s| make::instance_norm(s, x, weight, bias, eps);
}

/// `1 / (1 + exp(−x))`. PyTorch's `F.sigmoid` calls the method, and so the call type is `.sigmoid`.
#[track_caller]
pub fn sigmoid(x: &Traced) -> Traced {
    x.sigmoid()
}
/// Hyperbolic tangent. PyTorch's `F.tanh` calls the method, and so the call type is `.tanh`.
#[track_caller]
pub fn tanh(x: &Traced) -> Traced {
    x.tanh()
}

/// A function that passes treat as one unit, whatever it consists of: `torch.fx.wrap`.
///
/// ```
/// # use quantir_frontend::trace::{Traced, functional as f};
/// # fn g(x: &Traced) -> Traced {
/// f::wrap("my_scale", x, |x| x * 2.0)
/// # }
/// ```
#[track_caller]
pub fn wrap<O>(name: &str, x: &Traced, f: impl FnOnce(&Traced) -> O) -> O {
    let cx: &Cx = x.cx();
    cx.wrapped(name, || f(x))
}
