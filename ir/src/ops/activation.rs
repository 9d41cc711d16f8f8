//! `relu`, `clip`, `leaky_relu`, `hard_sigmoid`, `hard_swish`, `elu`, `gelu`, `sigmoid`, `tanh`, `softplus`, `prelu`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

attrs! {
    /// `max(x, 0)`.
    pub struct Relu {
    }
}
operands! { Relu as ReluView { x: One } }
impl OpDef for Relu {
    const NAMES: &'static [&'static str] = &["relu"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `min(max(x, min), max)`; relu6 is `clip {min=0.0, max=6.0}`.
    pub struct Clip {
        /// See the op.
        min: F32 = F32(f32::NEG_INFINITY),
        /// See the op.
        max: F32 = F32(f32::INFINITY),
    }
}
operands! { Clip as ClipView { x: One } }
impl OpDef for Clip {
    const NAMES: &'static [&'static str] = &["clip"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `x` if positive, else `alpha · x`.
    pub struct LeakyRelu {
        /// See the op.
        alpha: F32 = F32(0.01),
    }
}
operands! { LeakyRelu as LeakyReluView { x: One } }
impl OpDef for LeakyRelu {
    const NAMES: &'static [&'static str] = &["leaky_relu"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `min(max(alpha · x + beta, 0), 1)`.
    pub struct HardSigmoid {
        /// See the op.
        alpha: F32 = F32(1.0 / 6.0),
        /// See the op.
        beta: F32 = F32(0.5),
    }
}
operands! { HardSigmoid as HardSigmoidView { x: One } }
impl OpDef for HardSigmoid {
    const NAMES: &'static [&'static str] = &["hard_sigmoid"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `x · min(max(x + 3, 0), 6) / 6`.
    pub struct HardSwish {
    }
}
operands! { HardSwish as HardSwishView { x: One } }
impl OpDef for HardSwish {
    const NAMES: &'static [&'static str] = &["hard_swish"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `x` if positive, else `alpha · (exp(x) − 1)`.
    pub struct Elu {
        /// See the op.
        alpha: F32 = F32(1.0),
    }
}
operands! { Elu as EluView { x: One } }
impl OpDef for Elu {
    const NAMES: &'static [&'static str] = &["elu"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Gaussian error linear unit, exact or by its tanh approximation.
    pub struct Gelu {
        /// See the op.
        tanh: bool = false,
    }
}
operands! { Gelu as GeluView { x: One } }
impl OpDef for Gelu {
    const NAMES: &'static [&'static str] = &["gelu"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `1 / (1 + exp(−x))`.
    pub struct Sigmoid {
    }
}
operands! { Sigmoid as SigmoidView { x: One } }
impl OpDef for Sigmoid {
    const NAMES: &'static [&'static str] = &["sigmoid"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// Hyperbolic tangent.
    pub struct Tanh {
    }
}
operands! { Tanh as TanhView { x: One } }
impl OpDef for Tanh {
    const NAMES: &'static [&'static str] = &["tanh"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `ln(1 + exp(x))`.
    pub struct Softplus {
    }
}
operands! { Softplus as SoftplusView { x: One } }
impl OpDef for Softplus {
    const NAMES: &'static [&'static str] = &["softplus"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}

attrs! {
    /// `x` if positive, else `slope · x`, the slope broadcast to x.
    pub struct Prelu {
    }
}
operands! { Prelu as PreluView { x: One, slope: One } }
impl OpDef for Prelu {
    const NAMES: &'static [&'static str] = &["prelu"];
    fn infer(&self, _x: &Infer) -> Result<Vec<Type>, Reason> {
        pending!()
    }
    fn eval(&self, _x: &Eval) -> Result<Vec<Tensor>, Reason> {
        pending!()
    }
}
