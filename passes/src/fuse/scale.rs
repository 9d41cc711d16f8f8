//! Multiplies a factor for each channel into the weight and bias of the op before it.
//!
//! ```qir
//! input %x: f32[1,3,8,8]
//! %w = const {data=rand(1)} : f32[2,3,3,3]
//! %b = const {data=rand(2)} : f32[2]
//! %s = const {data=rand(3)} : f32[2,1,1]
//! %c = conv2d %x, %w, %b : f32[1,2,6,6]
//! %y = mul %c, %s : f32[1,2,6,6]
//! =>
//! %y = conv2d %x, %w, %b : f32[1,2,6,6]
//! ```
//!
//! Takes `mul` in either order and `div` by a constant, after `conv*`, `conv_transpose*` and `linear` of constant
//! weight. The constant may be a scalar or differ along the channels only.

use crate::fuse::root::Root;
use crate::prelude::*;

/// The pass `fuse-scale`.
pub struct FuseScale;

impl Rewrite for FuseScale {
    const INFO: PassInfo =
        PassInfo::new("fuse-scale", "Multiply a constant factor into the weight of the op before it")
            .rounding(1e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let (out, root, factors) = product(g, at)?;
        if obstacle(g, &root).is_some() || factors.iter().any(|f| !f.is_finite()) {
            return None;
        }
        let bias = root.bias_values()?.iter().zip(&factors).map(|(b, f)| b * f).collect();
        root.replace(out, Some(root.scaled_weight(&factors)?), bias)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        obstacle(g, &product(g, at)?.1)
    }
}

fn obstacle(g: &Graph, root: &Root) -> Option<String> {
    if !g.is_const(root.weight) {
        return Some(format!("the weight %{} is not constant", g.name_of(root.weight)));
    }
    root.obstacle()
}

/// Result, root and factor for each channel of `root · constant`.
fn product(g: &Graph, at: NodeId) -> Option<(ValueId, Root<'_>, Vec<f32>)> {
    let with = |out, v, c| {
        let root = Root::of(g, v)?;
        let factors = root.per_channel(c)?;
        Some((out, root, factors))
    };
    if let Some(mul) = g.get::<Mul>(at) {
        if mul.op.act != Act::None {
            return None;
        }
        return with(mul.out, mul.a, mul.b).or_else(|| with(mul.out, mul.b, mul.a));
    }
    let div = g.get::<Div>(at)?;
    let (out, root, factors) = with(div.out, div.a, div.b)?;
    Some((out, root, factors.into_iter().map(|x| 1.0 / x).collect()))
}
