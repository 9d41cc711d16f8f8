//! n-shadow comparison: several settings for each layer side by side in one model and one run.
//!
//! Each layer of the float model gets, for each mapping, a quantized copy that reads the same float inputs. One
//! calibration serves all copies, each of which has observers of its own, and one run compares them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use quantir_ir::{Diag, Graph, ObserverSpec, Op, Phase, Tensor, ValueId};
use quantir_passes::convert::convert;
use quantir_quant::QConfigMapping;
use serde::Serialize;

use super::extract::{Copier, Observers};
use super::layers::{counterparts, layers};
use super::loggers::Capture;
use super::metrics::{Metric, Sums};
use crate::calibrate::{CalibrateOptions, calibrate};
use crate::data::Dataset;
use crate::error::Error;
use crate::session::{Session, SessionOptions};

/// A float layer and its copy under one mapping.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The layer's name.
    pub layer: String,
    /// Number of the mapping, from 0.
    pub mapping: usize,
    /// Observers of the copy as text: its qconfig.
    pub qconfig: String,
    /// The float layer's result in the common graph.
    float: ValueId,
    /// Name of the output that is the copy's result.
    output: String,
}

/// A model in which each layer runs under several settings (PyTorch `prepare_n_shadows_model`), before calibration.
pub struct NShadows {
    /// The float model with an observed copy of each layer for each mapping; the copies are outputs after the
    /// model's own.
    pub graph: Graph,
    /// The copies.
    pub candidates: Vec<Candidate>,
}

/// Copies each layer of `float` once for each mapping that quantizes it.
///
/// `prepare` puts observers into a copy of the model as one mapping asks; layers that it leaves float have no candidate.
/// Unlike PyTorch's, layers with several inputs that are no constants are copied too. Fails if `prepare` fails.
pub fn prepare_n_shadows_model(
    float: &Graph,
    mappings: &[QConfigMapping],
    prepare: impl Fn(&mut Graph, &QConfigMapping) -> Result<(), Diag>,
) -> Result<NShadows, Diag> {
    let mut graph = float.clone();
    graph.advance(Phase::Observed);
    let mut candidates = Vec::new();
    for (i, mapping) in mappings.iter().enumerate() {
        let mut observed = float.clone();
        prepare(&mut observed, mapping)?;
        // Names do not change while copies are added, but copies bear the same names as what they copy.
        let there = counterparts(&observed, float);
        let by_value: HashMap<ValueId, ValueId> = there.iter().map(|(&o, &f)| (f, o)).collect();
        for l in layers(float) {
            let Some(&value) = by_value.get(&l.value) else { continue };
            let Some(observe) = observed.users(value).find(|&n| matches!(observed.op(n), Op::Observe(_)))
            else {
                continue;
            };
            let prefix = format!("m{i}.{}.", l.name);
            let mut copier = Copier::new(&observed, Observers::Rename(&prefix));
            let target = observed.node(observe).outs[0];
            let copy = copier
                .copy(&mut graph, target, |_, v| if v == value { None } else { there.get(&v).copied() })?;
            let output = format!("{}@{i}", l.name);
            graph.output(&output, copy);
            let qconfig = qconfig(&graph, &prefix);
            candidates.push(Candidate { layer: l.name, mapping: i, qconfig, float: l.value, output });
        }
    }
    Ok(NShadows { graph, candidates })
}

/// The observers of a copy, as text: those of activations in order, then those of weights.
fn qconfig(g: &Graph, prefix: &str) -> String {
    let mine = g.observers.iter().filter_map(|(name, spec)| Some((name.strip_prefix(prefix)?, spec)));
    let text = |(name, s): (&str, &ObserverSpec)| {
        let scheme = if s.symmetric { "symmetric" } else { "affine" };
        let axis = s.axis.map(|a| format!(" axis {a}")).unwrap_or_default();
        format!("{name}: {} {}[{}:{}] {scheme}{axis}", s.kind, s.storage, s.range.0, s.range.1)
    };
    let mut parts: Vec<String> = mine.map(text).collect();
    parts.sort_by_key(|p| p.starts_with('w'));
    parts.join(", ")
}

impl NShadows {
    /// Shows the data to all observers (the float layers run once for all copies), and converts the copies to
    /// quantize and dequantize around float ops.
    pub fn calibrate(
        self,
        data: &Dataset,
        options: &CalibrateOptions<'_>,
    ) -> Result<NShadowsConverted, Error> {
        let graph = Arc::new(self.graph);
        let calibration = calibrate(&graph, data, options)?;
        convert_n_shadows_model(NShadows { graph: Arc::unwrap_or_clone(graph), ..self }, &calibration)
    }
}

/// The same with quantized copies: ready to run.
pub struct NShadowsConverted {
    /// The graph, of phase reference.
    pub graph: Arc<Graph>,
    /// The copies.
    pub candidates: Vec<Candidate>,
    enabled: bool,
    save: bool,
}

