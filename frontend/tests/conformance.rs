//! Imported models compute what they should: single-operator tests and small networks, run by the interpreter.
//!
//! `QUANTIR_ZOO` names the folder of models; without it there is nothing to test.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use quantir_frontend::onnx::{self, Options, tensor};
use quantir_frontend::{Budget, Limits};
use quantir_ir::{Elem, Graph, Storage, Tensor, interp};

fn zoo() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("QUANTIR_ZOO")?).join("models"))
}

/// A tensor from a file that holds one `TensorProto`.
fn read_pb(path: &Path) -> Result<(String, Tensor), String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let proto = onnx::proto::TensorProto::decode(Bytes::from(bytes)).map_err(|e| e.to_string())?;
    let limits = Limits::default();
    let data = tensor::read(&proto, None, &mut Budget::new(&limits), &limits).map_err(|e| e.to_string())?;
    let t =
        Tensor::from_bytes(Elem::Plain(data.storage), &data.shape, data.bytes).map_err(|e| e.to_string())?;
    let t = match t.storage() {
        Storage::F16 | Storage::BF16 => {
            Tensor::f32(&data.shape, t.floats().map_err(|e| e.to_string())?.into_owned())
        }
        _ => t,
    };
    Ok((proto.name().to_owned(), t))
}

fn close(found: &Tensor, wanted: &Tensor) -> Result<(), String> {
    if found.shape != wanted.shape {
        return Err(format!("shape {:?} instead of {:?}", found.shape, wanted.shape));
    }
    let found = found.dequantize_if_needed()?;
    let wanted = wanted.floats().map_err(|e| e.to_string())?.into_owned();
    for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
        let near = (f - w).abs() <= 1e-5 + 1e-3 * w.abs() || f == w || (f.is_nan() && w.is_nan());
        if !near {
            return Err(format!("element {i} is {f} instead of {w}"));
        }
    }
    Ok(())
}

trait Floats {
    fn dequantize_if_needed(&self) -> Result<Vec<f32>, String>;
}
impl Floats for Tensor {
    /// Plain numbers; the integers themselves if quantized, as ONNX returns them.
    fn dequantize_if_needed(&self) -> Result<Vec<f32>, String> {
        match self.quant() {
            None => Ok(self.floats().map_err(|e| e.to_string())?.into_owned()),
            Some(_) => Ok(self.ints().map_err(|e| e.to_string())?.into_iter().map(|n| n as f32).collect()),
        }
    }
}

/// Runs one folder of the operator tests. Operands that an op needs as constants are fixed.
fn run_case(folder: &Path) -> Result<(), String> {
    let mut inputs = Vec::new();
    while let Ok(t) = read_pb(&folder.join(format!("input_{}.pb", inputs.len()))) {
        inputs.push(t);
    }
    let path = folder.join("model.onnx");
    let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
    let model = onnx::decode(bytes.clone().into(), &Limits::default()).map_err(|e| e.to_string())?;
    let graph = model.graph.unwrap_or_default();
    let names: Vec<String> = graph
        .input
        .iter()
        .map(|i| i.name().to_owned())
        .filter(|n| !graph.initializer.iter().any(|t| t.name() == n))
        .collect();
    let named: Vec<(String, Tensor)> = names.into_iter().zip(inputs.into_iter().map(|(_, t)| t)).collect();
    let mut last = String::new();
    for fixed in [&[][..], named.get(1..).unwrap_or_default(), &named[..]] {
        let options = Options { fixed: fixed.to_vec(), ..Options::default() };
        match onnx::import_bytes(bytes.clone().into(), Some(folder), &options) {
            Err(e) => {
                if last.is_empty() {
                    last = e.to_string().lines().take(2).collect::<Vec<_>>().join(" ");
                }
            }
            Ok(imported) => {
                let free = named.iter().filter(|(n, _)| !fixed.iter().any(|(f, _)| f == n));
                let free: Vec<Tensor> = free.map(|(_, t)| t.clone()).collect();
                return compare(&imported.graph, &free, folder);
            }
        }
    }
    Err(last)
}

