//! `recording`: keeps the tensors it sees.

use quantir_ir::{ObserverSpec, Quant, Tensor};

use crate::Error;
use crate::observer::minmax::Seen;
use crate::observer::{Accumulate, Stats, refuse_args};

/// The tensors seen, in order (PyTorch's `RecordingObserver`); it gives no parameters.
#[derive(Clone, Debug)]
pub struct Recording {
    tensors: Vec<Tensor>,
}

impl Recording {
    /// What was seen, in order (PyTorch's `get_tensor_value`).
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

impl Accumulate for Recording {
    const KIND: &'static str = "recording";
    const ARGS: &'static str = "no arguments";
    const PASSIVE: bool = true;

    fn new(spec: &ObserverSpec) -> Result<Self, Error> {
        refuse_args(spec, 0, Self::ARGS)?;
        Ok(Recording { tensors: Vec::new() })
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        self.tensors.push(Tensor::f32(shape, data.to_vec()));
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        self.tensors.extend(later.tensors);
        Ok(())
    }
    fn params(&self, _spec: &ObserverSpec) -> Result<Quant, Error> {
        Err(Error::Passive { kind: Self::KIND, does: "keeps the tensors it sees" })
    }
    fn stats(&self) -> Stats {
        let mut s = Stats { batches: self.tensors.len() as u64, ..Stats::default() };
        for t in &self.tensors {
            // Recorded tensors are `f32`.
            if let Ok(x) = t.floats() {
                let seen = Seen::new(&x);
                (s.min, s.max) = (s.min.min(seen.min), s.max.max(seen.max));
                s.nonfinite += seen.infinite + seen.nan;
            }
        }
        s
    }
}
