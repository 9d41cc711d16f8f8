//! `mse(bins)`: the range whose quantization has the least squared error.

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::histogram::Histogram;
use crate::observer::{Accumulate, State, Stats, refuse_args};
use crate::scheme::{quant_from_range, scale_zero};

/// Candidates for each end, equally spaced between 0 and the end of the data.
const STEPS: usize = 100;
/// How often each end is searched anew with the other one at its best.
const ROUNDS: usize = 2;

/// Searches both ends in turn over a hundredth of the data's range each; a bin of the histogram counts as its centre.
///
/// Unlike `histogram`, whose search assumes that the integers are equally spaced over the range, it takes the very grid that the
/// integers of the declaration give, zero point included.
#[derive(Clone, Debug)]
pub struct Mse {
    histogram: Histogram,
}

impl Accumulate for Mse {
    const KIND: &'static str = "mse";
    const ARGS: &'static str = "up to one argument, the bins (default 2048)";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 1, Self::ARGS)?;
        Ok(Mse { histogram: Histogram::with_bins(spec, 0)? })
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        self.histogram.see(data, shape);
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        self.histogram.merge(later.histogram)
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.histogram.check()?;
        let points = self.histogram.points();
        let s = self.histogram.stats();
        let (lowest, highest) = (s.min.min(0.0), s.max.max(0.0));
        let (mut min, mut max) = (lowest, highest);
        let part = |end: f32, i: usize| (f64::from(end) * i as f64 / STEPS as f64) as f32;
        if spec.symmetric {
            let reach = highest.max(-lowest);
            max = best((1..=STEPS).rev().map(|i| part(reach, i)), |m| error(spec, &points, -m, m));
            min = -max;
        } else {
            for _ in 0..ROUNDS {
                if highest > 0.0 {
                    max = best((1..=STEPS).rev().map(|i| part(highest, i)), |m| error(spec, &points, min, m));
                }
                if lowest < 0.0 {
                    min = best((1..=STEPS).rev().map(|i| part(lowest, i)), |m| error(spec, &points, m, max));
                }
            }
        }
        quant_from_range(spec, &[min], &[max])
    }
    fn stats(&self) -> Stats {
        self.histogram.stats()
    }
    fn state(&self) -> State {
        self.histogram.state()
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let mut o = Mse::new(spec)?;
        o.histogram.load(spec, state)?;
        Ok(o)
    }
}

/// The candidate with the least error, the first if several have it.
fn best(candidates: impl Iterator<Item = f32>, error: impl Fn(f32) -> f64) -> f32 {
    let mut least = (0.0, f64::INFINITY);
    for c in candidates {
        let e = error(c);
        if e < least.1 || least.1.is_infinite() {
            least = (c, e);
        }
    }
    least.0
}

/// The squared error of quantizing `points`, which are numbers and how often they occur, over `min..max`.
fn error(spec: &ObserverSpec, points: &[(f64, f64)], min: f32, max: f32) -> f64 {
    let (scale, zero) = scale_zero(spec, min, max);
    let (scale, zero) = (f64::from(scale), f64::from(zero));
    let (lo, hi) = (spec.range.0 as f64 - zero, spec.range.1 as f64 - zero);
    let one = |&(x, n): &(f64, f64)| {
        let q = (x / scale).round_ties_even().clamp(lo, hi);
        n * (q * scale - x) * (q * scale - x)
    };
    points.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    #[test]
    fn an_outlier_is_cut_where_few_integers_serve_many_numbers() {
        let mut data: Vec<f32> = (0..10_000).map(|i| (i % 200) as f32 / 100.0 - 1.0).collect();
        data.push(5.0);
        let spec = ObserverSpec { range: (-8, 7), ..ObserverSpec::new("mse", Storage::I4) };
        let mut o = Mse::new(&spec).unwrap();
        o.see(&data, &[data.len()]);
        let q = o.params(&spec).unwrap();
        let (lo, hi) = ((-8 - q.zero(0)) as f32 * q.scale(0), (7 - q.zero(0)) as f32 * q.scale(0));
        assert!(lo > -1.3 && lo < -0.8 && hi > 0.8 && hi < 1.5, "{lo}..{hi}");
        let all = ObserverSpec::new("mse", Storage::U8);
        let mut o = Mse::new(&all).unwrap();
        o.see(&[0.0, 1.0, 2.0, 3.0], &[4]);
        assert!((o.params(&all).unwrap().scale(0) * 255.0 - 3.0).abs() < 0.04);
    }
}
