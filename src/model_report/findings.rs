//! What detectors found: features by layer, as tables.

use std::fmt;

use indexmap::IndexMap;
use serde::Serialize;

/// One thing that is known of a layer.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Feature {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A word.
    Text(String),
    /// A number for each channel.
    Numbers(Vec<f64>),
    /// Yes or no for each channel.
    Flags(Vec<bool>),
}

impl Feature {
    /// The part of channel `i`; `None` if the feature is one for the whole tensor.
    fn channel(&self, i: usize) -> Option<String> {
        match self {
            Feature::Numbers(x) => Some(x.get(i).map(|x| number(*x)).unwrap_or_default()),
            Feature::Flags(x) => Some(x.get(i).map(|x| x.to_string()).unwrap_or_default()),
            _ => None,
        }
    }
    fn channels(&self) -> usize {
        match self {
            Feature::Numbers(x) => x.len(),
            Feature::Flags(x) => x.len(),
            _ => 0,
        }
    }
}

fn number(x: f64) -> String {
    format!("{x:.4}")
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feature::Flag(x) => write!(f, "{x}"),
            Feature::Number(x) => f.write_str(&number(*x)),
            Feature::Text(x) => f.write_str(x),
            Feature::Numbers(x) => write!(f, "{} channels", x.len()),
            Feature::Flags(x) => write!(f, "{} of {} channels", x.iter().filter(|x| **x).count(), x.len()),
        }
    }
}

/// Features of one layer by name.
pub type Features = IndexMap<&'static str, Feature>;

/// What one detector found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The detector's name.
    pub detector: &'static str,
    /// Features by layer.
    pub layers: IndexMap<String, Features>,
    /// What to do, in words: one line for each layer that needs it.
    pub advice: Vec<String>,
}

/// Which rows and columns a table shows; empty strings let all pass.
#[derive(Clone, Copy, Default, Debug)]
pub struct Filter<'a> {
    /// Part of a feature's name.
    pub feature: &'a str,
    /// Part of a module's path.
    pub module: &'a str,
}

/// A table as data.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Table {
    /// Column heads.
    pub header: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: Vec<&str> = self.header.iter().map(String::as_str).collect();
        let mut t = crate::table::table(&header);
        for r in &self.rows {
            t.add_row(r.clone());
        }
        write!(f, "{t}")
    }
}

/// The two tables of PyTorch's visualizer (`generate_filtered_tables`): features of whole tensors, one row for each
/// layer, and features of channels, one row for each channel of each layer.
pub fn filtered_tables(all: &[Findings], filter: Filter<'_>) -> (Table, Table) {
    let mut merged: IndexMap<&str, IndexMap<&str, &Feature>> = IndexMap::new();
    for f in all {
        for (layer, features) in f.layers.iter().filter(|(l, _)| l.contains(filter.module)) {
            let into = merged.entry(layer).or_default();
            into.extend(features.iter().filter(|(n, _)| n.contains(filter.feature)).map(|(n, x)| (*n, x)));
        }
    }
    let columns = |per_channel: bool| {
        let mut names: Vec<&str> = Vec::new();
        for (name, x) in merged.values().flatten() {
            if (x.channels() > 0) == per_channel && !names.contains(name) {
                names.push(name);
            }
        }
        names
    };
    let (tensor, channel) = (columns(false), columns(true));
    let head = |first: &[&str], rest: &[&str]| first.iter().chain(rest).map(|s| s.to_string()).collect();
    let cell = |features: &IndexMap<&str, &Feature>, name: &str| {
        features.get(name).map(|x| x.to_string()).unwrap_or_default()
    };
    let mut whole = Table { header: head(&["module"], &tensor), rows: Vec::new() };
    let mut parts = Table { header: head(&["module", "channel"], &channel), rows: Vec::new() };
    for (layer, features) in &merged {
        if tensor.iter().any(|n| features.contains_key(n)) {
            let cells = tensor.iter().map(|n| cell(features, n));
            whole.rows.push(std::iter::once(layer.to_string()).chain(cells).collect());
        }
        let count = channel.iter().filter_map(|n| features.get(n)).map(|x| x.channels()).max().unwrap_or(0);
        for i in 0..count {
            let cells =
                channel.iter().map(|n| features.get(n).and_then(|x| x.channel(i)).unwrap_or_default());
            parts.rows.push([layer.to_string(), i.to_string()].into_iter().chain(cells).collect());
        }
    }
    (whole, parts)
}