fn compare(g: &Graph, inputs: &[Tensor], folder: &Path) -> Result<(), String> {
    let outputs = interp::run(g, inputs, &mut ()).map_err(|e| format!("run: {e}"))?;
    for (i, found) in outputs.iter().enumerate() {
        let (_, wanted) = read_pb(&folder.join(format!("output_{i}.pb")))?;
        close(found, &wanted).map_err(|e| format!("output {i}: {e}"))?;
    }
    Ok(())
}

#[test]
fn single_operators_compute_what_the_standard_says() {
    let Some(zoo) = zoo() else { return };
    let (mut good, mut missing, mut wrong) = (0, Vec::new(), Vec::new());
    for entry in std::fs::read_dir(zoo.join("onnx_operator_tests")).into_iter().flatten().flatten() {
        let name = entry.file_name().display().to_string();
        match run_case(&entry.path()) {
            Ok(()) => good += 1,
            Err(e) if e.contains("cannot be imported") => missing.push(format!("{name}: {e}")),
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    missing.sort();
    wrong.sort();
    println!("{good} agree\n{}", missing.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(good >= 215, "only {good} agree:\n{}", missing.join("\n"));
}

/// An array of a `.npy` file of version 1, C-ordered, as floats.
fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let shape: Vec<usize> = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let data = &bytes[10 + header..];
    let data = match text.split("'descr': '").nth(1).unwrap().split('\'').next().unwrap() {
        "|u1" => data.iter().map(|b| f32::from(*b)).collect(),
        "<f4" => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        "<f2" => {
            let t = Tensor::from_bytes(Elem::Plain(Storage::F16), &[data.len() / 2], data.to_vec().into());
            t.unwrap().floats().unwrap().into_owned()
        }
        other => panic!("{other}"),
    };
    (shape, data)
}

/// A folder's model, test data, expected outputs; rows to run, shape of a row, and how a number becomes an input.
struct Net {
    model: &'static str,
    data: &'static str,
    wanted: &'static str,
    rows: usize,
    shape: &'static [usize],
    scale: fn(f32) -> f32,
}

#[test]
fn networks_compute_the_stored_outputs() {
    let Some(zoo) = zoo() else { return };
    let nets = [
        Net {
            model: "digits_cnn/digits_cnn_dynamic_batch_opset18.onnx",
            data: "digits_cnn/test_images_0_to_16_u8.npy",
            wanted: "digits_cnn/expected_test_logits_f32.npy",
            rows: 16,
            shape: &[1, 8, 8],
            scale: |x| x / 16.0,
        },
        Net {
            model: "fashion_cnn/fashion_cnn_dynamic_batch_opset17.onnx",
            data: "fashion_cnn/test_images_u8.npy",
            wanted: "fashion_cnn/expected_test_logits_f32.npy",
            rows: 2,
            shape: &[1, 28, 28],
            scale: |x| (x - 72.94) / 90.02,
        },
        Net {
            model: "keyword_conv1d/keyword_conv1d_dynamic_batch_frames_opset17.onnx",
            data: "keyword_conv1d/test_logmel_f16.npy",
            wanted: "keyword_conv1d/expected_test_logits_f32.npy",
            rows: 4,
            shape: &[40, 98],
            scale: |x| x,
        },
        Net {
            model: "motion_conv3d_factorised/motion_conv3d_factorised_dynamic_batch_opset17.onnx",
            data: "motion_conv3d_factorised/test_clips_u8.npy",
            wanted: "motion_conv3d_factorised/expected_test_logits_f32.npy",
            rows: 1,
            shape: &[1, 8, 32, 32],
            scale: |x| (x - 60.0) / 100.0,
        },
    ];
    for net in nets {
        let g = onnx::import(&zoo.join(net.model), &Limits::default()).unwrap();
        let (_, data) = npy(&zoo.join(net.data));
        let (shape, wanted) = npy(&zoo.join(net.wanted));
        let row: usize = net.shape.iter().product();
        let x: Vec<f32> = data[..net.rows * row].iter().map(|x| (net.scale)(*x)).collect();
        let x = Tensor::f32(&[&[net.rows], net.shape].concat(), x);
        let y = interp::run(&g, &[x], &mut ()).unwrap_or_else(|e| panic!("{}: {e}", net.model));
        let wanted = Tensor::f32(&[net.rows, shape[1]], wanted[..net.rows * shape[1]].to_vec());
        close(&y[0], &wanted).unwrap_or_else(|e| panic!("{}: {e}", net.model));
    }
}
