//! `qir compare`: where a quantized model loses accuracy.

use std::sync::Arc;

use quantir::data::{Dataset, Normalize};
use quantir::ir::Phase;
use quantir::numeric_suite::{CompareOptions, compare_layers};
use quantir::{Error, Model, SessionOptions, file};

use crate::args::{Compare, Executor};
use crate::progress::bar;

pub fn main(a: Compare) -> Result<(), Error> {
    let mut float = file::load(&a.float)?;
    if float.phase() == Phase::Float {
        // Weights compare only where batch norms are folded on both sides.
        float = Model::from_graph(float)?.fuse()?.graph().clone();
    }
    let quantized = file::load(&a.quantized)?;
    let normalize = a.inputs.normalize.clone().unwrap_or_else(Normalize::none);
    let mut data = Dataset::open(&a.data, &float, normalize)?;
    if let Some(n) = a.samples {
        data.truncate(n as usize);
    }
    let bar = bar("comparing", data.len());
    let done = |n: usize| bar.set_position(n as u64);
    let options = CompareOptions {
        session: SessionOptions {
            threads: a.machine.threads.map(|n| n as usize),
            isa: a.machine.isa,
            interpret: a.executor == Executor::Interp,
        },
        shadow: a.shadow,
        progress: Some(&done),
    };
    let report = compare_layers(&Arc::new(float), &Arc::new(quantized), &data, &options)?;
    bar.finish_and_clear();
    if a.json {
        say!("{}", serde_json::to_string_pretty(&report).expect("plain data"));
    } else {
        say!("{report}");
    }
    Ok(())
}
