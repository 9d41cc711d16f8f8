//! Default configurations, mappings and their resolution.

use quantir::ir::Storage;
use quantir::quant::{
    FakeQuant, ObserverTemplate, OpRef, QConfig, QConfigMapping, Rule, call_type, defaults,
};
use serde_json::Value;

use crate::deviations::Area;
use crate::reader::{Golden, Item, storage};

#[test]
fn every_case() {
    let Some(named) = Golden::open_file("qconfigs", "qconfigs.json") else { return };
    let mut area = Area::new("qconfigs");
    named_values(&named, &mut area);
    if let Some(mappings) = Golden::open_file("qconfigs", "mappings.json") {
        default_mappings(&mappings, &mut area);
    }
    if let Some(resolution) = Golden::open_file("qconfigs", "resolution.json") {
        resolutions(&resolution, &mut area);
    }
    area.finish();
}

fn named_values(golden: &Golden, area: &mut Area) {
    for (name, want) in golden.root().at("named").members() {
        area.case(&format!("named.{name}"), |_| {
            qconfig(&QConfig::named(name).ok_or("there is no qconfig of this name")?, want)
        });
    }
    for (backend, versions) in golden.root().at("backend_defaults").members() {
        for (version, want) in versions.members() {
            area.case(&format!("backend_defaults.{backend}.{version}"), |_| {
                let q = match version {
                    "ptq" => defaults::get_default_qconfig(backend, 0),
                    "qat_v0" => defaults::get_default_qat_qconfig(backend, 0),
                    "qat_v1" => defaults::get_default_qat_qconfig(backend, 1),
                    v => panic!("unknown version {v}"),
                };
                qconfig(&q.map_err(|e| e.to_string())?, want)
            });
        }
    }
    for (name, want) in golden.root().at("observer_constructors").members() {
        area.case(&format!("observer_constructors.{name}"), |_| {
            let all = || defaults::OBSERVERS.iter().chain(defaults::FAKE_QUANTS);
            let (_, make) = all().find(|(n, _)| *n == name).ok_or("there is nothing of this name")?;
            observer(&make(), want.at("instance").value)
        });
    }
}

fn default_mappings(golden: &Golden, area: &mut Area) {
    for (name, want) in golden.root().at("mappings").members() {
        area.case(&format!("mappings.{name}"), |_| {
            let (backend, how) = name.split_once('.').ok_or("no `.` in the name")?;
            let m = match (backend, how) {
                ("symmetric_qnnpack", "ptq") => Ok(defaults::get_default_symmetric_qnnpack_qconfig_mapping()),
                ("symmetric_qnnpack", _) => Ok(defaults::get_default_symmetric_qnnpack_qat_qconfig_mapping()),
                (_, "ptq") => defaults::get_default_qconfig_mapping(backend),
                _ => defaults::get_default_qat_qconfig_mapping(backend),
            };
            let m = m.map_err(|e| e.to_string())?;
            mapping(&m, want)
        });
    }
}

fn mapping(m: &QConfigMapping, want: Item) -> Result<(), String> {
    let table = want.at("qconfigs").list();
    let mut rules = m.rules().into_iter();
    let check = |found: Option<(Rule, &Option<QConfig>)>, rule: Rule, index: i64| {
        let (found, q) = found.ok_or_else(|| format!("{rule} is missing"))?;
        if found != rule {
            return Err(format!("{found} stands where {rule} is expected"));
        }
        let q = q.as_ref().ok_or("leaves float")?;
        qconfig(q, table[index as usize]).map_err(|e| format!("{rule}: {e}"))
    };
    check(rules.next(), Rule::Global, want.at("global").int())?;
    for entry in want.at("object_type").list() {
        let entry = entry.list();
        let rule = Rule::ObjectType(call_type::canonical(entry[0].text()));
        check(rules.next(), rule, entry[1].int())?;
    }
    rules.next().map_or(Ok(()), |(rule, _)| Err(format!("{rule} is too much")))
}

fn qconfig(q: &QConfig, want: Item) -> Result<(), String> {
    observer(&q.activation, want.at("activation").at("instance").value)
        .map_err(|e| format!("activation: {e}"))?;
    if want.at("weight").is_null() {
        return if q.weight == defaults::identity() { Ok(()) } else { Err("it has a weight".into()) };
    }
    observer(&q.weight, want.at("weight").at("instance").value).map_err(|e| format!("weight: {e}"))
}

/// Compares with everything that is recorded of an object.
fn observer(t: &ObserverTemplate, want: &Value) -> Result<(), String> {
    let mut bare = t.clone();
    for (key, value) in want.as_object().ok_or("nothing is recorded")? {
        let text = value.as_str().unwrap_or_default();
        let same = match key.as_str() {
            "class" => class(t) == text.rsplit('.').next().unwrap_or_default(),
            "dtype" => dtype(text) == t.storage,
            "qscheme" => scheme(t) == text,
            "quant_min" => t.int_range().map(|r| r.0) == value.as_i64(),
            "quant_max" => t.int_range().map(|r| r.1) == value.as_i64(),
            "reduce_range" => Some(t.reduce_range) == value.as_bool(),
            // The axis is that of the op; every recorded one is the first, that of output channels.
            "ch_axis" => value.as_i64() == Some(if t.per_channel { 0 } else { -1 }),
            "averaging_constant" => same_number(t.args.first(), value),
            "bins" => same_number(t.args.first(), value),
            "scale" => same_number(t.args.first(), value),
            "zero_point" => same_number(t.args.get(1), value),
            "is_dynamic" => Some(t.dynamic) == value.as_bool(),
            "eps" => same_number(Some(&t.eps), value),
            "custom_op" => text.is_empty(),
            "observer" => {
                bare.fake = None;
                return_on_error(observer(&bare, value))?
            }
            key => return Err(format!("`{key}` is recorded and unknown here")),
        };
        if !same {
            return Err(format!("`{key}` is {value} in PyTorch, here: {t}"));
        }
    }
    Ok(())
}

