//! `resize`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::keyword_enum;
use crate::ops::operand::{float, pass_through};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
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
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        match self.mode {
            ResizeMode::Nearest => pass_through("resize", "input", input)?,
            _ => float("resize", "input", input, Some("resize {mode=nearest}"))?,
        }
        let (n, given) = match (self.scales.len(), self.sizes.len()) {
            (s, 0) => (s, "scales"),
            (0, s) => (s, "sizes"),
            _ => return Err(Reason::new("`resize` takes `scales` or `sizes`, both are given")),
        };
        if n != input.rank() {
            return Err(Reason::new(format!(
                "`{given}` has {n} entries for the {} axes of {input}",
                input.rank()
            ))
            .help("give one for each axis"));
        }
        let dims = match given {
            "sizes" => self.sizes.clone(),
            _ => input
                .shape
                .0
                .iter()
                .zip(&self.scales)
                .map(|(d, s)| scaled(d, s.0))
                .collect::<Result<_, _>>()?,
        };
        for (i, (d, out)) in input.shape.0.iter().zip(&dims).enumerate() {
            if out.as_lit().is_some_and(|n| n < 0) || (d.is(0) && !out.is(0)) {
                return Err(Reason::new(format!("axis {i} of {input} cannot be resized from {d} to {out}")));
            }
        }
        one(input.with_shape(Shape(dims)))
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

/// `⌊d · scale⌋`; for a symbolic dimension only if the scale is a short binary fraction such as 2, 1.5 or 0.25.
fn scaled(d: &Dim, scale: f32) -> Result<Dim, Reason> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Reason::new(format!("scale {scale:?} is not positive and finite")));
    }
    if scale == 1.0 {
        return Ok(d.clone());
    }
    if let Some(n) = d.as_lit() {
        // A product in `f32`, as onnxruntime computes it: 0.7 × 10 is 7.
        return Ok(Dim::lit((n as f32 * scale).floor() as i64));
    }
    let denominators = (0..=12).map(|e| 1i64 << e);
    for c in denominators {
        let m = scale * c as f32;
        if m.fract() == 0.0 && (1.0..4096.0).contains(&m) {
            return Ok(d.mul_lit(m as i64).div_floor(c));
        }
    }
    Err(Reason::new(format!("the symbolic dimension {d} cannot be scaled by {scale:?}"))
        .help("give `sizes` instead of `scales`"))
}
