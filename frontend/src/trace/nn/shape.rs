//! `Flatten`, shuffles, `Upsample`.

use crate::trace::make::{self, Interpolation, Resampling, Spatial};
use crate::trace::{Call, Cx, Module, Traced};

/// Joins axes.
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    start: i64,
    end: i64,
}
impl Flatten {
    /// Axes `start` to `end`, negative from the end.
    pub fn new(start: i64, end: i64) -> Flatten {
        Flatten { start, end }
    }
}
/// All axes but the batch.
impl Default for Flatten {
    fn default() -> Flatten {
        Flatten::new(1, -1)
    }
}
impl Module for Flatten {
    fn class(&self) -> String {
        "nn.Flatten".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        make::flatten(&cx.site(Call::Module), &x, self.start, self.end)
    }
}

macro_rules! shuffles {
    ($($(#[$doc:meta])* $name:ident $class:literal $make:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(u32);
        impl $name {
            /// By this factor, or in so many groups.
            pub fn new(by: u32) -> $name {
                $name(by)
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                make::$make(&cx.site(Call::Module), &x, self.0)
            }
        }
    )*};
}
shuffles! {
    /// Takes blocks of channels to blocks of pixels.
    PixelShuffle "nn.PixelShuffle" pixel_shuffle;
    /// Takes blocks of pixels to blocks of channels.
    PixelUnshuffle "nn.PixelUnshuffle" pixel_unshuffle;
    /// Interleaves groups of channels.
    ChannelShuffle "nn.ChannelShuffle" channel_shuffle;
}

/// Resamples the spatial axes.
#[derive(Clone, Debug)]
pub struct Upsample(Resampling);
impl Upsample {
    /// To this size.
    pub fn size(size: impl Into<Spatial>) -> Upsample {
        Upsample(Resampling { size: Some(size.into()), ..Resampling::default() })
    }
    /// By this factor.
    pub fn scale_factor(factor: f32) -> Upsample {
        Upsample(Resampling { scale_factor: Some(vec![factor]), ..Resampling::default() })
    }
    /// How values between samples are found.
    pub fn mode(mut self, mode: Interpolation) -> Upsample {
        self.0.mode = mode;
        self
    }
    /// Whether the centres of the corner pixels stay in place.
    pub fn align_corners(mut self, align: bool) -> Upsample {
        self.0.align_corners = align;
        self
    }
}
impl Module for Upsample {
    fn class(&self) -> String {
        "nn.Upsample".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        make::interpolate(&cx.site(Call::Module), &x, &self.0)
    }
}
