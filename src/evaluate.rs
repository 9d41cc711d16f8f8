//! Comparing a quantized model with its float original on data.

use quantir_ir::{Graph, Tensor};

use crate::data::Dataset;
use crate::error::Error;
use crate::session::Session;

/// How near two models are to each other, and to the labels if there are any.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Comparison {
    /// Number of samples.
    pub samples: usize,
    /// Share of samples whose largest score is at the label: float, quantized.
    pub top1: Option<(f64, f64)>,
    /// Share of samples for which both have their largest score at the same place; only for `[N, classes]` outputs.
    pub agreement: Option<f64>,
    /// For each output: name, mean cosine over samples, signal to quantization noise in dB.
    pub outputs: Vec<OutputFigures>,
}

/// How near one output of two models is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OutputFigures {
    /// The output's name.
    pub name: String,
    /// Mean over samples of the cosine between both outputs.
    pub cosine: f64,
    /// `10·log10(Σ float² / Σ (float − quantized)²)` over all samples; infinite if equal.
    pub sqnr_db: f64,
}

#[derive(Default)]
struct Sums {
    cosine: f64,
    signal: f64,
    noise: f64,
}

/// Runs both models over the data; `progress` is told the number of samples done.
pub fn compare(
    float: &Session,
    quantized: &Session,
    data: &Dataset,
    progress: &dyn Fn(usize),
) -> Result<Comparison, Error> {
    let names = float.output_names();
    let mut sums: Vec<Sums> = names.iter().map(|_| Sums::default()).collect();
    let (mut agree, mut right_f, mut right_q) = (0usize, 0usize, 0usize);
    let mut classes = None;
    let step = float.preferred_batch().max(quantized.preferred_batch());
    let mut at = 0;
    while at < data.len() {
        let count = step.min(data.len() - at);
        let inputs = data.batch(at, count)?;
        let (f, q) = (float.run(&inputs)?, quantized.run(&inputs)?);
        for ((f, q), s) in f.iter().zip(&q).zip(&mut sums) {
            accumulate(f, q, count, s)?;
        }
        if let Some(first) = f.first()
            && first.rank() == 2
            && first.shape[0] == count
        {
            let n = first.shape[1];
            classes = Some(n);
            let (tf, tq) = (argmax_rows(first)?, argmax_rows(&q[0])?);
            agree += tf.iter().zip(&tq).filter(|(a, b)| a == b).count();
            if let Some(labels) = data.labels() {
                let labels = &labels[at..at + count];
                check_range(data, labels, at, n)?;
                right_f += hits(&tf, labels);
                right_q += hits(&tq, labels);
            }
        }
        at += count;
        progress(at);
    }
    let n = data.len() as f64;
    let share = |k: usize| k as f64 / n;
    Ok(Comparison {
        samples: data.len(),
        top1: (classes.is_some() && data.labels().is_some()).then(|| (share(right_f), share(right_q))),
        agreement: classes.map(|_| share(agree)),
        outputs: names
            .into_iter()
            .zip(sums)
            .map(|(name, s)| OutputFigures {
                name,
                cosine: s.cosine / n,
                sqnr_db: 10.0 * (s.signal / s.noise).log10(),
            })
            .collect(),
    })
}

/// Fails if a label names no class of a model whose first output is `[N, classes]`.
pub fn check_labels(data: &Dataset, g: &Graph) -> Result<(), Error> {
    let shape = g.outputs().first().map(|o| &g.ty(o.value).shape.0);
    let classes = match shape.map(Vec::as_slice) {
        Some([_, classes]) => classes.as_lit().and_then(|n| usize::try_from(n).ok()),
        _ => None,
    };
    match (classes, data.labels()) {
        (Some(classes), Some(labels)) => check_range(data, labels, 0, classes),
        _ => Ok(()),
    }
}

/// Fails if one of `labels`, which belong to the samples from `first` on, is none of `classes`.
fn check_range(data: &Dataset, labels: &[i64], first: usize, classes: usize) -> Result<(), Error> {
    match labels.iter().enumerate().find(|&(_, &l)| l < 0 || l >= classes as i64) {
        Some((i, &label)) => {
            Err(Error::Label { path: data.path().into(), sample: first + i, label, classes })
        }
        None => Ok(()),
    }
}

fn hits(top: &[usize], labels: &[i64]) -> usize {
    top.iter().zip(labels).filter(|(t, l)| **t as i64 == **l).count()
}

fn accumulate(f: &Tensor, q: &Tensor, samples: usize, s: &mut Sums) -> Result<(), Error> {
    let (f, q) = (f.floats()?, q.floats()?);
    let per = (f.len() / samples).max(1);
    for (a, b) in f.chunks(per).zip(q.chunks(per)) {
        let (mut ab, mut aa, mut bb) = (0f64, 0f64, 0f64);
        for (&x, &y) in a.iter().zip(b) {
            let (x, y) = (f64::from(x), f64::from(y));
            ab += x * y;
            aa += x * x;
            bb += y * y;
            s.noise += (x - y) * (x - y);
        }
        s.signal += aa;
        // Two zero vectors point the same way.
        s.cosine += if aa == 0.0 && bb == 0.0 { 1.0 } else { ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE) };
    }
    Ok(())
}

/// The index of the largest element of each row of `[N, classes]`, the first one of equals.
pub fn argmax_rows(t: &Tensor) -> Result<Vec<usize>, Error> {
    let classes = t.shape.last().copied().unwrap_or(1).max(1);
    let data = t.floats()?;
    Ok(data
        .chunks(classes)
        .map(|row| {
            let mut best = 0;
            for (i, x) in row.iter().enumerate() {
                if *x > row[best] {
                    best = i;
                }
            }
            best
        })
        .collect())
}
