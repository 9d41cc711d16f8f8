//! Golden models in their ONNX form: the structure and the numbers of PyTorch's own graph, at every stage.

use std::collections::HashMap;

use quantir::frontend::onnx;
use quantir_ir::{Graph, Op};

use super::compare::compare_graph;
use super::load::{FxModel, models};
use crate::deviations::Parts;

/// Models whose export keeps one node for each call of PyTorch's graph, and where it matters not which spelling was called.
const MODELS: &[&str] = &[
    "cat_branches",
    "conv3d_net",
    "conv_bn_relu",
    "depthwise_separable",
    "hand_made_qconfig",
    "hardswish_block",
    "inverted_residual",
    "linear_bn",
    "linear_relu_linear",
    "lone_batch_norm",
    "int8_dynamic",
    "int8_dynamic_per_channel",
    "negation",
    "pools",
    "precedence",
    "qconfig_none_part",
    "regex_mapping",
    "residual_add_relu",
    "se_block",
    "symmetric_int8",
    "two_inputs_two_outputs",
];

/// The value of each of PyTorch's nodes: the calls of both graphs are the same in order.
fn aliases(model: &FxModel, g: &Graph) -> Result<HashMap<String, String>, String> {
    let traced = model.root().at("traced").at("nodes").list();
    let mut all = HashMap::new();
    let (mut calls, mut inputs) = (Vec::new(), Vec::new());
    for n in &traced {
        match n.at("op").text() {
            "placeholder" => inputs.push(n.at("name").text()),
            "output" | "get_attr" => {}
            _ => calls.push(n.at("name").text()),
        }
    }
    let nodes: Vec<_> = g.nodes().filter(|&n| !matches!(g.op(n), Op::Const(_))).collect();
    if nodes.len() != calls.len() {
        let ops: Vec<_> = nodes.iter().map(|&n| g.op(n).name()).collect();
        return Err(format!("calls {calls:?}, ops {ops:?}"));
    }
    for (name, n) in calls.iter().zip(nodes) {
        all.insert(name.to_string(), g.name_of(g.node(n).outs[0]).to_string());
    }
    for (name, &v) in inputs.iter().zip(g.inputs()) {
        all.insert(name.to_string(), g.name_of(v).to_string());
    }
    Ok(all)
}

#[test]
fn models_from_onnx() {
    let mut bad = Vec::new();
    let mut count = 0;
    for dir in models() {
        let model = FxModel::open(&dir);
        if !MODELS.contains(&model.name.as_str()) {
            continue;
        }
        count += 1;
        for engine in model.root().at("engines").list() {
            let mut parts = Parts::default();
            let outcome = onnx::import(&dir.join("model.onnx"), &Default::default())
                .map_err(|e| e.to_string())
                .and_then(|g| {
                    let names = aliases(&model, &g)?;
                    compare_graph(&model, g, &names, engine, &mut parts)
                });
            let failed = parts.failed();
            if outcome.is_err() || !failed.is_empty() {
                let id = format!("{}.{}", model.name, engine.at("engine").text());
                bad.push(format!("{id}: {outcome:?} {failed:?} {}", parts.reasons()));
            }
        }
    }
    println!("{count} models from ONNX");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
