//! `qir bench`: latency, and where the time goes.

use std::sync::Arc;
use std::time::Instant;

use quantir::file;
use quantir::ir::ops::constant::ConstData;
use quantir::{Error, Graph, Session, SessionOptions, Tensor};
use serde::Serialize;

use crate::args::Bench;
use crate::table::{seconds, table};

/// Latency of a run in seconds.
#[derive(Clone, Copy, Serialize)]
pub struct Latency {
    /// Median of all runs.
    pub median: f64,
    /// Fastest run.
    pub min: f64,
    /// Number of runs.
    pub runs: usize,
}

impl Latency {
    fn of(mut samples: Vec<f64>) -> Latency {
        samples.sort_by(f64::total_cmp);
        Latency { median: samples[samples.len() / 2], min: samples[0], runs: samples.len() }
    }
}

#[derive(Serialize)]
struct Report {
    model: String,
    threads: usize,
    isa: String,
    latency: Latency,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<ProfileRow>,
}

#[derive(Serialize)]
struct ProfileRow {
    step: String,
    kernel: String,
    seconds: f64,
    share: f64,
}

pub fn main(a: Bench) -> Result<(), Error> {
    let graph = Arc::new(file::load(&a.model)?);
    let inputs = inputs(&graph, &a.shape)?;
    let threads = a.machine.threads.unwrap_or(1) as usize;
    let options = SessionOptions { threads: Some(threads), isa: a.machine.isa, interpret: false };
    let session = Session::new(graph, &options)?;
    let latency = measure(&session, &inputs, a.seconds)?;
    let isa = a.machine.isa.unwrap_or_else(quantir::Isa::detect).to_string();
    let profile = if a.profile { profile(&session, &inputs)? } else { Vec::new() };
    let report = Report { model: a.model.display().to_string(), threads, isa, latency, profile };
    if a.json {
        say!("{}", serde_json::to_string_pretty(&report).expect("plain data"));
        return Ok(());
    }
    say!(
        "{}: median {}, best {} of {} runs; {} thread{}, {}",
        report.model,
        seconds(latency.median),
        seconds(latency.min),
        latency.runs,
        threads,
        if threads == 1 { "" } else { "s" },
        report.isa
    );
    if a.profile {
        let mut t = table(&["share", "time", "kernel", "step"]);
        for r in &report.profile {
            t.add_row([
                format!("{:.1} %", r.share * 100.0),
                seconds(r.seconds),
                r.kernel.clone(),
                r.step.clone(),
            ]);
        }
        say!("{t}");
    }
    Ok(())
}

/// Repeats the run for about `budget` seconds after a warm-up.
fn measure(session: &Session, inputs: &[Tensor], budget: f64) -> Result<Latency, Error> {
    let [latency] = interleaved([session], inputs, budget)?;
    Ok(latency)
}

/// Latencies of several sessions on the same inputs, measured in turn, run by run, so that a disturbance of the
/// machine hits all of them alike. `budget` is in seconds for each session.
pub fn interleaved<const N: usize>(
    sessions: [&Session; N],
    inputs: &[Tensor],
    budget: f64,
) -> Result<[Latency; N], Error> {
    for s in sessions {
        for _ in 0..3 {
            s.run(inputs)?;
        }
    }
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let start = Instant::now();
    while times[0].len() < 5 || start.elapsed().as_secs_f64() < budget * N as f64 {
        for (s, t) in sessions.iter().zip(&mut times) {
            let begin = Instant::now();
            s.run(inputs)?;
            t.push(begin.elapsed().as_secs_f64());
        }
        if times[0].len() >= 100_000 {
            break;
        }
    }
    Ok(times.map(Latency::of))
}

/// Time of each step: the fastest of several runs, which noise disturbs least.
fn profile(session: &Session, inputs: &[Tensor]) -> Result<Vec<ProfileRow>, Error> {
    let Some(executor) = session.executor() else { return Ok(Vec::new()) };
    let steps = executor.profile(inputs, 20)?;
    let total: f64 = steps.iter().map(|s| s.time.as_secs_f64()).sum();
    let mut rows: Vec<ProfileRow> = steps
        .into_iter()
        .map(|s| {
            let seconds = s.time.as_secs_f64();
            ProfileRow {
                share: seconds / total,
                seconds,
                step: format!("{} %{}", s.step.op, s.step.value),
                kernel: s.step.kernel.to_string(),
            }
        })
        .collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(rows)
}

/// Random inputs for the graph. Symbolic dimensions are 1 on the first axis and 64 elsewhere unless `shapes` says
/// otherwise.
fn inputs(g: &Graph, shapes: &[String]) -> Result<Vec<Tensor>, Error> {
    let mut given = Vec::new();
    for s in shapes {
        let usage = || Error::Usage(format!("`{s}` is no shape"), "write --shape NAME=1,3,224,224".into());
        let (name, dims) = s.rsplit_once('=').ok_or_else(usage)?;
        let dims: Result<Vec<usize>, _> = dims.split(',').map(|d| d.trim().parse::<usize>()).collect();
        if !g.inputs().iter().any(|&v| &**g.name_of(v) == name) {
            let names: Vec<&str> = g.inputs().iter().map(|&v| &**g.name_of(v)).collect();
            return Err(Error::Usage(
                format!("no input is called `{name}`"),
                format!("inputs are: {}", names.join(", ")),
            ));
        }
        given.push((name, dims.map_err(|_| usage())?));
    }
    g.inputs()
        .iter()
        .enumerate()
        .map(|(i, &v)| {
            let ty = g.ty(v);
            let shape = match given.iter().find(|(n, _)| *n == &**g.name_of(v)) {
                Some((_, dims)) => dims.clone(),
                None => {
                    let dim = |(axis, d): (usize, &quantir::ir::Dim)| match d.as_lit() {
                        Some(n) => n.max(0) as usize,
                        None if axis == 0 => 1,
                        None => 64,
                    };
                    ty.shape.0.iter().enumerate().map(dim).collect()
                }
            };
            let concrete = ty.with_shape(quantir::ir::Shape::of(&shape));
            Ok(ConstData::Rand(i as u64 + 1).tensor(&concrete)?)
        })
        .collect()
}
