//! What PyTorch's exporter writes: every model of the golden data imports, or is refused with a reason, and gives the
//! float output that PyTorch gave. Runs where `QUANTIR_ZOO` names the folder that holds `golden/`.

use std::path::{Path, PathBuf};

use quantir_frontend::{Limits, onnx};
use quantir_ir::{Elem, Storage, Tensor, interp};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn models() -> Vec<PathBuf> {
    let Some(zoo) = std::env::var_os("QUANTIR_ZOO") else { return Vec::new() };
    let entries = std::fs::read_dir(Path::new(&zoo).join("golden/fx")).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.join("model.onnx").is_file()).collect();
    all.sort();
    all
}

/// The array that a `{"$t": name}` reference names.
fn tensor(arrays: &SafeTensors, v: &Value) -> Tensor {
    let t = arrays.tensor(v["$t"].as_str().expect("an array")).unwrap();
    let storage = match t.dtype() {
        Dtype::F32 => Storage::F32,
        Dtype::I64 => Storage::I64,
        Dtype::BOOL => Storage::Bool,
        d => panic!("an array of {d:?}"),
    };
    Tensor::from_bytes(Elem::Plain(storage), t.shape(), t.data().to_vec().into()).unwrap()
}

/// Largest difference of the imported model from PyTorch's float outputs, or why it is refused.
fn compare(folder: &Path) -> Result<f32, String> {
    let graph = onnx::import(&folder.join("model.onnx"), &Limits::default()).map_err(|e| e.to_string())?;
    let json: Value = serde_json::from_slice(&std::fs::read(folder.join("model.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("arrays.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let inputs = json["inputs"].as_array().unwrap();
    let x: Vec<Tensor> = graph
        .inputs()
        .iter()
        .map(|&v| {
            let i: usize = graph.name_of(v).strip_prefix("input_").unwrap().parse().unwrap();
            tensor(&arrays, &inputs[i])
        })
        .collect();
    let y = interp::run(&graph, &x, &mut ()).map_err(|e| format!("it does not run: {e}"))?;
    let want: Vec<Tensor> =
        json["float_output"].as_object().unwrap().values().map(|v| tensor(&arrays, v)).collect();
    let mut worst = 0.0f32;
    for (out, y) in graph.outputs().iter().zip(&y) {
        // Outputs of the exported model are numbered as PyTorch's are flattened; unused ones are left out.
        let i: usize = out.name.strip_prefix("output_").unwrap().parse().unwrap();
        let want = want.get(i).ok_or(format!("PyTorch has no output {i}"))?;
        if y.shape != want.shape {
            return Err(format!("{} is {:?}, PyTorch's is {:?}", out.name, y.shape, want.shape));
        }
        for (a, b) in y.floats().unwrap().iter().zip(want.floats().unwrap().iter()) {
            worst = worst.max((a - b).abs() / b.abs().max(1.0));
        }
    }
    Ok(worst)
}

#[test]
fn exported_models_give_the_float_output_of_pytorch() {
    let models = models();
    let (mut equal, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for folder in &models {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        match compare(folder) {
            Ok(d) if d <= 1e-4 => equal += 1,
            Ok(d) => wrong.push(format!("{name}: differs by {d}")),
            Err(why) => refused.push(format!("{name}: {why}")),
        }
    }
    println!("golden onnx: {equal} of {} models equal, {} refused", models.len(), refused.len());
    refused.iter().for_each(|r| println!("  refused {r}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
