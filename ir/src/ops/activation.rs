//! `relu`, `clip`, `leaky_relu`, `hard_sigmoid`, `hard_swish`, `elu`, `celu`, `threshold`, `gelu`, `sigmoid`, `tanh`, `softplus`,
//! `prelu`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::act::{clip, hard_swish, relu};
use crate::ops::elementwise::{infer_float, map_float, zip_float};
use crate::ops::{Eval, Infer, OpDef, check, one, operand};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

/// The type of a clamp's result: the operand's, float or quantized.
fn infer_clamp(op: &str, x: &Infer) -> Result<Vec<Type>, Reason> {
    let ty = x.ty(0)?;
    match &ty.elem {
        Elem::Quant(q) if q.count().is_none() => {
            Err(Reason::new(format!("`{op}` needs quantization parameters that are known"))
                .help("dequantize first; dynamic parameters are known only within a run"))
        }
        Elem::Quant(q) => {
            operand::valid(q, &ty.shape)?;
            one(ty.clone())
        }
        Elem::Plain(_) => infer_float(op, x),
    }
}

/// Clamps floats between `lo` and `hi`, quantized integers between the integers that stand for them.
fn eval_clamp(x: &Eval, lo: f32, hi: f32) -> Result<Vec<Tensor>, Reason> {
    let t = x.tensor(0)?;
    let Some(q) = t.quant() else {
        return map_float(x, |v| clip(v, lo, hi));
    };
    let count = q.count().ok_or("dynamic parameters are not known here")?;
    let bounds: Vec<(i64, i64)> = (0..count)
        .map(|i| {
            let bound = |b: f32| i64::from(q.encode(b, i));
            (bound(lo), bound(hi))
        })
        .collect();
    let data: Vec<i64> = t
        .ints()?
        .iter()
        .enumerate()
        .map(|(flat, &v)| {
            let (lo, hi) = bounds[q.index_of(flat, &t.shape)];
            v.max(lo).min(hi)
        })
        .collect();
    one(Tensor::from_ints(t.elem.clone(), &t.shape, &data)?)
}

attrs! {
    /// `max(x, 0)`; NaN stays NaN. On quantized elements the larger of the integer and the zero point.
    ///
    /// Floats or quantized, any shape.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = relu %x : f32[2,3]
    /// ```
    pub struct Relu {
    }
}
operands! { Relu as ReluView { x: One } }
impl OpDef for Relu {
    const NAMES: &'static [&'static str] = &["relu"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        infer_clamp("relu", x)
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        match x.tensor(0)?.quant() {
            None => map_float(x, relu),
            Some(_) => eval_clamp(x, 0.0, f32::INFINITY),
        }
    }
}

attrs! {
    /// `min(max(x, min), max)`; NaN stays NaN; relu6 is `clip {min=0.0, max=6.0}`. On quantized elements the
    /// bounds are quantized like the elements.
    ///
    /// Floats or quantized, any shape.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = clip %x {min=0.0, max=6.0} : f32[2,3]
    /// ```
    pub struct Clip {
        /// Lower bound.
        min: F32 = F32(f32::NEG_INFINITY),
        /// Upper bound; where it lies below the lower one it wins.
        max: F32 = F32(f32::INFINITY),
    }
}
operands! { Clip as ClipView { x: One } }
impl OpDef for Clip {
    const NAMES: &'static [&'static str] = &["clip"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        if self.min.0.is_nan() || self.max.0.is_nan() {
            return Err(Reason::new("a bound of `clip` is NaN")
                .help("leave the attribute out where there is no bound"));
        }
        infer_clamp("clip", x)
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        eval_clamp(x, self.min.0, self.max.0)
    }
}

/// Declares activations on floats: attributes, and the function of one number.
macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),*
    } |$op:ident, $x:ident| $f:expr;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
                $($(#[$fdoc])* $field: $ty = $default),*
            }
        }
        operands! { $name as $view { x: One } }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                infer_float($word, x)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                let $op = self;
                let _ = $op;
                map_float(x, |$x| $f)
            }
        }
    )*};
}

