//! Figures of all layers over a data set, in memory that does not grow with it.

use std::fmt;
use std::sync::Arc;

use quantir_ir::{Graph, Reason, Tensor};
use serde::Serialize;

use super::layers::{Pair, align, layers};
use super::loggers::Capture;
use super::metrics::{Sums, kl, sqnr};
use super::shadow::{ShadowLayers, Shadows, add_shadow_loggers};
use super::weights::weight;
use crate::data::Dataset;
use crate::error::Error;
use crate::session::{Session, SessionOptions, fill, fixed_batch};

/// How layers are compared.
#[derive(Clone, Default)]
pub struct CompareOptions<'a> {
    /// What runs the models.
    pub session: SessionOptions,
    /// Whether each layer is also computed in float from the quantized model's inputs.
    pub shadow: bool,
    /// Is told the number of samples done.
    pub progress: Option<&'a dyn Fn(usize)>,
}

/// How near a layer's result is to the float one over all samples.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// `20·log10(‖x‖ / ‖x − y‖)` in dB; `null` in JSON if it is infinite, which means equal.
    pub sqnr: f64,
    /// `sqrt(Σ(x − y)² / Σx²)`.
    pub normalized_l2: f64,
    /// Cosine of all results as one vector.
    pub cosine: f64,
    /// Mean over batches of the divergence of the values' histograms, in nats.
    pub kl: f64,
    /// Largest difference.
    pub max_abs: f64,
}

/// A layer of the comparison.
#[derive(Clone, Debug, Serialize)]
pub struct LayerFigures {
    /// The layer's name in the float model.
    pub layer: String,
    /// The quantized model's op.
    pub op: String,
    /// Its module; empty at top level.
    pub module: String,
    /// Elements of its result in the quantized model: `u8`, `f32`, …
    pub elements: String,
    /// With the errors of all layers before.
    pub total: Figures,
    /// The layer's own error, if shadows were asked for.
    pub own: Option<Figures>,
    /// SQNR of its weight in dB, if it has one.
    pub weight_sqnr: Option<f64>,
}

/// Layers of a float and a quantized model compared, the worst one first.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Number of samples.
    pub samples: usize,
    /// The layers by SQNR (of their own error if shadows were asked for, else in total).
    pub layers: Vec<LayerFigures>,
    /// Layers of the quantized model that the float one does not have under the same name.
    pub unmatched: Vec<String>,
}

#[derive(Default)]
struct Acc {
    sums: Sums,
    kl: f64,
    batches: f64,
}

impl Acc {
    fn add(&mut self, x: &Tensor, y: &Tensor) -> Result<(), Reason> {
        self.sums.add(x, y)?;
        self.kl += kl(x, y)?;
        self.batches += 1.0;
        Ok(())
    }
    fn figures(&self) -> Figures {
        let s = &self.sums;
        let equal = s.noise == 0.0;
        Figures {
            sqnr: if equal { f64::INFINITY } else { s.sqnr() },
            normalized_l2: if equal { 0.0 } else { s.normalized_l2() },
            cosine: if equal { 1.0 } else { s.cosine() },
            kl: self.kl / self.batches.max(1.0),
            max_abs: s.max_abs,
        }
    }
}

/// Runs two forms of a model over the data and compares their layers.
///
/// Fails if they have no layer in common, or if the data does not fit.
pub fn compare_layers(
    float: &Arc<Graph>,
    quantized: &Arc<Graph>,
    data: &Dataset,
    options: &CompareOptions<'_>,
) -> Result<LayerReport, Error> {
    let pairs = align(float, quantized);
    if pairs.is_empty() {
        return Err(Error::Usage(
            "the two models have no layer of the same name".into(),
            "compare a model with one that was quantized from it".into(),
        ));
    }
    let a = Session::new(float.clone(), &options.session)?;
    let b = Session::new(quantized.clone(), &options.session)?;
    let shadows = if options.shadow {
        let (f, q) = (float.clone(), quantized.clone());
        Some(add_shadow_loggers("float", f, "quantized", q, ShadowLayers::All, &options.session)?)
    } else {
        None
    };
    let mut total: Vec<Acc> = pairs.iter().map(|_| Acc::default()).collect();
    let mut own: Vec<Acc> = shadows.iter().flat_map(|s| s.layers()).map(|_| Acc::default()).collect();
    let batch = fixed_batch(float).or_else(|| fixed_batch(quantized)).unwrap_or(8).max(1);
    let fixed = fixed_batch(float).is_some() || fixed_batch(quantized).is_some();
    let mut at = 0;
    while at < data.len() {
        let count = batch.min(data.len() - at);
        let mut inputs = data.batch(at, count)?;
        if fixed {
            inputs = fill(inputs, batch)?;
        }
        let mut seen_a = Capture::new(pairs.iter().map(|p| p.a.shown));
        let mut seen_b = Capture::new(pairs.iter().map(|p| p.b.shown));
        a.run_with_hook(&inputs, &mut seen_a)?;
        b.run_with_hook(&inputs, &mut seen_b)?;
        for (pair, acc) in pairs.iter().zip(&mut total) {
            add(acc, pair, seen_a.get(float, pair.a.shown)?, seen_b.get(quantized, pair.b.shown)?)?;
        }
        if let Some(s) = &shadows {
            for ((pair, (x, y)), acc) in s.layers().iter().zip(s.compute(&inputs)?.1).zip(&mut own) {
                add(acc, pair, &x, &y)?;
            }
        }
        at += count;
        if let Some(progress) = options.progress {
            progress(at);
        }
    }
    Ok(report(float, quantized, &pairs, &total, shadows.as_ref(), &own, data.len()))
}

