//! Activations.

use crate::trace::{Call, Cx, Init, Module, Traced, make};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $class:literal $make:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;
        impl $name {
            /// The only one there is.
            pub fn new() -> $name {
                $name
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                make::$make(&cx.site(Call::Module), &x)
            }
        }
    )*};
}
activations! {
    /// `max(x, 0)`.
    ReLU "nn.ReLU" relu;
    /// `min(max(x, 0), 6)`.
    ReLU6 "nn.ReLU6" relu6;
    /// `1 / (1 + exp(−x))`.
    Sigmoid "nn.Sigmoid" sigmoid;
    /// Hyperbolic tangent.
    Tanh "nn.Tanh" tanh;
    /// `x · relu6(x + 3) / 6`.
    Hardswish "nn.Hardswish" hardswish;
    /// `relu6(x + 3) / 6`.
    Hardsigmoid "nn.Hardsigmoid" hardsigmoid;
    /// `x · sigmoid(x)`.
    SiLU "nn.SiLU" silu;
    /// `x · tanh(softplus(x))`.
    Mish "nn.Mish" mish;
    /// `ln(1 + eˣ)`.
    Softplus "nn.Softplus" softplus;
}

macro_rules! with_settings {
    ($($(#[$doc:meta])* $name:ident $class:literal ($($field:ident: $ty:ty = $default:expr),*) $make:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            $($field: $ty),*
        }
        impl $name {
            /// With these settings; `default()` has PyTorch's.
            pub fn new($($field: $ty),*) -> $name {
                $name { $($field),* }
            }
        }
        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default),* }
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                make::$make(&cx.site(Call::Module), &x, $(self.$field),*)
            }
        }
    )*};
}
with_settings! {
    /// `min(max(x, min_val), max_val)`.
    Hardtanh "nn.Hardtanh" (min_val: f32 = -1.0, max_val: f32 = 1.0) clamp;
    /// `x` if not negative, else `negative_slope · x`.
    LeakyReLU "nn.LeakyReLU" (negative_slope: f32 = 0.01) leaky_relu;
    /// `x` if positive, else `alpha · (eˣ − 1)`.
    ELU "nn.ELU" (alpha: f32 = 1.0) elu;
    /// `x` if positive, else `alpha · (exp(x / alpha) − 1)`.
    CELU "nn.CELU" (alpha: f32 = 1.0) celu;
    /// `x` if greater than `threshold`, else `value`.
    Threshold "nn.Threshold" (threshold: f32 = 0.0, value: f32 = 0.0) threshold;
    /// Gaussian error linear unit; exact, or approximated by tanh.
    GELU "nn.GELU" (approximate_tanh: bool = false) gelu;
    /// Exponentials along an axis, divided by their sum.
    Softmax "nn.Softmax" (dim: i64 = -1) softmax;
    /// Logarithm of the softmax.
    LogSoftmax "nn.LogSoftmax" (dim: i64 = -1) log_softmax;
}

/// `x` if not negative, else a learned slope times `x`.
#[derive(Clone, Copy, Debug)]
pub struct PReLU {
    parameters: usize,
}
impl PReLU {
    /// With one slope for all channels, or one for each.
    pub fn new(num_parameters: usize) -> PReLU {
        PReLU { parameters: num_parameters }
    }
}
impl Default for PReLU {
    fn default() -> PReLU {
        PReLU::new(1)
    }
}
impl Module for PReLU {
    fn class(&self) -> String {
        "nn.PReLU".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let w = cx.param("weight", &[self.parameters], Init::Fill(0.25));
        make::prelu(&cx.site(Call::Module), &x, &w)
    }
}
