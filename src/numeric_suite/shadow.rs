//! Shadow models: each float layer computed from the quantized model's inputs of that layer.
//!
//! What a layer loses by itself then shows apart from what it inherits from the layers before it.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::{Diag, Graph, Phase, Tensor, ValueId};

use super::extract::{Copier, Observers, empty_like};
use super::layers::{Pair, align, counterparts, shown};
use super::loggers::Capture;
use super::results::{ResultKind, Results};
use super::weights::entry;
use crate::error::Error;
use crate::session::{Session, SessionOptions};

/// Float copies of layers that read what a quantized model computed.
///
/// It is a graph like any other: its inputs are those of the model, then the values taken from the quantized one; each
/// layer is an output.
pub struct ShadowGraph {
    /// The graph.
    pub graph: Graph,
    /// The layers in the order of the outputs.
    pub pairs: Vec<Pair>,
    /// The quantized model's values that the further inputs take, in order.
    pub feeds: Vec<ValueId>,
}

/// Which layers are shadowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ShadowLayers {
    /// Those with one input that is no constant, as in PyTorch, which leaves out additions, products and joins of two values.
    #[default]
    OneInput,
    /// All.
    All,
}

impl ShadowGraph {
    /// The shadows of the layers that `a` (float or observed) and `b` have in common.
    pub fn new(a: &Graph, b: &Graph, layers: ShadowLayers) -> Result<ShadowGraph, Diag> {
        let phase = if a.phase() == Phase::Observed { Phase::Float } else { a.phase() };
        let (mut graph, _) = empty_like(a, "shadow", phase);
        let there = counterparts(a, b);
        let mut copier = Copier::new(a, Observers::Drop);
        let mut inputs: HashMap<ValueId, ValueId> = HashMap::new();
        let mut out = (Vec::new(), Vec::new());
        for pair in align(a, b) {
            if layers == ShadowLayers::OneInput && activations(b, &pair) > 1 {
                continue;
            }
            let raw = &b.node(pair.b.node).ins;
            let feeds = &mut out.1;
            let copy = copier.copy(&mut graph, pair.a.value, |graph, v| {
                let found = *there.get(&v)?;
                // Where the layer stayed float and reads the float value, so does its shadow.
                let feed = if raw.contains(&Some(found)) { found } else { shown(b, found) };
                Some(*inputs.entry(feed).or_insert_with(|| {
                    feeds.push(feed);
                    graph.input(&format!("{}.b", a.name_of(v)), a.ty(v).clone())
                }))
            })?;
            graph.output(&pair.a.name, copy);
            out.0.push(pair);
        }
        Ok(ShadowGraph { graph, pairs: out.0, feeds: out.1 })
    }
}

/// Number of operands of a layer that are computed from the inputs.
fn activations(g: &Graph, pair: &Pair) -> usize {
    let ins = g.node(pair.b.node).ins.iter().flatten();
    ins.filter(|&&v| super::weights::constant(g, v).is_none()).count()
}

/// A quantized model with a shadow of each layer.
pub struct Shadows {
    names: (String, String),
    a: Arc<Graph>,
    b: Session,
    shadow: Session,
    pairs: Vec<Pair>,
    feeds: Vec<ValueId>,
    values: Vec<(Vec<Tensor>, Vec<Tensor>)>,
}

/// Prepares `b` with float copies of the layers of `a` that read its values (PyTorch `add_shadow_loggers`).
pub fn add_shadow_loggers(
    name_a: &str,
    a: Arc<Graph>,
    name_b: &str,
    b: Arc<Graph>,
    layers: ShadowLayers,
    options: &SessionOptions,
) -> Result<Shadows, Error> {
    let ShadowGraph { graph, pairs, feeds } = ShadowGraph::new(&a, &b, layers)?;
    let values = vec![Default::default(); pairs.len()];
    let (b, shadow) = (Session::new(b, options)?, Session::new(Arc::new(graph), options)?);
    Ok(Shadows { names: (name_a.into(), name_b.into()), a, b, shadow, pairs, feeds, values })
}

impl Shadows {
    /// The graph of float copies.
    pub fn graph(&self) -> &Graph {
        self.shadow.graph()
    }

    /// Runs the quantized model and the shadows, and logs both; returns the quantized model's outputs.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let (outputs, layers) = self.compute(inputs)?;
        for ((x, y), (into_x, into_y)) in layers.into_iter().zip(&mut self.values) {
            into_x.push(x);
            into_y.push(y);
        }
        Ok(outputs)
    }

    /// The quantized model's outputs, and for each layer the shadow's result and the model's.
    pub(crate) fn compute(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<(Tensor, Tensor)>), Error> {
        let wanted = self.feeds.iter().copied().chain(self.pairs.iter().map(|p| p.b.shown));
        let mut seen = Capture::new(wanted);
        let outputs = self.b.run_with_hook(inputs, &mut seen)?;
        let mut given = inputs.to_vec();
        for &v in &self.feeds {
            let t = seen.get(self.b.graph(), v)?;
            given.push(if t.quant().is_some() { t.dequantize()? } else { t.clone() });
        }
        let shadows = self.shadow.run_exactly(&given)?;
        let layers = self
            .pairs
            .iter()
            .zip(shadows)
            .map(|(pair, x)| Ok((x, seen.get(self.b.graph(), pair.b.shown)?.clone())));
        Ok((outputs, layers.collect::<Result<_, Error>>()?))
    }

    /// The layers that have a shadow.
    pub fn layers(&self) -> &[Pair] {
        &self.pairs
    }
}

/// What was logged, by layer (PyTorch `extract_shadow_logger_info`).
pub fn extract_shadow_logger_info(shadows: &Shadows) -> Results {
    let mut results = Results::default();
    for (pair, (x, y)) in shadows.pairs.iter().zip(&shadows.values) {
        let a = entry(&shadows.a, &pair.a, ResultKind::NodeOutput, x.clone());
        let b = entry(shadows.b.graph(), &pair.b, ResultKind::NodeOutput, y.clone());
        results.push(&pair.a.name, &shadows.names.0, a);
        results.push(&pair.a.name, &shadows.names.1, b);
    }
    results
}
