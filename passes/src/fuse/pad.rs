//! Folds constant padding into the convolution or pool that reads it.
//!
//! ```qir
//! input %x: f32[1,3,8,8]
//! input %w: f32[8,3,3,3]
//! %p = pad %x {pads=[[0,0],[0,0],[1,1],[1,1]]} : f32[1,3,10,10]
//! %y = conv2d %p, %w : f32[1,8,8,8]
//! =>
//! %y = conv2d %x, %w {pad=1} : f32[1,8,8,8]
//! ```
//!
//! Only spatial axes may be padded, by constants: zeros before `conv*`, −∞ before `max_pool`, zeros before
//! `avg_pool` that counts padding or has none of its own (the result then counts padding). Pools in `ceil` mode
//! stay, as their last window depends on where padding begins. Other users of the padded value keep it.

use quantir_ir::ops::pad::PadMode;

use crate::prelude::*;

/// The pass `fuse-pad`.
pub struct FusePad;

impl Rewrite for FusePad {
    const INFO: PassInfo =
        PassInfo::new("fuse-pad", "Fold constant padding into the convolution or pool that reads it");

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let (pad, fused) = fused(g, at)?.ok()?;
        let node = g.node(at);
        let out = *node.outs.first()?;
        let mut ins = node.ins.clone();
        *ins.first_mut()? = Some(g.get::<Pad>(pad)?.x);
        let mut e = g.edit(at);
        let new = e.op(fused, ins).ok()?;
        if e.ty(new) != g.ty(out) {
            return None;
        }
        e.replace(out, new);
        Some(e.finish())
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        fused(g, at)?.err().map(Into::into)
    }
}

/// The padding before node `at` and the op with it folded in, or why it stays; `None` if there is no padding.
fn fused(g: &Graph, at: NodeId) -> Option<Result<(NodeId, Op), &'static str>> {
    let node = g.node(at);
    let pad = g.def::<Pad>((*node.ins.first()?)?)?;
    let spatial = spatial(pad.op);
    let value = pad.op.value.0;
    let mut op = node.op.clone();
    let (own, wanted) = match &mut op {
        Op::Conv(c) => (&mut c.pad, 0.0),
        Op::MaxPool(p) if p.ceil => return Some(Err("the pool rounds its output size up")),
        Op::MaxPool(p) => (&mut p.pad, f32::NEG_INFINITY),
        Op::AvgPool(p) if p.ceil => return Some(Err("the pool rounds its output size up")),
        Op::AvgPool(p) if !p.count_pad && !p.pad.is_none() => {
            return Some(Err("the pool does not count its own padding, but would have to count this"));
        }
        Op::AvgPool(p) => {
            p.count_pad = true;
            (&mut p.pad, 0.0)
        }
        _ => return None,
    };
    if pad.op.mode != PadMode::Constant {
        return Some(Err("the padding is not constant"));
    }
    if value != wanted {
        return Some(Err(match wanted {
            0.0 => "the padding is not zero",
            _ => "the padding before `max_pool` is not −inf",
        }));
    }
    let Some(spatial) = spatial else {
        return Some(Err("the padding touches batch or channels, or cuts"));
    };
    let both = spatial.iter().enumerate().map(|(i, &(b, e))| {
        let (own_b, own_e) = own.at(i);
        Some((u32::try_from(own_b).ok()?.checked_add(b)?, u32::try_from(own_e).ok()?.checked_add(e)?))
    });
    let Some(both) = both.collect::<Option<Vec<_>>>() else {
        return Some(Err("the padding is too large"));
    };
    *own = Pads::of(&both);
    Some(Ok((pad.id, op)))
}

/// Padding before and after each spatial axis, if nothing else is padded and nothing is cut.
fn spatial(pad: &Pad) -> Option<Vec<(u32, u32)>> {
    let pairs = pad.pads.iter().map(|p| match p.as_slice() {
        [b, e] => Some((u32::try_from(*b).ok()?, u32::try_from(*e).ok()?)),
        _ => None,
    });
    let pairs: Vec<(u32, u32)> = pairs.collect::<Option<_>>()?;
    match pairs.as_slice() {
        [(0, 0), (0, 0), spatial @ ..] => Some(spatial.to_vec()),
        _ => None,
    }
}
