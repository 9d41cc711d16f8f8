//! Ops that move values, and pairs of `quantize` and `dequantize`.

use quantir_quant::{KernelSupport, Role};

use crate::lower::{Island, integers, replaced};
use crate::prelude::*;
use crate::prepare::fits;

/// A movement of dequantized values is the same movement of the integers, dequantized: exact, since dequantizing keeps order
/// and the padding 0 is the zero point.
pub(super) fn movement(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let node = g.node(at);
    let parts: usize = match &node.op {
        Op::Concat(_) => node.ins.len(),
        // A clamp on integers rounds its bounds.
        Op::Relu(_) | Op::Clip(_) => return None,
        op => match backend.get(op.name())?.role {
            Role::Same => 1,
            _ => return None,
        },
    };
    if is_average(&node.op) {
        return None;
    }
    fits(g, at).ok()?;
    let mut ins = node.ins.clone();
    let mut quant = None;
    for slot in ins.iter_mut().take(parts) {
        let (x, q) = integers(g, (*slot)?)?;
        if quant.is_some_and(|other| other != q) || g.is_const(x) {
            return None;
        }
        quant = Some(q);
        *slot = Some(x);
    }
    let quant = quant?;
    backend.get(node.op.name())?.check_activation(quant.storage, quant.range).ok()?;
    let mut e = g.edit(at);
    let outs = e.op_as(node.op.clone(), ins, &[]).ok()?;
    for (&old, new) in node.outs.iter().zip(outs) {
        e.name(new, &format!("{}.q", g.name_of(old)));
        let float = e.op(Dequantize {}, [new]).ok()?;
        if e.ty(float) != g.ty(old) {
            return None;
        }
        e.replace(old, float);
    }
    Some(e.finish())
}

/// Averages round, so they are no movement even where a back end lets them keep their input's quantization.
fn is_average(op: &Op) -> bool {
    matches!(op, Op::Reduce(_) | Op::AvgPool(_))
}

/// `quantize` of `dequantize`: the integers themselves, or requantized.
pub(super) fn cancel(g: &Graph, at: NodeId) -> Option<Edit> {
    let q = g.get::<Quantize>(at)?;
    let (x, _) = integers(g, q.x)?;
    if g.ty(x) == g.ty(q.out) {
        return Edit::forward(g, q.out, x);
    }
    let mut e = g.edit(at);
    let new = e.op_as(Requantize {}, [x], std::slice::from_ref(g.ty(q.out))).ok()?[0];
    replaced(e, q.out, new)
}

/// `relu` and `clip` between equal quantizations, where the back end keeps them: bounds are rounded as the result would be.
pub(super) fn clamp(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let node = g.node(island.node);
    let entry = backend.get(node.op.name())?;
    if !matches!(node.op, Op::Relu(_) | Op::Clip(_)) || entry.role != Role::Same {
        return None;
    }
    let (x, q) = integers(g, node.ins.first().copied().flatten()?)?;
    if q != island.quant {
        return None;
    }
    entry.check_activation(q.storage, q.range).ok()?;
    island.by(g, node.op.clone(), &[x])
}
