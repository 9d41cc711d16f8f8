//! Joins a hard-swish that is spelled out.
//!
//! ```qir
//! input %x: f32[1,8]
//! %three = const {data=splat(3)} : f32[1]
//! %six = const {data=splat(6)} : f32[1]
//! %a = add %x, %three : f32[1,8]
//! %c = clip %a {min=0.0, max=6.0} : f32[1,8]
//! %m = mul %x, %c : f32[1,8]
//! %y = div %m, %six : f32[1,8]
//! =>
//! %y = hard_swish %x : f32[1,8]
//! ```
//!
//! Forms: the product of `x`, `clip(x + 3)` and `1/6` in any order and nesting, and `x · hard_sigmoid(x)` with
//! `alpha = 1/6` and `beta = 0.5`. Constants may be scalars of any rank. Inner results must have no other use: else
//! nothing would be saved.

use crate::constant::is_number;
use crate::fuse::product::{Product, near};
use crate::prelude::*;

/// The pass `fuse-hard-swish`.
pub struct FuseHardSwish;

impl Rewrite for FuseHardSwish {
    const INFO: PassInfo =
        PassInfo::new("fuse-hard-swish", "Join a hard-swish that is spelled out").rounding(2e-6);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let p = Product::of(g, at)?;
        let &[a, b] = p.factors.as_slice() else { return None };
        let x = if gate(g, b, p.constant) == Some(a) { a } else { b };
        if x == b && gate(g, a, p.constant) != Some(b) {
            return None;
        }
        replace(g, at, HardSwish {}, x)
    }
}

/// Replaces the result of `at` by `op` on `x`; a constant of higher rank than x would have given the result more
/// dimensions, and then there is no edit.
pub(crate) fn replace(g: &Graph, at: NodeId, op: impl Into<Op>, x: ValueId) -> Option<Edit> {
    let out = *g.node(at).outs.first()?;
    let mut e = g.edit(at);
    let new = e.op(op, [x]).ok()?;
    if e.ty(new) != g.ty(out) {
        return None;
    }
    e.replace(out, new);
    Some(e.finish())
}

/// The x whose hard-swish is `x · v · constant`.
fn gate(g: &Graph, v: ValueId, constant: f32) -> Option<ValueId> {
    if !g.one_use(v) {
        return None;
    }
    if let Some(s) = g.def::<HardSigmoid>(v) {
        return (near(s.op.alpha.0, 1.0 / 6.0) && s.op.beta.0 == 0.5 && constant == 1.0).then_some(s.x);
    }
    if !near(constant, 1.0 / 6.0) {
        return None;
    }
    // `fuse-act` may have run before: then the sum clips by itself.
    let (sum, act) = match g.def::<Clip>(v) {
        Some(c) => {
            let sum = g.def::<Add>(c.x).filter(|s| g.one_use(c.x) && s.op.act == Act::None)?;
            (sum, Act::Clip(c.op.min, c.op.max))
        }
        None => g.def::<Add>(v).map(|sum| (sum.clone(), sum.op.act.clone()))?,
    };
    if act != Act::Clip(F32(0.0), F32(6.0)) {
        return None;
    }
    let plus_three = |x: ValueId, c: ValueId| is_number(g, c, 3.0).then_some(x);
    plus_three(sum.a, sum.b).or_else(|| plus_three(sum.b, sum.a))
}
