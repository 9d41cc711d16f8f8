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
//! Forms: `(x · clip(x + 3)) / 6`, `x · (clip(x + 3) / 6)`, either with `· 1/6`, and `x · hard_sigmoid(x)` with
//! `alpha = 1/6` and `beta = 0.5`. Operands of `add` and `mul` may stand in any order, constants may be scalars
//! of any rank. Inner results must have no other use: else nothing would be saved.

use crate::constant::{is_number, number};
use crate::prelude::*;

/// The pass `fuse-hard-swish`.
pub struct FuseHardSwish;

impl Rewrite for FuseHardSwish {
    const INFO: PassInfo =
        PassInfo::new("fuse-hard-swish", "Join a hard-swish that is spelled out").rounding(2e-6);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let x = spelled_out(g, at)?;
        let out = *g.node(at).outs.first()?;
        let mut e = g.edit(at);
        let swish = e.op(HardSwish {}, [x]).ok()?;
        // A constant of higher rank than x would have given the result more dimensions.
        if e.ty(swish) != g.ty(out) {
            return None;
        }
        e.replace(out, swish);
        Some(e.finish())
    }
}

/// The x of a hard-swish whose last node is `at`.
fn spelled_out(g: &Graph, at: NodeId) -> Option<ValueId> {
    if let Some(m) = sixth_of(g, at)
        && g.one_use(m)
        && let Some(inner) = g.def_node(m)
        && let Some(x) = product(g, inner, |x, c| (six_gate(g, c)? == x).then_some(x))
    {
        return Some(x);
    }
    product(g, at, |x, c| (gate(g, c)? == x).then_some(x))
}

/// `find` over the operands of a plain `mul` in both orders.
fn product<T>(g: &Graph, at: NodeId, find: impl Fn(ValueId, ValueId) -> Option<T>) -> Option<T> {
    let m = g.get::<Mul>(at)?;
    if m.op.act != Act::None {
        return None;
    }
    find(m.a, m.b).or_else(|| find(m.b, m.a))
}

/// The value of which node `at` is a sixth: `v / 6` or `v · 1/6`.
fn sixth_of(g: &Graph, at: NodeId) -> Option<ValueId> {
    if let Some(d) = g.get::<Div>(at) {
        return is_number(g, d.b, 6.0).then_some(d.a);
    }
    product(g, at, |v, c| number(g, c).is_some_and(is_sixth).then_some(v))
}

fn is_sixth(c: f32) -> bool {
    (c - 1.0 / 6.0).abs() <= 1e-7
}

/// The x of `clip(x + 3, 0, 6) / 6` or of `hard_sigmoid(x)`.
fn gate(g: &Graph, v: ValueId) -> Option<ValueId> {
    if !g.one_use(v) {
        return None;
    }
    if let Some(s) = g.def::<HardSigmoid>(v) {
        return (is_sixth(s.op.alpha.0) && s.op.beta.0 == 0.5).then_some(s.x);
    }
    six_gate(g, sixth_of(g, g.def_node(v)?)?)
}

/// The x of `clip(x + 3, 0, 6)`.
fn six_gate(g: &Graph, v: ValueId) -> Option<ValueId> {
    if !g.one_use(v) {
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
