//! Eager mode: static LSTM and multi-head attention through their observed forms, and arithmetic of `FloatFunctional`.

use indexmap::IndexMap;
use quantir::ir::attr::AttrValue;
use quantir::ir::ops::{
    Act, Add, BatchNorm, Concat, Conv, Dequantize, Lstm, Mul, MultiheadAttention, Op, Relu,
};
use quantir::ir::{Graph, Loc, ObserverSpec, Phase, Storage, Tensor, ValueId, interp, verify};
use quantir::passes::calibrate::calibrate_by_interpreter;
use quantir::passes::expand::{Expanded, expand, observe};
use quantir::passes::fx::{ConvertCustomConfig, convert_to_reference_fx};
use quantir::passes::lower::lower;
use quantir::passes::{Manager, PassCx, Pipeline, Registry};
use quantir::quant::KernelSupport;

use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// T174, T176: observers see what PyTorch's see, at every step of an LSTM and at every part of attention; the reference
/// and the integer graph give the recorded outputs.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("eager") else { return };
    let mut area = Area::new("eager");
    for case in golden.cases() {
        area.case(case.id(), |_| check(case));
    }
    area.finish();
}

/// A float model, its inputs, and the parts that are observed.
struct Model {
    graph: Graph,
    parts: Expanded,
}

fn check(case: Item) -> Result<(), String> {
    let inputs = tensors(case.at("inputs"));
    let mut model = build(case, &inputs)?;
    close(&run(&model.graph, &inputs)?, case.at("float_output"), 1e-5).map_err(|e| format!("float: {e}"))?;
    let mut cx = PassCx::new();
    let body =
        model.graph.nodes().find(|&n| matches!(model.graph.op(n), Op::Lstm(_) | Op::MultiheadAttention(_)));
    if let Some(n) = body {
        model.parts = expand(&mut model.graph, &mut cx, n).map_err(|d| d.message)?;
    }
    let g = &mut model.graph;
    close(&run(g, &inputs)?, case.at("float_output"), 1e-5).map_err(|e| format!("expanded: {e}"))?;
    let stubs = g.inputs().to_vec();
    model.parts.results.insert_before(0, "quant.activation_post_process".into(), stubs);
    let spec = case.at("observers").at("quant.activation_post_process").at("observer");
    let mut activation = ObserverSpec::new("histogram", Storage::U8);
    activation.args = vec![spec.at("bins").int() as f32, 256.0];
    activation.range = (spec.at("quant_min").int(), spec.at("quant_max").int());
    let weight = ObserverSpec { symmetric: true, ..ObserverSpec::new("minmax", Storage::I8) };
    observe(g, &mut cx, &model.parts, &activation, &weight).map_err(|d| d.message)?;
    g.advance(Phase::Observed);
    let problems = verify(g);
    if let Some(d) = problems.first() {
        return Err(format!("the observed graph: {}", d.message));
    }
    let batches: Vec<_> = case.at("calibration").list().into_iter().map(|b| Ok(tensors(b))).collect();
    let calibration = calibrate_by_interpreter(g, batches, 1).map_err(|d| format!("{d:?}"))?;
    for (name, want) in case.at("observers").members() {
        // Observers that saw nothing keep PyTorch's default parameters, which nothing reads.
        if want.at("min").number() > want.at("max").number() {
            continue;
        }
        let q = calibration.quant(name).ok_or(format!("there is no observer `{name}`"))?;
        let (scale, zero) = q.per_tensor().ok_or("parameters per tensor")?;
        let (want_scale, want_zero) = (want.at("scale").number() as f32, want.at("zero_point").int());
        if (scale - want_scale).abs() > 2e-5 * want_scale || i64::from(zero) != want_zero {
            return Err(format!("`{name}`: scale {scale} zp {zero} instead of {want_scale} zp {want_zero}"));
        }
    }
    convert_to_reference_fx(g, &calibration, &ConvertCustomConfig::new()).map_err(|d| format!("{d:?}"))?;
    let steps: Vec<f32> = g.outputs().iter().map(|o| step(g, o.value)).collect();
    // What goes the other way in a first layer goes around once for each step, and through the second one; engine qnnpack also
    // rounds biases and sums its own way.
    let most = if case.id().contains("two_layers") { 3.0 } else { 1.0 };
    let steps: Vec<f32> = steps.iter().map(|s| s * most).collect();
    near(&run(g, &inputs)?, case.at("output"), &steps).map_err(|e| format!("reference: {e}"))?;
    lower(g, &KernelSupport::pytorch()).map_err(|d| format!("{d:?}"))?;
    near(&run(g, &inputs)?, case.at("output"), &steps).map_err(|e| format!("integer: {e}"))
}

