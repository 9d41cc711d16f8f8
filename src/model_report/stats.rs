//! What detectors know of a value and of a layer: statistics over batches, and ranges of weights.

use quantir_ir::{Graph, NodeId, Reason, Tensor, ValueId};

use crate::numeric_suite::weight;

/// Statistics of one value over batches (PyTorch `ModelReportObserver`).
#[derive(Clone, Debug, PartialEq)]
pub struct ValueStats {
    /// The axis of channels.
    pub axis: usize,
    /// The percentile that the maximum is compared with.
    pub percentile: f64,
    /// Number of batches.
    pub batches: u64,
    /// Mean over batches of `max − min`.
    pub average_range: f64,
    /// Smallest number of all batches.
    pub min: f32,
    /// Largest number of all batches.
    pub max: f32,
    /// For each channel, the smallest number.
    pub channel_min: Vec<f32>,
    /// For each channel, the largest number.
    pub channel_max: Vec<f32>,
    /// For each channel, the mean over batches of `maximum / percentile`; batches where either is 0 are left out.
    pub ratio: Vec<f64>,
    /// For each channel, the batches that `ratio` is the mean over.
    pub ratio_batches: Vec<u64>,
    /// For each channel, the batches in which it was constant.
    pub constant_batches: Vec<u64>,
}

impl ValueStats {
    /// Nothing seen yet.
    pub fn new(axis: usize, percentile: f64) -> ValueStats {
        ValueStats {
            axis,
            percentile,
            batches: 0,
            average_range: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            channel_min: Vec::new(),
            channel_max: Vec::new(),
            ratio: Vec::new(),
            ratio_batches: Vec::new(),
            constant_batches: Vec::new(),
        }
    }

    /// Takes in one batch; an empty one changes nothing. Fails if the tensor has no such axis or another number of channels than before.
    pub fn see(&mut self, t: &Tensor) -> Result<(), Reason> {
        let Some(&channels) = t.shape.get(self.axis) else {
            return Err(Reason::new(format!("there is no axis {} in {}", self.axis, t.ty())));
        };
        let data = t.floats()?;
        if data.is_empty() {
            return Ok(());
        }
        if self.channel_min.is_empty() {
            self.channel_min = vec![f32::INFINITY; channels];
            self.channel_max = vec![f32::NEG_INFINITY; channels];
            self.ratio = vec![0.0; channels];
            self.ratio_batches = vec![0; channels];
            self.constant_batches = vec![0; channels];
        } else if self.channel_min.len() != channels {
            let had = self.channel_min.len();
            return Err(Reason::new(format!("{channels} channels along axis {}, {had} before", self.axis)));
        }
        let inner: usize = t.shape[self.axis + 1..].iter().product();
        let mut channel: Vec<f32> = Vec::new();
        let (mut lo, mut hi) = (f32::INFINITY, f32::NEG_INFINITY);
        for c in 0..channels {
            channel.clear();
            for outer in data.chunks_exact(channels * inner) {
                channel.extend_from_slice(&outer[c * inner..(c + 1) * inner]);
            }
            channel.sort_unstable_by(f32::total_cmp);
            let (least, most) = (channel[0], channel[channel.len() - 1]);
            // PyTorch's quantile with interpolation "lower".
            let at = channel[(self.percentile * (channel.len() - 1) as f64).floor() as usize];
            (lo, hi) = (lo.min(least), hi.max(most));
            self.channel_min[c] = self.channel_min[c].min(least);
            self.channel_max[c] = self.channel_max[c].max(most);
            if least == most {
                self.constant_batches[c] += 1;
            }
            if at != 0.0 && most != 0.0 {
                let n = self.ratio_batches[c] as f64;
                self.ratio[c] = (self.ratio[c] * n + f64::from(most) / f64::from(at)) / (n + 1.0);
                self.ratio_batches[c] += 1;
            }
        }
        (self.min, self.max) = (self.min.min(lo), self.max.max(hi));
        let n = self.batches as f64;
        self.average_range = (self.average_range * n + f64::from(hi) - f64::from(lo)) / (n + 1.0);
        self.batches += 1;
        Ok(())
    }

    /// `max − min` over all batches.
    pub fn range(&self) -> f64 {
        f64::from(self.max) - f64::from(self.min)
    }
}

/// Smallest and largest number for each index of an axis.
pub fn ranges(t: &Tensor, axis: usize) -> Result<Vec<(f32, f32)>, Reason> {
    let mut s = ValueStats::new(axis, 1.0);
    s.see(t)?;
    Ok(s.channel_min.into_iter().zip(s.channel_max).collect())
}

/// A layer with a weight, as detectors see it.
#[derive(Clone, Debug)]
pub struct LayerStats {
    /// The module's path, or the value's name if there is none.
    pub fqn: String,
    /// The op's name.
    pub op: &'static str,
    /// The node.
    pub node: NodeId,
    /// The weight.
    pub weight: Tensor,
    /// Statistics of the input.
    pub input: ValueStats,
    /// Statistics of the result.
    pub output: ValueStats,
}

impl LayerStats {
    /// Whether it is a linear layer.
    pub fn is_linear(&self) -> bool {
        self.op == "linear"
    }
}

/// The layers of a float graph that detectors look at, with nothing seen: convolutions and linear layers with constant weights.
pub(super) fn layers_of(
    g: &Graph,
    percentile: f64,
    axis: Option<usize>,
) -> Vec<(LayerStats, ValueId, ValueId)> {
    let layer = |n: NodeId| {
        let node = g.node(n);
        let (x, y) = ((*node.ins.first()?)?, *node.outs.first()?);
        let weight = weight(g, n)?;
        let op = node.op.name();
        // A linear layer's channels lie on the last axis, whatever the rank; those of others on axis 1.
        let of =
            |v: ValueId| axis.unwrap_or(if op == "linear" { g.ty(v).rank().saturating_sub(1) } else { 1 });
        let fqn = node.loc.path.as_deref().unwrap_or_else(|| g.name_of(y)).to_string();
        let [input, output] = [x, y].map(|v| ValueStats::new(of(v), percentile));
        Some((LayerStats { fqn, op, node: n, weight, input, output }, x, y))
    };
    g.nodes().filter_map(layer).collect()
}
