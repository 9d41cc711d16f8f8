//! Pooling.

use crate::trace::make::{self, PoolOptions, Spatial};
use crate::trace::{Call, Cx, Module, Traced};

macro_rules! pools {
    ($($name:ident $rank:literal $class:literal $make:ident { $($own:tt)* })*) => {$(
        #[doc = concat!("`", $class, "`: one number for each window over the last axes.")]
        #[derive(Clone, Debug)]
        pub struct $name(PoolOptions);
        impl $name {
            /// Windows of this size, side by side.
            pub fn new(kernel_size: impl Into<Spatial>) -> $name {
                $name(PoolOptions::new(kernel_size))
            }
            /// Step between windows.
            pub fn stride(mut self, stride: impl Into<Spatial>) -> $name {
                self.0.stride = Some(stride.into());
                self
            }
            /// Padding on both ends of each axis.
            pub fn padding(mut self, padding: impl Into<Spatial>) -> $name {
                self.0.padding = padding.into();
                self
            }
            /// Whether a window that reaches beyond the end counts.
            pub fn ceil_mode(mut self, ceil_mode: bool) -> $name {
                self.0.ceil_mode = ceil_mode;
                self
            }
            $($own)*
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                make::$make(&cx.site(Call::Module), &x, $rank, &self.0)
            }
        }
    )*};
}
macro_rules! max_pools {
    ($($name:ident $rank:literal $class:literal;)*) => {$(
        pools! { $name $rank $class max_pool {
            /// Distance between the window's elements.
            pub fn dilation(mut self, dilation: impl Into<Spatial>) -> $name {
                self.0.dilation = dilation.into();
                self
            }
        } }
    )*};
}
macro_rules! avg_pools {
    ($($name:ident $rank:literal $class:literal;)*) => {$(
        pools! { $name $rank $class avg_pool {
            /// Whether positions in the padding count in the mean.
            pub fn count_include_pad(mut self, count: bool) -> $name {
                self.0.count_include_pad = count;
                self
            }
            /// What the sum is divided by instead of the number of positions.
            pub fn divisor_override(mut self, divisor: u32) -> $name {
                self.0.divisor_override = Some(divisor);
                self
            }
        } }
    )*};
}
max_pools! { MaxPool1d 1 "nn.MaxPool1d"; MaxPool2d 2 "nn.MaxPool2d"; MaxPool3d 3 "nn.MaxPool3d"; }
avg_pools! { AvgPool1d 1 "nn.AvgPool1d"; AvgPool2d 2 "nn.AvgPool2d"; AvgPool3d 3 "nn.AvgPool3d"; }

macro_rules! adaptive {
    ($($name:ident $rank:literal $class:literal;)*) => {$(
        #[doc = concat!("`", $class, "`: means over a given number of windows that cover each axis.")]
        #[derive(Clone, Debug)]
        pub struct $name(Vec<Option<u32>>);
        impl $name {
            /// As many windows on every axis.
            pub fn new(output_size: u32) -> $name {
                $name(vec![Some(output_size)])
            }
            /// So many windows on each axis; `None` keeps the axis as it is.
            pub fn sizes(output_size: [Option<u32>; $rank]) -> $name {
                $name(output_size.to_vec())
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                make::adaptive_avg_pool(&cx.site(Call::Module), &x, $rank, &self.0)
            }
        }
    )*};
}
adaptive! {
    AdaptiveAvgPool1d 1 "nn.AdaptiveAvgPool1d";
    AdaptiveAvgPool2d 2 "nn.AdaptiveAvgPool2d";
    AdaptiveAvgPool3d 3 "nn.AdaptiveAvgPool3d";
}
