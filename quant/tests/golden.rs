//! Observers and precedence against vectors recorded from PyTorch 2.5.1.
//!
//! Runs where the environment variable `QUANTIR_ZOO` names the folder that holds `golden/`.

use std::path::{Path, PathBuf};

use quantir_ir::{ObserverSpec, Storage};
use quantir_quant::observer::Accumulate;
use quantir_quant::observer::histogram::Histogram;
use quantir_quant::{Observer, OpRef, QConfig, QConfigMapping};
use safetensors::SafeTensors;
use serde_json::Value;

fn golden(area: &str) -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("QUANTIR_ZOO")?).join("golden").join(area))
}

struct Arrays<'a>(SafeTensors<'a>);

impl Arrays<'_> {
    /// Floats (or integers, widened) and shape of a `{"$t": name}` reference.
    fn get(&self, v: &Value) -> (Vec<f32>, Vec<usize>) {
        let t = self.0.tensor(v["$t"].as_str().expect("a tensor reference")).expect("a recorded tensor");
        let data = match t.dtype() {
            safetensors::Dtype::F32 => chunks(t.data(), f32::from_le_bytes),
            safetensors::Dtype::F64 => chunks(t.data(), |b: [u8; 8]| f64::from_le_bytes(b) as f32),
            safetensors::Dtype::I32 => chunks(t.data(), |b: [u8; 4]| i32::from_le_bytes(b) as f32),
            safetensors::Dtype::I64 => chunks(t.data(), |b: [u8; 8]| i64::from_le_bytes(b) as f32),
            d => panic!("unexpected element type {d:?}"),
        };
        (data, t.shape().to_vec())
    }
}

fn chunks<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.chunks_exact(N).map(|c| f(c.try_into().expect("a whole chunk"))).collect()
}

fn close(a: f32, b: f32) -> bool {
    a == b || (a - b).abs() <= a.abs().max(b.abs()) * f32::EPSILON
}

