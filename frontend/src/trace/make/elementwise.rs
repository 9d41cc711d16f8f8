//! Calls on elements, and reductions of them.

use quantir_ir::Dim;
use quantir_ir::attr::F32;
use quantir_ir::ops::{self, Act, reduce::Reduction};

use super::{axes, axis, last};
use crate::trace::arith::{Arith, Operand};
use crate::trace::{Site, Traced};

macro_rules! plain {
    ($($name:ident $op:expr;)*) => {$(
        pub(in crate::trace) fn $name(site: &Site, x: &Traced) -> Traced {
            site.finish($op, &[x])
        }
    )*};
}
plain! {
    relu ops::Relu {};
    relu6 clip(0.0, 6.0);
    sigmoid ops::Sigmoid {};
    tanh ops::Tanh {};
    hardswish ops::HardSwish {};
    hardsigmoid ops::HardSigmoid { alpha: F32(1.0 / 6.0), beta: F32(0.5) };
    softplus ops::Softplus {};
    neg ops::Neg {};
    abs ops::Abs {};
    exp ops::Exp {};
    log ops::Log {};
    log1p ops::Log1p {};
    sqrt ops::Sqrt {};
    reciprocal ops::Reciprocal {};
    erf ops::Erf {};
    floor ops::Floor {};
    ceil ops::Ceil {};
    round ops::Round {};
    contiguous ops::Identity {};
    detach ops::Identity {};
}
fn clip(min: f32, max: f32) -> ops::Clip {
    ops::Clip { min: F32(min), max: F32(max) }
}
pub(in crate::trace) fn clamp(site: &Site, x: &Traced, min: f32, max: f32) -> Traced {
    site.finish(clip(min, max), &[x])
}
pub(in crate::trace) fn leaky_relu(site: &Site, x: &Traced, slope: f32) -> Traced {
    site.finish(ops::LeakyRelu { alpha: F32(slope) }, &[x])
}
pub(in crate::trace) fn elu(site: &Site, x: &Traced, alpha: f32) -> Traced {
    site.finish(ops::Elu { alpha: F32(alpha) }, &[x])
}
pub(in crate::trace) fn celu(site: &Site, x: &Traced, alpha: f32) -> Traced {
    site.finish(ops::Celu { alpha: F32(alpha) }, &[x])
}
pub(in crate::trace) fn threshold(site: &Site, x: &Traced, threshold: f32, value: f32) -> Traced {
    site.finish(ops::Threshold { threshold: F32(threshold), value: F32(value) }, &[x])
}
pub(in crate::trace) fn gelu(site: &Site, x: &Traced, tanh: bool) -> Traced {
    site.finish(ops::Gelu { tanh }, &[x])
}
pub(in crate::trace) fn silu(site: &Site, x: &Traced) -> Traced {
    let s = site.part("sigmoid", ops::Sigmoid {}, &[x]);
    site.finish(ops::Mul { act: Act::None }, &[x, &s])
}
pub(in crate::trace) fn mish(site: &Site, x: &Traced) -> Traced {
    let s = site.part("softplus", ops::Softplus {}, &[x]);
    let t = site.part("tanh", ops::Tanh {}, &[&s]);
    site.finish(ops::Mul { act: Act::None }, &[x, &t])
}
pub(in crate::trace) fn dropout(site: &Site, x: &Traced, p: f32) -> Traced {
    site.finish(ops::Dropout { p: F32(p) }, &[x])
}
pub(in crate::trace) fn prelu(site: &Site, x: &Traced, slope: &Traced) -> Traced {
    let (Some(t), Some(s)) = (x.ty(), slope.ty()) else { return site.finish(ops::Prelu {}, &[x, slope]) };
    // One slope for each channel, which is axis 1.
    if t.rank() > 2 && s.rank() == 1 && !s.shape.0[0].is(1) {
        let mut shape = vec![s.shape.0[0].clone()];
        shape.resize(t.rank() - 1, Dim::lit(1));
        let slope = site.part("slope", ops::Reshape { shape }, &[slope]);
        return site.finish(ops::Prelu {}, &[x, &slope]);
    }
    site.finish(ops::Prelu {}, &[x, slope])
}
pub(in crate::trace) fn softmax(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| Ok(ops::Softmax { axis: axis(dim, t.rank(), t)? as u32 }.into()))
}
pub(in crate::trace) fn log_softmax(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| Ok(ops::LogSoftmax { axis: axis(dim, t.rank(), t)? as u32 }.into()))
}

// ---- arithmetic

macro_rules! arithmetic {
    ($($name:ident $arith:ident;)*) => {$(
        pub(in crate::trace) fn $name(site: &Site, x: &Traced, other: impl Operand) -> Traced {
            let b = other.value(site, x);
            Arith::$arith.emit(site, x, &b)
        }
    )*};
}
arithmetic! { add Add; sub Sub; mul Mul; div Div; pow Pow; maximum Maximum; minimum Minimum; }

pub(in crate::trace) fn matmul(site: &Site, x: &Traced, other: &Traced) -> Traced {
    site.finish(ops::Matmul {}, &[x, other])
}

// ---- reductions

fn reduce(site: &Site, x: &Traced, kind: Reduction, dims: &[i64], keep: bool) -> Traced {
    last(site, x, |t| Ok(ops::Reduce { kind, axes: axes(dims, t)?, keep }.into()))
}
pub(in crate::trace) fn mean(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Mean, dims, keep)
}
pub(in crate::trace) fn sum(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Sum, dims, keep)
}
pub(in crate::trace) fn amax(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Max, dims, keep)
}
pub(in crate::trace) fn amin(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Min, dims, keep)
}
pub(in crate::trace) fn argmax(site: &Site, x: &Traced, dim: i64, keep: bool) -> Traced {
    last(site, x, |t| Ok(ops::ArgMax { axis: axis(dim, t.rank(), t)? as u32, keep }.into()))
}
pub(in crate::trace) fn cumsum(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let axis = axis(dim, t.rank(), t)? as u32;
        Ok(ops::Cumsum { axis, exclusive: false, reverse: false }.into())
    })
}
