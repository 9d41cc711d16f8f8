//! Batch norm folding against vectors recorded from PyTorch 2.5.1.
//!
//! Runs where the environment variable `QUANTIR_ZOO` names the folder that holds `golden/`.

use std::path::Path;

use quantir_ir::interp;
use quantir_ir::loc::Loc;
use quantir_passes::prelude::*;
use quantir_passes::{Manager, Pipeline, Registry};
use safetensors::SafeTensors;
use serde_json::Value;

/// The recorded array that `v` refers to, if any.
fn tensor(arrays: &SafeTensors, v: &Value) -> Option<Tensor> {
    let t = arrays.tensor(v["$t"].as_str()?).unwrap();
    assert_eq!(t.dtype(), safetensors::Dtype::F32);
    let floats = t.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Some(Tensor::f32(t.shape(), floats))
}

/// The layer and its batch norm.
fn graph(case: &Value, arrays: &SafeTensors) -> Graph {
    let get = |v: &Value| tensor(arrays, v);
    let layer = case["layer"].as_str().unwrap();
    let groups = case["kwargs"]["groups"].as_u64().unwrap_or(1) as u32;
    let rank = layer.chars().find(char::is_ascii_digit).map_or(0, |c| c as u8 - b'0');
    let (stride, dilation) = (PerAxis::all(1), PerAxis::all(1));
    let (pad, act) = (Pads::none(), Act::None);
    let op: Op = match layer.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'd') {
        "Linear" => Linear { act }.into(),
        "Conv" => Conv { rank, stride, pad, dilation, groups, act }.into(),
        "ConvTranspose" => {
            let out_pad = PerAxis::all(0);
            ConvTranspose { rank, stride, pad, out_pad, dilation, groups, act }.into()
        }
        other => panic!("unknown layer {other}"),
    };
    let mut g = Graph::new("main", Phase::Float);
    let x = g.input("x", get(&case["x"]).unwrap().ty());
    let constant = |g: &mut Graph, v: &Value, name| Some(g.push_const(get(v)?, name, Loc::default()));
    let weight = constant(&mut g, &case["before"]["weight"], "weight");
    let bias = constant(&mut g, &case["before"]["bias"], "bias");
    let y = g.push(op, [Some(x), weight, bias], "y", Loc::default()).unwrap();
    let eps = F32(case["eps"].as_f64().unwrap() as f32);
    let mut ins = vec![Some(y)];
    for part in ["weight", "bias", "mean", "var"] {
        ins.push(constant(&mut g, &case["bn"][part], part));
    }
    let out = g.push(BatchNorm { eps }, ins, "out", Loc::default()).unwrap();
    g.output("out", out);
    g
}

fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.shape, b.shape);
    let (a, b) = (a.floats().unwrap(), b.floats().unwrap());
    let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
    a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

#[test]
fn folded_parameters_are_those_of_pytorch() {
    let Some(zoo) = std::env::var_os("QUANTIR_ZOO") else { return };
    let dir = Path::new(&zoo).join("golden/fusion");
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let bytes = std::fs::read(dir.join("arrays.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let pipeline = Pipeline::parse("fuse-conv-bn", &Registry::standard()).unwrap();
    let (mut cases, mut equal_bits) = (0, 0);
    for case in manifest["cases"].as_array().unwrap().iter().filter(|c| c["op"] == "fold_batch_norm") {
        // Some cases only record an error of PyTorch.
        if case["x"].is_null() {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        let mut g = graph(case, &arrays);
        let report = Manager::default().run(&pipeline, &mut g, &mut String::new()).unwrap();
        assert_eq!(report.edits(), 1, "{id} does not fold: {:?}", report.cx.rejections);
        let x = tensor(&arrays, &case["x"]).unwrap();
        let out = interp::run(&g, &[x], &mut ()).unwrap().remove(0);
        let before = tensor(&arrays, &case["out_before"]).unwrap();
        assert!(farthest(&before, &out) < 2e-6, "{id}: result off by {}", farthest(&before, &out));
        cases += 1;
        // PyTorch's own folding fails for grouped transposed convolutions.
        if !case["error"].is_null() {
            continue;
        }
        let node = g.node(g.def_node(g.outputs()[0].value).unwrap());
        let mut same = true;
        for (slot, part) in [(1, "weight"), (2, "bias")] {
            let got = g.constant(node.ins[slot].unwrap()).unwrap();
            let want = tensor(&arrays, &case["after"][part]).unwrap();
            assert!(farthest(&want, &got) < 1e-6, "{id}: {part} off by {}", farthest(&want, &got));
            same &= want == got;
        }
        equal_bits += usize::from(same);
    }
    assert!(cases > 10, "only {cases} cases");
    assert!(equal_bits * 10 >= cases * 9, "only {equal_bits} of {cases} folds have PyTorch's bits");
}
