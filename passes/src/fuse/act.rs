//! Folds `relu`, `clip` and `hard_swish` into the op that feeds them.
//!
//! ```qir
//! input %x: f32[1,3,8,8]
//! input %w: f32[8,3,3,3]
//! %c = conv2d %x, %w : f32[1,8,6,6]
//! %y = relu %c : f32[1,8,6,6]
//! =>
//! %y = conv2d %x, %w {act=relu} : f32[1,8,6,6]
//! ```
//!
//! Ops that take an activation: `conv*`, `conv_transpose*`, `linear`, `add`, `mul`. The activation must be the
//! only user. Two clamps in a row are one clamp, so a `clip` also folds into an op that ends in a `relu`.

use crate::prelude::*;

/// The pass `fuse-act`.
pub struct FuseAct;

impl Rewrite for FuseAct {
    const INFO: PassInfo = PassInfo::new("fuse-act", "Fold an activation into the op that feeds it");

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let (act, x) = activation(g, at)?;
        let root = g.def_node(x)?;
        if !g.one_use(x) {
            return None;
        }
        let fused = with_act(g.op(root), |old| compose(old, &act))?;
        Edit::fuse(g, *g.node(at).outs.first()?, root, fused)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        let (_, x) = activation(g, at)?;
        let root = g.op(g.def_node(x)?);
        with_act(root, |old| Some(old.clone()))?;
        if !g.one_use(x) {
            return Some(format!("%{} has other uses than the `{}`", g.name_of(x), g.op(at).name()));
        }
        Some(format!("`{}` already has an activation that this one cannot be joined with", root.name()))
    }
}

/// The activation that node `at` is, and its operand.
fn activation(g: &Graph, at: NodeId) -> Option<(Act, ValueId)> {
    if let Some(relu) = g.get::<Relu>(at) {
        return Some((Act::Relu, relu.x));
    }
    if let Some(clip) = g.get::<Clip>(at) {
        return Some((Act::Clip(clip.op.min, clip.op.max), clip.x));
    }
    let swish = g.get::<HardSwish>(at)?;
    Some((Act::HardSwish, swish.x))
}

/// `op` with its activation changed by `change`; `None` if it takes none.
fn with_act(op: &Op, change: impl Fn(&Act) -> Option<Act>) -> Option<Op> {
    let mut op = op.clone();
    let act = match &mut op {
        Op::Conv(o) => &mut o.act,
        Op::ConvTranspose(o) => &mut o.act,
        Op::Linear(o) => &mut o.act,
        Op::Add(o) => &mut o.act,
        Op::Mul(o) => &mut o.act,
        _ => return None,
    };
    *act = change(act)?;
    Some(op)
}

/// The activation that is `first` and then `next`.
fn compose(first: &Act, next: &Act) -> Option<Act> {
    if *first == Act::None {
        return Some(next.clone());
    }
    let ((a, b), (lo, hi)) = (first.bounds()?, next.bounds()?);
    // Clamping to [a, b] and then to [lo, hi] is clamping to [a, b] moved into [lo, hi].
    let into = |x: f32| x.max(lo).min(hi);
    Some(match (into(a), into(b)) {
        (0.0, f32::INFINITY) => Act::Relu,
        (a, b) => Act::Clip(F32(a), F32(b)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clamps_are_one() {
        let clip = |lo: f32, hi: f32| Act::Clip(F32(lo), F32(hi));
        let acts = [Act::Relu, clip(0.0, 6.0), clip(-1.0, 1.0), clip(2.0, 3.0), clip(f32::NEG_INFINITY, 0.0)];
        for (first, next) in acts.iter().flat_map(|a| acts.iter().map(move |b| (a, b))) {
            let both = compose(first, next).unwrap();
            for x in [-9.0, -1.0, -0.5, 0.5, 1.0, 2.5, 5.0, 7.0, f32::INFINITY] {
                assert_eq!(both.apply(x), next.apply(first.apply(x)), "{first:?} {next:?} {x}");
            }
        }
        assert_eq!(compose(&Act::Relu, &Act::HardSwish), None);
    }
}
