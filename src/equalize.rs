//! Input-weight equalization: moves range from inputs with wide channels into weights (PyTorch's `_equalization_config`).
//!
//! For channel `c` of a layer's input, `s_c = sqrt(w_c / x_c)` with the ranges `max − min` of weight and input. The input is
//! multiplied by `s` and the weight divided by it, so that both have equal ranges in each channel and the result stays. If the
//! input comes from another layer (through `relu` or a fused one, which positive factors pass), its weight and bias
//! take the factor; otherwise a `mul` is put at the input.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::interp::Hook;
use quantir_ir::ops::act::Act;
use quantir_ir::ops::{Conv, Linear, Mul};
use quantir_ir::{Diag, Graph, NodeId, Op, Phase, Tensor, ValueId};
use serde::Serialize;

use crate::error::Error;
use crate::model_report::{ValueStats, ranges};
use crate::numeric_suite::{LayerReport, weight};
use crate::session::{Session, SessionOptions};

/// Ranges of a layer's input by channel (PyTorch `_InputEqualizationObserver`), and of its weight (`_WeightEqualizationObserver`).
#[derive(Clone, Debug)]
struct Seen {
    node: NodeId,
    input: ValueId,
    stats: ValueStats,
}

/// Which layers are equalized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EqualizationMapping {
    /// All linear and convolution layers: `default_equalization_qconfig` everywhere.
    #[default]
    All,
    /// Those whose module path, or value name if there is none, is listed.
    Modules(Vec<String>),
}

impl EqualizationMapping {
    /// The `count` layers with the lowest SQNR of a comparison that are linear layers or convolutions: selective equalization
    /// (PyTorch `get_equalization_qconfig_dict`).
    pub fn worst(report: &LayerReport, count: usize) -> EqualizationMapping {
        let weighted = report.layers.iter().filter(|l| l.weight_sqnr.is_some());
        let key = |l: &crate::numeric_suite::LayerFigures| {
            if l.module.is_empty() { l.layer.clone() } else { l.module.clone() }
        };
        EqualizationMapping::Modules(weighted.take(count).map(key).collect())
    }

    fn takes(&self, g: &Graph, n: NodeId) -> bool {
        let node = g.node(n);
        match self {
            EqualizationMapping::All => true,
            EqualizationMapping::Modules(all) => {
                let name = node.loc.path.as_deref().unwrap_or_else(|| g.name_of(node.outs[0]));
                all.iter().any(|m| m == name)
            }
        }
    }
}

/// What was done to one layer.
#[derive(Clone, Debug, Serialize)]
pub struct Equalized {
    /// Module path, or value name.
    pub layer: String,
    /// The factor of each input channel.
    pub scales: Vec<f32>,
    /// The layer that took the factors into its weight; `None` if a `mul` was put at the input.
    pub into: Option<String>,
}

/// Equalizes a float model, best after fusion; the result computes the same up to rounding.
///
/// `batches` are inputs of the model. Layers whose factors would not be positive and finite (a channel that is constant in input or
/// weight) keep those channels as they are.
pub fn equalize(
    graph: &Arc<Graph>,
    mapping: &EqualizationMapping,
    batches: impl IntoIterator<Item = Result<Vec<Tensor>, Error>>,
    options: &SessionOptions,
) -> Result<(Graph, Vec<Equalized>), Error> {
    if graph.phase() != Phase::Float {
        let message = format!("equalization changes float models, this one is of phase {}", graph.phase());
        return Err(Error::Usage(message, "equalize before `prepare`".into()));
    }
    let mut watch = Watch { seen: observed(graph, mapping), error: None };
    let session = Session::new(graph.clone(), options)?;
    for batch in batches {
        session.run_with_hook(&batch?, &mut watch)?;
        if let Some(d) = watch.error.take() {
            return Err(d.into());
        }
    }
    let mut g = (**graph).clone();
    let mut weights: HashMap<NodeId, [Option<Tensor>; 2]> = HashMap::new();
    let mut multiply: Vec<(NodeId, Vec<f32>)> = Vec::new();
    let mut done = Vec::new();
    // From the last layer to the first, as PyTorch does: a layer's weight changes along its outputs before its inputs are judged.
    for seen in watch.seen.iter().rev().filter(|s| s.stats.batches > 0) {
        let mine = current(&g, &weights, seen.node);
        let [Some(w), _] = &mine else { continue };
        let scales = scales(w, &seen.stats)?;
        let before = producer(&g, seen.input, &watch.seen);
        let w = scaled(w, 1, scales.len(), |c| 1.0 / scales[c])?;
        weights.insert(seen.node, [Some(w), mine[1].clone()]);
        let into = before.map(|n| name(&g, n));
        match before {
            Some(n) => {
                let [Some(w), bias] = current(&g, &weights, n) else { continue };
                let w = scaled(&w, 0, scales.len(), |c| scales[c])?;
                let bias = bias.map(|b| scaled(&b, 0, scales.len(), |c| scales[c])).transpose()?;
                weights.insert(n, [Some(w), bias]);
            }
            None => multiply.push((seen.node, scales.clone())),
        }
        done.push(Equalized { layer: name(&g, seen.node), scales, into });
    }
    apply(&mut g, weights, multiply)?;
    done.reverse();
    Ok((g, done))
}

fn name(g: &Graph, n: NodeId) -> String {
    let node = g.node(n);
    node.loc.path.as_deref().unwrap_or_else(|| g.name_of(node.outs[0])).to_string()
}

