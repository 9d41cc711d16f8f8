//! One model on one engine: the structure that PyTorch records, stage by stage, against ours.

use std::collections::{BTreeMap, HashMap};

use quantir_ir::interp::{Hook, run};
use quantir_ir::ops::Observe;
use quantir_ir::{Elem, Graph, NodeId, Op, Quant, Storage, Tensor, Use, ValueId, render};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::fx::{self, ConvertCustomConfig, PrepareCustomConfig, Standalone};
use quantir_quant::{BackendConfig, Calibration};

use super::load::FxModel;
use super::mapping::mapping;
use crate::deviations::Parts;
use crate::reader::Item;

/// How far scales may be apart: the float layers before an observer add in another order than PyTorch's.
const NEAR: f32 = 1e-5;

/// How many steps integers may be apart: a tie of an early layer shifts one step, which the next layer may double.
const WORST: i64 = 2;

/// What is special about a model, which its JSON does not say.
fn custom(model: &str, engine: Item) -> (PrepareCustomConfig, ConvertCustomConfig) {
    let (mut p, mut c) = (PrepareCustomConfig::new(), ConvertCustomConfig::new());
    c = c.set_dynamic_reduce_range(matches!(engine.at("engine").text(), "x86" | "fbgemm"));
    match model {
        "standalone_module" => p = p.set_standalone_module_name("inner", Standalone::default()),
        "standalone_quantized_edges" => {
            let edges = PrepareCustomConfig::new()
                .set_input_quantized_indexes(&[0])
                .set_output_quantized_indexes(&[0]);
            let inner = Standalone { prepare_custom_config: edges, ..Standalone::default() };
            p = p.set_standalone_module_name("inner", inner);
        }
        "non_traceable_leaf" => p = p.set_non_traceable_module_names(&["inner"]),
        "custom_module" => {
            p = p.set_float_to_observed_mapping("gen.fx_models.Doubler", "gen.fx_models.ObservedDoubler");
            c = c.set_observed_to_quantized_mapping("gen.fx_models.ObservedDoubler", |e, call| {
                // The same integers under twice the scale.
                let x = call.inputs[0];
                let Elem::Quant(q) = &e.ty(x).elem.clone() else { unreachable!("inputs are quantized") };
                let (scale, zero) = q.per_tensor().expect("activations have one scale");
                let twice = Elem::Quant(Quant::tensor(q.storage, 2.0 * scale, zero).into());
                let table =
                    e.constant(Tensor::from_ints(twice, &[256], &(0..256).collect::<Vec<_>>())?, "same");
                e.op(quantir_ir::ops::Qlut {}, [x, table])
            });
        }
        "lstm_static" => {
            p = p.set_float_to_observed_mapping("nn.LSTM", "nn.quantizable.LSTM");
        }
        "quantized_input_output" => {
            p = p.set_input_quantized_indexes(&[0]).set_output_quantized_indexes(&[0]);
            let q = engine.at("quantized_input");
            let quant = Quant::tensor(
                crate::reader::storage(q.at("dtype").text()),
                q.at("scale").number() as f32,
                q.at("zero_point").int() as i32,
            );
            c = c.set_input_quant(0, quant).set_output_quantized_indexes(&[0]);
        }
        _ => {}
    }
    (p, c)
}

/// Compares every stage; each is a part of the case with a name of its own.
pub fn compare(model: &FxModel, engine: Item, parts: &mut Parts) -> Result<(), String> {
    let (float, aliases) = model.graph_and_names()?;
    compare_graph(model, float, &aliases, engine, parts)
}

