//! Convolutions and transposed convolutions over 1 to 3 spatial axes.

use super::bound;
use crate::trace::make::{self, ConvOptions, Padding, PaddingMode, Spatial};
use crate::trace::{Call, Cx, Module, Traced};

/// What all of them share.
#[derive(Clone, Debug)]
struct Conv {
    input: usize,
    output: usize,
    kernel: Spatial,
    bias: bool,
    options: ConvOptions,
}

impl Conv {
    /// The parameters with the kernel's sizes at the end.
    fn params(&self, cx: &Cx, rank: usize, front: [usize; 2]) -> (Traced, Option<Traced>) {
        let kernel = self.kernel.numbers("kernel_size", rank).unwrap_or_else(|r| {
            cx.site(Call::Module).fail(r);
            vec![1; rank]
        });
        let mut shape = front.to_vec();
        shape.extend(kernel.iter().map(|&k| k as usize));
        let fan_in: usize = shape[1..].iter().product();
        let w = cx.param("weight", &shape, bound(fan_in));
        (w, self.bias.then(|| cx.param("bias", &[self.output], bound(fan_in))))
    }
    fn groups(&self) -> usize {
        (self.options.groups as usize).max(1)
    }
}

macro_rules! convs {
    ($($(#[$doc:meta])* $name:ident $rank:literal $class:literal [$($transposed:ident)?];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Conv);
        impl $name {
            /// From `in_channels` to `out_channels`; one kernel size for all axes, or one for each.
            pub fn new(in_channels: usize, out_channels: usize, kernel_size: impl Into<Spatial>) -> $name {
                let (kernel, options) = (kernel_size.into(), ConvOptions::default());
                $name(Conv { input: in_channels, output: out_channels, kernel, bias: true, options })
            }
            /// Step between windows.
            pub fn stride(mut self, stride: impl Into<Spatial>) -> $name {
                self.0.options.stride = stride.into();
                self
            }
            /// Padding on both ends of each axis.
            pub fn padding(mut self, padding: impl Into<Padding>) -> $name {
                self.0.options.padding = padding.into();
                self
            }
            /// Distance between the kernel's elements.
            pub fn dilation(mut self, dilation: impl Into<Spatial>) -> $name {
                self.0.options.dilation = dilation.into();
                self
            }
            /// Number of groups of channels.
            pub fn groups(mut self, groups: u32) -> $name {
                self.0.options.groups = groups;
                self
            }
            /// Whether there is a bias.
            pub fn bias(mut self, bias: bool) -> $name {
                self.0.bias = bias;
                self
            }
            convs!(@own $name $($transposed)?);
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                convs!(@forward self cx x $rank $($transposed)?)
            }
        }
    )*};
    (@own $name:ident) => {
        /// What the padding holds.
        pub fn padding_mode(mut self, mode: PaddingMode) -> $name {
            self.0.options.padding_mode = mode;
            self
        }
    };
    (@own $name:ident transposed) => {
        /// Additional size of one side of the result.
        pub fn output_padding(mut self, padding: impl Into<Spatial>) -> $name {
            self.0.options.output_padding = padding.into();
            self
        }
    };
    (@forward $self:ident $cx:ident $x:ident $rank:literal) => {{
        let c = &$self.0;
        let (w, b) = c.params($cx, $rank, [c.output, c.input / c.groups()]);
        make::conv(&$cx.site(Call::Module), &$x, &w, b.as_ref(), $rank, &c.options)
    }};
    (@forward $self:ident $cx:ident $x:ident $rank:literal transposed) => {{
        let c = &$self.0;
        let (w, b) = c.params($cx, $rank, [c.input, c.output / c.groups()]);
        make::conv_transpose(&$cx.site(Call::Module), &$x, &w, b.as_ref(), $rank, &c.options)
    }};
}
convs! {
    /// Convolution of sequences `[N,C,L]`.
    Conv1d 1 "nn.Conv1d" [];
    /// Convolution of images `[N,C,H,W]`.
    Conv2d 2 "nn.Conv2d" [];
    /// Convolution of volumes `[N,C,D,H,W]`.
    Conv3d 3 "nn.Conv3d" [];
    /// Transposed convolution of sequences.
    ConvTranspose1d 1 "nn.ConvTranspose1d" [transposed];
    /// Transposed convolution of images.
    ConvTranspose2d 2 "nn.ConvTranspose2d" [transposed];
    /// Transposed convolution of volumes.
    ConvTranspose3d 3 "nn.ConvTranspose3d" [transposed];
}
