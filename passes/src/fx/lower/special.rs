//! Calls that run on the quantized tensor: copies, joins and pools in the parameters that came in, functions by a table.

use std::sync::Arc;

use quantir_ir::ops::Eval;
use quantir_ir::ops::reduce::Reduction;
use quantir_ir::{ObserverSpec, Quant};
use quantir_quant::Observer;
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
        table(g, c).or_else(|| normal(g, c))
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

/// Products and norms; parameters stay as they are.
fn normal(g: &Graph, c: &Call) -> Option<Edit> {
    let (mut n, mut act) = (c.node, Act::None);
    if c.call.contains("BNReLU") {
        let x = g.get::<Relu>(n)?.x;
        n = g.def_node(x).filter(|_| g.one_use(x))?;
        act = Act::Relu;
    }
    let mut e = c.editor(g, &calls::quantized(&c.call, false));
    let mut slope = None;
    let op: Op = match g.op(n).clone() {
        Op::Matmul(_) => Qmatmul {}.into(),
        Op::BatchNorm(o) => QbatchNorm { eps: o.eps, act }.into(),
        Op::LayerNorm(o) => QlayerNorm { axis: o.axis, eps: o.eps }.into(),
        Op::InstanceNorm(o) => QinstanceNorm { eps: o.eps }.into(),
        Op::GroupNorm(o) => QgroupNorm { groups: o.groups, eps: o.eps }.into(),
        Op::Softmax(o) => Qsoftmax { axis: o.axis }.into(),
        Op::Prelu(_) => {
            slope = Some(quantized_slope(&mut e, g, g.node(n).ins.get(1).copied().flatten()?)?);
            Qprelu {}.into()
        }
        _ => return None,
    };
    let ins = &g.node(n).ins;
    let mut of = Vec::new();
    for (i, v) in ins.iter().enumerate() {
        of.push(match (operand(g, n, i), v) {
            (Some(q), _) => Some(q),
            (None, Some(_)) if i == 1 && slope.is_some() => slope,
            (None, Some(v)) if i > 0 && g.is_const(*v) => Some(*v),
            (None, None) => None,
            _ => return None,
        });
    }
    let new = e.op_as(op, of, std::slice::from_ref(&c.ty)).ok()?[0];
    c.finish(g, e, new)
}

/// The slopes of a `prelu` as `u8` over their range, as `default_quint8_weight_qconfig` has it.
fn quantized_slope(e: &mut quantir_ir::Editor, g: &Graph, slope: ValueId) -> Option<ValueId> {
    let t = g.constant(slope)?;
    let spec = ObserverSpec::new("minmax", Storage::U8);
    let mut observer = Observer::new(&spec).ok()?;
    observer.see(&t.floats().ok()?, &t.shape);
    let q = Arc::new(observer.params(&spec).ok()?);
    Some(e.constant(t.quantize(&q).ok()?, g.name_of(slope)))
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
