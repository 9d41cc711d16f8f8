//! Calibration: data through the observers, on the runtime's float kernels.

use std::sync::Arc;

use quantir_ir::{Diag, Graph};
use quantir_passes::calibrate;
use quantir_quant::Calibration;
use quantir_runtime::{Executor, Isa, PlanOptions};

use crate::data::Dataset;
use crate::error::Error;

/// How to calibrate.
#[derive(Clone, Default)]
pub struct CalibrateOptions<'a> {
    /// Batches that run at the same time; `None` for all cores. The result does not depend on it.
    pub threads: Option<usize>,
    /// The best instruction set to use; `None` for the best of the machine.
    pub isa: Option<Isa>,
    /// Is told the number of samples begun.
    pub progress: Option<&'a (dyn Fn(usize) + Sync)>,
}

/// Runs the observed graph over all samples, one at a time (or as many as the model fixes), and returns what its
/// observers found.
///
/// Memory is that of the batches in flight: one for each thread, whatever the number of samples.
pub fn calibrate(g: &Arc<Graph>, data: &Dataset, options: &CalibrateOptions) -> Result<Calibration, Error> {
    let threads = crate::session::threads_or_all(options.threads);
    let isa = options.isa.unwrap_or_else(Isa::detect);
    // Each batch has one thread; several batches run at once.
    let executor = Executor::new(g.clone(), PlanOptions { isa, threads: 1, ..PlanOptions::default() })?;
    let batch = crate::session::fixed_batch(g).unwrap_or(1).max(1);
    let starts = (0..data.len()).step_by(batch);
    let batches = starts.map(|at| {
        if let Some(progress) = options.progress {
            progress(at);
        }
        let samples =
            data.batch(at, batch.min(data.len() - at)).map_err(|e| Diag::error("data", e.to_string()))?;
        crate::session::fill(samples, batch).map_err(|e| Diag::error("data", e.to_string()))
    });
    let run = |inputs: &[quantir_ir::Tensor], seat: &mut calibrate::Seat<'_>| {
        executor.run_with_hook(inputs, seat).map(drop).map_err(|e| Diag::error("run", e.to_string()))
    };
    Ok(calibrate::calibrate(g, batches, threads, run)?)
}

/// As [`calibrate()`], on batches of inputs that are at hand, one after the other.
pub fn calibrate_batches(
    g: &Arc<Graph>,
    batches: impl IntoIterator<Item = Vec<quantir_ir::Tensor>>,
) -> Result<Calibration, Error> {
    let executor =
        Executor::new(g.clone(), PlanOptions { isa: Isa::detect(), threads: 1, ..PlanOptions::default() })?;
    let run = |inputs: &[quantir_ir::Tensor], seat: &mut calibrate::Seat<'_>| {
        executor.run_with_hook(inputs, seat).map(drop).map_err(|e| Diag::error("run", e.to_string()))
    };
    let batches: Vec<_> = batches.into_iter().map(Ok).collect();
    Ok(calibrate::calibrate(g, batches, 1, run)?)
}
