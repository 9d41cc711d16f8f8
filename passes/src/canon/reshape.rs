//! Joins chains of `reshape` and of `transpose`, and removes those that change nothing.
//!
//! ```qir
//! input %x: f32[2,4]
//! %a = reshape %x {shape=[1,8,1]} : f32[1,8,1]
//! %y = reshape %a {shape=[8]} : f32[8]
//! =>
//! %y = reshape %x {shape=[8]} : f32[8]
//! ```
//!
//! A `transpose` that moves only axes of length 1 is a `reshape`.

use crate::prelude::*;

/// The pass `fold-reshape`.
pub struct FoldReshape;

impl Rewrite for FoldReshape {
    const INFO: PassInfo = PassInfo::new("fold-reshape", "Join chains of reshape and of transpose")
        .phases(Phase::Float, Phase::Integer);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        if let Some(r) = g.get::<Reshape>(at) {
            if g.ty(r.x) == g.ty(r.out) {
                return Edit::forward(g, r.out, r.x);
            }
            let inner = g.def::<Reshape>(r.x)?;
            return with(g, r.out, r.op.clone(), inner.x);
        }
        let t = g.get::<Transpose>(at)?;
        if t.op.perm.is_sorted() {
            return Edit::forward(g, t.out, t.x);
        }
        if let Some(inner) = g.def::<Transpose>(t.x) {
            let perm: Option<Vec<u32>> =
                t.op.perm.iter().map(|&p| inner.op.perm.get(p as usize).copied()).collect();
            return with(g, t.out, Transpose { perm: perm? }, inner.x);
        }
        let long = |p: &&u32| !g.ty(t.x).shape.0.get(**p as usize).is_some_and(|d| d.is(1));
        if t.op.perm.iter().filter(long).is_sorted() {
            return with(g, t.out, Reshape { shape: g.ty(t.out).shape.0.clone() }, t.x);
        }
        None
    }
}

/// Replaces `old` by `op` on `x` if that has the same type.
fn with(g: &Graph, old: ValueId, op: impl Into<Op>, x: ValueId) -> Option<Edit> {
    let mut e = g.edit(g.def_node(old)?);
    let new = e.op(op, [x]).ok()?;
    if e.ty(new) != g.ty(old) {
        return None;
    }
    e.replace(old, new);
    Some(e.finish())
}
