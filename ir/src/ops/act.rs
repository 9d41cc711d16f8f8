//! The activation that an op applies to its result: `act=relu`, `act=clip(0.0,6.0)`, `act=hard_swish`.

use crate::attr::{Attr, AttrValue, F32};
use crate::quant::{self, Quant};

/// An activation fused into an op.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// None.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip(F32, F32),
    /// `x · min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x`, or `slope · x` below 0.
    LeakyRelu(F32),
    /// Hyperbolic tangent.
    Tanh,
}

impl Act {
    /// The activation of one number.
    #[inline]
    pub fn apply(&self, x: f32) -> f32 {
        match self {
            Act::None => x,
            Act::Relu => relu(x),
            Act::Clip(lo, hi) => clip(x, lo.0, hi.0),
            Act::HardSwish => hard_swish(x),
            Act::LeakyRelu(slope) => leaky_relu(x, slope.0),
            Act::Tanh => libm::tanhf(x),
        }
    }

    /// The integers that results of quantization `q` are clamped to: its range, narrowed by the activation's bounds
    /// if it has any. `q` has one scale.
    pub fn int_range(&self, q: &Quant) -> (i32, i32) {
        let (qmin, qmax) = (q.range.0 as i32, q.range.1 as i32);
        let Some((lo, hi)) = self.bounds() else { return (qmin, qmax) };
        let int = |x: f32| quant::quantize(x, 1.0 / q.scale(0), q.zero(0), qmin, qmax);
        let hi = int(hi);
        (int(lo).min(hi), hi)
    }

    /// Lower and upper bound, if the activation is nothing but a clamp; infinite where open.
    pub fn bounds(&self) -> Option<(f32, f32)> {
        match self {
            Act::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Act::Relu => Some((0.0, f32::INFINITY)),
            Act::Clip(lo, hi) => Some((lo.0, hi.0)),
            Act::HardSwish | Act::LeakyRelu(_) | Act::Tanh => None,
        }
    }
}

/// `max(x, 0)`; NaN and −0 stay as they are, as with `maxps(0, x)` on x86.
#[inline]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `min(max(x, lo), hi)`; NaN stays NaN; `hi` wins where it lies below `lo`.
#[inline]
pub fn clip(x: f32, lo: f32, hi: f32) -> f32 {
    let y = if x < lo { lo } else { x };
    if y > hi { hi } else { y }
}

/// `x`, or `slope · x` below 0.
#[inline]
pub fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x < 0.0 { slope * x } else { x }
}

/// `x · min(max(x + 3, 0), 6) / 6`, in this order of operations.
#[inline]
pub fn hard_swish(x: f32) -> f32 {
    x * clip(x + 3.0, 0.0, 6.0) / 6.0
}

impl Attr for Act {
    fn to_value(&self) -> AttrValue {
        match self {
            Act::None => AttrValue::Word("none".into()),
            Act::Relu => AttrValue::Word("relu".into()),
            Act::Clip(lo, hi) => AttrValue::Call("clip".into(), vec![lo.to_value(), hi.to_value()]),
            Act::HardSwish => AttrValue::Word("hard_swish".into()),
            Act::LeakyRelu(slope) => AttrValue::Call("leaky_relu".into(), vec![slope.to_value()]),
            Act::Tanh => AttrValue::Word("tanh".into()),
        }
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Word(w) if w == "none" => Ok(Act::None),
            AttrValue::Word(w) if w == "relu" => Ok(Act::Relu),
            AttrValue::Word(w) if w == "hard_swish" => Ok(Act::HardSwish),
            AttrValue::Word(w) if w == "tanh" => Ok(Act::Tanh),
            AttrValue::Call(f, args) if f == "leaky_relu" && args.len() == 1 => {
                Ok(Act::LeakyRelu(F32::from_value(&args[0])?))
            }
            AttrValue::Call(f, args) if f == "clip" && args.len() == 2 => {
                Ok(Act::Clip(F32::from_value(&args[0])?, F32::from_value(&args[1])?))
            }
            _ => Err("expected `none`, `relu`, `hard_swish`, `tanh`, `clip(min,max)` or `leaky_relu(slope)`"
                .into()),
        }
    }
}
