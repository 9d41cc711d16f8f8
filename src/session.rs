//! A model that is ready to run.

use std::sync::Arc;

use quantir_ir::interp;
use quantir_ir::{Graph, Tensor};
use quantir_runtime::{Executor, Isa, PlanOptions};

use crate::error::Error;

/// How a model is run.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Threads for one run; `None` for all cores.
    pub threads: Option<usize>,
    /// The best instruction set to use; `None` for the best of the machine.
    pub isa: Option<Isa>,
    /// Run the reference interpreter instead of planned kernels.
    pub interpret: bool,
}

impl SessionOptions {
    /// One thread, the best instruction set, planned kernels.
    pub fn single_thread() -> SessionOptions {
        SessionOptions { threads: Some(1), isa: None, interpret: false }
    }
}

/// A model with its executor.
pub struct Session {
    graph: Arc<Graph>,
    /// `None` for the interpreter.
    executor: Option<Executor>,
    /// The batch that the model fixes on the first axis of every input, if it does.
    fixed_batch: Option<usize>,
}

impl Session {
    /// Prepares a graph of any phase for running.
    pub fn new(graph: Arc<Graph>, options: &SessionOptions) -> Result<Session, Error> {
        let executor = if options.interpret {
            None
        } else {
            let threads = threads_or_all(options.threads);
            let isa = options.isa.unwrap_or_else(Isa::detect);
            Some(Executor::new(graph.clone(), PlanOptions { isa, threads, ..PlanOptions::default() })?)
        };
        let fixed_batch = fixed_batch(&graph);
        Ok(Session { graph, executor, fixed_batch })
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The planned executor, if this session does not interpret.
    pub fn executor(&self) -> Option<&Executor> {
        self.executor.as_ref()
    }

    /// The outputs' names in the model's order.
    pub fn output_names(&self) -> Vec<String> {
        self.graph.outputs().iter().map(|o| o.name.to_string()).collect()
    }

    /// The batch that suits long work: the one the model fixes, else a moderate one.
    pub fn preferred_batch(&self) -> usize {
        self.fixed_batch.unwrap_or(8)
    }

    /// Outputs for `inputs`, in the model's order.
    ///
    /// If the model fixes the batch on the first axis of its inputs and is given another number of samples, it is
    /// run in turn and the outputs are joined; the last batch is filled up with copies of the last sample.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let given = inputs.first().and_then(|t| t.shape.first().copied());
        match (self.fixed_batch, given) {
            (Some(batch), Some(n)) if n != batch && n > 0 && batch > 0 => self.run_in_turn(inputs, batch, n),
            _ => self.run_once(inputs),
        }
    }

    /// As [`Session::run`] on exactly these inputs, with a hook that sees the values it wants. A model that fixes its
    /// batch must be given as many samples.
    pub fn run_with_hook(
        &self,
        inputs: &[Tensor],
        hook: &mut impl interp::Hook,
    ) -> Result<Vec<Tensor>, Error> {
        match &self.executor {
            Some(e) => Ok(e.run_with_hook(inputs, hook)?),
            None => Ok(interp::run(&self.graph, inputs, hook)?),
        }
    }

    /// As [`Session::run`] on exactly these inputs, whose first axes need not be a batch.
    pub(crate) fn run_exactly(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.run_once(inputs)
    }

    fn run_once(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        match &self.executor {
            Some(e) => Ok(e.run(inputs)?),
            None => Ok(interp::run(&self.graph, inputs, &mut ())?),
        }
    }

    fn run_in_turn(&self, inputs: &[Tensor], batch: usize, n: usize) -> Result<Vec<Tensor>, Error> {
        let mut joined: Vec<Vec<u8>> = Vec::new();
        let mut like: Vec<Tensor> = Vec::new();
        for start in (0..n).step_by(batch) {
            let part: Result<Vec<Tensor>, Error> = inputs.iter().map(|t| rows(t, start, batch)).collect();
            like = self.run_once(&part?)?;
            let keep = batch.min(n - start);
            joined.resize(like.len(), Vec::new());
            for (t, out) in like.iter().zip(&mut joined) {
                if t.shape.first() != Some(&batch) {
                    return Err(Error::Unbatched { rows: n, batch });
                }
                out.extend_from_slice(&t.bytes()[..t.bytes().len() / batch * keep]);
            }
        }
        like.into_iter()
            .zip(joined)
            .map(|(t, bytes)| {
                let mut shape = t.shape.clone();
                shape[0] = n;
                Ok(Tensor::from_bytes(t.elem, &shape, bytes.into())?)
            })
            .collect()
    }
}

/// Rows `start..start + count` along the first axis; past the end the last row is repeated.
fn rows(t: &Tensor, start: usize, count: usize) -> Result<Tensor, Error> {
    let n = t.shape[0];
    let row = t.bytes().len() / n;
    let mut bytes = Vec::with_capacity(row * count);
    for i in start..start + count {
        let i = i.min(n - 1);
        bytes.extend_from_slice(&t.bytes()[i * row..(i + 1) * row]);
    }
    let mut shape = t.shape.clone();
    shape[0] = count;
    Ok(Tensor::from_bytes(t.elem.clone(), &shape, bytes.into())?)
}

/// These inputs with their last sample repeated until there are `batch` of them.
pub(crate) fn fill(inputs: Vec<Tensor>, batch: usize) -> Result<Vec<Tensor>, Error> {
    inputs
        .into_iter()
        .map(|t| if t.shape.first() == Some(&batch) { Ok(t) } else { rows(&t, 0, batch) })
        .collect()
}

/// The given number of threads, or all cores of the machine.
pub(crate) fn threads_or_all(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// The literal length that the first axis of every input has.
pub(crate) fn fixed_batch(g: &Graph) -> Option<usize> {
    let mut found = None;
    for &v in g.inputs() {
        let first = usize::try_from(g.ty(v).shape.0.first()?.as_lit()?).ok()?;
        if *found.get_or_insert(first) != first {
            return None;
        }
    }
    found
}
