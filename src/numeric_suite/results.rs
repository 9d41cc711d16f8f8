//! Results of comparing two models, in the shape of PyTorch's Numeric Suite: layer → kind of result → model → entries.

use std::fmt;

use indexmap::IndexMap;
use quantir_ir::{Diag, Tensor};
use serde::{Serialize, Serializer};

use super::metrics::Metric;

/// Which tensor of a layer an entry holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultKind {
    /// The weight.
    Weight,
    /// The result.
    NodeOutput,
}

impl ResultKind {
    /// PyTorch's word for it.
    pub fn word(self) -> &'static str {
        match self {
            ResultKind::Weight => "weight",
            ResultKind::NodeOutput => "node_output",
        }
    }
}

/// What one model has at one layer.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Kind of the tensors.
    #[serde(rename = "type")]
    pub kind: ResultKind,
    /// The tensors: one weight, or one result for each run. In JSON only their types appear.
    #[serde(serialize_with = "types")]
    pub values: Vec<Tensor>,
    /// The layer's name in this model.
    pub ref_node_name: String,
    /// What computes it: the op's name.
    pub prev_node_target_type: String,
    /// Path of the module; empty at top level.
    pub fqn: String,
    /// Figures against the first model's values by the name they were added under: one for each value.
    pub comparisons: IndexMap<String, Vec<f64>>,
}

fn types<S: Serializer>(values: &[Tensor], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(values.iter().map(|t| t.ty().to_string()))
}

/// Results by layer, in the order of the first model.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Results {
    /// Layer → kind → model → entries.
    pub layers: IndexMap<String, IndexMap<ResultKind, IndexMap<String, Vec<Entry>>>>,
}

impl Results {
    pub(super) fn push(&mut self, layer: &str, model: &str, entry: Entry) {
        let kinds = self.layers.entry(layer.into()).or_default();
        kinds.entry(entry.kind).or_default().entry(model.into()).or_default().push(entry);
    }

    /// The first entry of a model at a layer.
    pub fn get(&self, layer: &str, kind: ResultKind, model: &str) -> Option<&Entry> {
        self.layers.get(layer)?.get(&kind)?.get(model)?.first()
    }
}

/// Adds the figure `metric` of `model_2` against `model_1` to all entries of `model_2`, under `name`
/// (PyTorch `extend_logger_results_with_comparison`).
///
/// Fails if a layer has another number of values in the two models, or values of different shapes.
pub fn extend_logger_results_with_comparison(
    results: &mut Results,
    model_1: &str,
    model_2: &str,
    metric: Metric,
    name: &str,
) -> Result<(), Diag> {
    for (layer, kinds) in &mut results.layers {
        for models in kinds.values_mut() {
            let reference = models.get(model_1).cloned().unwrap_or_default();
            let Some(entries) = models.get_mut(model_2) else { continue };
            for (r, e) in reference.iter().zip(entries) {
                let refuse = |why: String| Diag::error("compare", format!("layer `{layer}`: {why}"));
                if r.values.len() != e.values.len() {
                    return Err(refuse(format!(
                        "{} values in `{model_1}`, {} in `{model_2}`",
                        r.values.len(),
                        e.values.len()
                    ))
                    .help("run both models on the same data"));
                }
                let figures = r.values.iter().zip(&e.values).map(|(x, y)| metric.of(x, y));
                let figures: Result<Vec<f64>, _> = figures.collect();
                e.comparisons.insert(name.into(), figures.map_err(|r| refuse(r.message))?);
            }
        }
    }
    Ok(())
}

/// A line for each entry with comparisons.
impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (layer, kinds) in &self.layers {
            for (kind, models) in kinds {
                for (model, entries) in models {
                    for e in entries {
                        write!(f, "{layer} {} {model} {}", kind.word(), e.prev_node_target_type)?;
                        for (name, figures) in &e.comparisons {
                            let figures: Vec<String> = figures.iter().map(|x| format!("{x:.6}")).collect();
                            write!(f, " {name} {}", figures.join(" "))?;
                        }
                        writeln!(f)?;
                    }
                }
            }
        }
        Ok(())
    }
}