/// As [`compare`] for a graph from elsewhere: written in Rust, or read from ONNX. `aliases` says which value a node of
/// PyTorch's traced graph is, where it has another name.
pub fn compare_graph(
    model: &FxModel,
    float: Graph,
    aliases: &HashMap<String, String>,
    engine: Item,
    parts: &mut Parts,
) -> Result<(), String> {
    let shown = |d: quantir_ir::Diag| render(&[d], None, false);
    let refused = !engine.at("error").is_null();
    let name =
        if engine.at("backend_config").is_null() { "native" } else { engine.at("backend_config").text() };
    let backend = BackendConfig::named(name).map_err(|e| e.to_string())?;
    let (p, c) = custom(&model.name, engine);
    let rules = if refused { conflict(engine) } else { Some(mapping(engine.at("mapping"))) };
    let Some(rules) = rules else { return Err("a refusal without a mapping".into()) };
    let mut g = float;
    let prepared = fx::prepare_fx(&mut g, &rules, &backend, &p).map_err(shown);
    if refused {
        return match prepared {
            Ok(_) => Err("PyTorch refuses this mapping".into()),
            Err(_) => Ok(()),
        };
    }
    prepared?;
    let names = Names::of(model, &g, aliases);
    parts.add("observers", observers(model, engine, &g, &names));
    let batches: Vec<Vec<Tensor>> = model
        .root()
        .at("calibration")
        .list()
        .into_iter()
        .map(|b| b.list().into_iter().map(Item::tensor).collect())
        .collect();
    let mut calibration = calibrate_by_interpreter(&g, batches.into_iter().map(Ok), 1).map_err(shown)?;
    parts.add("qparams", qparams(engine, &g, &calibration));
    recorded(engine, &mut calibration);
    let observed = g.clone();
    let mut reference = observed.clone();
    fx::convert_to_reference_fx(&mut reference, &calibration, &c).map_err(shown)?;
    let inputs = inputs(model, engine);
    parts.add("reference", reference_structure(model, engine, &reference));
    let out = outputs(&reference, &inputs)?;
    parts.add("reference_output", close(&out, engine.at("reference_output"), &reference));
    let mut lowered = observed;
    fx::convert_fx(&mut lowered, &calibration, &c).map_err(shown)?;
    if engine.at("converted").is_null() {
        return Ok(());
    }
    parts.add("converted", converted(model, engine, &lowered, &inputs));
    let suspect = engine.at("engine_suspect").value.as_bool() == Some(true);
    let want = if suspect { "reference_output" } else { "output" };
    let out = outputs(&lowered, &inputs)?;
    parts.add("output", close(&out, engine.at(want), &lowered));
    Ok(())
}

/// The only refused mapping: rules for a class and for a part of its fusion that differ.
fn conflict(engine: Item) -> Option<quantir_quant::QConfigMapping> {
    let mut m = quantir_quant::defaults::get_default_qconfig_mapping(engine.at("engine").text()).ok()?;
    m.set_object_type("nn.Conv2d", quantir_quant::QConfig::named("default_qconfig"));
    Some(m)
}

/// PyTorch's node names as ours: a fused node has the root's name there, the last member's here.
struct Names {
    to: HashMap<String, String>,
}

impl Names {
    fn of(model: &FxModel, g: &Graph, aliases: &HashMap<String, String>) -> Names {
        let here: std::collections::HashSet<String> = g
            .nodes()
            .flat_map(|n| g.node(n).outs.clone())
            .chain(g.inputs().iter().copied())
            .map(|v| g.name_of(v).to_string())
            .collect();
        let traced = model.root().at("traced").at("nodes").list();
        let mut user: HashMap<String, Vec<String>> = HashMap::new();
        for n in &traced {
            for a in nodes_in(n.at("args")) {
                user.entry(a).or_default().push(n.at("name").text().into());
            }
        }
        let mut to = HashMap::new();
        for n in &traced {
            let name = n.at("name").text().to_string();
            let mut at = aliases.get(&name).unwrap_or(&name).clone();
            while !here.contains(&at) {
                match user.get(&at).map(Vec::as_slice) {
                    Some([one]) => at = one.clone(),
                    _ => break,
                }
            }
            to.insert(name, at);
        }
        Names { to }
    }
    fn get(&self, name: &str) -> String {
        self.to.get(name).cloned().unwrap_or_else(|| name.into())
    }
}

