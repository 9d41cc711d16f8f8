//! What would quantize a model better: PyTorch's `ModelReport`.
//!
//! Detectors look at the layers of a float model while data runs through it, and advise: weights per channel, dynamic
//! quantization, equalization; and they name channels with outliers. Nothing is inserted into the model: statistics are a value, so
//! reports can be made again and again, and preparing twice cannot go wrong.
//!
//! PyTorch → here: `ModelReport(model, detectors)` → [`ModelReport::new`]; `prepare_detailed_calibration` and the user's loop →
//! [`ModelReport::calibrate`]; `generate_model_report` → [`Report::findings`]; `generate_qconfig_mapping`,
//! `generate_equalization_mapping` and `generate_filtered_tables` → the same names.

mod detectors;
mod findings;
mod stats;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::interp::Hook;
use quantir_ir::{Graph, Phase, Reason, Tensor, ValueId};
use quantir_quant::{QConfig, QConfigMapping, defaults};
use serde::Serialize;

pub use detectors::{
    Detector, DynamicStaticDetector, InputWeightEqualizationDetector, OutlierDetector, PerChannelDetector,
};
pub use findings::{Feature, Features, Filter, Findings, Table, filtered_tables};
pub use stats::{LayerStats, ValueStats, ranges};

use crate::data::Dataset;
use crate::error::Error;
use crate::session::{Session, SessionOptions, fill, fixed_batch};

/// A float model and the detectors that are to look at it.
pub struct ModelReport {
    graph: Arc<Graph>,
    detectors: Vec<Detector>,
}

impl ModelReport {
    /// Fails if the model is not float, or if there is no detector or one of a kind twice.
    pub fn new(graph: Arc<Graph>, detectors: Vec<Detector>) -> Result<ModelReport, Error> {
        if graph.phase() != Phase::Float {
            return Err(Error::Usage(
                format!("the model is of phase {}, a report needs the float model", graph.phase()),
                "give the model that is to be quantized".into(),
            ));
        }
        if detectors.is_empty() {
            return Err(Error::Usage("a report needs a detector".into(), "take `Detector::all()`".into()));
        }
        for (i, d) in detectors.iter().enumerate() {
            if detectors[..i].iter().any(|e| e.name() == d.name()) {
                return Err(Error::Usage(
                    format!("the report has two detectors `{}`", d.name()),
                    "make a report for each".into(),
                ));
            }
        }
        Ok(ModelReport { graph, detectors })
    }

    /// Runs the model over the data, and lets the detectors judge.
    ///
    /// Samples run in batches of `batch`, or as many as the model fixes; statistics of batches depend on it. `progress` is told
    /// the number of samples done.
    pub fn calibrate(
        &self,
        data: &Dataset,
        batch: usize,
        options: &SessionOptions,
        progress: Option<&dyn Fn(usize)>,
    ) -> Result<Report, Error> {
        let fixed = fixed_batch(&self.graph);
        let batch = fixed.unwrap_or(batch).max(1);
        let batches = (0..data.len()).step_by(batch).map(|at| {
            let count = batch.min(data.len() - at);
            let mut samples = data.batch(at, count)?;
            if fixed.is_some() {
                samples = fill(samples, batch)?;
            }
            if let Some(p) = progress {
                p(at + count);
            }
            Ok(samples)
        });
        self.calibrate_batches(batches, options)
    }

    /// As [`ModelReport::calibrate`], over batches of the model's inputs.
    pub fn calibrate_batches(
        &self,
        batches: impl IntoIterator<Item = Result<Vec<Tensor>, Error>>,
        options: &SessionOptions,
    ) -> Result<Report, Error> {
        let session = Session::new(self.graph.clone(), options)?;
        let outlier = self.detectors.iter().find_map(|d| match d {
            Detector::Outlier(o) => Some(o),
            _ => None,
        });
        let percentile = outlier.map_or(0.975, |o| o.percentile());
        let layers = stats::layers_of(&self.graph, percentile, outlier.and_then(|o| o.axis()));
        if layers.is_empty() {
            return Err(Error::Usage(
                "the model has no convolution or linear layer with a constant weight".into(),
                "there is nothing to report on".into(),
            ));
        }
        let mut watch = Watch { layers, error: None };
        let mut count = 0;
        for batch in batches {
            session.run_with_hook(&batch?, &mut watch)?;
            if let Some(r) = watch.error.take() {
                return Err(r.into());
            }
            count += 1;
        }
        if count == 0 {
            return Err(Error::Usage("a report needs data".into(), "give at least one batch".into()));
        }
        let layers: Vec<LayerStats> = watch.layers.into_iter().map(|(l, _, _)| l).collect();
        let findings = self.detectors.iter().map(|d| judge(d, &layers)).collect::<Result<_, Reason>>()?;
        Ok(Report { layers, findings })
    }
}

