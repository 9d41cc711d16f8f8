//! Real models: every file of the model folder that `QUANTIR_ZOO` names imports, or says all that is missing.

use std::path::{Path, PathBuf};

use quantir_frontend::{Error, Limits, model_file, onnx};
use quantir_ir::{Graph, text};

/// File without extension, start of the outputs as text, numbers of ops.
type Case = (&'static str, &'static str, &'static [(&'static str, usize)]);

/// The folder of models; without it there is nothing to test.
fn zoo() -> Option<PathBuf> {
    let root = std::env::var_os("QUANTIR_ZOO").map(PathBuf::from)?;
    Some(root.join("models"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn import(path: &Path) -> Result<Graph, Error> {
    onnx::import(path, &Limits::default())
}

/// The types of the outputs as text.
fn outputs(g: &Graph) -> String {
    g.outputs().iter().map(|o| format!("{}: {}", o.name, g.ty(o.value))).collect::<Vec<_>>().join(", ")
}

fn count(g: &Graph, op: &str) -> usize {
    g.nodes().filter(|n| g.op(*n).name() == op).count()
}

#[test]
fn models_that_the_ops_cover_import() {
    let Some(zoo) = zoo() else { return };
    let cases: &[Case] = &[
        (
            "digits_cnn/digits_cnn_dynamic_batch_opset18",
            "logits: f32[batch,10]",
            &[("conv2d", 4), ("linear", 2)],
        ),
        (
            "digits_cnn/digits_cnn_static_batch1_opset13",
            "logits: f32[1,10]",
            &[("conv2d", 4), ("max_pool", 2)],
        ),
        (
            "fashion_cnn/fashion_cnn_dynamic_batch_opset17",
            "logits: f32[batch,10]",
            &[("conv2d", 12), ("clip", 6)],
        ),
        (
            "fashion_cnn/fashion_cnn_static_batch1_opset20",
            "logits: f32[1,10]",
            &[("batch_norm", 12), ("add", 3)],
        ),
        (
            "efficientnet_lite0/efficientnet_lite0_dynamic_batch_opset17",
            "logits: f32[batch,1000]",
            &[("conv2d", 49), ("batch_norm", 49), ("clip", 33), ("pad", 17), ("shape", 0), ("reshape", 1)],
        ),
        (
            "keyword_conv1d/keyword_conv1d_dynamic_batch_frames_opset17",
            "logits: f32[batch,12]",
            &[("conv1d", 8), ("mean", 1), ("amax", 1)],
        ),
        ("keyword_conv1d/keyword_conv1d_static_1x40x98_opset20", "logits: f32[1,12]", &[("conv1d", 8)]),
        (
            "motion_conv3d_factorised/motion_conv3d_factorised_dynamic_batch_opset17",
            "logits: f32[batch,8]",
            &[("conv3d", 5), ("avg_pool", 1)],
        ),
        (
            "onnx_light_architectures/light_resnet50_static_batch1_opset9",
            "gpu_0/softmax_1: f32[1,1000]",
            &[("conv2d", 53), ("add", 16), ("linear", 1)],
        ),
        (
            "onnx_light_architectures/light_shufflenet_static_batch1_opset9",
            "gpu_0/softmax_1: f32[1,1000]",
            &[("conv2d", 49), ("transpose", 16)],
        ),
        (
            "onnx_light_architectures/light_squeezenet_static_batch1_opset9",
            "softmaxout_1: f32[1,1000,1,1]",
            &[("conv2d", 26), ("concat", 8), ("reshape", 0)],
        ),
        (
            "ppocr_text_orientation/ppocr_v2_orientation_dynamic_batch_opset11",
            "save_infer_model/scale_0.tmp_1: f32[x_0,2]",
            &[("conv2d", 53), ("batch_norm", 35), ("softmax", 1), ("linear", 1)],
        ),
        (
            "ppocr_v4_det/ppocr_v4_det_dynamic_shape_opset12",
            "sigmoid_0.tmp_0: f32[p2o.DynamicDimension.0,1,",
            &[("conv2d", 62), ("conv_transpose2d", 2), ("resize", 6)],
        ),
    ];
    for (name, types, counts) in cases {
        let g = import(&zoo.join(format!("{name}.onnx"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = outputs(&g);
        assert!(found.starts_with(types), "{name}: {found}");
        for (op, n) in *counts {
            assert_eq!(count(&g, op), *n, "{name}: `{op}`");
        }
    }
}

#[test]
fn every_other_model_imports_or_lists_what_is_missing() {
    let Some(zoo) = zoo() else { return };
    let folders = std::fs::read_dir(&zoo).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir());
    for file in folders.flat_map(|f| files(&f)) {
        match import(&file) {
            Ok(g) => println!("{}: {} nodes, {}", file.display(), g.node_count(), outputs(&g)),
            Err(e @ Error::Unsupported(_)) => println!("{}: {e}", file.display()),
            Err(e) => panic!("{}: {e}", file.display()),
        }
    }
}

#[test]
fn imported_models_survive_saving() {
    let Some(zoo) = zoo() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.qir.safetensors");
    let folders = std::fs::read_dir(&zoo).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir());
    for file in folders.flat_map(|f| files(&f)) {
        let Ok(g) = import(&file) else { continue };
        model_file::save(&g, &path).unwrap();
        let back = model_file::load(&path).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(text::print(&back), text::print(&g), "{}", file.display());
    }
}
