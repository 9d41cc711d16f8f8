//! Whole models against PyTorch 2.5.1: imported from ONNX, quantized by the same settings on the same batches.
//!
//! Runs where the environment variable `QUANTIR_ZOO` names the folder that holds `golden/`.

use std::path::{Path, PathBuf};

use quantir::frontend::Limits;
use quantir::frontend::onnx;
use quantir::ir::{Diag, Graph, Tensor, interp};
use quantir::passes::calibrate::calibrate_by_interpreter;
use quantir::passes::convert::convert;
use quantir::passes::lower::lower;
use quantir::passes::prepare::prepare;
use quantir::passes::{Manager, Pipeline, Registry};
use quantir::quant::{KernelSupport, QConfigMapping};
use safetensors::SafeTensors;
use serde_json::Value;

fn golden() -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("QUANTIR_ZOO")?).join("golden/fx"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The array that a `{"$t": name}` reference names.
fn tensor(arrays: &SafeTensors, v: &Value) -> Option<Tensor> {
    let t = arrays.tensor(v.get("$t")?.as_str()?).ok()?;
    let shape = t.shape().to_vec();
    match t.dtype() {
        safetensors::Dtype::F32 => {
            let data = t.data().chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap()));
            Some(Tensor::f32(&shape, data.collect()))
        }
        safetensors::Dtype::I64 => {
            let data = t.data().chunks_exact(8).map(|c| i64::from_le_bytes(c.try_into().unwrap()));
            Some(Tensor::i64(&shape, data.collect()))
        }
        _ => None,
    }
}

fn tensors(arrays: &SafeTensors, v: &Value) -> Option<Vec<Tensor>> {
    v.as_array()?.iter().map(|t| tensor(arrays, t)).collect()
}

/// `20 log10(|x| / |x − y|)` over all outputs.
fn sqnr(x: &[Tensor], y: &[Tensor]) -> f64 {
    let (mut signal, mut noise) = (0f64, 0f64);
    for (a, b) in x.iter().zip(y) {
        assert_eq!(a.shape, b.shape);
        for (a, b) in a.floats().unwrap().iter().zip(b.floats().unwrap().iter()) {
            signal += f64::from(*a).powi(2);
            noise += (f64::from(*a) - f64::from(*b)).powi(2);
        }
    }
    10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10()
}

fn run(g: &Graph, x: &[Tensor]) -> Result<Vec<Tensor>, Diag> {
    let outs = interp::run(g, x, &mut ()).map_err(|e| e.diag().clone())?;
    Ok(outs.iter().map(|t| t.dequantize().unwrap_or_else(|_| t.clone())).collect())
}

struct Figures {
    /// PyTorch's reference form, against its float model.
    theirs: f64,
    /// Our reference and integer forms, against the float model.
    reference: f64,
    integer: f64,
    /// Our reference form against theirs.
    between: f64,
}

fn quantize(dir: &Path, backend: &KernelSupport) -> Result<Option<Figures>, Diag> {
    let model = json(&dir.join("model.json"));
    let bytes = std::fs::read(dir.join("arrays.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let Some(engine) = model["engines"].as_array().unwrap().iter().find(|e| e["engine"] == "x86") else {
        return Ok(None);
    };
    let by_name = |outs: &Value| -> Option<Vec<Tensor>> {
        model["onnx"]["outputs"].as_object()?.values().map(|n| tensor(&arrays, &outs[n.as_str()?])).collect()
    };
    let (Some(x), Some(float), Some(theirs)) = (
        tensors(&arrays, &model["inputs"]),
        by_name(&model["float_output"]),
        by_name(&engine["reference_output"]),
    ) else {
        return Ok(None);
    };
    let mut g = onnx::import(&dir.join("model.onnx"), &Limits::default())
        .map_err(|e| Diag::error("import", e.to_string()))?;
    let pipeline = Pipeline::parse("canon,fuse,canon", &Registry::standard())?;
    Manager::default()
        .run(&pipeline, &mut g, &mut String::new())
        .map_err(|e| Diag::error("fuse", e.to_string()))?;
    prepare(&mut g, &QConfigMapping::x86(), backend)?;
    let batches = model["calibration"].as_array().unwrap().iter();
    let batches: Vec<_> = batches.map(|b| Ok(tensors(&arrays, b).unwrap())).collect();
    let calibration = calibrate_by_interpreter(&g, batches, 1)?;
    convert(&mut g, &calibration)?;
    let reference = run(&g, &x)?;
    lower(&mut g, backend)?;
    let integer = run(&g, &x)?;
    Ok(Some(Figures {
        theirs: sqnr(&float, &theirs),
        reference: sqnr(&float, &reference),
        integer: sqnr(&float, &integer),
        between: sqnr(&theirs, &reference),
    }))
}

/// Results may lie this much further from the float model than PyTorch's do: with a handful of outputs, one rounding
/// that goes the other way is a few decibels.
const MARGIN: f64 = 4.0;

#[test]
fn results_are_as_close_to_float_as_those_of_pytorch() {
    let Some(dir) = golden() else { return };
    let manifest = json(&dir.join("manifest.json"));
    let (mut compared, mut equal, mut wrong) = (0, 0, Vec::new());
    for m in manifest["models"].as_array().unwrap() {
        let name = m["model"].as_str().unwrap();
        // An op that cannot be imported is the importer's affair.
        if m["mapping_about"] != "the engine's default mapping" || name == "unquantizable_middle" {
            continue;
        }
        let f = match quantize(&dir.join(name), &KernelSupport::pytorch()) {
            Ok(Some(f)) => f,
            Ok(None) => continue,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        compared += 1;
        // Beyond 100 dB all integers agree, and only float sums differ.
        equal += usize::from(f.between > 100.0);
        let line = format!(
            "{name}: PyTorch {:.1} dB, reference {:.1} dB, integer {:.1} dB, between {:.1} dB",
            f.theirs, f.reference, f.integer, f.between
        );
        println!("{line}");
        if f.reference.min(f.integer) < f.theirs - MARGIN {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 35 && equal >= 14, "{compared} models compared, {equal} with equal integers");
}
