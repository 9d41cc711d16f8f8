//! Turns a scale and shift for each channel into a depthwise convolution with kernel 1.
//!
//! ```text
//! %m = mul %x, %k : f32[1,8,4,4]           =>     %y = conv2d %x, %w, %c {groups=8}
//! %y = add %m, %c {act=relu}
//! ```
//!
//! This is what a batch norm leaves that no convolution could take in. As `mul` and `add` the constants would share one scale
//! among channels, which may differ by orders of magnitude; as weight and bias each channel has its own.

use quantir_ir::entity::IdSet;
use quantir_quant::{KernelSupport, QConfigMapping};

use crate::prelude::*;
use crate::prepare::decide::{ops, refs};

pub(super) fn affine(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    backend: &KernelSupport,
) -> Result<(), Diag> {
    let nodes = ops(g);
    let resolved = mapping.resolve(&refs(g, &nodes));
    let mut quantized = IdSet::new();
    for (&n, _) in nodes.iter().zip(&resolved).filter(|(_, r)| r.qconfig.is_some()) {
        quantized.insert(n);
    }
    for n in nodes {
        // An edit removes the sum behind its product.
        if g.try_node(n).is_some()
            && quantized.contains(n)
            && let Some(edit) = edit(g, n, backend, |n| quantized.contains(n))
            && cx.apply(g, "channel-affine", n, edit)?.is_none()
        {
            break;
        }
    }
    Ok(())
}

fn edit(g: &Graph, n: NodeId, backend: &KernelSupport, may: impl Fn(NodeId) -> bool) -> Option<Edit> {
    let mul = g.get::<Mul>(n)?;
    let (x, scale) = by_channel(g, mul.a, mul.b)?;
    let mut end = (n, mul.out, mul.op.act.clone());
    let mut shift = None;
    if mul.op.act == Act::None
        && g.one_use(mul.out)
        && let Some(add) = g.sole_user(mul.out).filter(|&u| may(u)).and_then(|u| g.get::<Add>(u))
        && let Some((_, c)) = by_channel(g, add.a, add.b)
    {
        shift = Some(c);
        end = (add.id, add.out, add.op.act.clone());
    }
    let channels = scale.len();
    let rank = g.ty(x).rank().checked_sub(2).filter(|r| (1..=3).contains(r))?;
    let op = Conv {
        rank: rank as u8,
        stride: PerAxis::all(1),
        pad: Pads::none(),
        dilation: PerAxis::all(1),
        groups: channels as u32,
        act: end.2,
    };
    let name = ops::OpDef::name(&op);
    backend.get(name)?.check_act(crate::prepare::act_word(&op.clone().into())).ok()?;
    backend.get(name).filter(|s| s.refusal.is_none())?;
    let mut e = g.edit(end.0);
    e.loc_of(n);
    let base = g.name_of(end.1).to_string();
    let shape: Vec<usize> = [channels, 1].into_iter().chain(vec![1; rank]).collect();
    let w = e.constant(Tensor::f32(&shape, scale), &format!("{base}.weight"));
    let mut ins = vec![x, w];
    if let Some(c) = shift {
        ins.push(e.constant(Tensor::f32(&[channels], c), &format!("{base}.bias")));
    }
    let y = e.op(op, ins).ok()?;
    if e.ty(y) != g.ty(end.1) {
        return None;
    }
    e.replace(end.1, y);
    Some(e.finish())
}

/// The operand that is no constant, with one constant for each of its channels.
fn by_channel(g: &Graph, a: ValueId, b: ValueId) -> Option<(ValueId, Vec<f32>)> {
    let (x, k) = match (g.is_const(a), g.is_const(b)) {
        (false, true) => (a, b),
        (true, false) => (b, a),
        _ => return None,
    };
    let (rank, t) = (g.ty(x).rank(), g.constant(k)?);
    let channels = usize::try_from(g.ty(x).shape.0.get(1)?.as_lit()?).ok()?;
    // The constant's last axes meet those of x; all but that of channels must be 1.
    let offset = rank.checked_sub(t.rank())?;
    let fits = t.shape.iter().enumerate().all(|(i, &d)| d == if i + offset == 1 { channels } else { 1 });
    let floats = t.floats().ok()?.into_owned();
    (fits && channels > 1 && floats.len() == channels && *g.elem(x) == Elem::F32).then_some((x, floats))
}
