//! `minmax`: the smallest and largest number ever seen, per tensor or along an axis.

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::{Accumulate, State, Stats, refuse_args};
use crate::scheme::quant_from_range;

/// Running minimum and maximum (PyTorch's `MinMaxObserver` and `PerChannelMinMaxObserver`).
#[derive(Clone, Debug)]
pub struct MinMax {
    range: Range,
}

impl Accumulate for MinMax {
    const KIND: &'static str = "minmax";
    const ARGS: &'static str = "no arguments";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 0, Self::ARGS)?;
        Ok(MinMax { range: Range::new(spec.axis) })
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        let mut now = Range::new(self.range.axis);
        now.see(data, shape);
        self.range.widen(now);
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        self.range.widen(later.range);
        Ok(())
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.range.check()?;
        quant_from_range(spec, &self.range.min, &self.range.max)
    }
    fn stats(&self) -> Stats {
        self.range.stats()
    }
    fn state(&self) -> State {
        self.range.state()
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        refuse_args(spec, 0, Self::ARGS)?;
        Ok(MinMax { range: Range::restore(spec, state)? })
    }
}

/// Minima and maxima of finite numbers, one pair or one for each index along an axis.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) axis: Option<u8>,
    /// Empty until something was seen; `+inf` where nothing finite was.
    pub(crate) min: Vec<f32>,
    pub(crate) max: Vec<f32>,
    pub(crate) batches: u64,
    pub(crate) nonfinite: u64,
    /// How many of them are NaN.
    pub(crate) nan: u64,
    /// The first thing that went wrong; kept until parameters are asked for, so that `see` need not fail.
    broken: Option<Broken>,
}

#[derive(Clone, Copy, Debug)]
enum Broken {
    Length { had: usize, has: usize },
    NoAxis { axis: usize, rank: usize },
}

impl Range {
    pub(crate) fn new(axis: Option<u8>) -> Range {
        Range { axis, min: Vec::new(), max: Vec::new(), batches: 0, nonfinite: 0, nan: 0, broken: None }
    }

    /// Takes the range of one tensor; to be called once on a new value.
    pub(crate) fn see(&mut self, data: &[f32], shape: &[usize]) {
        if data.is_empty() {
            return;
        }
        self.batches = 1;
        let (count, inner) = match self.axis {
            None => (1, data.len()),
            Some(a) => match shape.get(a as usize) {
                Some(&n) => (n, shape[a as usize + 1..].iter().product()),
                None => {
                    self.broken = Some(Broken::NoAxis { axis: a as usize, rank: shape.len() });
                    return;
                }
            },
        };
        self.min = vec![f32::INFINITY; count];
        self.max = vec![f32::NEG_INFINITY; count];
        for (run, chunk) in data.chunks(inner.max(1)).enumerate() {
            let seen = Seen::new(chunk);
            let c = run % count;
            self.min[c] = self.min[c].min(seen.min);
            self.max[c] = self.max[c].max(seen.max);
            self.nonfinite += seen.infinite + seen.nan;
            self.nan += seen.nan;
        }
    }

    /// Takes in another range.
    pub(crate) fn widen(&mut self, other: Range) {
        self.join(other, |a, b| a.min(b), |a, b| a.max(b));
    }

    /// Takes in another range by `lo` on minima and `hi` on maxima.
    pub(crate) fn join(&mut self, other: Range, lo: impl Fn(f32, f32) -> f32, hi: impl Fn(f32, f32) -> f32) {
        self.batches += other.batches;
        self.nonfinite += other.nonfinite;
        self.nan += other.nan;
        self.broken = self.broken.or(other.broken);
        if other.min.is_empty() {
            return;
        }
        if self.min.is_empty() {
            (self.min, self.max) = (other.min, other.max);
        } else if self.min.len() != other.min.len() {
            let lengths = Broken::Length { had: self.min.len(), has: other.min.len() };
            self.broken = self.broken.or(Some(lengths));
        } else {
            for (a, b) in self.min.iter_mut().zip(other.min) {
                *a = lo(*a, b);
            }
            for (a, b) in self.max.iter_mut().zip(other.max) {
                *a = hi(*a, b);
            }
        }
    }

