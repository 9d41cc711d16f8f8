//! `qir quantize`: the whole way from a float model to a saved integer model, and what was gained.

use std::path::Path;

use quantir::backend;
use quantir::calibrate::CalibrateOptions;
use quantir::data::{Dataset, Normalize};
use quantir::evaluate::{Comparison, check_labels, compare};
use quantir::passes::lower::{ExplainRow, explain};
use quantir::{Error, Float, Model, QConfigMapping, Session, SessionOptions};
use serde::Serialize;

use crate::args::{Backend, Mode, Quantize};
use crate::bench::{Latency, interleaved};
use crate::progress::bar;
use crate::table::{bytes, seconds, table};

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    output: String,
    size: Pair<u64>,
    ops: Ops,
    evaluated_on: String,
    comparison: Comparison,
    latency: Pair<Latency>,
    threads: usize,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Pair<T> {
    f32: T,
    int8: T,
}

#[derive(Serialize)]
struct Ops {
    int8: usize,
    float: usize,
}

pub fn main(a: Quantize) -> Result<(), Error> {
    refuse_mode(a.mode)?;
    let inputs = [Some(&a.model), Some(&a.calibrate), a.evaluate.as_ref(), a.config.as_ref()];
    quantir::file::check_output(&a.output, inputs.into_iter().flatten().map(|p| p.as_path()))?;
    let normalize = a.data.normalize.clone().unwrap_or_else(Normalize::none);
    let model = Model::<Float>::load(&a.model)?;
    let mut data = Dataset::open(&a.calibrate, model.graph(), normalize.clone())?;
    if let Some(n) = a.samples {
        data.truncate(n as usize);
    }
    let test = match &a.evaluate {
        Some(path) => Dataset::open(path, model.graph(), normalize)?,
        None => Dataset::open(&a.calibrate, model.graph(), normalize)?,
    };
    // Before any work, so that a wrong label leaves no output behind.
    check_labels(&test, model.graph())?;
    let mapping = mapping(&a)?;

    let threads = a.machine.threads.map(|n| n as usize);
    let fused = model.fuse()?;
    let observed = fused.clone().prepare(&mapping)?;
    let progress = bar("calibrating", data.len());
    let options = CalibrateOptions {
        threads,
        isa: a.machine.isa,
        progress: Some(&|n| progress.set_position(n as u64)),
    };
    let calibrated = observed.calibrate(&data, &options)?;
    progress.finish_and_clear();
    let warnings: Vec<String> = calibrated.calibration().warnings().iter().map(|d| d.to_string()).collect();
    for w in warnings.iter().take(3) {
        crate::warn(w);
    }
    if warnings.len() > 3 {
        crate::warn(&format!("warning: ... and {} more observers like these", warnings.len() - 3));
    }
    let quantized = calibrated.convert()?.lower()?;
    quantized.save(&a.output)?;

    let session = SessionOptions { threads, isa: a.machine.isa, interpret: false };
    let (float, int8) = (fused.session(&session)?, quantized.session(&session)?);
    let progress = bar("evaluating", test.len());
    let comparison = compare(&float, &int8, &test, &|n| progress.set_position(n as u64))?;
    progress.finish_and_clear();

    let one = SessionOptions { threads: Some(1), isa: a.machine.isa, interpret: false };
    let (float, int8) = (fused.session(&one)?, quantized.session(&one)?);
    let latency = latencies(&float, &int8, &test)?;
    let rows = explain(quantized.graph(), &backend::native());
    let summary = Summary {
        output: a.output.display().to_string(),
        size: Pair { f32: file_size(&a.model), int8: file_size(&a.output) },
        ops: Ops {
            int8: rows.iter().filter(|r| r.float.is_none()).count(),
            float: rows.iter().filter(|r| r.float.is_some()).count(),
        },
        evaluated_on: test.path().display().to_string(),
        comparison,
        latency,
        threads: 1,
        warnings,
    };
    if a.json {
        say!("{}", serde_json::to_string_pretty(&summary).expect("plain data"));
    } else {
        show(&summary, &rows, a.evaluate.is_none());
    }
    Ok(())
}

fn refuse_mode(mode: Mode) -> Result<(), Error> {
    let name = match mode {
        Mode::Static => return Ok(()),
        Mode::Dynamic => "dynamic",
        Mode::WeightOnly => "weight-only",
        Mode::Qat => "qat",
    };
    Err(Error::Usage(format!("mode `{name}` is not available yet"), "use `--mode static`".into()))
}

fn mapping(a: &Quantize) -> Result<QConfigMapping, Error> {
    let base = match a.backend {
        Backend::Native => QConfigMapping::native(),
        Backend::X86 => QConfigMapping::x86(),
    };
    let Some(path) = &a.config else { return Ok(base) };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
    QConfigMapping::from_toml_over(&text, base).map_err(|e| match e {
        quantir::quant::Error::Text(diags) => {
            let name = path.display().to_string();
            Error::of_text(diags, &name, &text)
        }
        other => other.into(),
    })
}

fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Latency of one sample (or of the batch that the model fixes) at one thread.
fn latencies(float: &Session, int8: &Session, data: &Dataset) -> Result<Pair<Latency>, Error> {
    let inputs = data.batch(0, 1)?;
    let [f32, int8] = interleaved([float, int8], &inputs, 1.0)?;
    Ok(Pair { f32, int8 })
}

fn show(s: &Summary, rows: &[ExplainRow], on_calibration: bool) {
    let mut t = table(&["", "f32", "int8", ""]);
    let ratio =
        |a: f64, b: f64, word: &str| if b > 0.0 { format!("{:.2}x {word}", a / b) } else { String::new() };
    t.add_row([
        "size".into(),
        bytes(s.size.f32),
        bytes(s.size.int8),
        ratio(s.size.f32 as f64, s.size.int8 as f64, "smaller"),
    ]);
    t.add_row(["ops".into(), s.ops.float.to_string(), s.ops.int8.to_string(), "after quantization".into()]);
    let c = &s.comparison;
    if let Some((f, q)) = c.top1 {
        let drop = (f - q) * 100.0;
        t.add_row(["top-1".into(), format!("{f:.4}"), format!("{q:.4}"), format!("{:+.2} points", -drop)]);
    }
    if let Some(a) = c.agreement {
        t.add_row([
            "same top-1".into(),
            String::new(),
            format!("{a:.4}"),
            format!("of {} samples", c.samples),
        ]);
    }
    for o in &c.outputs {
        let name = if c.outputs.len() == 1 { "cosine".to_string() } else { format!("cosine {}", o.name) };
        t.add_row([name, String::new(), format!("{:.4}", o.cosine), format!("SQNR {:.1} dB", o.sqnr_db)]);
    }
    t.add_row([
        "latency".into(),
        seconds(s.latency.f32.median),
        seconds(s.latency.int8.median),
        ratio(s.latency.f32.median, s.latency.int8.median, "faster"),
    ]);
    say!("{t}");
    let data =
        if on_calibration { "the calibration data (no --evaluate given)" } else { s.evaluated_on.as_str() };
    say!("compared on {} samples of {data}; latency: median of one sample at one thread", c.samples);
    let float: Vec<&ExplainRow> = rows.iter().filter(|r| r.float.is_some()).collect();
    if !float.is_empty() {
        say!("ops that stayed float:");
        for r in float.iter().take(5) {
            say!("  {} %{}: {}", r.op, r.name, r.float.as_deref().unwrap_or_default());
        }
        if float.len() > 5 {
            say!("  ... and {} more: qir explain {}", float.len() - 5, s.output);
        }
    }
    say!("saved {}", s.output);
}
