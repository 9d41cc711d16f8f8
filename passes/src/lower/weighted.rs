//! Convolutions and linear layers on integers.

use std::sync::Arc;

use quantir_ir::{QParams, Quant};
use quantir_quant::{KernelSupport, Role};

use crate::lower::{Island, integers, replaced};
use crate::prelude::*;
use crate::prepare::act_word;

/// The largest bias in the accumulator: half of its range, so that the sum has the other half.
const MOST: f64 = (1i64 << 30) as f64;

pub(super) fn weighted(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let node = g.node(island.node);
    let op: Op = match &node.op {
        Op::Conv(c) => Qconv {
            rank: c.rank,
            stride: c.stride.clone(),
            pad: c.pad.clone(),
            dilation: c.dilation.clone(),
            groups: c.groups,
            act: c.act.clone(),
        }
        .into(),
        Op::ConvTranspose(c) => QconvTranspose {
            rank: c.rank,
            stride: c.stride.clone(),
            pad: c.pad.clone(),
            out_pad: c.out_pad.clone(),
            dilation: c.dilation.clone(),
            groups: c.groups,
            act: c.act.clone(),
        }
        .into(),
        Op::Linear(l) => Qlinear { act: l.act.clone() }.into(),
        _ => return None,
    };
    let operand = |i: usize| node.ins.get(i).copied().flatten();
    let (x, xq) = integers(g, operand(0)?)?;
    let (w, wq) = integers(g, operand(1)?)?;
    check(&node.op, xq, wq, island.quant, backend).ok()?;
    let mut weight = g.constant(w)?;
    let mut e = g.edit(at);
    e.loc_of(island.node);
    let mut ins = vec![x, w];
    if let (Some(b), Op::ConvTranspose(_)) = (operand(2), &node.op) {
        // Groups share the scales of the weight, so that its product with the input's names no channel of the bias.
        g.constant(b)?;
        ins.push(b);
    } else if let Some(b) = operand(2) {
        let bias = g.constant(b)?;
        let bias = bias.floats().ok()?;
        let mut product = Arc::new(Quant::product(xq, wq));
        if let Some(wide) = with_room(&weight, xq, wq, &bias) {
            weight = weight.dequantize().ok()?.quantize(&wide).ok()?;
            ins[1] = e.constant(weight, g.name_of(w));
            product = Arc::new(Quant::product(xq, &wide));
        }
        let ints: Vec<i64> = bias
            .iter()
            .enumerate()
            .map(|(c, &b)| match (f64::from(b) / product.scale_f64(c)).round_ties_even() {
                r if r.is_nan() => 0,
                r => r.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i64,
            })
            .collect();
        let ints = Tensor::from_ints(Elem::Quant(product), &[ints.len()], &ints).ok()?;
        ins.push(e.constant(ints, g.name_of(b)));
    }
    let new = e.op_as(op, ins, std::slice::from_ref(island.ty)).ok()?[0];
    replaced(e, island.out, new)
}

/// Why the back end does not compute the op on these integers, if so.
pub(super) fn check(
    op: &Op,
    xq: &Quant,
    wq: &Quant,
    yq: &Quant,
    backend: &KernelSupport,
) -> Result<(), String> {
    let Some(s) = backend.get(op.name()) else {
        return Err(format!("`{}` has no integer kernel", op.name()));
    };
    let Role::Weighted { axis } = s.role else {
        return Err(format!("the back end knows `{}` without a weight", op.name()));
    };
    for q in [xq, yq] {
        s.check_activation(q.storage, q.range)?;
        if q.per_tensor().is_none() {
            return Err("its activations have more than one scale".into());
        }
    }
    if wq.float_zeros().is_some() {
        return Err("its weight has real zero points".into());
    }
    let zero_points = (0..wq.count().unwrap_or(0)).any(|i| wq.zero(i) != 0);
    s.check_weight(wq.storage, wq.range, zero_points, wq.axis().is_some())?;
    match &wq.params {
        QParams::Tensor { .. } => {}
        QParams::Axis { axis: a, .. } if *a == axis => {}
        QParams::Axis { axis: a, .. } => {
            return Err(format!(
                "its weight has scales along axis {a}; the kernel needs them along axis {axis}"
            ));
        }
        _ => return Err("its weight has neither one scale nor one for each output channel".into()),
    }
    s.check_act(act_word(op))
}

/// For a channel whose weights are so small that its bias would not fit the accumulator, a larger weight scale
/// which makes it fit: the weights are then far below the bias's own resolution. `None` if all fit.
fn with_room(weight: &Tensor, xq: &Quant, wq: &Quant, bias: &[f32]) -> Option<Arc<Quant>> {
    let least: Vec<f64> = bias
        .iter()
        .map(|b| if b.is_finite() { f64::from(b.abs()) / xq.scale_f64(0) / MOST } else { 0.0 })
        .collect();
    let fits = |c: usize| wq.scale_f64(c) >= least[c];
    if (0..bias.len()).all(fits) {
        return None;
    }
    let next = |x: f64| (x as f32).next_up();
    let params = match &wq.params {
        QParams::Tensor { zero, .. } => {
            QParams::Tensor { scale: next(least.iter().copied().fold(0.0, f64::max)), zero: *zero }
        }
        QParams::Axis { axis, scale, zero } => {
            if weight.shape.get(*axis as usize) != Some(&bias.len()) {
                return None;
            }
            let scale = scale.iter().enumerate().map(|(c, &s)| if fits(c) { s } else { next(least[c]) });
            QParams::Axis { axis: *axis, scale: scale.collect(), zero: zero.clone() }
        }
        _ => return None,
    };
    Some(Arc::new(Quant { params, ..wq.clone() }))
}
