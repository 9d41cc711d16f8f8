//! Turns the addition of a constant for each channel into the bias of the op before it.
//!
//! ```qir
//! input %x: f32[1,3,8,8]
//! input %w: f32[8,3,3,3]
//! %b = const {data=rand(1)} : f32[8,1,1]
//! %c = conv2d %x, %w : f32[1,8,6,6]
//! %y = add %c, %b : f32[1,8,6,6]
//! =>
//! %y = conv2d %x, %w, %c.bias : f32[1,8,6,6]
//! ```
//!
//! Takes `add` in either order and `sub` of a constant, after `conv*`, `conv_transpose*` and `linear`. The constant
//! may be a scalar or differ along the channels only; an existing bias is added to.

use crate::fuse::root::Root;
use crate::prelude::*;

/// The pass `fuse-bias`.
pub struct FuseBias;

impl Rewrite for FuseBias {
    const INFO: PassInfo =
        PassInfo::new("fuse-bias", "Turn the addition of a constant into the bias of the op before it")
            .rounding(1e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let (out, root, shift) = sum(g, at)?;
        if root.obstacle().is_some() {
            return None;
        }
        let bias = root.bias_values()?.iter().zip(&shift).map(|(b, s)| b + s).collect();
        root.replace(out, None, bias)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        sum(g, at)?.1.obstacle()
    }
}

/// Result, root and number for each channel of `root + constant`.
fn sum(g: &Graph, at: NodeId) -> Option<(ValueId, Root<'_>, Vec<f32>)> {
    let with = |out, v, c| {
        let root = Root::of(g, v)?;
        let shift = root.per_channel(c)?;
        Some((out, root, shift))
    };
    if let Some(add) = g.get::<Add>(at) {
        if add.op.act != Act::None {
            return None;
        }
        return with(add.out, add.a, add.b).or_else(|| with(add.out, add.b, add.a));
    }
    let sub = g.get::<Sub>(at)?;
    let (out, root, shift) = with(sub.out, sub.a, sub.b)?;
    Some((out, root, shift.into_iter().map(|x| -x).collect()))
}
