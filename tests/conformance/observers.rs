//! Observers.

use quantir::ir::Quant;
use quantir::quant::observer::State;
use quantir::quant::observer::histogram::Histogram;
use quantir::quant::{Observer, ObserverTemplate};

use crate::deviations::{Area, Parts};
use crate::reader::{Array, Golden, Item, storage};

#[test]
fn every_case() {
    let Some(golden) = Golden::open("observers") else { return };
    let mut area = Area::new("observers");
    for case in golden.cases() {
        area.case(case.id(), |parts| match case.at("attributes").is_null() {
            true => shown_data(case, parts),
            false => passive(case),
        });
    }
    area.finish();
}

/// The declaration that PyTorch's class and arguments mean.
fn template(case: Item) -> ObserverTemplate {
    let kwargs = case.at("kwargs");
    let number = |key: &str| (!kwargs.at(key).is_null()).then(|| kwargs.at(key).number() as f32);
    let dtype = if kwargs.at("dtype").is_null() { "quint8" } else { kwargs.at("dtype").text() };
    let kind = match case.at("observer").text() {
        "MinMaxObserver" | "PerChannelMinMaxObserver" => "minmax",
        "MovingAverageMinMaxObserver" | "MovingAveragePerChannelMinMaxObserver" => "moving_average",
        "HistogramObserver" => "histogram",
        "FixedQParamsObserver" => "fixed",
        other => panic!("unknown observer {other}"),
    };
    let mut t = ObserverTemplate::new(kind, storage(dtype));
    t.args = match kind {
        "moving_average" => vec![number("averaging_constant").unwrap_or(0.01)],
        "histogram" => vec![number("bins").unwrap_or(2048.0), 256.0],
        "fixed" => vec![kwargs.at("scale").number() as f32, kwargs.at("zero_point").number() as f32],
        _ => vec![],
    };
    if !kwargs.at("quant_min").is_null() {
        t = t.range(kwargs.at("quant_min").int(), kwargs.at("quant_max").int());
        t.custom_range = true;
    }
    if !kwargs.at("reduce_range").is_null() && kwargs.at("reduce_range").flag() {
        t = t.reduce_range();
    }
    let scheme = if kwargs.at("qscheme").is_null() { "" } else { kwargs.at("qscheme").text() };
    t.symmetric = scheme.contains("symmetric");
    t.float_zero = scheme.contains("float_qparams");
    t.per_channel = scheme.contains("per_channel");
    t.eps = number("eps").unwrap_or(t.eps);
    t
}

