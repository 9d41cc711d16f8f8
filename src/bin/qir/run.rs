//! `qir run`: a model on data.

use std::sync::Arc;

use quantir::data::{Dataset, Normalize, write_npz};
use quantir::file;
use quantir::{Error, Session, SessionOptions, Tensor};

use crate::args::{Executor, Run};
use crate::progress::bar;

pub fn main(a: Run) -> Result<(), Error> {
    let graph = file::load(&a.model)?;
    let data = Dataset::open(&a.inputs, &graph, a.data.normalize.clone().unwrap_or_else(Normalize::none))?;
    file::check_output(&a.output, [a.model.as_path(), a.inputs.as_path()])?;
    let session = Session::new(
        Arc::new(graph),
        &SessionOptions {
            threads: a.machine.threads.map(|n| n as usize),
            isa: a.machine.isa,
            interpret: a.executor == Executor::Interp,
        },
    )?;
    let progress = bar("running", data.len());
    let step = session.preferred_batch();
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let count = step.min(data.len() - at);
        parts.push(session.run(&data.batch(at, count)?)?);
        at += count;
        progress.set_position(at as u64);
    }
    progress.finish_and_clear();
    let outputs = session.output_names().into_iter().enumerate().map(|(i, name)| {
        let tensors: Vec<&Tensor> = parts.iter().map(|p| &p[i]).collect();
        Ok((name, join(&tensors)?))
    });
    let outputs: Result<Vec<(String, Tensor)>, Error> = outputs.collect();
    let bytes = write_npz(&outputs?).map_err(|source| Error::Io { path: a.output.clone(), source })?;
    file::write_whole(&a.output, &bytes)
}

/// Joins outputs of consecutive batches on the first axis; outputs without one must be equal in every batch.
fn join(parts: &[&Tensor]) -> Result<Tensor, Error> {
    let first = parts[0];
    if parts.len() == 1 {
        return Ok(first.clone());
    }
    let fits = |p: &&&Tensor| p.rank() > 0 && p.shape[1..] == first.shape[1..];
    if first.rank() == 0 || !parts.iter().all(|p| fits(&p)) {
        return Err(Error::Usage(
            "an output has no batch axis, or its other axes differ between batches, so batches cannot be joined".into(),
            "give fewer samples".into(),
        ));
    }
    let mut shape = first.shape.clone();
    shape[0] = parts.iter().map(|p| p.shape[0]).sum();
    let bytes: Vec<u8> = parts.iter().flat_map(|p| p.bytes().iter().copied()).collect();
    Ok(Tensor::from_bytes(first.elem.clone(), &shape, bytes.into())?)
}
