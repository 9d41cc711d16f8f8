//! Layers: the places where two forms of one model are compared, aligned by value name.
//!
//! A value keeps its name through all passes, and helpers add a suffix (`%relu`, `%relu.o`, `%relu.q`, `%relu.dq`), so what is
//! left after the suffix aligns a float model with any quantized form of it. Names that stand for several values align in
//! order, if both models have equally many of them.

use std::collections::HashMap;

use indexmap::IndexMap;
use quantir_ir::{Graph, NodeId, Op, ValueId};

/// One layer of a graph: a node that computes something, and its result.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The name that the layer has in results: that of PyTorch's graph mode where the node knows what was called (module path with
    /// `_` for `.`, or the function's name), else the value's name.
    pub name: String,
    /// The value's name without suffixes of helpers, which aligns layers of two models.
    pub key: String,
    /// The node that computes the layer.
    pub node: NodeId,
    /// Its first result.
    pub value: ValueId,
    /// The value that stands for the result in this form of the model: the integers if it was quantized.
    pub shown: ValueId,
}

/// The same layer in two models.
#[derive(Clone, Debug)]
pub struct Pair {
    /// In the first model, whose names results have.
    pub a: Layer,
    /// In the second.
    pub b: Layer,
}

/// Ops that move values or change their form, which are no layers of their own.
const NO_LAYERS: &[&str] = &[
    "const",
    "observe",
    "quantize",
    "dequantize",
    "requantize",
    "identity",
    "dropout",
    "reshape",
    "reshape_to",
    "transpose",
    "slice",
    "split",
    "expand",
    "gather",
    "pad",
    "shape",
    "cast",
    "repeat",
    "flip",
    "roll",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
];

/// Whether results of this op are compared.
pub(crate) fn is_layer(op: &Op) -> bool {
    !NO_LAYERS.contains(&op.name()) && !op.name().starts_with("fake_quant")
}

/// The name without suffixes that `prepare` and `convert` give to helpers.
pub fn key_of(name: &str) -> &str {
    let mut rest = name;
    while let Some(s) = [".o", ".q", ".dq"].iter().find_map(|s| rest.strip_suffix(s)) {
        rest = s;
    }
    rest
}

/// The layers of a graph, in order.
pub fn layers(g: &Graph) -> Vec<Layer> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut all = Vec::new();
    for n in g.nodes() {
        let node = g.node(n);
        let Some(&value) = node.outs.first().filter(|_| is_layer(&node.op)) else { continue };
        let base = layer_name(g, n);
        let count = used.entry(base.clone()).or_default();
        let name = if *count == 0 { base } else { format!("{base}_{count}") };
        *count += 1;
        let key = key_of(g.name_of(value)).to_string();
        all.push(Layer { name, key, node: n, value, shown: shown(g, value) });
    }
    all
}

/// The name of PyTorch's graph mode for the call that node `n` comes from; the value's name if that is not known.
fn layer_name(g: &Graph, n: NodeId) -> String {
    let node = g.node(n);
    let value = key_of(g.name_of(node.outs[0]));
    match node.loc.call.as_deref() {
        Some(call) if call.starts_with("nn.") => match node.loc.path.as_deref() {
            Some(path) => path.replace('.', "_"),
            None => value.replace('.', "_"),
        },
        Some(call) => call.rsplit('.').next().unwrap_or(value).to_string(),
        None => value.to_string(),
    }
}

/// The value that stands for `v` after conversion: its quantized form if it has one.
pub(crate) fn shown(g: &Graph, v: ValueId) -> ValueId {
    if g.elem(v).quant().is_some() {
        return v;
    }
    let quantized = g.users(v).find(|&n| matches!(g.op(n), Op::Quantize(_)));
    quantized.map_or(v, |n| g.node(n).outs[0])
}

/// The layers that both models have, in the order of `a`.
pub fn align(a: &Graph, b: &Graph) -> Vec<Pair> {
    let by_key = |all: Vec<Layer>| {
        let mut map: IndexMap<String, Vec<Layer>> = IndexMap::new();
        for l in all {
            map.entry(l.key.clone()).or_default().push(l);
        }
        map
    };
    let mut others = by_key(layers(b));
    let mut counts: HashMap<String, usize> = HashMap::new();
    let all = layers(a);
    for l in &all {
        *counts.entry(l.key.clone()).or_default() += 1;
    }
    others.retain(|key, found| counts.get(key) == Some(&found.len()));
    others.values_mut().for_each(|found| found.reverse());
    all.into_iter()
        .filter_map(|a| {
            let b = others.get_mut(&a.key)?.pop()?;
            Some(Pair { a, b })
        })
        .collect()
}

/// For each value of `of` that is float or stands for one: the value with the same name in `g`. Names that stand for several values
/// align in order, if there are equally many.
pub(crate) fn counterparts(of: &Graph, g: &Graph) -> HashMap<ValueId, ValueId> {
    let named = |g: &Graph| {
        let mut map: IndexMap<String, Vec<ValueId>> = IndexMap::new();
        let nodes = g.nodes().filter(|&n| {
            !matches!(g.op(n), Op::Const(_) | Op::Observe(_) | Op::Quantize(_) | Op::Dequantize(_))
        });
        let values = nodes.flat_map(|n| g.node(n).outs.iter().copied());
        for v in g.inputs().iter().copied().chain(values) {
            map.entry(key_of(g.name_of(v)).into()).or_default().push(v);
        }
        map
    };
    let there = named(g);
    let mut map = HashMap::new();
    for (key, values) in named(of) {
        if let Some(found) = there.get(&key).filter(|f| f.len() == values.len()) {
            map.extend(values.into_iter().zip(found.iter().copied()));
        }
    }
    map
}
