//! Convolutions and linear layers, with the bias as floats: PyTorch does not round it to integers.

use super::{Call, calls, operand, with_relu};
use crate::prelude::*;

pub(super) fn lower(g: &Graph, c: &Call) -> Option<Edit> {
    let module = calls::is_weighted_module(&c.call);
    if !module && !calls::is_weighted_function(&c.call) {
        return None;
    }
    let op: Op = match g.op(c.node) {
        Op::Conv(o) => Qconv {
            rank: o.rank,
            stride: o.stride.clone(),
            pad: o.pad.clone(),
            dilation: o.dilation.clone(),
            groups: o.groups,
            act: joined(&o.act, c.relu)?,
        }
        .into(),
        Op::Linear(o) => Qlinear { act: joined(&o.act, c.relu)? }.into(),
        Op::ConvTranspose(o) if !c.relu => QconvTranspose {
            rank: o.rank,
            stride: o.stride.clone(),
            pad: o.pad.clone(),
            out_pad: o.out_pad.clone(),
            dilation: o.dilation.clone(),
            groups: o.groups,
            act: o.act.clone(),
        }
        .into(),
        _ => return None,
    };
    let (x, w) = (operand(g, c.node, 0)?, operand(g, c.node, 1)?);
    let bias = g.node(c.node).ins.get(2).copied().flatten();
    let mut e = c.editor(g, &with_relu(&calls::quantized(&c.call, false), c.relu));
    let new = e.op_as(op, [Some(x), Some(w), bias], std::slice::from_ref(&c.ty)).ok()?[0];
    c.finish(g, e, new)
}

/// A convolution with the sum behind it, two nodes of one call.
pub(super) fn with_sum(g: &Graph, c: &Call) -> Option<Edit> {
    if !matches!(c.call.as_str(), "nn.intrinsic.ConvAdd2d" | "nn.intrinsic.ConvAddReLU2d") {
        return None;
    }
    let sum = g.get::<Add>(c.node)?;
    let inner = |v: ValueId| g.def::<Conv>(v).filter(|k| g.node(k.id).loc.call == g.node(c.node).loc.call);
    let (conv, slot) = match (inner(sum.a), inner(sum.b)) {
        (Some(k), _) => (k, 1),
        (None, k) => (k?, 0),
    };
    let o = conv.op;
    let op = QconvAdd {
        rank: o.rank,
        stride: o.stride.clone(),
        pad: o.pad.clone(),
        dilation: o.dilation.clone(),
        groups: o.groups,
        act: sum.op.act.clone(),
    };
    let ins = [
        Some(operand(g, conv.id, 0)?),
        Some(operand(g, conv.id, 1)?),
        Some(operand(g, c.node, slot)?),
        conv.bias,
    ];
    let mut e = c.editor(g, &calls::quantized(&c.call, false));
    let new = e.op_as(op, ins, std::slice::from_ref(&c.ty)).ok()?[0];
    c.finish(g, e, new)
}

/// A linear layer with the leaky relu or the tanh behind it, two nodes of one call.
pub(super) fn with_curve(g: &Graph, c: &Call) -> Option<Edit> {
    if !matches!(c.call.as_str(), "nn.intrinsic.LinearLeakyReLU" | "nn.intrinsic.LinearTanh") {
        return None;
    }
    let act = match g.op(c.node) {
        Op::LeakyRelu(o) => Act::LeakyRelu(o.alpha),
        Op::Tanh(_) => Act::Tanh,
        _ => return None,
    };
    let linear = g.def::<Linear>(g.node(c.node).ins.first().copied().flatten()?)?;
    if linear.op.act != Act::None || !g.one_use(linear.out) {
        return None;
    }
    let ins = [Some(operand(g, linear.id, 0)?), Some(operand(g, linear.id, 1)?), linear.bias];
    let mut e = c.editor(g, &calls::quantized(&c.call, false));
    let new = e.op_as(Qlinear { act }, ins, std::slice::from_ref(&c.ty)).ok()?[0];
    c.finish(g, e, new)
}

fn joined(act: &Act, relu: bool) -> Option<Act> {
    match (act, relu) {
        (a, false) => Some(a.clone()),
        (Act::None, true) => Some(Act::Relu),
        _ => None,
    }
}