fn shown_data(case: Item, parts: &mut Parts) -> Result<(), String> {
    let t = template(case);
    let refused = !case.at("error").is_null();
    let axis = case.at("kwargs").at("ch_axis");
    let spec = t.spec(if axis.is_null() { 0 } else { axis.int() as u8 });
    let observer = t.check().and_then(|()| Observer::new(&spec));
    let mut observer = match observer {
        Ok(o) => o,
        Err(_) if refused => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    let steps = if case.at("steps").is_null() { vec![] } else { case.at("steps").list() };
    let inputs = if case.at("inputs").is_null() { vec![] } else { case.at("inputs").list() };
    let (mut ranges, mut histograms) = (Ok(()), Ok(()));
    for (i, input) in inputs.iter().enumerate() {
        let x = input.array();
        observer.see(&x.f32s(), &x.shape);
        let Some(step) = steps.get(i).filter(|_| !refused) else { continue };
        ranges = ranges.and_then(|()| range(&observer.state(), *step));
        if let (Observer::Histogram(h), Some(want)) = (&observer, step.at("histogram").try_array()) {
            histograms = histograms.and_then(|()| counts(h, want, i == 0));
        }
    }
    parts.add("range", ranges);
    parts.add("histogram", histograms);
    let found = observer.params(&spec);
    match (&found, refused) {
        (Err(_), true) => return Ok(()),
        (Ok(q), true) => return Err(format!("PyTorch refuses, here: {q}")),
        _ => {}
    }
    if case.at("quant_min").int() != spec.range.0 || case.at("quant_max").int() != spec.range.1 {
        return Err(format!("range {:?}", spec.range));
    }
    if let (Observer::Histogram(h), Some(lo)) = (&observer, case.at("searched_min").try_array())
        && !h.counts().is_empty()
    {
        let (want_lo, want_hi) = (lo.f32s()[0], case.at("searched_max").array().f32s()[0]);
        let (lo, hi) = h.clipped(256);
        if !close(lo, want_lo) || !close(hi, want_hi) {
            parts.add("search", Err(format!("searched {lo}..{hi}, expected {want_lo}..{want_hi}")));
        }
    }
    let q = found.map_err(|e| e.to_string())?;
    params(&q, case.at("scale").array(), case.at("zero_point").array())
}

/// Equal, or one unit in the last place apart.
fn close(a: f32, b: f32) -> bool {
    a == b || (a - b).abs().is_finite() && (a - b).abs() <= a.abs().max(b.abs()) * f32::EPSILON
}

/// The range after a call, of each channel.
fn range(state: &State, step: Item) -> Result<(), String> {
    for key in ["min", "max"] {
        let (got, want) = (state.list(key), step.at(key).array().f64s());
        let unseen = want.is_empty() || want.iter().all(|x| x.is_infinite());
        if got != want && !(unseen && got.iter().all(|x| x.is_infinite())) {
            return Err(format!("{key} {got:?}, expected {want:?}"));
        }
    }
    Ok(())
}

fn counts(h: &Histogram, want: &Array, first: bool) -> Result<(), String> {
    let want = want.f64s();
    if h.counts().is_empty() && want.iter().all(|&w| w == 0.0) {
        return Ok(());
    }
    let (sum, want_sum) = (h.counts().iter().sum::<f64>(), want.iter().sum::<f64>());
    if (sum - want_sum).abs() > 1e-5 * want_sum {
        return Err(format!("{sum} numbers counted, expected {want_sum}"));
    }
    let apart = |(a, b): (&f64, &f64)| (a - b).abs() > if first { 0.0 } else { 1e-5 * b.abs().max(1.0) };
    let differ = h.counts().iter().zip(&want).filter(|&p| apart(p)).count();
    // A part of an old bin whose midpoint falls on an edge may lie in the neighbouring bin: two bins change.
    if differ > if first { 0 } else { 2 * want.len().div_ceil(1000) } {
        return Err(format!("{differ} of {} bins differ", want.len()));
    }
    Ok(())
}

fn params(q: &Quant, scale: &Array, zero: &Array) -> Result<(), String> {
    let zeros: Vec<f64> = match q.float_zeros() {
        Some(z) => z.iter().map(|&z| z.into()).collect(),
        None => (0..scale.len()).map(|i| q.zero(i).into()).collect(),
    };
    for (i, (&scale, &zero)) in scale.f32s().iter().zip(&zero.f64s()).enumerate() {
        if !close(q.scale(i), scale) || !close(zeros[i] as f32, zero as f32) {
            return Err(format!("number {i}: {} {}, expected {scale} {zero}", q.scale(i), zeros[i]));
        }
    }
    Ok(())
}

/// Observers without statistics: what they say of themselves, and that they have no parameters.
fn passive(case: Item) -> Result<(), String> {
    let said = case.at("attributes");
    let text = |key: &str| said.at(key).value.as_str();
    let dtype = match text("dtype") {
        Some("float32") => quantir::ir::Storage::F32,
        Some("float16") => quantir::ir::Storage::F16,
        Some(d) => storage(d),
        None => return Err("no dtype".into()),
    };
    let kind = match case.at("observer").text() {
        "PlaceholderObserver" => "placeholder",
        "NoopObserver" => "noop",
        "ReuseInputObserver" => "reuse_input",
        other => panic!("unknown observer {other}"),
    };
    let mut t = ObserverTemplate::new(kind, dtype);
    t.dynamic = text("is_dynamic") == Some("True");
    t.range = match (text("quant_min"), text("quant_max")) {
        (Some(lo), Some(hi)) if lo != "None" => (number(lo)?, number(hi)?),
        _ => (0, 0),
    };
    if let Some(eps) = text("eps") {
        t.eps = eps.parse().map_err(|_| "eps is no number")?;
    }
    let again: ObserverTemplate = t.to_string().parse().map_err(|e| format!("{e}"))?;
    if again != t {
        return Err(format!("`{t}` reads as `{again}`"));
    }
    let mut o = Observer::new(&t.spec(0)).map_err(|e| e.to_string())?;
    o.see(&[1.0, 2.0], &[2]);
    match o.params(&t.spec(0)) {
        Err(_) => Ok(()),
        Ok(q) => Err(format!("it has parameters {q}")),
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