    /// Whether every index saw a finite number, and none a NaN.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.nan > 0 {
            return Err(Error::Nan { count: self.nan });
        }
        match self.broken {
            Some(Broken::Length { had, has }) => return Err(Error::AxisLength { had, has }),
            Some(Broken::NoAxis { axis, rank }) => return Err(Error::NoAxis { axis, rank }),
            None => {}
        }
        if self.batches == 0 || self.min.is_empty() {
            return Err(Error::NoData);
        }
        if self.min.iter().any(|x| !x.is_finite()) {
            return Err(Error::NoFinite { nonfinite: self.nonfinite });
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> State {
        State::default()
            .with("min", self.min.iter().map(|&x| x.into()))
            .with("max", self.max.iter().map(|&x| x.into()))
            .with("batches", [self.batches as f64])
            .with("nonfinite", [self.nonfinite as f64])
            .with("nan", [self.nan as f64])
    }

    pub(crate) fn restore(spec: &ObserverSpec, s: &State) -> Result<Range, Error> {
        let (min, max) = (s.floats("min"), s.floats("max"));
        if min.len() != max.len() {
            return Err(s.unfit(spec, "it has not as many maxima as minima"));
        }
        if spec.axis.is_none() && min.len() > 1 {
            return Err(s.unfit(spec, "it has ranges along an axis"));
        }
        let batches = s.number("batches", f64::from(u8::from(!min.is_empty()))) as u64;
        let (nonfinite, nan) = (s.count("nonfinite"), s.count("nan"));
        Ok(Range { min, max, batches, nonfinite, nan, ..Range::new(spec.axis) })
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            min: self.min.iter().copied().fold(f32::INFINITY, f32::min),
            max: self.max.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            batches: self.batches,
            nonfinite: self.nonfinite,
        }
    }
}

/// Ends of the finite numbers of a slice, and how many are not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Smallest finite number; `+inf` if there is none.
    pub(crate) min: f32,
    /// Largest finite number; `−inf` if there is none.
    pub(crate) max: f32,
    pub(crate) infinite: u64,
    pub(crate) nan: u64,
}

impl Seen {
    pub(crate) fn new(data: &[f32]) -> Seen {
        // `f32::min` drops NaN, so one pass without branches finds out whether a careful second one is needed. Lanes of
        // their own let the compiler use vectors; minimum and maximum do not depend on the order.
        const LANES: usize = 16;
        let (mut lows, mut highs, mut nans) =
            ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [false; LANES]);
        let chunks = data.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for i in 0..LANES {
                let x = chunk[i];
                lows[i] = if x < lows[i] { x } else { lows[i] };
                highs[i] = if x > highs[i] { x } else { highs[i] };
                nans[i] |= x.is_nan();
            }
        }
        let (mut lo, mut hi, mut nan) = (f32::INFINITY, f32::NEG_INFINITY, nans.contains(&true));
        for &x in rest {
            lo = lo.min(x);
            hi = hi.max(x);
            nan |= x.is_nan();
        }
        lo = lows.into_iter().fold(lo, f32::min);
        hi = highs.into_iter().fold(hi, f32::max);
        if !nan && lo.is_finite() && hi.is_finite() {
            return Seen { min: lo, max: hi, infinite: 0, nan: 0 };
        }
        let mut seen = Seen { min: f32::INFINITY, max: f32::NEG_INFINITY, infinite: 0, nan: 0 };
        for &x in data {
            if x.is_finite() {
                seen.min = seen.min.min(x);
                seen.max = seen.max.max(x);
            } else if x.is_nan() {
                seen.nan += 1;
            } else {
                seen.infinite += 1;
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    fn spec(axis: Option<u8>) -> ObserverSpec {
        ObserverSpec { axis, ..ObserverSpec::new("minmax", Storage::U8) }
    }

    #[test]
    fn axes_have_ranges_of_their_own() {
        let mut o = MinMax::new(&spec(Some(1))).unwrap();
        o.see(&[1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[2, 2, 2]);
        assert_eq!((o.range.min.clone(), o.range.max.clone()), (vec![1.0, -3.0], vec![6.0, 8.0]));
        o.see(&[0.0; 3], &[1, 3]);
        assert!(matches!(o.params(&spec(Some(1))), Err(Error::AxisLength { had: 2, has: 3 })));
    }

    #[test]
    fn only_finite_numbers_count() {
        let mut o = MinMax::new(&spec(None)).unwrap();
        assert!(matches!(o.params(&spec(None)), Err(Error::NoData)));
        o.see(&[f32::NEG_INFINITY, f32::INFINITY], &[2]);
        assert!(matches!(o.params(&spec(None)), Err(Error::NoFinite { nonfinite: 2 })));
        o.see(&[-1.0, f32::NEG_INFINITY, 1.0], &[3]);
        assert_eq!(o.stats(), Stats { min: -1.0, max: 1.0, batches: 2, nonfinite: 3 });
        assert!(o.params(&spec(None)).is_ok());
        o.see(&[f32::NAN, 0.5], &[2]);
        assert!(matches!(o.params(&spec(None)), Err(Error::Nan { count: 1 })));
    }
}