fn return_on_error(r: Result<(), String>) -> Result<bool, String> {
    r.map(|()| true)
}

fn same_number(got: Option<&f32>, want: &Value) -> bool {
    want.as_f64().is_some_and(|w| got == Some(&(w as f32)))
}

fn class(t: &ObserverTemplate) -> &'static str {
    match t.fake {
        Some(FakeQuant::FakeQuantize) => return "FakeQuantize",
        Some(FakeQuant::FusedMovingAvgObsFakeQuantize) => return "FusedMovingAvgObsFakeQuantize",
        Some(FakeQuant::FixedQParamsFakeQuantize) => return "FixedQParamsFakeQuantize",
        Some(FakeQuant::LearnableFakeQuantize) => return "_LearnableFakeQuantize",
        None => {}
    }
    match (t.kind.as_str(), t.per_channel) {
        ("minmax", false) => "MinMaxObserver",
        ("minmax", true) => "PerChannelMinMaxObserver",
        ("moving_average", false) => "MovingAverageMinMaxObserver",
        ("moving_average", true) => "MovingAveragePerChannelMinMaxObserver",
        ("histogram", _) => "HistogramObserver",
        ("fixed", _) => "FixedQParamsObserver",
        ("placeholder", _) => "PlaceholderObserver",
        ("noop", _) => "NoopObserver",
        ("recording", _) => "RecordingObserver",
        ("reuse_input", _) => "ReuseInputObserver",
        ("identity", _) => "Identity",
        _ => "unknown",
    }
}

fn dtype(name: &str) -> Storage {
    match name {
        "float32" => Storage::F32,
        "float16" => Storage::F16,
        name => storage(name),
    }
}

fn scheme(t: &ObserverTemplate) -> &'static str {
    match (t.per_channel, t.symmetric, t.float_zero) {
        (true, _, true) => "per_channel_affine_float_qparams",
        (true, true, _) => "per_channel_symmetric",
        (true, false, _) => "per_channel_affine",
        (false, true, _) => "per_tensor_symmetric",
        (false, false, _) => "per_tensor_affine",
    }
}

/// The nodes of the recorded model as rules see them; functions in a block carry the block's path and class.
fn nodes(golden: &Golden) -> Vec<(String, String, String, Option<&'static str>)> {
    const BLOCK: &str = "gen.resolution.Block";
    let mut found = Vec::new();
    for n in golden.root().at("graph").list() {
        let n = n.list();
        let (name, kind, target) = (n[0].text(), n[1].text(), n[2].text());
        // The graph lists functions without their module; their names are in order of the calls.
        let block = match name {
            "add" | "hardswish_1" => "block1",
            "add_1" | "hardswish_2" => "block2",
            _ => "",
        };
        let (call, path) = match kind {
            "call_module" if target.ends_with("act") => ("nn.Hardswish".to_owned(), target),
            "call_module" => ("nn.Linear".to_owned(), target),
            "call_function" => (call_type::canonical(target), block),
            "call_method" => (format!(".{target}"), block),
            _ => continue,
        };
        let scope = match kind {
            "call_module" if target.ends_with("act") => Some("nn.Hardswish"),
            "call_module" => Some("nn.Linear"),
            _ if path.is_empty() => None,
            _ => Some(BLOCK),
        };
        found.push((name.to_owned(), call, path.to_owned(), scope));
    }
    found
}

fn resolutions(golden: &Golden, area: &mut Area) {
    let nodes = nodes(golden);
    let refs: Vec<OpRef> = nodes
        .iter()
        .map(|(_, call, path, scope)| OpRef { op: "", path, call: Some(call), scope: *scope })
        .collect();
    for case in golden.cases() {
        area.case(case.id(), |_| {
            let mut m = QConfigMapping::new();
            for entry in case.at("entries").list() {
                let e = entry.list();
                // The label is carried as the argument of the activation's observer.
                let q = e[e.len() - 1].value.as_i64().map(|label| {
                    let mut q = QConfig::minmax();
                    q.activation.args = vec![label as f32];
                    q
                });
                match e[0].text() {
                    "global" => m.set_global(q),
                    "object_type" => m.set_object_type(e[1].text(), q),
                    "module_name_regex" => {
                        m.set_module_name_regex(e[1].text(), q).map_err(|e| e.to_string())?
                    }
                    "module_name" => m.set_module_name(e[1].text(), q),
                    "module_name_object_type_order" => {
                        m.set_module_name_object_type_order(e[1].text(), e[2].text(), e[3].int() as usize, q)
                    }
                    other => panic!("unknown entry {other}"),
                };
            }
            for ((name, ..), found) in nodes.iter().zip(m.resolve(&refs)) {
                let label = found.qconfig.map(|q| q.activation.args[0] as i64);
                let want = case.at("node_winner").at(name).value.as_i64();
                if label != want {
                    let rule = found.rule.map_or("no rule".into(), |r| r.to_string());
                    return Err(format!("{name}: {label:?} by {rule}, expected {want:?}"));
                }
            }
            Ok(())
        });
    }
}