/// Shows inputs and results of layers to their statistics.
struct Watch {
    layers: Vec<(LayerStats, ValueId, ValueId)>,
    error: Option<Reason>,
}

impl Hook for Watch {
    fn wants(&mut self, _g: &Graph, v: ValueId) -> bool {
        self.layers.iter().any(|(_, x, y)| *x == v || *y == v)
    }
    fn value(&mut self, g: &Graph, v: ValueId, t: &Tensor) {
        for (l, x, y) in &mut self.layers {
            for stats in
                [(*x == v).then_some(&mut l.input), (*y == v).then_some(&mut l.output)].into_iter().flatten()
            {
                if let Err(r) = stats.see(t) {
                    let message = format!("layer `{}`, `%{}`: {}", l.fqn, g.name_of(v), r.message);
                    self.error.get_or_insert(Reason::new(message));
                }
            }
        }
    }
}

fn judge(d: &Detector, layers: &[LayerStats]) -> Result<Findings, Reason> {
    let mut f = Findings { detector: d.name(), layers: IndexMap::new(), advice: Vec::new() };
    for l in layers {
        if let Some((features, advice)) = d.inspect(l)? {
            f.advice.extend(advice.map(|a| format!("{}: {a}", l.fqn)));
            f.layers.insert(l.fqn.clone(), features);
        }
    }
    Ok(f)
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Statistics of each layer.
    #[serde(skip)]
    pub layers: Vec<LayerStats>,
    /// What each detector found.
    pub findings: Vec<Findings>,
}

impl Report {
    /// A rule for each layer that has a module path: dynamic where that is recommended and supported, weights per channel where the
    /// back end has them; static otherwise. Without the detectors in question: static, per tensor.
    pub fn generate_qconfig_mapping(&self) -> QConfigMapping {
        let flag = |layer: &str, feature: &str| {
            let mut all = self.findings.iter().filter_map(|f| f.layers.get(layer)?.get(feature));
            all.any(|x| *x == Feature::Flag(true))
        };
        let mut mapping = QConfigMapping::new();
        for l in &self.layers {
            let dynamic = flag(&l.fqn, "dynamic_recommended") && flag(&l.fqn, "dynamic_supported");
            let per_channel = flag(&l.fqn, "per_channel_quantization_recommended");
            let activation = match dynamic {
                true => defaults::default_dynamic_quant_observer(),
                false => defaults::default_observer(),
            };
            let weight = match per_channel {
                true => defaults::default_per_channel_weight_observer(),
                false => defaults::default_weight_observer(),
            };
            mapping.set_module_name(&l.fqn, Some(QConfig { activation, weight }));
        }
        mapping
    }

    /// The layers for which equalization is recommended on most channels: the keys of PyTorch's equalization mapping.
    pub fn generate_equalization_mapping(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (layer, features) in self.findings.iter().flat_map(|f| &f.layers) {
            if let Some(Feature::Flags(x)) = features.get("input_weight_equalization_recommended")
                && x.iter().filter(|x| **x).count() * 2 > x.len()
            {
                all.push(layer.clone());
            }
        }
        all
    }

    /// Features of whole tensors, and features of channels.
    pub fn generate_filtered_tables(&self, filter: Filter<'_>) -> (Table, Table) {
        filtered_tables(&self.findings, filter)
    }
}

/// Advice by detector.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: HashMap<&str, ()> = self.layers.iter().map(|l| (l.fqn.as_str(), ())).collect();
        write!(f, "{} layers", layers.len())?;
        for d in &self.findings {
            write!(f, "\n\n{}", d.detector)?;
            if d.advice.is_empty() {
                write!(f, "\n  nothing to do")?;
            }
            for a in &d.advice {
                write!(f, "\n  {a}")?;
            }
        }
        Ok(())
    }
}
