//! Sums, products, means and joins on integers.

use quantir_ir::Quant;
use quantir_ir::ops::reduce::Reduction;
use quantir_quant::KernelSupport;

use crate::lower::{Island, integers, replaced};
use crate::prelude::*;
use crate::prepare::act_word;

pub(super) fn binary(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let node = g.node(island.node);
    let op: Op = match &node.op {
        Op::Add(a) => Qadd { act: a.act.clone() }.into(),
        Op::Mul(m) => Qmul { act: m.act.clone() }.into(),
        _ => return None,
    };
    replace(g, &island, op, backend)
}

pub(super) fn mean(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let op: Op = match &g.node(island.node).op {
        Op::Reduce(r) if r.kind == Reduction::Mean => Qmean { axes: r.axes.clone(), keep: r.keep }.into(),
        Op::AvgPool(p) => QavgPool {
            kernel: p.kernel.clone(),
            stride: p.stride.clone(),
            pad: p.pad.clone(),
            ceil: p.ceil,
            count_pad: p.count_pad,
        }
        .into(),
        _ => return None,
    };
    replace(g, &island, op, backend)
}

/// Parts with different quantizations; equal ones are moved as they are.
pub(super) fn concat(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let Op::Concat(c) = &g.node(island.node).op else { return None };
    replace(g, &island, Qconcat { axis: c.axis }.into(), backend)
}

/// A `concat` whose parts are requantized for it does that itself: the same integers without a pass over memory.
pub(super) fn join(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let c = g.get::<Concat>(at)?;
    let q = g.elem(c.out).quant()?;
    let before = |v: ValueId| Some(g.def::<Requantize>(v).filter(|_| g.one_use(v))?.x);
    if !c.parts.iter().any(|&v| before(v).is_some()) {
        return None;
    }
    let parts: Vec<ValueId> = c.parts.iter().map(|&v| before(v).unwrap_or(v)).collect();
    let quants = parts.iter().filter_map(|&v| g.elem(v).quant());
    check(g.op(at), quants.chain([q]).map(|q| q.as_ref()), backend).ok()?;
    let mut e = g.edit(at);
    let new = e.op_as(Qconcat { axis: c.op.axis }, parts, std::slice::from_ref(g.ty(c.out))).ok()?[0];
    replaced(e, c.out, new)
}

fn replace(g: &Graph, island: &Island, op: Op, backend: &KernelSupport) -> Option<Edit> {
    let node = g.node(island.node);
    let parts: Vec<(ValueId, &std::sync::Arc<Quant>)> =
        node.ins.iter().map(|v| integers(g, (*v)?)).collect::<Option<_>>()?;
    let quants = parts.iter().map(|p| p.1.as_ref());
    check(&node.op, quants.chain([island.quant.as_ref()]), backend).ok()?;
    let ins: Vec<ValueId> = parts.iter().map(|p| p.0).collect();
    island.by(g, op, &ins)
}

/// Why the back end does not compute the op on these integers, if so.
pub(super) fn check<'a>(
    op: &Op,
    quants: impl Iterator<Item = &'a Quant>,
    backend: &KernelSupport,
) -> Result<(), String> {
    let Some(s) = backend.get(op.name()) else {
        return Err(format!("`{}` has no integer kernel", op.name()));
    };
    for q in quants {
        s.check_activation(q.storage, q.range)?;
        if q.per_tensor().is_none() {
            return Err("an operand has more than one scale".into());
        }
    }
    s.check_act(act_word(op))
}