#[test]
fn observers_give_the_parameters_of_pytorch() {
    let Some(dir) = golden("observers") else { return };
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let bytes = std::fs::read(dir.join("arrays.safetensors")).unwrap();
    let arrays = Arrays(SafeTensors::deserialize(&bytes).unwrap());
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in manifest["cases"].as_array().unwrap() {
        let Some((spec, mut observer)) = declared(case) else { continue };
        let id = case["id"].as_str().unwrap();
        for x in case["inputs"].as_array().unwrap() {
            let (data, shape) = arrays.get(x);
            observer.see(&data, &shape);
        }
        checked += 1;
        if let Observer::Histogram(h) = &observer {
            check_counts(id, h, &arrays, case, &mut wrong);
        }
        let (scale, zero) = (arrays.get(&case["scale"]).0, arrays.get(&case["zero_point"]).0);
        let Ok(q) = observer.params(&spec) else {
            // PyTorch gives scale 1 where nothing was seen; here it is an error.
            if scale != [1.0] || !(id.ends_with(".empty") || id.contains("_empty")) {
                wrong.push(format!("{id}: no parameters, expected {scale:?}"));
            }
            continue;
        };
        for i in 0..scale.len() {
            if !close(q.scale(i), scale[i]) || q.zero(i) as f32 != zero[i] {
                wrong.push(format!(
                    "{id} [{i}]: {} {} expected {} {}",
                    q.scale(i),
                    q.zero(i),
                    scale[i],
                    zero[i]
                ));
                break;
            }
        }
    }
    assert!(checked > 1000, "only {checked} cases were understood");
    assert!(wrong.is_empty(), "{} of {checked} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The observer of a case, or nothing where PyTorch refuses, or we deviate on purpose.
fn declared(case: &Value) -> Option<(ObserverSpec, Observer)> {
    let kwargs = &case["kwargs"];
    let id = case["id"].as_str()?;
    let refused = case.get("error").is_some_and(|e| !e.is_null());
    // Infinite data is kept there and ignored here; observers here have no `eps` of their own.
    let deviates = (id.contains("with_inf") && !id.contains("Histogram")) || kwargs.get("eps").is_some();
    if refused || deviates {
        return None;
    }
    let number = |k: &str| kwargs.get(k).and_then(Value::as_f64).map(|x| x as f32);
    let (kind, args) = match case["observer"].as_str()? {
        "MinMaxObserver" | "PerChannelMinMaxObserver" => ("minmax", vec![]),
        "MovingAverageMinMaxObserver" | "MovingAveragePerChannelMinMaxObserver" => {
            ("moving_average", vec![number("averaging_constant").unwrap_or(0.01)])
        }
        // PyTorch searches with 256 target bins whatever the range.
        "HistogramObserver" => ("histogram", vec![number("bins").unwrap_or(2048.0), 256.0]),
        _ => return None,
    };
    let storage = match kwargs["dtype"].as_str()? {
        "quint8" | "uint8" => Storage::U8,
        "qint8" | "int8" => Storage::I8,
        "qint32" | "int32" => Storage::I32,
        "int16" => Storage::I16,
        "quint4x2" => Storage::U4,
        other => panic!("{id}: unknown dtype {other}"),
    };
    let range = (case["quant_min"].as_i64()?, case["quant_max"].as_i64()?);
    let scheme = kwargs["qscheme"].as_str()?;
    if scheme.contains("float_qparams")
        || (case["observer"] != "HistogramObserver" && id.contains("with_nan"))
    {
        return None;
    }
    // Its error sums overflow or vanish in `f32` for such ranges, and its integer difference wraps.
    let overflows = kind == "histogram" && (id.ends_with(".huge") || id.ends_with(".denormal"));
    if overflows || (storage == Storage::I32 && id.ends_with(".huge")) {
        return None;
    }
    let symmetric = scheme.contains("symmetric");
    if symmetric && kwargs.get("quant_min").is_some() && storage == Storage::U8 && range == (0, 255) {
        // Given explicitly, the full range has zero point 127 there; ranges here do not remember who set them.
        return None;
    }
    let axis = scheme
        .contains("per_channel")
        .then(|| kwargs.get("ch_axis").and_then(Value::as_u64).unwrap_or(0) as u8);
    let spec = ObserverSpec { args, range, symmetric, axis, ..ObserverSpec::new(kind, storage) };
    let observer = Observer::new(&spec).unwrap_or_else(|e| panic!("{id}: {e}"));
    Some((spec, observer))
}

fn check_counts(id: &str, h: &Histogram, arrays: &Arrays, case: &Value, wrong: &mut Vec<String>) {
    let Some(step) = case["steps"].as_array().and_then(|s| s.last()) else { return };
    if h.stats().batches == 0
        || id.contains("constant_then")
        || id.contains("two_constants")
        || id.contains("zeros_then")
    {
        // A first batch of equal numbers keeps its own weight here.
        return;
    }
    let (counts, _) = arrays.get(&step["histogram"]);
    let total: f64 = h.counts().iter().sum();
    let off: f64 = h.counts().iter().zip(&counts).map(|(a, b)| (a - f64::from(*b)).abs()).sum();
    if off > total * 2e-3 {
        wrong.push(format!("{id}: counts differ by {off} of {total}"));
    }
    if let (Some(lo), Some(hi)) = (case.get("searched_min"), case.get("searched_max")) {
        let (want, got) = ((arrays.get(lo).0[0], arrays.get(hi).0[0]), h.clipped(256));
        if !close(want.0, got.0) || !close(want.1, got.1) {
            wrong.push(format!("{id}: searched {got:?}, expected {want:?}"));
        }
    }
}

#[test]
fn precedence_is_that_of_pytorch() {
    let Some(dir) = golden("qconfigs") else { return };
    let r: Value = serde_json::from_slice(&std::fs::read(dir.join("resolution.json")).unwrap()).unwrap();
    let nodes: Vec<(String, String, String)> = r["graph"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|n| {
            let (name, kind, target) = (n[0].as_str()?, n[1].as_str()?, n[2].as_str()?);
            // Functions in a block are named in order; the graph lists them without their module.
            let block = |n: &str| match n {
                "add" | "hardswish_1" => "block1",
                "add_1" | "hardswish_2" => "block2",
                _ => "",
            };
            match kind {
                "call_module" => {
                    let op = if target.ends_with("act") { "relu" } else { "linear" };
                    Some((name.into(), op.into(), target.into()))
                }
                "call_function" | "call_method" => {
                    let op = target.rsplit('.').next()?.trim_start_matches("method:");
                    Some((name.into(), op.replace("hardswish", "hard_swish"), block(name).into()))
                }
                _ => None,
            }
        })
        .collect();
    let refs: Vec<OpRef> = nodes.iter().map(|n| OpRef::new(&n.1, &n.2)).collect();
    let op_name = |t: &str| -> Option<String> {
        Some(match t {
            "torch.nn.Linear" => "linear".into(),
            "torch.nn.functional.hardswish" => "hard_swish".into(),
            "torch.add" => "add".into(),
            "method:reshape" => "reshape".into(),
            "torch.nn.ReLU" => "relu".into(),
            // The type of a containing module: modules have no types here.
            _ => return None,
        })
    };
    let mut compared = 0;
    'case: for case in r["cases"].as_array().unwrap() {
        let mut m = QConfigMapping::new();
        for e in case["entries"].as_array().unwrap() {
            let e = e.as_array().unwrap();
            // The label is carried as the averaging constant of the activation observer.
            let q = e.last().unwrap().as_i64().map(|label| {
                let mut q = QConfig::minmax();
                q.activation.args = vec![label as f32];
                q
            });
            let s = |i: usize| e[i].as_str().unwrap();
            match s(0) {
                "global" => m.set_global(q),
                "object_type" => match op_name(s(1)) {
                    Some(op) => m.set_object_type(&op, q),
                    None => continue 'case,
                },
                "module_name_regex" => m.set_module_name_regex(s(1), q).unwrap(),
                "module_name" => m.set_module_name(s(1), q),
                "module_name_object_type_order" => match op_name(s(2)) {
                    Some(op) => {
                        m.set_module_name_object_type_order(s(1), &op, e[3].as_u64().unwrap() as usize, q)
                    }
                    None => continue 'case,
                },
                other => panic!("unknown entry {other}"),
            };
        }
        for (node, found) in nodes.iter().zip(m.resolve(&refs)) {
            let label = found.qconfig.map(|q| q.activation.args[0] as i64);
            assert_eq!(label, case["node_winner"][&node.0].as_i64(), "{} at {}", case["id"], node.0);
        }
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} cases were understood");
}