/// The distance between neighbouring values of an output of a reference graph.
fn step(g: &Graph, mut v: ValueId) -> f32 {
    while let Some(def) = g.def_node(v) {
        if let Some(dq) = g.get::<Dequantize>(def) {
            return g.ty(dq.x).elem.quant().map_or(0.0, |q| q.scale(0));
        }
        match g.node(def).ins.first().copied().flatten() {
            Some(x) => v = x,
            None => break,
        }
    }
    0.0
}

/// Compares outputs: within these steps, for rounding that goes the other way on the way there.
fn near(found: &[Tensor], want: Item, steps: &[f32]) -> Result<(), String> {
    for ((f, (name, w)), step) in found.iter().zip(want.members()).zip(steps) {
        let (f, w) = (f.floats().map_err(|r| r.message)?, w.array().f32s());
        let worst = f.iter().zip(&w).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if f.len() != w.len() || worst.is_nan() || worst > 1.01 * step {
            return Err(format!("`{name}` differs by {worst}, more than a step of {step}"));
        }
    }
    Ok(())
}

/// `relu(conv2(cat(add(x, y), mul(add, y))) + x) + 0.5` with `y = relu(bn(conv(x)))`, each step a `FloatFunctional`.
///
/// Convolution, batch norm and ReLU are fused, as the model's author asked for. The scalar is added behind the last observer.
fn functional(case: Item, x: &Tensor) -> Result<Model, String> {
    let mut g = Graph::new("main", Phase::Float);
    let input = g.input("x0", x.ty());
    let state = case.at("state");
    let mut consts = IndexMap::new();
    for name in ["conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
        .into_iter()
        .chain(["conv2.weight", "conv2.bias"])
    {
        let module = format!("body.{}", name.split_once('.').map_or(name, |(m, _)| m));
        let full = format!("body.{name}");
        consts.insert(name, g.push_const(state.at(&full).tensor(), &full, Loc::at(module)));
    }
    let half = g.push_const(Tensor::f32(&[], vec![0.5]), "half", Loc::default());
    let mut push = |op: Op, ins: &[ValueId], name: &str| {
        g.push(op, ins.iter().copied(), name, Loc::at(format!("body.{name}"))).map_err(|d| d.message)
    };
    let conv = |pad: u32| -> Op {
        let text = vec![("pad".to_owned(), AttrValue::Int(pad.into()))];
        Op::parse("conv2d", text).expect("an op").expect("its attributes")
    };
    let add = |act| -> Op { Add { act }.into() };
    let y = push(conv(1), &[input, consts["conv.weight"], consts["conv.bias"]], "conv")?;
    let bn = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"].map(|n| consts[n]);
    let y = push(BatchNorm { eps: 1e-5.into() }.into(), &[&[y][..], &bn].concat(), "bn")?;
    let y = push(Relu {}.into(), &[y], "relu")?;
    let sum = push(add(Act::None), &[input, y], "add")?;
    let product = push(Mul { act: Act::None }.into(), &[sum, y], "mul")?;
    let cat = push(Concat { axis: 1 }.into(), &[sum, product], "cat")?;
    let z = push(conv(0), &[cat, consts["conv2.weight"], consts["conv2.bias"]], "conv2")?;
    let z = push(add(Act::Relu), &[z, input], "add_relu")?;
    let out = push(add(Act::None), &[z, half], "scalar")?;
    g.output("out", out);
    let fuse = Pipeline::parse("fuse-conv-bn,fuse-act,dce", &Registry::standard()).map_err(|d| d.message)?;
    Manager::default().run(&fuse, &mut g, &mut String::new()).map_err(|e| e.to_string())?;
    let mut parts = Expanded::default();
    for (module, name) in [
        ("conv", "relu"),
        ("conv2", "conv2"),
        ("add", "add"),
        ("mul", "mul"),
        ("cat", "cat"),
        ("add_relu", "add_relu"),
    ] {
        let v = g.nodes().flat_map(|n| g.node(n).outs.to_vec()).find(|&v| **g.name_of(v) == *name);
        let v = v.ok_or(format!("`{name}` was fused away"))?;
        parts.results.insert(format!("body.{module}.activation_post_process"), vec![v]);
        if let Some(conv) = g.def::<Conv>(v) {
            parts.weights.insert(format!("body.{module}.weight"), conv.weight);
        }
    }
    Ok(Model { graph: g, parts })
}

/// The float model of a case, its body one op.
fn build(case: Item, inputs: &[Tensor]) -> Result<Model, String> {
    if case.id().starts_with("float_functional") {
        return functional(case, &inputs[0]);
    }
    let mut graph = Graph::new("main", Phase::Float);
    let ins: Vec<ValueId> =
        inputs.iter().enumerate().map(|(i, t)| graph.input(&format!("x{i}"), t.ty())).collect();
    let modules = case.at("float_modules");
    let (path, module) = ["body", "body.mha"]
        .into_iter()
        .map(|p| (p, modules.at(p)))
        .find(|(_, m)| m.at("class").value.as_str().is_some_and(|c| c.starts_with("torch.nn.")))
        .ok_or("the body is no module of torch.nn")?;
    let state = case.at("state");
    let mut param = |name: &str| {
        let name = format!("{path}.{name}");
        graph.push_const(state.at(&name).tensor(), &name, Loc::at(path))
    };
    let class = module.at("class").text();
    let (op, operands): (Op, Vec<Option<ValueId>>) = match class {
        "torch.nn.LSTM" => {
            let (layers, both) = (module.at("num_layers").int() as u32, module.at("bidirectional").flag());
            let mut operands = vec![Some(ins[0]), None, None];
            for layer in 0..layers {
                for suffix in if both { &["", "_reverse"][..] } else { &[""] } {
                    for kind in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
                        operands.push(Some(param(&format!("{kind}_l{layer}{suffix}"))));
                    }
                }
            }
            let batch_first = module.at("batch_first").flag();
            (Lstm { layers, bidirectional: both, batch_first, bias: true }.into(), operands)
        }
        "torch.nn.MultiheadAttention" => {
            let (w, b) = (param("in_proj_weight"), param("in_proj_bias"));
            let (ow, ob) = (param("out_proj.weight"), param("out_proj.bias"));
            let at = |i: usize| Some(*ins.get(i).unwrap_or(&ins[0]));
            let op = MultiheadAttention {
                heads: module.at("num_heads").int() as u32,
                batch_first: module.at("batch_first").flag(),
                need_weights: true,
                average_weights: true,
                add_zero_attn: false,
            };
            let operands = vec![at(0), at(1), at(2), Some(w), None, None, None, Some(b), Some(ow), Some(ob)];
            (op.into(), operands)
        }
        other => return Err(format!("no op for `{other}`")),
    };
    let loc = Loc::at(path).by(class.trim_start_matches("torch."));
    let outs = graph.push_as(op, operands, &[], "body", loc).map_err(|d| d.message)?;
    for (i, v) in outs.iter().enumerate() {
        graph.output(&format!("out{i}"), *v);
    }
    Ok(Model { graph, parts: Expanded::default() })
}

fn tensors(list: Item) -> Vec<Tensor> {
    list.list().into_iter().map(Item::tensor).collect()
}

fn run(g: &Graph, x: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let outs = interp::run(g, x, &mut ()).map_err(|e| e.diag().message.clone())?;
    outs.iter().map(|t| t.dequantize().map_err(|r| r.message)).collect()
}

fn close(found: &[Tensor], want: Item, within: f32) -> Result<(), String> {
    let want = want.members();
    if found.len() != want.len() {
        return Err(format!("{} outputs instead of {}", found.len(), want.len()));
    }
    for (f, (name, w)) in found.iter().zip(want) {
        let w = w.array();
        if f.shape != w.shape {
            return Err(format!("`{name}` is {:?} instead of {:?}", f.shape, w.shape));
        }
        for (i, (a, b)) in f.floats().map_err(|r| r.message)?.iter().zip(w.f32s()).enumerate() {
            if (a - b).abs() > within * b.abs().max(1.0) {
                return Err(format!("`{name}`, element {i}: {a} instead of {b}"));
            }
        }
    }
    Ok(())
}
