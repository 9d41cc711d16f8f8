//! Area `fusion`: folding of batch norms, as numbers and as a pass, and what lists of modules are fused to.

use quantir::ir::attr::{F32, Pads, PerAxis};
use quantir::ir::ops::{Act, BatchNorm, Conv, ConvTranspose, Linear};
use quantir::ir::{Graph, Loc, Op, Phase, Tensor, Type, interp};
use quantir::passes::fuse::fold::{BatchNormStats, Layer, fold_batch_norm};
use quantir::passes::{Manager, Pipeline, Registry};
use quantir::quant::backend::{BackendConfig, FuseMode, Fusion};
use quantir::quant::call_type::canonical;

use crate::deviations::Area;
use crate::reader::{Golden, Item};

#[test]
fn every_case() {
    let Some(golden) = Golden::open("fusion") else { return };
    let mut area = Area::new("fusion");
    for case in golden.cases() {
        area.case(case.id(), |parts| match case.at("op").text() {
            "fold_batch_norm" => {
                let refused = !case.at("error").is_null();
                let folded = fold(case)?;
                let after = case.at("after");
                if refused {
                    // What PyTorch cannot fold must still mean the same when it is folded here.
                    parts.add("pass", pass(case, "out_before"));
                    return Err("PyTorch refuses".into());
                }
                close("weight", &folded.0, after.at("weight"), 1e-6)?;
                close("bias", &folded.1, after.at("bias"), 1e-6)?;
                if case.at("x").is_null() { Ok(()) } else { pass(case, "out_after") }
            }
            "eager_fusion" => eager(case),
            op => Err(format!("unknown op `{op}`")),
        });
    }
    area.finish();
}

fn layer(case: Item) -> (Layer, u32) {
    let groups = case.at("kwargs").at("groups").value.as_u64().unwrap_or(1);
    let name = case.at("layer").text();
    let layer = match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'd') {
        "Conv" => Layer::Conv,
        "ConvTranspose" => Layer::ConvTranspose { groups: groups as usize },
        "Linear" => Layer::Linear,
        _ => panic!("unknown layer `{name}`"),
    };
    (layer, groups as u32)
}

fn numbers(item: Item) -> Option<Vec<f32>> {
    item.try_array().map(|a| a.f32s())
}

fn fold(case: Item) -> Result<(Vec<f32>, Vec<f32>), String> {
    let (before, bn) = (case.at("before"), case.at("bn"));
    let (gamma, beta) = (numbers(bn.at("weight")), numbers(bn.at("bias")));
    let (mean, var) = (bn.at("mean").array().f32s(), bn.at("var").array().f32s());
    let eps = case.at("eps").number() as f32;
    let stats =
        BatchNormStats { gamma: gamma.as_deref(), beta: beta.as_deref(), mean: &mean, var: &var, eps };
    let weight = before.at("weight").array();
    let bias = numbers(before.at("bias"));
    fold_batch_norm(layer(case).0, &weight.shape, &weight.f32s(), bias.as_deref(), &stats)
        .map_err(|r| r.message)
}

fn close(what: &str, ours: &[f32], theirs: Item, tolerance: f32) -> Result<(), String> {
    let theirs = theirs.array().f32s();
    if ours.len() != theirs.len() {
        return Err(format!("{what}: {} numbers, PyTorch has {}", ours.len(), theirs.len()));
    }
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let within = (a - b).abs() <= tolerance * b.abs().max(1.0);
        if !within {
            return Err(format!("{what}[{i}]: ours {a}, PyTorch's {b}"));
        }
    }
    Ok(())
}

/// The layer and its batch norm as a graph: its result is PyTorch's before the pass, and `after` when the pass has left one node.
fn pass(case: Item, after: &str) -> Result<(), String> {
    let x = case.at("x").tensor();
    let mut g = Graph::new("fold", Phase::Float);
    let input = g.input("x", Type::f32(&x.shape));
    let constant = |g: &mut Graph, name: &str, item: Item| {
        (!item.is_null()).then(|| g.push_const(item.tensor(), name, Loc::default()))
    };
    let weight = constant(&mut g, "weight", case.at("before").at("weight"));
    let bias = constant(&mut g, "bias", case.at("before").at("bias"));
    let stats =
        ["weight", "bias", "mean", "var"].map(|k| constant(&mut g, &format!("bn.{k}"), case.at("bn").at(k)));
    let (layer, groups) = layer(case);
    let rank = x.shape.len().saturating_sub(2) as u8;
    let (stride, dilation) = (PerAxis::all(1), PerAxis::all(1));
    let (pad, act) = (Pads::none(), Act::None);
    let op: Op = match layer {
        Layer::Conv => Conv { rank, stride, pad, dilation, groups, act }.into(),
        Layer::ConvTranspose { .. } => {
            let out_pad = PerAxis::all(0);
            ConvTranspose { rank, stride, pad, out_pad, dilation, groups, act }.into()
        }
        Layer::Linear => Linear { act }.into(),
    };
    let push = |g: &mut Graph, op: Op, ins: Vec<_>, name: &str| {
        g.push_as(op, ins, &[], name, Loc::default()).map(|v| v[0]).map_err(|d| d.to_string())
    };
    let y = push(&mut g, op, vec![Some(input), weight, bias], "y")?;
    let eps = F32(case.at("eps").number() as f32);
    let mut ins = vec![Some(y)];
    ins.extend(stats);
    let z = push(&mut g, BatchNorm { eps }.into(), ins, "z")?;
    g.output("z", z);
    let run = |g: &Graph| -> Result<Tensor, String> {
        Ok(interp::run(g, std::slice::from_ref(&x), &mut ()).map_err(|e| e.to_string())?.remove(0))
    };
    let floats = |t: Tensor| t.floats().map(|f| f.into_owned()).map_err(|e| e.message);
    close("out_before", &floats(run(&g)?)?, case.at("out_before"), 1e-5)?;
    let registry = Registry::standard();
    let pipeline = Pipeline::parse("fuse-conv-bn", &registry).map_err(|d| d.to_string())?;
    Manager::default().run(&pipeline, &mut g, &mut String::new()).map_err(|e| e.to_string())?;
    if g.nodes().any(|n| matches!(g.op(n), Op::BatchNorm(_))) {
        return Err("the pass left the batch norm".into());
    }
    close(after, &floats(run(&g)?)?, case.at(after), 1e-5)
}

/// `[class, nn.Identity, ...]` for evaluation and for training, with what a container holds.
fn eager(case: Item) -> Result<(), String> {
    let modules: Vec<&str> = case.at("modules").list().into_iter().map(Item::text).collect();
    let native = BackendConfig::native();
    for mode in [FuseMode::Eval, FuseMode::Train] {
        let got = native.fuser_for(&modules, mode);
        let want = case.at(&mode.to_string());
        if !case.at(&format!("{mode}_error")).is_null() {
            if got.is_ok() {
                return Err(format!("{mode}: PyTorch refuses"));
            }
            continue;
        }
        let classes: Vec<String> = want.list().into_iter().map(|c| canonical(c.text())).collect();
        if classes[1..].iter().any(|c| c != "nn.Identity") {
            return Err(format!("{mode}: {classes:?}"));
        }
        let inner = case.at(&format!("{mode}_inner"));
        let inner = match inner.is_null() {
            true => Vec::new(),
            false => inner.list().into_iter().map(|c| canonical(c.text())).collect(),
        };
        let want = Fusion { class: classes[0].clone(), inner };
        match got {
            Ok(got) if got == want => {}
            got => return Err(format!("{mode}: ours {got:?}, PyTorch's {want:?}")),
        }
    }
    Ok(())
}
