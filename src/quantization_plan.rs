//! What quantization will do to a model, op by op and tensor by tensor, before any data is seen.

use std::collections::HashMap;

use indexmap::IndexMap;
use quantir_ir::graph::Name;
use quantir_ir::ops::{Observe, Op};
use quantir_ir::{Diag, Graph, NodeId, ValueId};
use quantir_passes::fx::{PrepareCustomConfig, fuse_fx, prepare_fx, resolve_fx};
use quantir_passes::prepare::{PrepareReport, prepare, resolve};
use quantir_quant::{BackendConfig, KernelSupport, QConfigMapping, Resolution};
use serde::Serialize;

use crate::Error;

/// By whose rules observers are placed.
#[derive(Clone, Copy, Debug)]
pub enum Rules<'a> {
    /// Those of this project, for what the kernels of its runtime accept; the graph is fused already.
    Native(&'a KernelSupport),
    /// Those of PyTorch's FX graph mode, with one of its back ends; the graph is not fused yet.
    Fx(&'a BackendConfig),
}

/// The resolved plan.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct QuantizationPlan {
    /// Every op but constants, in order.
    pub ops: Vec<PlannedOp>,
    /// Every tensor that is observed, in order.
    pub tensors: Vec<PlannedTensor>,
    /// Rules that nothing in the model answers to.
    pub warnings: Vec<String>,
}

/// One op.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PlannedOp {
    /// Its name in the text.
    pub op: String,
    /// What the model's author called, if known.
    pub call: Option<String>,
    /// Its first result, without `%`.
    pub value: String,
    /// Its module; empty at top level.
    pub module: String,
    /// The rule that decided about it.
    pub rule: Option<String>,
    /// The qconfig that the rule gives: its name if it has one, else its observers.
    pub qconfig: Option<String>,
    /// Whether it will be quantized.
    pub quantized: bool,
    /// Why it stays float.
    pub reason: Option<String>,
    /// For each operand the observer it is read from, without `$`.
    pub inputs: Vec<Option<String>>,
    /// For each result the observer that sees it.
    pub outputs: Vec<Option<String>>,
}

/// One observed tensor.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PlannedTensor {
    /// The value, without `%`.
    pub value: String,
    /// The observer, without `$`; tensors that share one name the same.
    pub observer: String,
    /// Its declaration.
    pub declaration: String,
    /// Whether the tensor is a constant, such as a weight.
    pub constant: bool,
    /// How many other tensors the observer sees.
    pub shared_with: usize,
}

/// What `rules` will do to `graph`, a float graph that stays as it is.
///
/// # Errors
/// As preparing fails: a qconfig that makes no sense, or rules that contradict each other.
pub fn plan(graph: &Graph, mapping: &QConfigMapping, rules: Rules) -> Result<QuantizationPlan, Error> {
    let mut g = graph.clone();
    let (resolved, report) = match rules {
        Rules::Native(support) => {
            let resolved = by_name(&g, resolve(&g, mapping));
            (resolved, prepare(&mut g, mapping, support)?)
        }
        Rules::Fx(backend) => {
            fuse_fx(&mut g, backend)?;
            let resolved = by_name(&g, resolve_fx(&g, mapping, backend)?);
            (resolved, prepare_fx(&mut g, mapping, backend, &PrepareCustomConfig::default())?)
        }
    };
    Ok(read(&g, resolved, &report))
}

/// Resolutions by the name of the node's first result, which preparing keeps.
fn by_name(g: &Graph, resolved: Vec<(NodeId, Resolution)>) -> HashMap<Name, Resolution> {
    let name = |n: NodeId| g.node(n).outs.first().map(|&v| g.name_of(v).clone());
    resolved.into_iter().filter_map(|(n, r)| Some((name(n)?, r))).collect()
}

fn read(g: &Graph, resolved: HashMap<Name, Resolution>, report: &PrepareReport) -> QuantizationPlan {
    let float: HashMap<&Name, &str> = report.float.iter().map(|f| (&f.name, f.reason.as_str())).collect();
    let observed =
        |v: ValueId| g.def_node(v).and_then(|n| g.get::<Observe>(n)).map(|o| o.op.by.0.to_string());
    let mut by: IndexMap<ValueId, String> = IndexMap::new();
    let mut tensors = Vec::new();
    let mut count: HashMap<Name, usize> = HashMap::new();
    for n in g.nodes() {
        let Some(o) = g.get::<Observe>(n) else { continue };
        by.entry(o.x).or_insert_with(|| o.op.by.0.to_string());
        *count.entry(o.op.by.0.clone()).or_default() += 1;
        let declaration = g.observers.get(&o.op.by.0).map(|s| s.to_string()).unwrap_or_default();
        tensors.push(PlannedTensor {
            value: g.name_of(o.x).to_string(),
            observer: o.op.by.0.to_string(),
            declaration,
            constant: g.is_const(o.x),
            shared_with: 0,
        });
    }
    for t in &mut tensors {
        t.shared_with = count.get(t.observer.as_str()).map_or(0, |n| n - 1);
    }
    let mut ops = Vec::new();
    for n in g.nodes().filter(|&n| !matches!(g.op(n), Op::Const(_) | Op::Observe(_))) {
        let node = g.node(n);
        let Some(&first) = node.outs.first() else { continue };
        let name = g.name_of(first);
        let found = resolved.get(name);
        let reason = float.get(name).map(|r| r.to_string());
        let outputs: Vec<Option<String>> = node.outs.iter().map(|v| by.get(v).cloned()).collect();
        let inputs: Vec<Option<String>> = node.ins.iter().map(|v| v.and_then(observed)).collect();
        let touched = outputs.iter().chain(&inputs).any(Option::is_some);
        let qconfig = found.and_then(|r| r.qconfig.as_ref());
        ops.push(PlannedOp {
            op: node.op.name().into(),
            call: node.loc.call.as_deref().map(str::to_owned),
            value: name.to_string(),
            module: node.loc.path.as_deref().unwrap_or("").into(),
            rule: found.and_then(|r| r.rule.as_ref()).map(ToString::to_string),
            qconfig: qconfig.map(|q| q.name().map_or_else(|| q.to_string(), str::to_owned)),
            quantized: reason.is_none() && touched,
            reason,
            inputs,
            outputs,
        });
    }
    let warnings = report.warnings.iter().map(Diag::to_string).collect();
    QuantizationPlan { ops, tensors, warnings }
}
