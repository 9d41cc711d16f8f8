//! `resize`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::keyword_enum;
use crate::ops::operand::{float, pass_through, recheck, store};
use crate::ops::pad::pick;
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
    /// Resamples: one scale or one size for each axis (ONNX `Resize` without region of interest, antialiasing and excluded
    /// outside).
    ///
    /// With `scales` a result axis has `⌊n · scale⌋` elements, multiplied in `f32`; with `sizes` the scale is the quotient of
    /// both lengths. Coordinates are computed in double precision. `nearest` keeps any plain elements and quantized ones
    /// with one scale. `linear` and `cubic` (Keys' kernel with a = −0.75) need floating-point elements; they mix along one
    /// axis after the other, the first axis first, in `f32`, with weights rounded to `f32` and elements in the order of
    /// their indices. Elements outside are those at the border.
    ///
    /// ```qir
    /// input %x: f32[1,3,4,4]
    /// %y = resize %x {scales=[1.0,1.0,2.0,2.0], mode=linear} : f32[1,3,8,8]
    /// ```
    pub struct Resize {
        /// One positive number for each axis; or else `sizes`.
        scales: Vec<F32> = Vec::new(),
        /// One length for each axis; or else `scales`.
        sizes: Vec<Dim> = Vec::new(),
        /// How values between samples are found.
        mode: ResizeMode = ResizeMode::Nearest,
        /// How output coordinates map to input coordinates.
        coord: Coord = Coord::HalfPixel,
        /// How a coordinate becomes the nearest sample.
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
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let axes: Vec<Axis> = (input.shape.iter().zip(&shape).enumerate())
            .map(|(i, (&from, &to))| {
                let scale = match self.scales.get(i) {
                    Some(s) => f64::from(s.0),
                    None => to as f64 / from as f64,
                };
                Axis { from, to, scale }
            })
            .collect();
        if self.mode == ResizeMode::Nearest {
            let table = |a: &Axis| (0..a.to).map(|o| Some(a.nearest(self, o))).collect();
            let tables: Vec<Vec<Option<usize>>> = axes.iter().map(table).collect();
            return one(pick(input, &tables, input)?);
        }
        let mut data = input.floats()?.into_owned();
        for (i, a) in axes.iter().enumerate() {
            let taps: Vec<Vec<Tap>> = (0..a.to).map(|o| a.taps(self, o)).collect();
            let inner: usize = input.shape[i + 1..].iter().product();
            data = interpolate(&data, &taps, a.from, inner);
        }
        one(store(&input.elem, &shape, data)?)
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

/// One axis to resample.
struct Axis {
    from: usize,
    to: usize,
    scale: f64,
}

/// An input index and its weight.
type Tap = (usize, f32);

impl Axis {
    /// The input coordinate of output `o`.
    fn coordinate(&self, op: &Resize, o: usize) -> f64 {
        let x = o as f64;
        match op.coord {
            Coord::PytorchHalfPixel if self.to <= 1 => 0.0,
            Coord::HalfPixel | Coord::PytorchHalfPixel => (x + 0.5) / self.scale - 0.5,
            Coord::AlignCorners if self.to <= 1 => 0.0,
            Coord::AlignCorners => x * (self.from as f64 - 1.0) / (self.to as f64 - 1.0),
            Coord::Asymmetric => x / self.scale,
            Coord::TfHalfPixelForNn => (x + 0.5) / self.scale,
        }
    }

    /// The nearest element to output `o`.
    fn nearest(&self, op: &Resize, o: usize) -> usize {
        let x = self.coordinate(op, o);
        let i = match op.round {
            NearestRound::PreferFloor => (x - 0.5).ceil(),
            NearestRound::PreferCeil => (x + 0.5).floor(),
            NearestRound::Floor => x.floor(),
            NearestRound::Ceil => x.ceil(),
        };
        self.inside(i)
    }

    /// The elements that output `o` mixes.
    fn taps(&self, op: &Resize, o: usize) -> Vec<Tap> {
        let x = self.coordinate(op, o);
        let taps = if op.mode == ResizeMode::Cubic {
            let (at, r) = (x.floor(), x - x.floor());
            cubic(r)
                .into_iter()
                .enumerate()
                .map(|(i, w)| (self.inside(at + i as f64 - 1.0), w as f32))
                .collect()
        } else {
            let x = x.clamp(0.0, (self.from as f64 - 1.0).max(0.0));
            let (at, r) = (x.floor(), x - x.floor());
            vec![(self.inside(at), (1.0 - r) as f32), (self.inside(at + 1.0), r as f32)]
        };
        // An element of weight 0 must not turn the result into NaN.
        taps.into_iter().filter(|&(_, w)| w != 0.0).collect()
    }

    fn inside(&self, i: f64) -> usize {
        (i.max(0.0) as usize).min(self.from.saturating_sub(1))
    }
}

/// Keys' cubic kernel with a = −0.75 at distances 1+r, r, 1−r, 2−r.
fn cubic(r: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(r + 1.0), near(r), near(1.0 - r), far(2.0 - r)]
}

/// Mixes elements along an axis of `len` with `inner` elements between neighbours; sums run in the order of the taps.
fn interpolate(x: &[f32], taps: &[Vec<Tap>], len: usize, inner: usize) -> Vec<f32> {
    if taps.iter().enumerate().all(|(i, t)| t.as_slice() == [(i, 1.0)]) && taps.len() == len {
        return x.to_vec();
    }
    let mut out = Vec::new();
    for plane in x.chunks_exact((len * inner).max(1)) {
        for taps in taps {
            let start = out.len();
            out.resize(start + inner, 0.0);
            for &(i, w) in taps {
                let row = &plane[i * inner..][..inner];
                out[start..].iter_mut().zip(row).for_each(|(s, v)| *s += v * w);
            }
        }
    }
    out
}