fn add(acc: &mut Acc, pair: &Pair, x: &Tensor, y: &Tensor) -> Result<(), Error> {
    acc.add(x, y).map_err(|r| Error::from(r.diag("compare").note(format!("at layer `{}`", pair.a.name))))
}

fn report(
    float: &Graph,
    quantized: &Graph,
    pairs: &[Pair],
    total: &[Acc],
    shadows: Option<&Shadows>,
    own: &[Acc],
    samples: usize,
) -> LayerReport {
    let own_of = |pair: &Pair| {
        let i = shadows?.layers().iter().position(|p| p.b.value == pair.b.value)?;
        Some(own[i].figures())
    };
    let mut rows: Vec<LayerFigures> = pairs
        .iter()
        .zip(total)
        .map(|(pair, acc)| {
            let node = quantized.node(pair.b.node);
            let weights = weight(float, pair.a.node).zip(weight(quantized, pair.b.node));
            LayerFigures {
                layer: pair.a.name.clone(),
                op: node.op.name().into(),
                module: node.loc.path.as_deref().unwrap_or_default().into(),
                elements: quantized.elem(pair.b.shown).storage().to_string(),
                total: acc.figures(),
                own: own_of(pair),
                weight_sqnr: weights.and_then(|(x, y)| sqnr(&x, &y).ok()),
            }
        })
        .collect();
    let key = |r: &LayerFigures| {
        let s = r.own.as_ref().map_or(r.total.sqnr, |f| f.sqnr);
        if s.is_nan() { f64::INFINITY } else { s }
    };
    rows.sort_by(|x, y| key(x).total_cmp(&key(y)));
    let matched = |v| pairs.iter().any(|p| p.b.value == v);
    let unmatched = layers(quantized).into_iter().filter(|l| !matched(l.value)).map(|l| l.name).collect();
    LayerReport { samples, layers: rows, unmatched }
}

/// A number of dB with one decimal; what is equal says so.
fn db(x: f64) -> String {
    if x == f64::INFINITY { "equal".into() } else { format!("{x:.1}") }
}

/// A table, the worst layer first.
impl fmt::Display for LayerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shadow = self.layers.iter().any(|l| l.own.is_some());
        let mut header = vec!["layer", "module", "op", "elements"];
        if shadow {
            header.push("own SQNR dB");
        }
        header.extend(["SQNR dB", "L2 error", "cosine", "KL", "weight SQNR dB"]);
        let mut t = crate::table::table(&header);
        for l in &self.layers {
            let mut row = vec![l.layer.clone(), l.module.clone(), l.op.clone(), l.elements.clone()];
            if shadow {
                row.push(l.own.as_ref().map(|o| db(o.sqnr)).unwrap_or_default());
            }
            let n = &l.total;
            row.extend([
                db(n.sqnr),
                format!("{:.5}", n.normalized_l2),
                format!("{:.6}", n.cosine),
                format!("{:.4}", n.kl),
                l.weight_sqnr.map(db).unwrap_or_default(),
            ]);
            t.add_row(row);
        }
        writeln!(f, "{t}")?;
        write!(f, "{} layers over {} samples", self.layers.len(), self.samples)?;
        if !self.unmatched.is_empty() {
            let names = self.unmatched.join(", ");
            write!(f, "; {} layers have no counterpart in the float model: {names}", self.unmatched.len())?;
        }
        Ok(())
    }
}