fn nodes_in(v: Item) -> Vec<String> {
    fn walk(v: &serde_json::Value, into: &mut Vec<String>) {
        match v {
            serde_json::Value::Array(all) => all.iter().for_each(|x| walk(x, into)),
            serde_json::Value::Object(o) => match o.get("node").and_then(|n| n.as_str()) {
                Some(n) => into.push(n.into()),
                None => o.values().for_each(|x| walk(x, into)),
            },
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(v.value, &mut all);
    all
}

/// Observers of PyTorch's prepared graph that observe activations: those of parameters are compared by their effect.
fn activations(engine: Item) -> Vec<Item> {
    let prepared = engine.at("prepared").at("nodes").list();
    let params: Vec<&str> =
        prepared.iter().filter(|n| n.at("op").text() == "get_attr").map(|n| n.at("name").text()).collect();
    let mut all = engine.at("observers").list();
    all.retain(|o| !params.contains(&o.at("observes").text()));
    all
}

/// The module that is one call in PyTorch's graph and several nodes here.
fn leaf(model: &str) -> Option<&'static str> {
    match model {
        "standalone_module" | "standalone_quantized_edges" | "non_traceable_leaf" => Some("inner"),
        "custom_module" => Some("twice"),
        "lstm_static" => Some("lstm"),
        _ => None,
    }
}

/// The path of the module that is one call in PyTorch's graph though it is taken apart here, if `n` lies inside one.
fn inside(g: &Graph, n: NodeId) -> Option<String> {
    let path = g.node(n).loc.path.as_deref()?;
    let mut outer = path.match_indices('.').map(|(i, _)| &path[..i]).chain([path]);
    let apart = |p: &&str| g.modules.get(*p).is_some_and(|c| c.starts_with("nn.quantizable."));
    outer.find(apart).map(str::to_owned)
}

/// Whether only the module that `n` lies in sees its results, dequantized or not.
fn hidden(g: &Graph, n: NodeId) -> bool {
    let Some(module) = inside(g, n) else { return false };
    let own = |u: &Use| match u {
        Use::Output(_) => false,
        Use::Node(m, _) if matches!(g.op(*m), Op::Dequantize(_)) => hidden(g, *m),
        Use::Node(m, _) => inside(g, *m).as_ref() == Some(&module),
    };
    g.node(n).outs.iter().all(|v| g.value(*v).uses.iter().all(own))
}

/// The name of a value as PyTorch's graph has it.
fn shown_name(g: &Graph, v: ValueId, leaf: Option<&str>) -> String {
    let name = g.name_of(v).to_string();
    let path = g.def_node(v).and_then(|n| g.node(n).loc.path.clone());
    match (leaf, path) {
        (Some(l), _) if name.strip_prefix(l).is_some_and(|r| r.starts_with('.')) => l.into(),
        (Some(l), Some(p)) if *p == *l || p.strip_prefix(l).is_some_and(|r| r.starts_with('.')) => l.into(),
        // Indexing is part by part here.
        _ => name.split(".part").next().unwrap_or(&name).into(),
    }
}

/// Value observed, observers that are one, and who reads the observed value.
fn observers(model: &FxModel, engine: Item, g: &Graph, names: &Names) -> Result<(), String> {
    let leaf = leaf(&model.name);
    let traced = model.root().at("traced").at("nodes").list();
    let sizes: Vec<&str> =
        traced.iter().filter(|n| n.at("target").text() == "size").map(|n| n.at("name").text()).collect();
    let mut want = BTreeMap::new();
    for o in activations(engine) {
        let shared = o.at("same_instance_as");
        let instance = if shared.is_null() { o.at("node").text() } else { shared.text() };
        // Shapes are numbers here, which nothing reads.
        let read = o.at("used_by").list();
        let mut users: Vec<String> =
            read.iter().filter(|u| !sizes.contains(&u.text())).map(|u| names.get(u.text())).collect();
        users.sort();
        users.dedup();
        want.insert(
            o.at("node").text().to_string(),
            (names.get(o.at("observes").text()), instance.to_string(), users),
        );
    }
    let mut got = BTreeMap::new();
    for n in g.nodes() {
        let Some(o) = g.get::<Observe>(n) else { continue };
        if g.is_const(o.x) || !o.op.by.0.starts_with("activation_post_process") {
            continue;
        }
        let mut users: Vec<String> = g.users(o.out).map(|u| shown_name(g, g.node(u).outs[0], leaf)).collect();
        if g.value(o.out).uses.iter().any(|u| matches!(u, Use::Output(_))) {
            users.push("output".into());
        }
        users.sort();
        users.dedup();
        got.insert(g.name_of(o.out).to_string(), (shown_name(g, o.x, leaf), o.op.by.0.to_string(), users));
    }
    if want == got {
        return Ok(());
    }
    let missing: Vec<_> = want.iter().filter(|(k, v)| got.get(*k) != Some(v)).collect();
    let extra: Vec<_> = got.iter().filter(|(k, v)| want.get(*k) != Some(v)).collect();
    Err(format!("PyTorch has {missing:?}, here are {extra:?}"))
}

/// Parameters of every activation's observer.
fn qparams(engine: Item, g: &Graph, c: &Calibration) -> Result<(), String> {
    let mut bad = Vec::new();
    for o in activations(engine) {
        let dynamic = o.at("observer").at("is_dynamic").value.as_bool() == Some(true);
        if o.at("scale").is_null() || dynamic {
            continue;
        }
        let name = o.at("node").text();
        let Some((scale, zero)) = c.quant(name).and_then(|q| q.per_tensor()) else {
            let known = g.observers.contains_key(name);
            bad.push(format!("{name}: no parameters (declared: {known})"));
            continue;
        };
        let want = o.at("scale").list()[0].number() as f32;
        let (want_zero, far) = (o.at("zero_point").list()[0].int(), (scale - want).abs() > want.abs() * NEAR);
        if far || i64::from(zero) != want_zero {
            bad.push(format!("{name}: {scale} {zero}, PyTorch {want} {want_zero}"));
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad.join("; ")) }
}

/// Takes the recorded parameters where ours are near: they differ in the last bit, since float layers add in another order, and
/// that would put values on the other side of ties from here on.
fn recorded(engine: Item, c: &mut Calibration) {
    for o in activations(engine) {
        let Some(e) = c.entries.get_mut(o.at("node").text()).filter(|_| !o.at("scale").is_null()) else {
            continue;
        };
        let (scale, zero) =
            (o.at("scale").list()[0].number() as f32, o.at("zero_point").list()[0].int() as i32);
        if e.quant.per_tensor().is_some_and(|(s, z)| z == zero && (s - scale).abs() <= scale * NEAR) {
            let params = Quant::tensor(e.quant.storage, scale, zero).params;
            e.quant = Quant { params, ..(*e.quant).clone() }.into();
        }
    }
}

/// The model's inputs; quantized where the model takes them so.
fn inputs(model: &FxModel, engine: Item) -> Vec<Tensor> {
    let all: Vec<Tensor> = model.root().at("inputs").list().into_iter().map(Item::tensor).collect();
    let q = engine.at("quantized_input");
    if q.is_null() {
        return all;
    }
    let (scale, zero) = (q.at("scale").number() as f32, q.at("zero_point").int() as i32);
    let quant = Quant::tensor(crate::reader::storage(q.at("dtype").text()), scale, zero);
    all.iter()
        .map(|t| {
            let (lo, hi) = quant.range;
            let codes: Vec<i64> = t
                .data::<f32>()
                .expect("float inputs")
                .iter()
                .map(|&x| quantir_ir::quant::quantize(x, 1.0 / scale, zero, lo as i32, hi as i32).into())
                .collect();
            Tensor::from_ints(Elem::Quant(quant.clone().into()), &t.shape, &codes).expect("codes in range")
        })
        .collect()
}

fn outputs(g: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    run(g, inputs, &mut ()).map_err(|e| format!("{e:?}"))
}

/// Quantized values that `quantize` makes in PyTorch's reference graph, in order, with their parameters.
fn reference_structure(model: &FxModel, engine: Item, g: &Graph) -> Result<(), String> {
    let reference = engine.at("reference");
    let attributes = reference.at("attributes");
    let nodes = reference.at("nodes").list();
    // Parameters of functions are quantized constants here.
    let params: Vec<&str> =
        nodes.iter().filter(|n| n.at("op").text() == "get_attr").map(|n| n.at("name").text()).collect();
    let mut want = Vec::new();
    for n in reference.at("nodes").list() {
        if n.at("target").text() != "torch.quantize_per_tensor" {
            continue;
        }
        let args = n.at("args").list();
        if params.contains(&args[0].at("node").text()) {
            continue;
        }
        let read = |i: usize| {
            let a = attributes.at(args[i].at("node").text());
            if a.at("values").is_null() { a.number() } else { a.at("values").list()[0].number() }
        };
        want.push((read(1) as f32, read(2) as i32));
    }
    let mut got = Vec::new();
    for n in g.nodes() {
        let node = g.node(n);
        if matches!(node.op, Op::Quantize(_))
            && inside(g, n).is_none()
            && let Elem::Quant(q) = g.elem(node.outs[0])
            && let Some(p) = q.per_tensor()
        {
            got.push(p);
        }
    }
    if leaf(&model.name) == Some("inner") {
        // What is inside a standalone module is a graph of its own there.
        let near = |w: &(f32, i32), p: &(f32, i32)| (w.0 - p.0).abs() <= w.0 * NEAR && w.1 == p.1;
        let mut left = want.clone();
        got.retain(|p| match left.iter().position(|w| near(w, p)) {
            Some(i) => {
                left.remove(i);
                true
            }
            None => false,
        });
    }
    same_pairs(&want, &got)
}

fn same_pairs(want: &[(f32, i32)], got: &[(f32, i32)]) -> Result<(), String> {
    let near = |a: &(f32, i32), b: &(f32, i32)| (a.0 - b.0).abs() <= b.0.abs() * NEAR && a.1 == b.1;
    let (mut w, mut h) = (want.to_vec(), got.to_vec());
    let by = |a: &(f32, i32), b: &(f32, i32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    w.sort_by(by);
    h.sort_by(by);
    if w.len() == h.len() && w.iter().zip(&h).all(|(a, b)| near(a, b)) {
        return Ok(());
    }
    Err(format!("PyTorch has {} {w:?}, here are {} {h:?}", w.len(), h.len()))
}

/// Keeps the quantized activations of a run.
#[derive(Default)]
struct Seen(Vec<(ValueId, Tensor)>);
impl Hook for Seen {
    fn wants(&mut self, _: &Graph, _: ValueId) -> bool {
        true
    }
    fn value(&mut self, _: &Graph, v: ValueId, t: &Tensor) {
        self.0.push((v, t.clone()));
    }
}

/// Quantized values of the converted model: how many, under which parameters, with which integers.
fn converted(model: &FxModel, engine: Item, g: &Graph, inputs: &[Tensor]) -> Result<(), String> {
    type Value = (bool, f32, i32, Vec<i64>);
    let mut want: Vec<Value> = Vec::new();
    let targets: HashMap<&str, &str> = engine
        .at("converted")
        .at("nodes")
        .list()
        .into_iter()
        .map(|n| (n.at("name").text(), n.at("target").text()))
        .collect();
    for (name, v) in engine.at("node_values").members() {
        let Some(q) = v.try_quantized() else { continue };
        let quantize = targets.get(name).is_some_and(|t| t.starts_with("torch.quantize"));
        want.push((quantize, q.scales[0] as f32, q.zero_points[0] as i32, q.ints.ints()));
    }
    let mut seen = Seen::default();
    run(g, inputs, &mut seen).map_err(|e| format!("{e:?}"))?;
    let mut got: Vec<Value> = Vec::new();
    for (v, t) in &seen.0 {
        let Some(n) = g.def_node(*v) else { continue };
        if hidden(g, n) {
            continue;
        }
        let Elem::Quant(q) = g.elem(*v) else { continue };
        let (Some((scale, zero)), false) = (q.per_tensor(), matches!(g.op(n), Op::Const(_))) else {
            continue;
        };
        got.push((matches!(g.op(n), Op::Quantize(_)), scale, zero, t.ints().map_err(|r| r.message)?));
    }
    let fits = |w: &Value, h: &Value| {
        w.0 == h.0 && w.3.len() == h.3.len() && w.2 == h.2 && (w.1 - h.1).abs() <= w.1.abs() * NEAR
    };
    let apart = |w: &Value, h: &Value| w.3.iter().zip(&h.3).map(|(a, b)| (a - b).abs()).max().unwrap_or(0);
    if leaf(&model.name) == Some("inner") {
        got.retain(|h| want.iter().any(|w| fits(w, h) && apart(w, h) <= WORST));
    }
    let key = |v: &Value| (v.0, v.3.len(), v.1.to_bits() >> 2, v.2);
    want.sort_by_key(key);
    got.sort_by_key(key);
    // Values of equal parameters may come in another order.
    for (i, w) in want.iter().enumerate() {
        let best = (i..got.len()).filter(|&j| fits(w, &got[j])).min_by_key(|&j| apart(w, &got[j]));
        if let Some(j) = best {
            got.swap(i, j);
        }
    }
    let brief = |all: &[Value]| -> Vec<String> {
        all.iter()
            .map(|v| format!("{}{}x{:.7}/{}", if v.0 { "q" } else { "" }, v.3.len(), v.1, v.2))
            .collect()
    };
    if want.len() != got.len() {
        return Err(format!("PyTorch has {:?}, here are {:?}", brief(&want), brief(&got)));
    }
    let suspect = engine.at("engine_suspect").value.as_bool() == Some(true);
    for (w, h) in want.iter().zip(&got) {
        if !fits(w, h) {
            return Err(format!("PyTorch has {:?}, here are {:?}", brief(&want), brief(&got)));
        }
        let worst = apart(w, h);
        if worst > WORST && !suspect {
            return Err(format!("{}: integers differ by {worst}", brief(std::slice::from_ref(w))[0]));
        }
    }
    Ok(())
}

/// Outputs against recorded ones: floats within a step of the coarsest quantization of the graph's end.
fn close(got: &[Tensor], want: Item, g: &Graph) -> Result<(), String> {
    let step = g
        .nodes()
        .filter_map(|n| match g.elem(g.node(n).outs[0]) {
            Elem::Quant(q) if q.storage != Storage::I32 => q.per_tensor().map(|p| p.0),
            _ => None,
        })
        .fold(0.0, f32::max);
    for (i, (o, t)) in g.outputs().iter().zip(got).enumerate() {
        let at = want.at(&o.name);
        // ONNX has names of its own for outputs.
        let at = if at.is_null() { want.members()[i].1 } else { at };
        if let Some(q) = at.try_quantized() {
            let worst = t
                .ints()
                .map_err(|r| r.message)?
                .iter()
                .zip(q.ints.ints())
                .map(|(a, b)| (a - b).abs())
                .max()
                .unwrap_or(0);
            if worst > 1 {
                return Err(format!("{}: integers differ by {worst}", o.name));
            }
            continue;
        }
        let want = at.array().f32s();
        let got = t.data::<f32>().map_err(|r| r.message)?;
        if got.len() != want.len() {
            return Err(format!("{}: {} elements, PyTorch {}", o.name, got.len(), want.len()));
        }
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        if worst > 2.0 * step + 1e-5 * largest.max(1.0) {
            return Err(format!("{}: off by {worst}, a step is {step}", o.name));
        }
    }
    Ok(())
}
