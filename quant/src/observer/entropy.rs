//! `entropy(bins, levels)`: the threshold that loses least information (TensorRT's calibration).

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::histogram::{Histogram, MOST_BINS};
use crate::observer::{Accumulate, State, Stats, arg, refuse_args};
use crate::scheme::quant_from_range;

/// Counts magnitudes, and cuts them where the Kullback–Leibler divergence of the quantized distribution is least.
///
/// For each threshold from `levels` bins on: what lies above is added to the last bin below; the distribution is summed over `levels`
/// equal parts, and each sum spread over the bins that were not empty. Of thresholds with equal divergence the largest wins.
#[derive(Clone, Debug)]
pub struct Entropy {
    levels: Option<usize>,
    /// Of magnitudes, from 0.
    histogram: Histogram,
    /// Of the numbers themselves.
    seen: Stats,
}

impl Accumulate for Entropy {
    const KIND: &'static str = "entropy";
    const ARGS: &'static str = "up to two arguments, the bins (default 2048) and the levels of a magnitude (default: how many integers \
                                the range has for one), each between 2 and 65536";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 2, Self::ARGS)?;
        let levels = arg(spec, 1, 128.0);
        if !((2.0..=MOST_BINS).contains(&levels) && levels.fract() == 0.0) {
            return Err(Error::Declaration(format!("`{}` takes {}", spec.kind, Self::ARGS)));
        }
        Ok(Entropy {
            levels: spec.args.get(1).map(|&x| x as usize),
            histogram: Histogram::with_bins(spec, 0)?,
            seen: Stats::default(),
        })
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        let seen = super::minmax::Seen::new(data);
        self.seen.min = self.seen.min.min(seen.min);
        self.seen.max = self.seen.max.max(seen.max);
        let magnitudes: Vec<f32> = data.iter().map(|x| x.abs()).collect();
        self.histogram.see_above(0.0, &magnitudes, shape);
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.levels != later.levels {
            return Err(Error::Merge("entropy".into(), "entropy with other levels".into()));
        }
        self.seen.min = self.seen.min.min(later.seen.min);
        self.seen.max = self.seen.max.max(later.seen.max);
        self.histogram.merge(later.histogram)
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.histogram.check()?;
        let integers = (spec.range.1 - spec.range.0 + 1).clamp(2, 65536) as usize;
        let one_sided = !spec.symmetric && (self.seen.min >= 0.0 || self.seen.max <= 0.0);
        let levels = self.levels.unwrap_or(if one_sided { integers } else { integers.div_ceil(2) });
        let bins = best_threshold(self.histogram.counts(), levels);
        let top = f64::from(self.histogram.stats().max);
        let all = self.histogram.counts().len();
        let threshold = (top * bins as f64 / all as f64) as f32;
        let (min, max) = match spec.symmetric {
            true => (-threshold, threshold),
            false => (self.seen.min.max(-threshold), self.seen.max.min(threshold)),
        };
        quant_from_range(spec, &[min], &[max])
    }
    fn stats(&self) -> Stats {
        let Stats { batches, nonfinite, .. } = self.histogram.stats();
        Stats { batches, nonfinite, ..self.seen }
    }
    fn state(&self) -> State {
        let ends = [self.seen.min.into(), self.seen.max.into()];
        self.histogram.state().with("seen", ends)
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let mut o = Entropy::new(spec)?;
        o.histogram.load(spec, state)?;
        if let [min, max] = state.floats("seen")[..] {
            (o.seen.min, o.seen.max) = (min, max);
        }
        Ok(o)
    }
}

/// How many bins the best threshold keeps.
fn best_threshold(counts: &[f64], levels: usize) -> usize {
    let bins = counts.len();
    if bins <= levels {
        return bins;
    }
    let total: f64 = counts.iter().sum();
    let mut above = 0.0;
    let mut best = (f64::INFINITY, bins);
    for keep in (levels..=bins).rev() {
        let divergence = divergence(&counts[..keep], above, total, levels);
        if divergence < best.0 {
            best = (divergence, keep);
        }
        above += counts[keep - 1];
    }
    best.1
}

/// `Σ p · ln(p / q)` with `p` the kept counts, what lies `above` added to the last, and `q` the kept counts at `levels` levels.
/// Infinite if `q` is 0 where `p` is not.
fn divergence(kept: &[f64], above: f64, total: f64, levels: usize) -> f64 {
    let n = kept.len();
    let inside: f64 = total - above;
    let mut sum = 0.0;
    for level in 0..levels {
        let (from, to) = (level * n / levels, (level + 1) * n / levels);
        let part = &kept[from..to];
        let mass: f64 = part.iter().sum();
        let filled = part.iter().filter(|&&c| c > 0.0).count();
        for (i, &count) in part.iter().enumerate() {
            let last = from + i + 1 == n;
            let p = (count + if last { above } else { 0.0 }) / total;
            if p == 0.0 {
                continue;
            }
            if count == 0.0 || inside <= 0.0 {
                return f64::INFINITY;
            }
            let q = mass / filled as f64 / inside;
            sum += p * (p / q).ln();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    #[test]
    fn the_divergence_is_that_of_a_plain_computation() {
        // Two levels over four bins: sums 4 and 2, spread over three and two filled bins.
        let (kept, above) = ([1.0, 3.0, 1.0, 1.0], 2.0);
        let p = [1.0 / 8.0, 3.0 / 8.0, 1.0 / 8.0, 3.0 / 8.0];
        let q = [2.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0];
        let want: f64 = p.iter().zip(&q).map(|(p, q): (&f64, &f64)| p * (p / q).ln()).sum();
        assert!((divergence(&kept, above, 8.0, 2) - want).abs() < 1e-12);
        assert_eq!(divergence(&[1.0, 0.0], 1.0, 2.0, 2), f64::INFINITY);
    }

    #[test]
    fn a_lonely_outlier_is_cut() {
        let spec = ObserverSpec { symmetric: true, ..ObserverSpec::new("entropy", Storage::I8) };
        // Bell-shaped: sums of uniform numbers from a linear congruential generator.
        let mut x = 1u32;
        let mut uniform = || {
            x = x.wrapping_mul(1664525).wrapping_add(1013904223);
            (x >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut data: Vec<f32> = (0..50_000).map(|_| (0..6).map(|_| uniform()).sum()).collect();
        data.push(30.0);
        let mut o = Entropy::new(&spec).unwrap();
        o.see(&data, &[data.len()]);
        let top = o.params(&spec).unwrap().scale(0) * 127.5;
        assert!(top < 4.0, "{top}");
        assert_eq!(o.stats().max, 30.0);
        let saved = Entropy::restore(&spec, &o.state()).unwrap();
        assert_eq!(saved.params(&spec).unwrap(), o.params(&spec).unwrap());
    }
}
