//! Bounds what feeds a function that is constant beyond a bound, so that no integers are spent on the constant part.
//!
//! ```text
//! %a = conv2d %x, %w               =>     %a = conv2d %x, %w {act=clip(-3.0,inf)}
//! %y = hard_swish %a                      %y = hard_swish %a
//! ```
//!
//! `hard_swish` is 0 up to −3; `hard_sigmoid` is 0 or 1 outside the two points where its line meets them. Without the bound the
//! range of `%a` reaches as far down as the data does, and its step is that much coarser.

use quantir_quant::{KernelSupport, QConfigMapping};

use crate::prelude::*;
use crate::prepare::decide::each_quantized;
use crate::prepare::split_act::act_mut;

pub(super) fn bound(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    backend: &KernelSupport,
) -> Result<(), Diag> {
    each_quantized(g, cx, mapping, "bound", |g, n| edit(g, n, backend))
}

fn edit(g: &Graph, n: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let (x, lo, hi) = match g.op(n) {
        Op::HardSwish(_) => (g.get::<HardSwish>(n)?.x, -3.0, f32::INFINITY),
        Op::HardSigmoid(h) if h.alpha.0 > 0.0 => {
            let (a, b) = (h.alpha.0, h.beta.0);
            (g.get::<HardSigmoid>(n)?.x, -b / a, (1.0 - b) / a)
        }
        _ => return None,
    };
    let root = g.def_node(x)?;
    let mut op = g.op(root).clone();
    backend.get(op.name()).filter(|s| s.refusal.is_none() && s.check_act("clip").is_ok())?;
    let act = act_mut(&mut op)?;
    if !g.one_use(x) || *act != Act::None || lo >= hi {
        return None;
    }
    *act = Act::Clip(F32(lo), F32(hi));
    Edit::fuse(g, x, root, op)
}
