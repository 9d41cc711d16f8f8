//! `qir report`: how a float model is best quantized.

use quantir::data::{Dataset, Normalize};
use quantir::ir::Phase;
use quantir::model_report::{Detector, Filter, ModelReport};
use quantir::{Error, Model, SessionOptions, file};

use crate::args::Report;
use crate::progress::bar;

pub fn main(a: Report) -> Result<(), Error> {
    let mut graph = file::load(&a.model)?;
    let normalize = a.inputs.normalize.clone().unwrap_or_else(Normalize::none);
    let mut data = Dataset::open(&a.calibrate, &graph, normalize)?;
    if let Some(n) = a.samples {
        data.truncate(n as usize);
    }
    if let Some(path) = &a.recipe {
        file::check_output(path, [a.model.as_path(), a.calibrate.as_path()])?;
    }
    if graph.phase() == Phase::Float {
        // Weights are judged as they will be quantized: with batch norms folded into them.
        graph = Model::from_graph(graph)?.fuse()?.graph().clone();
    }
    let options = SessionOptions {
        threads: a.machine.threads.map(|n| n as usize),
        isa: a.machine.isa,
        ..SessionOptions::default()
    };
    let bar = bar("observing", data.len());
    let done = |n: usize| bar.set_position(n as u64);
    let report = ModelReport::new(graph.into(), Detector::all())?.calibrate(
        &data,
        a.batch as usize,
        &options,
        Some(&done),
    )?;
    bar.finish_and_clear();
    if let Some(path) = &a.recipe {
        file::write_whole(path, report.generate_qconfig_mapping().to_toml().as_bytes())?;
    }
    if a.json {
        say!("{}", serde_json::to_string_pretty(&report).expect("plain data"));
    } else if a.table {
        let (whole, channels) =
            report.generate_filtered_tables(Filter { feature: &a.feature, module: &a.module });
        say!("{whole}\n{channels}");
    } else {
        say!("{report}");
    }
    Ok(())
}
