//! Models written in Rust against the same models in PyTorch: names, calls, modules and float outputs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quantir::frontend::trace::{CallKind, Trace};
use quantir_ir::interp::run;
use quantir_quant::call_type::canonical;

use super::compare::{compare, compare_graph};
use super::load::{FxModel, models};
use super::models::traced;
use crate::deviations::Parts;
use crate::reader::Item;

#[test]
fn models_in_rust() {
    let mut bad = Vec::new();
    let mut count = 0;
    let dirs = models();
    for dir in &dirs {
        let model = FxModel::open(dir);
        let Some(trace) = traced(&model.name, &model) else { continue };
        if let Err(e) = trace.and_then(|t| check(&model, &t)) {
            bad.push(format!("{}: {e}", model.name));
        }
        count += 1;
    }
    println!("{count} models in Rust");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert_eq!(count, dirs.len(), "golden models that are not written in Rust");
}

/// Models written in Rust fare at every stage on every engine as those read from PyTorch's graphs, which `every_model`
/// holds to the recorded results.
#[test]
fn models_in_rust_on_every_engine() {
    let mut bad = Vec::new();
    for dir in models() {
        let model = FxModel::open(&dir);
        for engine in model.root().at("engines").list() {
            let read = outcome(|parts| compare(&model, engine, parts));
            let traced = outcome(|parts| {
                let t = traced(&model.name, &model).ok_or("not written in Rust")??;
                let called = t.calls.iter().filter_map(|c| Some((c, t.graph.name_of(c.value?))));
                let aliases = called
                    .filter(|(c, value)| c.name != ***value)
                    .map(|(c, value)| (c.name.clone(), value.to_string()))
                    .collect();
                compare_graph(&model, t.graph, &aliases, engine, parts)
            });
            if read != traced {
                let id = format!("{}.{}", model.name, engine.at("engine").text());
                bad.push(format!("{id}: read from PyTorch {read:?}, written in Rust {traced:?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// What went wrong, and in which parts.
fn outcome(run: impl FnOnce(&mut Parts) -> Result<(), String>) -> (Option<String>, Vec<&'static str>) {
    let mut parts = Parts::default();
    let whole = catch_unwind(AssertUnwindSafe(|| run(&mut parts)));
    (whole.unwrap_or_else(|_| Err("panic".into())).err(), parts.failed())
}

fn check(model: &FxModel, t: &Trace) -> Result<(), String> {
    names(model, t)?;
    modules(model, t)?;
    let inputs: Vec<_> = model.root().at("inputs").list().into_iter().map(Item::tensor).collect();
    let outs = run(&t.graph, &inputs, &mut ()).map_err(|e| e.to_string())?;
    for (o, got) in t.graph.outputs().iter().zip(outs) {
        let want = model.root().at("float_output").at(&o.name).array().f32s();
        let got = got.data::<f32>().map_err(|r| r.message)?;
        let off = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
        let worst = got.iter().zip(&want).map(off).fold(0.0, f32::max);
        if worst > 1e-5 || got.len() != want.len() {
            return Err(format!("{} is off by {worst}", o.name));
        }
    }
    Ok(())
}

/// Every node of FX's graph but the output has its call, in the same order, under the same name.
fn names(model: &FxModel, t: &Trace) -> Result<(), String> {
    let nodes = model.root().at("traced").at("nodes").list();
    let describe = |name: &str, kind: &str, target: &str| format!("{name} {kind} {target}");
    let want: Vec<String> = nodes
        .iter()
        .filter(|n| n.at("op").text() != "output")
        .map(|n| {
            let (op, target) = (n.at("op").text(), n.at("target").text());
            let target = if op == "call_function" { canonical(target) } else { target.into() };
            describe(n.at("name").text(), op, &target)
        })
        .collect();
    let got: Vec<String> = t
        .calls
        .iter()
        .map(|c| {
            let kind = match c.kind {
                CallKind::Placeholder => "placeholder",
                CallKind::Attr => "get_attr",
                CallKind::Module => "call_module",
                CallKind::Function => "call_function",
                CallKind::Method => "call_method",
            };
            describe(&c.name, kind, &c.target)
        })
        .collect();
    // Where parameters are read first is the order of Rust's statements; FX reads them just before their use.
    let sorted = |mut v: Vec<String>| {
        v.sort();
        v
    };
    let reads = |v: &[String]| v.iter().filter(|c| !c.contains(" get_attr ")).cloned().collect::<Vec<_>>();
    if reads(&want) != reads(&got) || sorted(want.clone()) != sorted(got.clone()) {
        return Err(format!("calls differ\n  PyTorch: {want:?}\n  here:    {got:?}"));
    }
    Ok(())
}

fn modules(model: &FxModel, t: &Trace) -> Result<(), String> {
    for (path, m) in model.root().at("modules").members() {
        let class = canonical(m.at("class").text());
        let here = t.graph.modules.get(path).map(|c| &**c);
        if here != Some(&*class) {
            return Err(format!("module {path} is {class} in PyTorch, {here:?} here"));
        }
    }
    Ok(())
}
