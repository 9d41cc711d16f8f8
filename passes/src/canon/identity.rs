//! Removes ops that return their operand as it is.
//!
//! ```qir
//! input %x: f32[1,8]
//! %one = const {data=splat(1)} : f32[1]
//! %a = identity %x : f32[1,8]
//! %b = mul %a, %one : f32[1,8]
//! %y = relu %b : f32[1,8]
//! =>
//! %y = relu %x : f32[1,8]
//! ```
//!
//! Also: `cast` to the same elements, `transpose`, `reshape`, `expand`, `slice`, `pad`, `concat` and `split` that
//! change nothing, `clip` without bounds, and arithmetic with the neutral number.

use crate::constant::is_number;
use crate::prelude::*;

/// The pass `identity`.
pub struct Identity;

impl Rewrite for Identity {
    const INFO: PassInfo = PassInfo::new("identity", "Remove ops that return their operand as it is")
        .phases(Phase::Float, Phase::Integer);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let x = same_as(g, at)?;
        let &[out] = g.node(at).outs.as_slice() else { return None };
        // Broadcasting against a neutral number of higher rank adds dimensions.
        if g.ty(out) != g.ty(x) {
            return None;
        }
        Edit::forward(g, out, x)
    }
}

/// The operand that node `at` returns as it is, provided that types agree.
fn same_as(g: &Graph, at: NodeId) -> Option<ValueId> {
    let node = g.node(at);
    let x = (*node.ins.first()?)?;
    let unchanged = match &node.op {
        Op::Identity(_) | Op::Cast(_) | Op::Reshape(_) | Op::Expand(_) => true,
        Op::Transpose(t) => t.perm.iter().enumerate().all(|(i, &p)| p as usize == i),
        // Of equal length with a positive step, so it takes everything.
        Op::Slice(s) => s.step == 1,
        Op::Pad(p) => p.pads.iter().flatten().all(|&n| n == 0),
        Op::Concat(_) => node.ins.len() == 1,
        Op::Split(s) => s.sizes.len() == 1,
        Op::Clip(c) => c.min.0 == f32::NEG_INFINITY && c.max.0 == f32::INFINITY,
        _ => return neutral(g, at),
    };
    unchanged.then_some(x)
}

/// The other operand of arithmetic with the neutral number.
fn neutral(g: &Graph, at: NodeId) -> Option<ValueId> {
    let either = |a, b, n| {
        if is_number(g, b, n) {
            return Some(a);
        }
        is_number(g, a, n).then_some(b)
    };
    if let Some(v) = g.get::<Add>(at) {
        return (v.op.act == Act::None).then(|| either(v.a, v.b, 0.0))?;
    }
    if let Some(v) = g.get::<Mul>(at) {
        return (v.op.act == Act::None).then(|| either(v.a, v.b, 1.0))?;
    }
    if let Some(v) = g.get::<Sub>(at) {
        return is_number(g, v.b, 0.0).then_some(v.a);
    }
    if let Some(v) = g.get::<Div>(at) {
        return is_number(g, v.b, 1.0).then_some(v.a);
    }
    let v = g.get::<Pow>(at)?;
    is_number(g, v.b, 1.0).then_some(v.a)
}
