//! `fixed(scale, zero_point)`: parameters that need no data.

use quantir_ir::{ObserverSpec, QParams, Quant};

use crate::Error;
use crate::observer::minmax::Seen;
use crate::observer::{Accumulate, State, Stats, arg};

/// Given parameters (PyTorch's `FixedQParamsObserver`), for ops with a known output range such as `sigmoid`.
#[derive(Clone, Debug)]
pub struct Fixed {
    scale: f32,
    zero: i32,
    batches: u64,
    min: f32,
    max: f32,
    nonfinite: u64,
}

impl Accumulate for Fixed {
    const KIND: &'static str = "fixed";
    const ARGS: &'static str = "two arguments, a positive scale and a zero point within the range";

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        let (scale, zero) = (arg(spec, 0, f32::NAN), arg(spec, 1, 0.0));
        let inside = (spec.range.0 as f32..=spec.range.1 as f32).contains(&zero);
        if !(scale > 0.0 && scale.is_finite() && inside && zero.fract() == 0.0) || spec.args.len() != 2 {
            return Err(Error::Declaration(format!("`fixed` takes {}", Self::ARGS)));
        }
        if spec.axis.is_some() {
            return Err(Error::Declaration("`fixed` has one scale for the whole tensor".into()));
        }
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        Ok(Fixed { scale, zero: zero as i32, batches: 0, min, max, nonfinite: 0 })
    }
    fn see(&mut self, data: &[f32], _shape: &[usize]) {
        let seen = Seen::new(data);
        self.min = self.min.min(seen.min);
        self.max = self.max.max(seen.max);
        self.nonfinite += seen.infinite + seen.nan;
        self.batches += u64::from(!data.is_empty());
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        if (self.scale, self.zero) != (later.scale, later.zero) {
            let show = |f: &Fixed| format!("fixed({},{})", f.scale, f.zero);
            return Err(Error::Merge(show(self), show(&later)));
        }
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.batches += later.batches;
        self.nonfinite += later.nonfinite;
        Ok(())
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        let params = QParams::Tensor { scale: self.scale, zero: self.zero };
        Ok(Quant { storage: spec.storage, range: spec.range, params })
    }
    fn stats(&self) -> Stats {
        Stats { min: self.min, max: self.max, batches: self.batches, nonfinite: self.nonfinite }
    }
    fn state(&self) -> State {
        self.stats().state()
    }
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        let s = Stats::restore(state);
        Ok(Fixed { min: s.min, max: s.max, batches: s.batches, nonfinite: s.nonfinite, ..Fixed::new(spec)? })
    }
}
