//! `resize`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::keyword_enum;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

keyword_enum! {
    /// How values between samples are found.
    pub enum ResizeMode {
        /// The nearest sample.
        Nearest = "nearest",
        /// Linear interpolation.
        Linear = "linear",
        /// Cubic interpolation.
        Cubic = "cubic",
    }
}
keyword_enum! {
    /// How output coordinates map to input coordinates.
    pub enum Coord {
        /// Pixel centres at half.
        HalfPixel = "half_pixel",
        /// As half_pixel, but 0 for one output pixel.
        PytorchHalfPixel = "pytorch_half_pixel",
        /// Corners are aligned.
        AlignCorners = "align_corners",
        /// `x / scale`.
        Asymmetric = "asymmetric",
        /// `(x + 0.5) / scale`.
        TfHalfPixelForNn = "tf_half_pixel_for_nn",
    }
}
keyword_enum! {
    /// How a coordinate becomes the nearest sample.
    pub enum NearestRound {
        /// Half rounds down.
        PreferFloor = "prefer_floor",
        /// Half rounds up.
        PreferCeil = "prefer_ceil",
        /// Down.
        Floor = "floor",
        /// Up.
        Ceil = "ceil",
    }
}

attrs! {
    /// Resamples; one scale or one size for each axis (ONNX `Resize`).
    pub struct Resize {
        /// See the op.
        scales: Vec<F32> = Vec::new(),
        /// See the op.
        sizes: Vec<Dim> = Vec::new(),
        /// See the op.
        mode: ResizeMode = ResizeMode::Nearest,
        /// See the op.
        coord: Coord = Coord::HalfPixel,
        /// See the op.
        round: NearestRound = NearestRound::PreferFloor,
    }
}
operands! { Resize as ResizeView { x: One } }
impl OpDef for Resize {
    const NAMES: &'static [&'static str] = &["resize"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