activations! {
    /// `x` if not negative, else `alpha · x`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = leaky_relu %x {alpha=0.1} : f32[2,3]
    /// ```
    LeakyRelu as LeakyReluView = "leaky_relu" {
        /// Slope of the negative side.
        alpha: F32 = F32(0.01)
    } |op, x| if x < 0.0 { op.alpha.0 * x } else { x };

    /// `min(max(alpha · x + beta, 0), 1)`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = hard_sigmoid %x : f32[2,3]
    /// ```
    HardSigmoid as HardSigmoidView = "hard_sigmoid" {
        /// Slope.
        alpha: F32 = F32(1.0 / 6.0),
        /// Value at 0.
        beta: F32 = F32(0.5)
    } |op, x| clip(op.alpha.0 * x + op.beta.0, 0.0, 1.0);

    /// `x · min(max(x + 3, 0), 6) / 6`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = hard_swish %x : f32[2,3]
    /// ```
    HardSwish as HardSwishView = "hard_swish" {
    } |op, x| hard_swish(x);

    /// `x` if positive, else `alpha · (exp(x) − 1)`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = elu %x {alpha=0.5} : f32[2,3]
    /// ```
    Elu as EluView = "elu" {
        /// Limit of the negative side, with its sign changed.
        alpha: F32 = F32(1.0)
    } |op, x| if x > 0.0 { x } else { op.alpha.0 * libm::expm1f(x) };

    /// `x` if positive, else `alpha · (exp(x / alpha) − 1)`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = celu %x {alpha=0.5} : f32[2,3]
    /// ```
    Celu as CeluView = "celu" {
        /// Limit of the negative side, with its sign changed; not 0.
        alpha: F32 = F32(1.0)
    } |op, x| if x > 0.0 { x } else { op.alpha.0 * libm::expm1f(x / op.alpha.0) };

    /// `x` if greater than `threshold`, else `value`; NaN stays NaN.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = threshold %x {threshold=0.1, value=20.0} : f32[2,3]
    /// ```
    Threshold as ThresholdView = "threshold" {
        /// The bound.
        threshold: F32 = F32(0.0),
        /// What stands for numbers not above it.
        value: F32 = F32(0.0)
    } |op, x| if x <= op.threshold.0 { op.value.0 } else { x };

    /// Gaussian error linear unit: `x/2 · (1 + erf(x/√2))`, or `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = gelu %x {tanh=true} : f32[2,3]
    /// ```
    Gelu as GeluView = "gelu" {
        /// Whether to use the approximation by tanh.
        tanh: bool = false
    } |op, x| gelu(x, op.tanh);

    /// `1 / (1 + exp(−x))`.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = sigmoid %x : f32[2,3]
    /// ```
    Sigmoid as SigmoidView = "sigmoid" {
    } |op, x| sigmoid(x);

    /// Hyperbolic tangent.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = tanh %x : f32[2,3]
    /// ```
    Tanh as TanhView = "tanh" {
    } |op, x| libm::tanhf(x);

    /// `ln(1 + exp(x))`, computed as `max(x, 0) + ln(1 + exp(−|x|))`, which does not overflow.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// %y = softplus %x : f32[2,3]
    /// ```
    Softplus as SoftplusView = "softplus" {
    } |op, x| relu(x) + libm::log1pf(libm::expf(-x.abs()));
}

/// `1 / (1 + exp(−x))`.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// The Gaussian error linear unit, by tanh or exact.
pub fn gelu(x: f32, tanh: bool) -> f32 {
    if tanh {
        let inner =
            std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2 * (x + 0.044715 * x * x * x);
        0.5 * x * (1.0 + libm::tanhf(inner))
    } else {
        0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
    }
}

attrs! {
    /// `x` if not negative, else `slope · x`, the slope broadcast to x.
    ///
    /// ```qir
    /// input %x: f32[2,3,4]
    /// input %s: f32[3,1]
    /// %y = prelu %x, %s : f32[2,3,4]
    /// ```
    pub struct Prelu {
    }
}
operands! { Prelu as PreluView { x: One, slope: One } }
impl OpDef for Prelu {
    const NAMES: &'static [&'static str] = &["prelu"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (ty, slope) = (x.ty(0)?, x.ty(1)?);
        check::float("prelu", "the operand", ty)?;
        check::float("prelu", "the slope", slope)?;
        let out = check::broadcast("prelu", &[&ty.shape, &slope.shape])?;
        let grows = out.rank() != ty.rank()
            || out
                .0
                .iter()
                .zip(&ty.shape.0)
                .any(|(o, i)| matches!((o.as_lit(), i.as_lit()), (Some(o), Some(i)) if o != i));
        if grows {
            return Err(Reason::new(format!(
                "the slope {} does not broadcast to x {}",
                slope.shape, ty.shape
            ))
            .help("one slope for each channel has the shape [C,1,1] for x of [N,C,H,W]"));
        }
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        let data = zip_float(x, |v, slope| if v < 0.0 { slope * v } else { v })?;
        one(operand::store(&x.out(0)?.elem, &x.shape(0)?, data)?)
    }
}
