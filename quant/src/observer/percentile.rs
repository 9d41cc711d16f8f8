//! `percentile(p, bins)`: the range that holds `p` percent of the numbers.

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::histogram::Histogram;
use crate::observer::{Accumulate, State, Stats, arg, refuse_args};
use crate::scheme::quant_from_range;

/// Cuts `(100 − p) / 2` percent of the numbers at each end, or with a fixed zero point `100 − p` percent of the largest
/// magnitudes (the percentile calibrator of TensorRT and ONNX Runtime).
#[derive(Clone, Debug)]
pub struct Percentile {
    percent: f32,
    histogram: Histogram,
}

impl Accumulate for Percentile {
    const KIND: &'static str = "percentile";
    const ARGS: &'static str = "up to two arguments, the percentage that is kept, above 50 and up to 100 (default 99.99), and the bins (default 2048)";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 2, Self::ARGS)?;
        let percent = arg(spec, 0, 99.99);
        if !(percent > 50.0 && percent <= 100.0) {
            return Err(Error::Declaration(format!("`{}` takes {}", spec.kind, Self::ARGS)));
        }
        Ok(Percentile { percent, histogram: Histogram::with_bins(spec, 1)? })
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        self.histogram.see(data, shape);
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.percent != later.percent {
            let show = |p: f32| format!("percentile({p})");
            return Err(Error::Merge(show(self.percent), show(later.percent)));
        }
        self.histogram.merge(later.histogram)
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.histogram.check()?;
        let keep = f64::from(self.percent) / 100.0;
        let (min, max) = if spec.symmetric {
            let reach = self.histogram.magnitude(keep);
            (-reach, reach)
        } else {
            let cut = (1.0 - keep) / 2.0;
            (self.histogram.quantile(cut), self.histogram.quantile(1.0 - cut))
        };
        quant_from_range(spec, &[min], &[max])
    }
    fn stats(&self) -> Stats {
        self.histogram.stats()
    }
    fn state(&self) -> State {
        self.histogram.state()
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let mut o = Percentile::new(spec)?;
        o.histogram.load(spec, state)?;
        Ok(o)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Storage;

    #[test]
    fn rare_large_numbers_are_cut() {
        let mut data: Vec<f32> = (0..10_000).map(|i| (i % 100) as f32 / 100.0).collect();
        data.push(10.0);
        let spec = |args: &[f32]| ObserverSpec {
            args: args.to_vec(),
            ..ObserverSpec::new("percentile", Storage::U8)
        };
        let top = |s: &ObserverSpec| {
            let mut o = Percentile::new(s).unwrap();
            o.see(&data, &[data.len()]);
            o.params(s).unwrap().scale(0) * 255.0
        };
        assert!(top(&spec(&[99.9])) < 1.01);
        assert!((top(&spec(&[100.0])) - 10.0).abs() < 1e-4);
        let symmetric = ObserverSpec { symmetric: true, ..spec(&[99.9]) };
        assert!(top(&symmetric) < 2.02);
        assert!(Percentile::new(&spec(&[40.0])).is_err());
    }
}