/// Replaces the observers of all copies by quantize and dequantize (PyTorch `convert_n_shadows_model`).
pub fn convert_n_shadows_model(
    prepared: NShadows,
    calibration: &quantir_quant::Calibration,
) -> Result<NShadowsConverted, Error> {
    let mut graph = prepared.graph;
    convert(&mut graph, calibration)?;
    Ok(NShadowsConverted {
        graph: Arc::new(graph),
        candidates: prepared.candidates,
        enabled: true,
        save: false,
    })
}

impl NShadowsConverted {
    /// Switches the comparison off or on again (PyTorch `loggers_set_enabled`).
    pub fn loggers_set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }
    /// Whether results keep the tensors (PyTorch `loggers_set_save_activations`).
    pub fn loggers_set_save_activations(&mut self, save: bool) {
        self.save = save;
    }

    /// Runs everything over batches of the model's inputs and compares each copy with its float layer
    /// (PyTorch `extract_results_n_shadows_model`).
    pub fn run(
        &self,
        batches: impl IntoIterator<Item = Result<Vec<Tensor>, Error>>,
        options: &SessionOptions,
    ) -> Result<NShadowsResults, Error> {
        let session = Session::new(self.graph.clone(), options)?;
        let names = session.output_names();
        let index = |c: &Candidate| names.iter().position(|n| *n == c.output);
        let places: Vec<Option<usize>> = self.candidates.iter().map(index).collect();
        let mut sums = vec![Sums::default(); self.candidates.len()];
        let mut kept: Vec<Vec<Tensor>> = vec![Vec::new(); self.candidates.len()];
        for batch in batches {
            let mut seen = Capture::new(self.candidates.iter().map(|c| c.float).filter(|_| self.enabled));
            let outputs = session.run_with_hook(&batch?, &mut seen)?;
            if !self.enabled {
                continue;
            }
            for (k, (c, place)) in self.candidates.iter().zip(&places).enumerate() {
                let Some(place) = *place else { continue };
                sums[k].add(seen.get(&self.graph, c.float)?, &outputs[place])?;
                if self.save {
                    kept[k].push(outputs[place].clone());
                }
            }
        }
        let rows = self.candidates.iter().zip(sums).zip(kept);
        let rows = rows.map(|((c, s), values)| NShadowRow {
            layer: c.layer.clone(),
            mapping: c.mapping,
            qconfig: c.qconfig.clone(),
            sqnr: s.sqnr(),
            normalized_l2: s.normalized_l2(),
            cosine: s.cosine(),
            values,
        });
        Ok(NShadowsResults { rows: rows.collect() })
    }
}

/// One layer under one mapping.
#[derive(Clone, Debug, Serialize)]
pub struct NShadowRow {
    /// The layer.
    pub layer: String,
    /// Number of the mapping.
    pub mapping: usize,
    /// Its observers at this layer.
    pub qconfig: String,
    /// SQNR in dB of the copy's result against the float layer's.
    pub sqnr: f64,
    /// Normalized L2 error.
    pub normalized_l2: f64,
    /// Cosine.
    pub cosine: f64,
    /// The copy's results, if they were to be saved.
    #[serde(skip)]
    pub values: Vec<Tensor>,
}

/// How layers do under several settings.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct NShadowsResults {
    /// A row for each copy, by mapping, then in the model's order.
    pub rows: Vec<NShadowRow>,
}

impl NShadowsResults {
    /// For each layer the number of the mapping with the highest SQNR.
    pub fn best(&self) -> Vec<(&str, usize)> {
        let mut best: indexmap::IndexMap<&str, &NShadowRow> = indexmap::IndexMap::new();
        for r in &self.rows {
            let b = best.entry(&r.layer).or_insert(r);
            if r.sqnr > b.sqnr {
                *b = r;
            }
        }
        best.into_iter().map(|(l, r)| (l, r.mapping)).collect()
    }
}

/// A line for each layer, a column for each mapping (PyTorch `print_comparisons_n_shadows_model`).
impl fmt::Display for NShadowsResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.rows.iter().map(|r| r.mapping + 1).max().unwrap_or(0);
        let header: Vec<String> = std::iter::once("layer".to_string())
            .chain((0..count).map(|i| format!("{} {i}", Metric::Sqnr)))
            .collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut t = crate::table::table(&header);
        let mut lines: indexmap::IndexMap<&str, Vec<String>> = indexmap::IndexMap::new();
        for r in &self.rows {
            let line = lines.entry(&r.layer).or_insert_with(|| vec![String::new(); count]);
            line[r.mapping] = format!("{:.2}", r.sqnr);
        }
        for (layer, cells) in lines {
            t.add_row(std::iter::once(layer.to_string()).chain(cells));
        }
        write!(f, "{t}")
    }
}
