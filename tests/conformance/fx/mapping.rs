//! Golden qconfigs and mappings as ours.

use quantir_ir::Storage;
use quantir_quant::{ObserverTemplate, QConfig, QConfigMapping};

use crate::reader::Item;

/// An observer's declaration from the `instance` that PyTorch made of it.
fn observer(o: Item) -> ObserverTemplate {
    let i = o.at("instance");
    let class = i.at("class").text().rsplit('.').next().unwrap_or("");
    let storage = match i.at("dtype").value.as_str() {
        Some("float32") | None => Storage::F32,
        Some("float16") => Storage::F16,
        Some(d) => crate::reader::storage(d),
    };
    let kind = match class {
        "MinMaxObserver" | "PerChannelMinMaxObserver" => "minmax",
        "MovingAverageMinMaxObserver" | "MovingAveragePerChannelMinMaxObserver" => "moving_average",
        "HistogramObserver" => "histogram",
        "FixedQParamsObserver" => "fixed",
        "PlaceholderObserver" => "placeholder",
        "NoopObserver" => "noop",
        "ReuseInputObserver" => "reuse_input",
        other => panic!("no observer like {other}"),
    };
    let mut t = ObserverTemplate::new(kind, storage);
    t.args = match kind {
        "histogram" => vec![i.at("bins").number() as f32, 256.0],
        "fixed" => vec![i.at("scale").number() as f32, i.at("zero_point").number() as f32],
        _ => Vec::new(),
    };
    t = match (i.at("quant_min").value.as_i64(), i.at("quant_max").value.as_i64()) {
        (Some(lo), Some(hi)) => t.range(lo, hi),
        _ => t.no_range(),
    };
    let scheme = i.at("qscheme").value.as_str().unwrap_or("per_tensor_affine");
    t.symmetric = scheme.ends_with("symmetric");
    t.per_channel = scheme.starts_with("per_channel");
    t.float_zero = scheme.ends_with("float_qparams");
    t.dynamic = i.at("is_dynamic").value.as_bool().unwrap_or(false);
    t.reduce_range = i.at("reduce_range").value.as_bool().unwrap_or(false);
    if !i.at("eps").is_null() {
        t.eps = i.at("eps").number() as f32;
    }
    t
}

fn qconfig(q: Item) -> Option<QConfig> {
    (!q.is_null())
        .then(|| QConfig { activation: observer(q.at("activation")), weight: observer(q.at("weight")) })
}

/// A mapping of `model.json`.
pub fn mapping(m: Item) -> QConfigMapping {
    let all: Vec<Option<QConfig>> = m.at("qconfigs").list().into_iter().map(qconfig).collect();
    let at = |i: Item| i.value.as_u64().and_then(|i| all[i as usize].clone());
    let mut to = QConfigMapping::new();
    if m.value.get("global").is_some() {
        to.set_global(at(m.at("global")));
    }
    for e in m.at("object_type").list() {
        let e = e.list();
        to.set_object_type(e[0].text(), at(e[1]));
    }
    for e in m.at("module_name_regex").list() {
        let e = e.list();
        to.set_module_name_regex(e[0].text(), at(e[1])).expect("an expression that Python knows");
    }
    for e in m.at("module_name").list() {
        let e = e.list();
        to.set_module_name(e[0].text(), at(e[1]));
    }
    for e in m.at("module_name_object_type_order").list() {
        let e = e.list();
        to.set_module_name_object_type_order(e[0].text(), e[1].text(), e[2].int() as usize, at(e[3]));
    }
    to
}
