//! Takes fused activations out again where the back end's kernel does not apply them.
//!
//! ```text
//! %y = conv2d %x, %w {act=hard_swish}      =>     %y.pre = conv2d %x, %w
//!                                                 %y = hard_swish %y.pre
//! ```

use quantir_quant::{KernelSupport, QConfigMapping, Role};

use crate::prelude::*;
use crate::prepare::decide::{act_word, each_quantized};

pub(super) fn split(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    backend: &KernelSupport,
) -> Result<(), Diag> {
    each_quantized(g, cx, mapping, "split-act", |g, n| edit(g, n, backend))
}

fn edit(g: &Graph, n: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let node = g.node(n);
    let word = act_word(&node.op);
    let support = backend.get(node.op.name()).filter(|s| s.refusal.is_none())?;
    // Without a table the activation would be a float op, which is no better than a float op with it.
    backend.get(word).filter(|s| s.role == Role::Table && s.refusal.is_none())?;
    if support.check_act(word).is_ok() {
        return None;
    }
    let (bare, act) = taken_out(&node.op)?;
    let out = *node.outs.first()?;
    let mut e = g.edit(n);
    let pre = e.op(bare, node.ins.iter().copied()).ok()?;
    e.name(pre, &format!("{}.pre", g.name_of(out)));
    let whole = e.op(act, [pre]).ok()?;
    e.replace(out, whole);
    Some(e.finish())
}

/// The op without its activation, and the activation as an op.
fn taken_out(op: &Op) -> Option<(Op, Op)> {
    let mut bare = op.clone();
    let act = act_mut(&mut bare)?;
    let op: Op = match std::mem::replace(act, Act::None) {
        Act::None => return None,
        Act::Relu => Relu {}.into(),
        Act::Clip(min, max) => Clip { min, max }.into(),
        Act::HardSwish => HardSwish {}.into(),
        Act::LeakyRelu(alpha) => LeakyRelu { alpha }.into(),
        Act::Tanh => Tanh {}.into(),
    };
    Some((bare, op))
}

/// The activation fused into `op`, if it takes one and may have an integer form.
pub(super) fn act_mut(op: &mut Op) -> Option<&mut Act> {
    Some(match op {
        Op::Conv(o) => &mut o.act,
        Op::ConvTranspose(o) => &mut o.act,
        Op::Linear(o) => &mut o.act,
        Op::Add(o) => &mut o.act,
        Op::Mul(o) => &mut o.act,
        _ => return None,
    })
}
