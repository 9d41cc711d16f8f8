//! `histogram(bins, target_bins)`: a histogram of bounded size, clipped where the quantization error is least.
//!
//! Follows PyTorch's `HistogramObserver` (its counting, re-binning and search) with three deviations:
//! counts and errors are `f64`, so counts never stop growing at 2²⁴ and errors of huge or tiny ranges stay finite; a first batch of equal numbers keeps its own weight when
//! the range widens; and the search assumes as many target bins as the integer range has values, unless a
//! second argument says otherwise (`histogram(2048,256)` is PyTorch's constant).

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::minmax::Seen;
use crate::observer::{Accumulate, State, Stats, arg, refuse_args};
use crate::scheme::quant_from_range;

/// Into how many parts an old bin is cut when the range widens.
const UPSAMPLE: usize = 16;
/// The most bins that a declaration may ask for.
pub(crate) const MOST_BINS: f32 = 65536.0;

/// Counts of finite numbers over `min..max`.
#[derive(Clone, Debug)]
pub struct Histogram {
    bins: usize,
    target: Option<usize>,
    counts: Vec<f64>,
    min: f32,
    max: f32,
    batches: u64,
    nonfinite: u64,
    nan: u64,
}

impl Accumulate for Histogram {
    const KIND: &'static str = "histogram";
    const ARGS: &'static str = "up to two arguments, the bins (default 2048) and the target bins of the search \
                                (default: the number of integers in the range), each between 2 and 65536";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 2, Self::ARGS)?;
        if !spec.args.iter().all(|&x| is_bins(x)) {
            return Err(Error::Declaration(format!("`{}` takes {}", spec.kind, Self::ARGS)));
        }
        Ok(Histogram { target: spec.args.get(1).map(|&x| x as usize), ..Histogram::with_bins(spec, 0)? })
    }

    fn see(&mut self, data: &[f32], shape: &[usize]) {
        self.see_above(f32::INFINITY, data, shape);
    }

    fn merge(&mut self, mut later: Self) -> Result<(), Error> {
        if (self.bins, self.target) != (later.bins, later.target) {
            let show = |h: &Histogram| format!("histogram({})", h.bins);
            return Err(Error::Merge(show(self), show(&later)));
        }
        self.batches += later.batches;
        self.nonfinite += later.nonfinite;
        self.nan += later.nan;
        if later.counts.is_empty() {
            return Ok(());
        }
        let (min, max) = (self.min.min(later.min), self.max.max(later.max));
        self.widen(min, max);
        later.widen(min, max);
        self.counts.iter_mut().zip(&later.counts).for_each(|(a, b)| *a += b);
        Ok(())
    }

    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.check()?;
        let target = self.target.unwrap_or((spec.range.1 - spec.range.0 + 1).clamp(2, 65536) as usize);
        let (min, max) = self.clipped(target);
        quant_from_range(spec, &[min], &[max])
    }

    fn stats(&self) -> Stats {
        Stats { min: self.min, max: self.max, batches: self.batches, nonfinite: self.nonfinite }
    }

    fn state(&self) -> State {
        self.stats().state().with("nan", [self.nan as f64]).with("histogram", self.counts.iter().copied())
    }

    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let mut h = Histogram::new(spec)?;
        h.load(spec, state)?;
        Ok(h)
    }
}

fn is_bins(x: f32) -> bool {
    (2.0..=MOST_BINS).contains(&x) && x.fract() == 0.0
}

impl Histogram {
    /// An empty histogram for an observer whose argument number `i` is the number of bins (default 2048).
    pub(crate) fn with_bins(spec: &ObserverSpec, i: usize) -> Result<Histogram, Error> {
        let bins = arg(spec, i, 2048.0);
        if !is_bins(bins) {
            return Err(Error::Declaration(format!("`{}` takes between 2 and 65536 bins", spec.kind)));
        }
        if spec.axis.is_some() {
            return Err(Error::Declaration(format!(
                "`{}` has one scale for the whole tensor; use `minmax` along an axis",
                spec.kind
            )));
        }
        Ok(Histogram {
            bins: bins as usize,
            target: None,
            counts: Vec::new(),
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            batches: 0,
            nonfinite: 0,
            nan: 0,
        })
    }

