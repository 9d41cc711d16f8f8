//! Dynamic forms: the pair before the call and its quantized weights go into one op.

use quantir_ir::Loc;

use super::calls;
use crate::lower::integers;
use crate::prelude::*;

pub(super) fn lower(g: &mut Graph, cx: &mut PassCx) -> Result<(), Diag> {
    for n in g.nodes().collect::<Vec<_>>() {
        if g.try_node(n).is_none() {
            continue;
        }
        if let Some(edit) = one(g, n)
            && cx.apply(g, "lower-dynamic", n, edit)?.is_none()
        {
            break;
        }
    }
    Ok(())
}

/// How an activation comes in.
enum Input {
    /// Quantized to 8 bits for this run.
    Int8 { reduce_range: bool },
    /// Rounded to `f16`, which the lowered op leaves out.
    Half,
}

fn one(g: &Graph, n: NodeId) -> Option<Edit> {
    let node = g.node(n);
    let call = node.loc.call.as_deref()?;
    if call.contains("conv") || call.contains("Conv") {
        return None;
    }
    let v = node.ins.first().copied().flatten()?;
    let (x, input) = before(g, v)?;
    let mut ins: Vec<Option<ValueId>> = node.ins.to_vec();
    ins[0] = Some(x);
    let mut relu = None;
    let op: Op = match (&node.op, &input) {
        (Op::Linear(l), _) => {
            let w = weight(g, ins.get(1).copied().flatten()?)?;
            ins[1] = Some(w);
            let mut act = l.act.clone();
            // A relu of its own belongs to the functional form.
            if calls::is_weighted_function(call)
                && act == Act::None
                && let Some(r) = g.sole_user(node.outs[0]).and_then(|u| g.get::<Relu>(u))
                && matches!(g.node(r.id).loc.call.as_deref(), Some("F.relu" | "nn.ReLU" | "torch.relu"))
            {
                act = Act::Relu;
                relu = Some(r.out);
            }
            match input {
                Input::Int8 { reduce_range } => LinearDynamic { reduce_range, act }.into(),
                Input::Half => LinearF16 { act }.into(),
            }
        }
        (op, _) => {
            let reduce = match input {
                Input::Int8 { reduce_range } => reduce_range,
                Input::Half => false,
            };
            for v in ins.iter_mut().skip(1).flatten() {
                *v = weight(g, *v).unwrap_or(*v);
            }
            recurrent(op, reduce)?
        }
    };
    let mut e = g.edit(n);
    e.loc(Loc { call: Some(calls::quantized(call, true).into()), ..node.loc.clone() });
    let new = e.op(op, ins).ok()?;
    let last = relu.unwrap_or(node.outs[0]);
    if node.outs.len() == 1 {
        e.name(new, g.name_of(last)).replace_uses(last, new, g.value(last).uses.to_vec());
        return Some(e.finish());
    }
    // Results of one node have consecutive ids.
    let first = quantir_ir::Entity::index(new);
    for (i, &old) in node.outs.iter().enumerate() {
        let new = ValueId::new(first + i);
        e.name(new, g.name_of(old)).replace_uses(old, new, g.value(old).uses.to_vec());
    }
    Some(e.finish())
}

/// What is quantized for this run alone, and how.
fn before(g: &Graph, v: ValueId) -> Option<(ValueId, Input)> {
    if let Some(f) = g.def::<FakeQuantizeDynamic>(v) {
        return Some((f.x, Input::Int8 { reduce_range: f.op.reduce_range }));
    }
    let back = g.def::<Cast>(v).filter(|c| c.op.to == Storage::F32)?;
    let half = g.def::<Cast>(back.x).filter(|c| c.op.to == Storage::F16)?;
    Some((half.x, Input::Half))
}

/// A weight as it is stored: `i8`, or `f16` before the cast.
fn weight(g: &Graph, v: ValueId) -> Option<ValueId> {
    if let Some((w, _)) = integers(g, v) {
        return g.is_const(w).then_some(w);
    }
    let c = g.def::<Cast>(v)?;
    (g.is_const(c.x) && *g.elem(c.x) == Elem::Plain(Storage::F16)).then_some(c.x)
}

fn recurrent(op: &Op, reduce_range: bool) -> Option<Op> {
    Some(match op.clone() {
        Op::Lstm(o) => LstmDynamic {
            layers: o.layers,
            bidirectional: o.bidirectional,
            batch_first: o.batch_first,
            bias: o.bias,
            reduce_range,
        }
        .into(),
        Op::Gru(o) => GruDynamic {
            layers: o.layers,
            bidirectional: o.bidirectional,
            batch_first: o.batch_first,
            bias: o.bias,
            reduce_range,
        }
        .into(),
        Op::LstmCell(_) => LstmCellDynamic { reduce_range }.into(),
        Op::GruCell(_) => GruCellDynamic { reduce_range }.into(),
        Op::RnnCell(o) => RnnCellDynamic { nonlinearity: o.nonlinearity, reduce_range }.into(),
        _ => return None,
    })
}
