//! Calls that run on the quantized tensor: copies, joins and pools in the parameters that came in, functions by a table.

use std::sync::Arc;

use quantir_ir::Quant;
use quantir_ir::ops::Eval;
use quantir_ir::ops::reduce::Reduction;
use smallvec::SmallVec;

use super::{Call, calls, operand};
use crate::prelude::*;
use crate::prepare::elementwise::is_unary;

pub(super) fn lower(g: &Graph, c: &Call) -> Option<Edit> {
    if c.relu {
        return None;
    }
    if calls::is_copy(&c.call) {
        copy(g, c)
    } else if calls::is_computed(&c.call) {
        table(g, c)
    } else {
        None
    }
}

fn copy(g: &Graph, c: &Call) -> Option<Edit> {
    let node = g.node(c.node);
    let ins: SmallVec<[ValueId; 4]> =
        (0..node.ins.len()).map(|i| operand(g, c.node, i)).collect::<Option<_>>()?;
    let q = g.elem(*ins.first()?).quant()?.clone();
    let to = Type::new(Elem::Quant(q.clone()), g.ty(c.out).shape.clone());
    let different = ins.iter().any(|&v| g.elem(v) != g.elem(ins[0]));
    let mut e = c.editor(g, &c.call);
    let new = match &node.op {
        Op::Concat(o) if different => e.op_as(Qconcat { axis: o.axis }, ins, &[to]).ok()?[0],
        _ if different => return None,
        Op::Reduce(r) if r.kind == Reduction::Mean => {
            e.op_as(Qmean { axes: r.axes.clone(), keep: r.keep }, ins, &[to]).ok()?[0]
        }
        Op::AvgPool(p) => {
            let op = QavgPool {
                kernel: p.kernel.clone(),
                stride: p.stride.clone(),
                pad: p.pad.clone(),
                ceil: p.ceil,
                count_pad: p.count_pad,
            };
            e.op_as(op, ins, &[to]).ok()?[0]
        }
        Op::Dropout(_) => e.op(Identity {}, ins).ok()?,
        Op::Relu(_) | Op::Clip(_) if q.storage.int_range().is_some_and(|(lo, hi)| hi - lo == 255) => {
            clamped(&mut e, g, c, ins[0], &q)?
        }
        op => e.op(op.clone(), ins).ok()?,
    };
    // What does not work on integers has another result.
    if e.ty(new).elem.quant() != Some(&q) {
        return None;
    }
    c.finish(g, e, new)
}

/// `relu` and `clip` on integers, bounds quantized.
fn clamped(e: &mut quantir_ir::Editor, g: &Graph, c: &Call, x: ValueId, q: &Arc<Quant>) -> Option<ValueId> {
    if let Ok(new) = e.op(g.op(c.node).clone(), [x]) {
        return Some(new);
    }
    by_table(e, g, c, x, q, q)
}

/// A function of one element: the op's own definition on all 256 integers.
fn table(g: &Graph, c: &Call) -> Option<Edit> {
    let node = g.node(c.node);
    if !is_unary(&node.op) || node.ins.len() != 1 {
        return None;
    }
    let x = operand(g, c.node, 0)?;
    let q = g.elem(x).quant()?.clone();
    let mut e = c.editor(g, &calls::quantized(&c.call, false));
    let new = by_table(&mut e, g, c, x, &q, &c.quant)?;
    c.finish(g, e, new)
}

fn by_table(
    e: &mut quantir_ir::Editor,
    g: &Graph,
    c: &Call,
    x: ValueId,
    from: &Arc<Quant>,
    to: &Arc<Quant>,
) -> Option<ValueId> {
    let (lo, hi) = from.storage.int_range().filter(|(lo, hi)| hi - lo == 255)?;
    let ints: Vec<i64> = (lo..=hi).collect();
    let real = Tensor::from_ints(Elem::Quant(from.clone()), &[256], &ints).ok()?.dequantize().ok()?;
    let of = g.op(c.node).eval(&Eval { ins: &[Some(&real)], outs: &[Type::f32(&[256])] }).ok()?.pop()?;
    let table = e.constant(of.quantize(to).ok()?, "table");
    e.name(table, &format!("{}.table", g.name_of(g.node(c.node).outs[0])));
    e.op(Qlut {}, [x, table]).ok()
}
