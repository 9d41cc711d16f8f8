//! Weights of two models, layer by layer.

use quantir_ir::{Graph, NodeId, Op, Tensor, ValueId};

use super::layers::{Layer, align};
use super::results::{Entry, ResultKind, Results};

/// The weights of all layers that have one in both models (PyTorch `extract_weights`). Quantized weights stay so.
///
/// Layers align by value name; results carry the names that layers have in `a`.
pub fn extract_weights(name_a: &str, a: &Graph, name_b: &str, b: &Graph) -> Results {
    let mut results = Results::default();
    for pair in align(a, b) {
        let (Some(x), Some(y)) = (weight(a, pair.a.node), weight(b, pair.b.node)) else { continue };
        if x.shape != y.shape {
            // The op was replaced by one with a weight of another form: there is nothing to compare.
            continue;
        }
        results.push(&pair.a.name, name_a, entry(a, &pair.a, ResultKind::Weight, vec![x]));
        results.push(&pair.a.name, name_b, entry(b, &pair.b, ResultKind::Weight, vec![y]));
    }
    results
}

pub(super) fn entry(g: &Graph, l: &Layer, kind: ResultKind, values: Vec<Tensor>) -> Entry {
    let node = g.node(l.node);
    Entry {
        kind,
        values,
        ref_node_name: l.name.clone(),
        prev_node_target_type: node.op.name().into(),
        fqn: node.loc.path.as_deref().unwrap_or_default().into(),
        comparisons: Default::default(),
    }
}

/// The constant weight of a convolution or linear, looked for behind observers and conversions.
pub fn weight(g: &Graph, n: NodeId) -> Option<Tensor> {
    let node = g.node(n);
    let name = node.op.name();
    if !["conv", "qconv", "linear", "qlinear"].iter().any(|p| name.starts_with(p)) {
        return None;
    }
    constant(g, (*node.ins.get(1)?)?)
}

/// The constant that `v` is, looked for behind observers and conversions.
pub(crate) fn constant(g: &Graph, mut v: ValueId) -> Option<Tensor> {
    loop {
        if let Some(t) = g.constant(v) {
            return Some(t);
        }
        let n = g.def_node(v)?;
        let through = matches!(g.op(n), Op::Observe(_) | Op::Dequantize(_) | Op::Quantize(_));
        v = g.node(n).ins.first().copied().flatten().filter(|_| through)?;
    }
}