    /// [`Accumulate::see`] with a range that begins at `least` or below.
    pub(crate) fn see_above(&mut self, least: f32, data: &[f32], _shape: &[usize]) {
        if data.is_empty() {
            return;
        }
        self.batches += 1;
        let seen = Seen::new(data);
        self.nonfinite += seen.infinite + seen.nan;
        self.nan += seen.nan;
        if seen.min > seen.max {
            return;
        }
        let (min, max) = (self.min.min(seen.min).min(least), self.max.max(seen.max));
        self.widen(min, max);
        count(&mut self.counts, data, min, max, seen.infinite + seen.nan == 0);
    }

    /// Takes a saved state.
    pub(crate) fn load(&mut self, spec: &ObserverSpec, state: &State) -> Result<(), Error> {
        let (s, counts) = (Stats::restore(state), state.list("histogram").to_vec());
        if !counts.is_empty() && (counts.len() != self.bins || !s.min.is_finite() || !s.max.is_finite()) {
            return Err(state.unfit(spec, "it has another number of bins, or no range"));
        }
        (self.counts, self.min, self.max) = (counts, s.min, s.max);
        (self.batches, self.nonfinite, self.nan) = (s.batches, s.nonfinite, state.count("nan"));
        Ok(())
    }

    /// Whether there is something to compute parameters from.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.nan > 0 {
            return Err(Error::Nan { count: self.nan });
        }
        if self.counts.is_empty() {
            return Err(match self.batches {
                0 => Error::NoData,
                _ => Error::NoFinite { nonfinite: self.nonfinite },
            });
        }
        Ok(())
    }

    /// The ends of the counts; a range of one number is widened by 1 both ways, as counting does.
    fn ends(&self) -> (f64, f64) {
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        if min == max { (min - 1.0, max + 1.0) } else { (min, max) }
    }

    /// The centres of the bins that are not empty, with their counts.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        let (min, max) = self.ends();
        let width = (max - min) / self.bins as f64;
        let filled = self.counts.iter().enumerate().filter(|(_, c)| **c > 0.0);
        filled.map(|(i, &c)| (min + (i as f64 + 0.5) * width, c)).collect()
    }

    /// The number that a part `p` of all lies below, with the numbers of a bin spread evenly; within the range of the data.
    pub(crate) fn quantile(&self, p: f64) -> f32 {
        let total: f64 = self.counts.iter().sum();
        let (min, max) = self.ends();
        let width = (max - min) / self.bins as f64;
        let (mut below, wanted) = (0.0, p * total);
        for (i, &c) in self.counts.iter().enumerate() {
            if c > 0.0 && below + c >= wanted {
                let part = ((wanted - below) / c).clamp(0.0, 1.0);
                return ((min + (i as f64 + part) * width) as f32).clamp(self.min, self.max);
            }
            below += c;
        }
        self.max
    }

    /// The magnitude that a part `p` of all magnitudes lies below.
    pub(crate) fn magnitude(&self, p: f64) -> f32 {
        let (mut points, total): (Vec<(f64, f64)>, f64) = (self.points(), self.counts.iter().sum());
        points.iter_mut().for_each(|x| x.0 = x.0.abs());
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let reach = self.max.abs().max(self.min.abs());
        let mut below = 0.0;
        for (x, c) in points {
            below += c;
            if below > p * total {
                return (x as f32).min(reach);
            }
        }
        reach
    }

    /// The counts, empty before the first finite number.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Makes `min..max`, which contains the present range, the range of the counts.
    fn widen(&mut self, min: f32, max: f32) {
        if self.counts.is_empty() {
            self.counts = vec![0.0; self.bins];
        } else if self.min == self.max && (min, max) != (self.min, self.max) {
            let weight: f64 = self.counts.iter().sum();
            self.counts = vec![0.0; self.bins];
            self.counts[Binning::new(self.bins, min, max).bin(self.min)] = weight;
        } else if (min, max) != (self.min, self.max) {
            self.counts = rebinned(&self.counts, (self.min, self.max), (min, max));
        }
        (self.min, self.max) = (min, max);
    }

    /// The ends that the search settles on: quantiles are cut off, at each step from the side where the next
    /// 10⁻⁵ of the mass spans more bins, until the quantization error over `target` equal bins would grow.
    pub fn clipped(&self, target: usize) -> (f32, f32) {
        const STEP: f64 = 1e-5;
        let sums: Vec<f64> = self
            .counts
            .iter()
            .scan(0.0, |sum, c| {
                *sum += c;
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(0.0);
        let (mut alpha, mut beta) = (0.0f64, 1.0f64);
        let (mut start, mut end) = (0usize, self.bins - 1);
        let mut least = f64::INFINITY;
        while alpha < beta {
            let (next_alpha, next_beta) = (alpha + STEP, beta - STEP);
            // Sums never fall, so walking and halving find the same bins.
            let l = start + sums[start..end].partition_point(|&s| s < next_alpha * total);
            let r = start + sums[start + 1..=end].partition_point(|&s| s <= next_beta * total);
            let (mut next_start, mut next_end) = (start, end);
            if l - start > end - r {
                (next_start, alpha) = (l, next_alpha);
            } else {
                (next_end, beta) = (r, next_beta);
            }
            if (next_start, next_end) == (start, end) {
                continue;
            }
            let error = self.error(next_start, next_end, target);
            if error > least {
                break;
            }
            (least, start, end) = (error, next_start, next_end);
        }
        let width = (self.max - self.min) / self.bins as f32;
        if width.is_finite() {
            (self.min + width * start as f32, self.min + width * (end + 1) as f32)
        } else {
            let width = (f64::from(self.max) - f64::from(self.min)) / self.bins as f64;
            let at = |i: usize| (f64::from(self.min) + width * i as f64) as f32;
            (at(start).max(f32::MIN), at(end + 1).min(f32::MAX))
        }
    }

    /// The squared error of rounding to the centres of `target` equal bins over source bins `start..=end`, with the
    /// mass of each source bin spread evenly.
    fn error(&self, start: usize, end: usize, target: usize) -> f64 {
        let width = (f64::from(self.max) - f64::from(self.min)) / self.bins as f64;
        let step = width * (end - start + 1) as f64 / target as f64;
        if step == 0.0 {
            return 0.0;
        }
        let last = (target - 1) as f64;
        let full = integral(-step / 2.0, step / 2.0);
        let mut error = 0.0;
        for (i, &mass) in self.counts.iter().enumerate() {
            if mass == 0.0 {
                continue;
            }
            let from = (i as f64 - start as f64) * width;
            let to = from + width;
            let first_bin = (from / step).floor().clamp(0.0, last);
            let last_bin = (to / step).floor().clamp(0.0, last);
            let (first_centre, last_centre) = ((first_bin + 0.5) * step, (last_bin + 0.5) * step);
            let sum = if first_bin == last_bin {
                integral(from - first_centre, to - first_centre)
            } else {
                integral(from - first_centre, step / 2.0)
                    + (last_bin - first_bin - 1.0) * full
                    + integral(-step / 2.0, to - last_centre)
            };
            error += mass / width * sum;
        }
        error
    }
}

/// `∫ x² dx` over `from..to`.
fn integral(from: f64, to: f64) -> f64 {
    (to * to * to - from * from * from) / 3.0
}

/// Where numbers between `min` and `max` go: `floor((x − min) / (max − min) · bins)` in `f32`, `max` into the last bin.
/// A range of one number is widened by 1 at both ends.
struct Binning {
    bins: usize,
    min: f32,
    width: f32,
}

impl Binning {
    fn new(bins: usize, min: f32, max: f32) -> Binning {
        let (min, max) = if min == max { (min - 1.0, max + 1.0) } else { (min, max) };
        Binning { bins, min, width: max - min }
    }
    #[inline]
    fn bin(&self, x: f32) -> usize {
        if self.width.is_finite() && self.width > 0.0 {
            let at = (x - self.min) / self.width * self.bins as f32;
            (at as usize).min(self.bins - 1)
        } else if self.width == 0.0 {
            // A number so large that adding 1 leaves it as it is.
            self.bins / 2
        } else {
            let half =
                (f64::from(x) - f64::from(self.min)) / (2.0 * (f64::from(x).abs().max(f64::from(f32::MAX))));
            ((half * self.bins as f64) as usize).min(self.bins - 1)
        }
    }
}

fn count(counts: &mut [f64], data: &[f32], min: f32, max: f32, all_finite: bool) {
    let bins = counts.len();
    let binning = Binning::new(bins, min, max);
    // Counting in integers is faster and exact; a batch has fewer than 2³² numbers in memory.
    if !(all_finite && binning.width.is_finite() && binning.width > 0.0) {
        let mut new = vec![0u32; bins];
        for &x in data.iter().filter(|x| x.is_finite()) {
            new[binning.bin(x)] += 1;
        }
        counts.iter_mut().zip(&new).for_each(|(c, &n)| *c += f64::from(n));
        return;
    }
    // Equal neighbours, such as the zeros behind a relu, would wait for each other's increment in one table.
    const TABLES: usize = 4;
    const BLOCK: usize = 64;
    let mut new = vec![0u32; bins * TABLES];
    let mut at = [0i32; BLOCK];
    for block in data.chunks(BLOCK) {
        for (a, &x) in at.iter_mut().zip(block) {
            // As `Binning::bin`; the quotient lies in 0..=1, and `min` below serves its end.
            let position = (x - binning.min) / binning.width * bins as f32;
            *a = position as i32;
        }
        for (i, &a) in at[..block.len()].iter().enumerate() {
            new[(i % TABLES) * bins + (a as usize).min(bins - 1)] += 1;
        }
    }
    for (b, c) in counts.iter_mut().enumerate() {
        let sum: u32 = (0..TABLES).map(|t| new[t * bins + b]).sum();
        *c += f64::from(sum);
    }
}

/// The same mass over a wider range: each old bin is cut into equal parts, and each part goes whole to the new bin
/// that holds its midpoint. Positions are `f32`, counted from the nearer end, as `torch.linspace` does.
fn rebinned(old: &[f64], from: (f32, f32), to: (f32, f32)) -> Vec<f64> {
    let bins = old.len();
    let fine = bins * UPSAMPLE;
    let half = (from.1 - from.0) / fine as f32 * 0.5;
    if !(half.is_finite() && (to.1 - to.0).is_finite()) {
        return rebinned_wide(old, from, to);
    }
    let starts = Linspace::new(from.0, from.1, fine + 1);
    let edges = Linspace::new(to.0, to.1, bins + 1);
    let mut new = vec![0.0; bins];
    let mut edge = 0;
    for (i, &mass) in old.iter().enumerate() {
        if mass == 0.0 {
            continue;
        }
        for part in 0..UPSAMPLE {
            let middle = starts.at(i * UPSAMPLE + part) + half;
            // The number of edges not above the midpoint; midpoints never fall.
            while edge <= bins && edges.at(edge) <= middle {
                edge += 1;
            }
            new[edge.saturating_sub(1).min(bins - 1)] += mass / UPSAMPLE as f64;
        }
    }
    new
}

/// As [`rebinned`] for ranges whose width is no finite `f32`.
fn rebinned_wide(old: &[f64], from: (f32, f32), to: (f32, f32)) -> Vec<f64> {
    let bins = old.len();
    let width = |r: (f32, f32)| (f64::from(r.1) - f64::from(r.0)) / bins as f64;
    let mut new = vec![0.0; bins];
    for (i, &mass) in old.iter().enumerate() {
        for part in 0..UPSAMPLE {
            let at = i as f64 + (part as f64 + 0.5) / UPSAMPLE as f64;
            let middle = f64::from(from.0) + at * width(from);
            let bin = ((middle - f64::from(to.0)) / width(to)).floor().clamp(0.0, (bins - 1) as f64);
            new[bin as usize] += mass / UPSAMPLE as f64;
        }
    }
    new
}

/// `n` equally spaced numbers in `f32`, computed from the nearer end.
struct Linspace {
    start: f32,
    end: f32,
    step: f32,
    n: usize,
}

impl Linspace {
    fn new(start: f32, end: f32, n: usize) -> Linspace {
        Linspace { start, end, step: (end - start) / (n - 1) as f32, n }
    }
    fn at(&self, i: usize) -> f32 {
        if i < self.n / 2 {
            self.start + self.step * i as f32
        } else {
            self.end - self.step * (self.n - 1 - i) as f32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    fn new(args: &[f32]) -> Histogram {
        Histogram::new(&spec(args)).unwrap()
    }
    fn spec(args: &[f32]) -> ObserverSpec {
        ObserverSpec { args: args.to_vec(), ..ObserverSpec::new("histogram", Storage::U8) }
    }

    #[test]
    fn counts_follow_the_widening_range() {
        let mut h = new(&[3.0]);
        h.see(&[1.0; 4], &[4]);
        assert_eq!(h.counts(), [0.0, 4.0, 0.0]);
        h.see(&[0.0; 4], &[4]);
        assert_eq!(h.counts(), [4.0, 0.0, 4.0]);
        h.see(&[0.0; 4], &[4]);
        h.see(&[2.0, 3.0, 4.0, 5.0], &[4]);
        assert_eq!(h.counts(), [12.0, 2.0, 2.0]);
        h.see(&[5.0, 6.0, 7.0, 8.0], &[4]);
        assert_eq!(h.counts(), [13.25, 3.75, 3.0]);
    }

    #[test]
    fn equal_numbers_keep_their_own_weight() {
        let mut h = new(&[4.0]);
        h.see(&[1.0; 6], &[6]);
        h.see(&[0.0; 2], &[2]);
        assert_eq!(h.counts(), [2.0, 0.0, 0.0, 6.0]);
    }

    #[test]
    fn a_heavy_outlier_is_not_clipped() {
        let mut h = new(&[8.0, 256.0]);
        h.see(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 8.0], &[9]);
        assert_eq!(h.clipped(256), (0.0, 7.0));
    }

    #[test]
    fn extreme_ranges_give_finite_parameters() {
        for data in [[0.0, 4.58e-41], [f32::MIN, f32::MAX], [1e38, 1e38], [-3.4e38, 3.4e38]] {
            let mut h = new(&[]);
            h.see(&data, &[2]);
            h.see(&[1.0, f32::INFINITY], &[2]);
            h.see(&data, &[2]);
            let q = h.params(&spec(&[])).unwrap();
            assert!(q.check(|_| None).is_ok(), "{q} from {data:?}");
            assert_eq!(h.stats().nonfinite, 1);
        }
    }

    #[test]
    fn merging_adds_masses() {
        let (mut a, mut b) = (new(&[16.0]), new(&[16.0]));
        a.see(&[0.0, 1.0, 2.0], &[3]);
        b.see(&[-5.0, 7.0], &[2]);
        a.merge(b).unwrap();
        assert_eq!(a.counts().iter().sum::<f64>(), 5.0);
        assert_eq!((a.stats().min, a.stats().max), (-5.0, 7.0));
    }
}
