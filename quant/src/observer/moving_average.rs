//! `moving_average(c)`: exponential averages of each batch's minimum and maximum.

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::minmax::Range;
use crate::observer::{Accumulate, State, Stats, arg, refuse_args};
use crate::scheme::quant_from_range;

/// `m ← m + c · (new − m)` at both ends, the first batch as it is (PyTorch's `MovingAverageMinMaxObserver`).
#[derive(Clone, Debug)]
pub struct MovingAverage {
    c: f32,
    now: Range,
    /// The range of the first batch, which [`Accumulate::merge`] needs to undo its full weight.
    first: Range,
}

impl Accumulate for MovingAverage {
    const KIND: &'static str = "moving_average";
    const ARGS: &'static str = "one argument, the averaging constant between 0 and 1 (default 0.01)";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 1, Self::ARGS)?;
        let c = arg(spec, 0, 0.01);
        if !(c > 0.0 && c <= 1.0) {
            return Err(Error::Declaration(format!("`{}` takes {}", spec.kind, Self::ARGS)));
        }
        Ok(MovingAverage { c, now: Range::new(spec.axis), first: Range::new(spec.axis) })
    }

    fn see(&mut self, data: &[f32], shape: &[usize]) {
        let mut new = Range::new(self.now.axis);
        new.see(data, shape);
        if new.min.iter().any(|x| !x.is_finite()) {
            // A batch without any finite number has no range; only its count is kept.
            self.now.nonfinite += new.nonfinite;
            self.now.nan += new.nan;
            self.now.batches += new.batches;
            return;
        }
        if self.first.min.is_empty() {
            self.first = new.clone();
        }
        let c = self.c;
        let step = |m: f32, x: f32| m + c * (x - m);
        self.now.join(new, step, step);
    }

    /// The average over both, exact up to rounding: `later + (1 − c)ⁿ · (self − first of later)`.
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.c != later.c {
            return Err(Error::Merge(
                format!("moving_average({})", self.c),
                format!("moving_average({})", later.c),
            ));
        }
        if self.first.min.is_empty() || later.first.min.is_empty() {
            self.now.join(later.now, |a, _| a, |a, _| a);
            if self.first.min.is_empty() {
                self.first = later.first;
            }
            return Ok(());
        }
        let keep = (1.0 - f64::from(self.c)).powf(later.now.batches as f64);
        let mut undone = self.now.clone();
        undone.join(
            later.first,
            |m, x| ((f64::from(m) - f64::from(x)) * keep) as f32,
            |m, x| ((f64::from(m) - f64::from(x)) * keep) as f32,
        );
        // The counts of `undone` were taken twice; only those of the two sides stand.
        undone.batches = self.now.batches;
        undone.nonfinite = self.now.nonfinite;
        undone.nan = self.now.nan;
        undone.join(later.now, |a, b| a + b, |a, b| a + b);
        self.now = undone;
        Ok(())
    }

    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        if self.now.nan == 0 && self.now.batches > 0 && self.now.min.is_empty() && self.now.nonfinite > 0 {
            return Err(Error::NoFinite { nonfinite: self.now.nonfinite });
        }
        self.now.check()?;
        quant_from_range(spec, &self.now.min, &self.now.max)
    }

    fn stats(&self) -> Stats {
        self.now.stats()
    }
    fn state(&self) -> State {
        let first = |x: &[f32]| x.iter().map(|&x| x.into()).collect::<Vec<f64>>();
        self.now.state().with("first_min", first(&self.first.min)).with("first_max", first(&self.first.max))
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let mut o = MovingAverage::new(spec)?;
        o.now = Range::restore(spec, state)?;
        (o.first.min, o.first.max) = (state.floats("first_min"), state.floats("first_max"));
        if o.first.min.is_empty() {
            // States of PyTorch do not remember the first batch; merging then treats the average as one.
            o.first = o.now.clone();
        }
        if o.first.min.len() != o.now.min.len() || o.first.max.len() != o.now.min.len() {
            return Err(state.unfit(spec, "the first batch has ranges of another length"));
        }
        Ok(o)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    #[test]
    fn merging_shards_is_as_seeing_everything_in_order() {
        let spec = ObserverSpec { args: vec![0.25], ..ObserverSpec::new("moving_average", Storage::U8) };
        let batches: Vec<[f32; 2]> = (0..7).map(|i| [-(i as f32), 3.0 * i as f32 + 1.0]).collect();
        let mut all = MovingAverage::new(&spec).unwrap();
        let mut left = all.clone();
        let mut right = all.clone();
        for (i, b) in batches.iter().enumerate() {
            all.see(b, &[2]);
            if i < 3 { left.see(b, &[2]) } else { right.see(b, &[2]) }
        }
        left.merge(right).unwrap();
        let (a, b) = (all.stats(), left.stats());
        assert!((a.min - b.min).abs() < 1e-5 && (a.max - b.max).abs() < 1e-5, "{a:?} {b:?}");
        assert_eq!(b.batches, 7);
    }
}
