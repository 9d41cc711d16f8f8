//! Loggers: the results of all layers of two models on the same data.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::interp::Hook;
use quantir_ir::{Graph, Tensor, ValueId};

use super::layers::{Pair, align};
use super::results::{ResultKind, Results};
use super::weights::entry;
use crate::error::Error;
use crate::session::{Session, SessionOptions};

/// Keeps the values of a run that it was asked for.
pub(crate) struct Capture(HashMap<ValueId, Option<Tensor>>);

impl Capture {
    pub fn new(values: impl IntoIterator<Item = ValueId>) -> Capture {
        Capture(values.into_iter().map(|v| (v, None)).collect())
    }
    /// The value as it was computed. Fails if the run did not reach it.
    pub fn get(&self, g: &Graph, v: ValueId) -> Result<&Tensor, Error> {
        let found = self.0.get(&v).and_then(|t| t.as_ref());
        found.ok_or_else(|| {
            Error::Usage(format!("`%{}` was not computed", g.name_of(v)), "verify the model".into())
        })
    }
}

impl Hook for Capture {
    fn wants(&mut self, _g: &Graph, v: ValueId) -> bool {
        self.0.contains_key(&v)
    }
    fn value(&mut self, _g: &Graph, v: ValueId, t: &Tensor) {
        self.0.insert(v, Some(t.clone()));
    }
}

/// Two models with loggers at all layers that they have in common.
pub struct Loggers {
    names: (String, String),
    a: Session,
    b: Session,
    pairs: Vec<Pair>,
    values: Vec<(Vec<Tensor>, Vec<Tensor>)>,
    enabled: bool,
}

/// Prepares two forms of a model for logging (PyTorch `add_loggers`). The graphs stay as they are: loggers are a hook.
pub fn add_loggers(
    name_a: &str,
    a: Arc<Graph>,
    name_b: &str,
    b: Arc<Graph>,
    options: &SessionOptions,
) -> Result<Loggers, Error> {
    let pairs = align(&a, &b);
    let values = vec![Default::default(); pairs.len()];
    let (a, b) = (Session::new(a, options)?, Session::new(b, options)?);
    Ok(Loggers { names: (name_a.into(), name_b.into()), a, b, pairs, values, enabled: true })
}

impl Loggers {
    /// The layers that are logged.
    pub fn layers(&self) -> &[Pair] {
        &self.pairs
    }

    /// Switches logging off or on again (PyTorch `loggers_set_enabled`).
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Runs both models on these inputs and logs their layers; returns the outputs of both.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>), Error> {
        if !self.enabled {
            return Ok((self.a.run(inputs)?, self.b.run(inputs)?));
        }
        let mut seen_a = Capture::new(self.pairs.iter().map(|p| p.a.shown));
        let mut seen_b = Capture::new(self.pairs.iter().map(|p| p.b.shown));
        let out_a = self.a.run_with_hook(inputs, &mut seen_a)?;
        let out_b = self.b.run_with_hook(inputs, &mut seen_b)?;
        for (pair, (x, y)) in self.pairs.iter().zip(&mut self.values) {
            x.push(seen_a.get(self.a.graph(), pair.a.shown)?.clone());
            y.push(seen_b.get(self.b.graph(), pair.b.shown)?.clone());
        }
        Ok((out_a, out_b))
    }
}

/// What was logged, by layer (PyTorch `extract_logger_info`).
pub fn extract_logger_info(loggers: &Loggers) -> Results {
    let mut results = Results::default();
    for (pair, (x, y)) in loggers.pairs.iter().zip(&loggers.values) {
        let a = entry(loggers.a.graph(), &pair.a, ResultKind::NodeOutput, x.clone());
        let b = entry(loggers.b.graph(), &pair.b, ResultKind::NodeOutput, y.clone());
        results.push(&pair.a.name, &loggers.names.0, a);
        results.push(&pair.a.name, &loggers.names.1, b);
    }
    results
}