/// The layers to equalize: those without groups that have a constant weight.
fn observed(g: &Graph, mapping: &EqualizationMapping) -> Vec<Seen> {
    let seen = |n: NodeId| {
        let axis = match g.op(n) {
            Op::Linear(_) => None,
            Op::Conv(c) if c.groups == 1 => Some(1),
            _ => return None,
        };
        let input = (*g.node(n).ins.first()?)?;
        weight(g, n)?;
        let axis = axis.unwrap_or(g.ty(input).rank().saturating_sub(1));
        Some(Seen { node: n, input, stats: ValueStats::new(axis, 1.0) })
    };
    g.nodes().filter(|&n| mapping.takes(g, n)).filter_map(seen).collect()
}

struct Watch {
    seen: Vec<Seen>,
    error: Option<Diag>,
}

impl Hook for Watch {
    fn wants(&mut self, _g: &Graph, v: ValueId) -> bool {
        self.seen.iter().any(|s| s.input == v)
    }
    fn value(&mut self, g: &Graph, v: ValueId, t: &Tensor) {
        for s in self.seen.iter_mut().filter(|s| s.input == v) {
            if let Err(r) = s.stats.see(t) {
                self.error.get_or_insert(r.diag("data").at(&g.node(s.node).loc));
            }
        }
    }
}

/// `sqrt(w_c / x_c)`, 1 where that is not positive and finite.
fn scales(w: &Tensor, x: &ValueStats) -> Result<Vec<f32>, Error> {
    let w = ranges(w, 1)?;
    let x = x.channel_min.iter().zip(&x.channel_max);
    Ok(w.iter()
        .zip(x)
        .map(|(&(wl, wh), (xl, xh))| {
            let s = ((wh - wl) / (xh - xl)).sqrt();
            if s.is_finite() && s > 0.0 { s } else { 1.0 }
        })
        .collect())
}

/// The tensor with each index `c` of `axis` multiplied by `factor(c)`.
fn scaled(t: &Tensor, axis: usize, channels: usize, factor: impl Fn(usize) -> f32) -> Result<Tensor, Error> {
    let inner: usize = t.shape[axis + 1..].iter().product();
    let data = t.floats()?;
    let data = data.iter().enumerate().map(|(i, x)| x * factor(i / inner % channels)).collect();
    Ok(Tensor::f32(&t.shape, data))
}

/// Weight and bias of a layer as they stand.
fn current(g: &Graph, changed: &HashMap<NodeId, [Option<Tensor>; 2]>, n: NodeId) -> [Option<Tensor>; 2] {
    if let Some(c) = changed.get(&n) {
        return c.clone();
    }
    let bias = g.node(n).ins.get(2).copied().flatten().and_then(|b| g.constant(b));
    [weight(g, n), bias]
}

/// The layer that computes `v` and nothing else, directly or through `relu`, so that positive factors may go into its weight.
fn producer(g: &Graph, v: ValueId, seen: &[Seen]) -> Option<NodeId> {
    if !g.one_use(v) {
        return None;
    }
    let n = g.def_node(v)?;
    let fits = |act: &Act| matches!(act, Act::None | Act::Relu);
    let ok = match g.op(n) {
        Op::Relu(_) => return producer(g, g.node(n).ins.first().copied().flatten()?, seen),
        Op::Linear(Linear { act }) => fits(act),
        Op::Conv(Conv { act, groups: 1, .. }) => fits(act),
        _ => false,
    };
    // A bias that is computed cannot take the factor.
    let bias = g.node(n).ins.get(2).copied().flatten();
    (ok && seen.iter().any(|s| s.node == n) && bias.is_none_or(|b| g.is_const(b))).then_some(n)
}

fn apply(
    g: &mut Graph,
    weights: HashMap<NodeId, [Option<Tensor>; 2]>,
    multiply: Vec<(NodeId, Vec<f32>)>,
) -> Result<(), Error> {
    let mut nodes: Vec<NodeId> = g.nodes().filter(|n| weights.contains_key(n)).collect();
    nodes.sort();
    for n in nodes {
        let node = g.node(n);
        let mut ins: Vec<Option<ValueId>> = node.ins.iter().copied().collect();
        let out = node.outs[0];
        let mut e = g.edit(n);
        if let Some((_, s)) = multiply.iter().find(|(m, _)| *m == n)
            && let Some(x) = ins[0]
        {
            let rank = g.ty(x).rank();
            let mut shape = vec![1; rank];
            shape[if matches!(node.op, Op::Linear(_)) { rank - 1 } else { 1 }] = s.len();
            let base = g.name_of(x).to_string();
            let s = e.constant(Tensor::f32(&shape, s.clone()), &format!("{base}.equalization_scale"));
            let mul = e.op(Mul { act: Act::None }, [x, s])?;
            e.name(mul, &format!("{base}.equalized"));
            ins[0] = Some(mul);
        }
        for (slot, t) in weights[&n].iter().enumerate() {
            if let (Some(t), Some(Some(old))) = (t, ins.get(slot + 1)) {
                let base = g.name_of(*old).to_string();
                ins[slot + 1] = Some(e.constant(t.clone(), &base));
            }
        }
        let new = e.op(node.op.clone(), ins)?;
        e.replace(out, new);
        let edit = e.finish();
        g.apply(edit)?;
    }
    Ok(())
}
