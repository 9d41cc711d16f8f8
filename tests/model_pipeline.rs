//! The main job on the digits network that the repository carries.

use std::path::{Path, PathBuf};

use quantir::calibrate::CalibrateOptions;
use quantir::data::{Dataset, Normalize};
use quantir::evaluate::{argmax_rows, compare};
use quantir::{Float, Integer, Isa, Model, QConfigMapping, SessionOptions};

fn digits(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits").join(file)
}

fn open(file: &str, model: &Model<Float>) -> Dataset {
    Dataset::open(&digits(file), model.graph(), "0,16".parse().unwrap()).unwrap()
}

fn quantized() -> Model<Integer> {
    let model = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let mut data = open("calibration.npz", &model);
    data.truncate(64);
    let observed = model.fuse().unwrap().prepare(&QConfigMapping::native()).unwrap();
    let calibrated = observed.calibrate(&data, &CalibrateOptions::default()).unwrap();
    calibrated.convert().unwrap().lower().unwrap()
}

#[test]
fn digits_lose_at_most_half_a_point() {
    let model = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let test = open("test.npz", &model);
    let options = SessionOptions::single_thread();
    let float = model.fuse().unwrap().session(&options).unwrap();
    let int8 = quantized().session(&options).unwrap();
    let c = compare(&float, &int8, &test, &|_| {}).unwrap();
    let (f, q) = c.top1.unwrap();
    assert!(f > 0.99, "float accuracy {f}");
    assert!(f - q <= 0.005, "float {f}, int8 {q}");
}

#[test]
fn integers_have_the_same_bits_on_every_path_and_after_a_round_trip_through_a_file() {
    let model = quantized();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.qir.safetensors");
    model.save(&path).unwrap();
    let loaded = Model::<Integer>::load(&path).unwrap();
    let float = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let inputs = open("test.npz", &float).batch(0, 5).unwrap();
    let interpreted = SessionOptions { interpret: true, ..SessionOptions::single_thread() };
    let want = model.session(&interpreted).unwrap().run(&inputs).unwrap();
    for isa in Isa::available() {
        for threads in [1, 2] {
            let options = SessionOptions { threads: Some(threads), isa: Some(isa), interpret: false };
            let got = loaded.session(&options).unwrap().run(&inputs).unwrap();
            assert_eq!(want[0].bytes(), got[0].bytes(), "{isa} with {threads} threads");
        }
    }
}

#[test]
fn calibration_does_not_depend_on_the_number_of_threads() {
    let model = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let mut data = open("calibration.npz", &model);
    data.truncate(24);
    let observed = model.fuse().unwrap().prepare(&QConfigMapping::native()).unwrap();
    let with = |threads| {
        let options = CalibrateOptions { threads: Some(threads), ..CalibrateOptions::default() };
        observed.clone().calibrate(&data, &options).unwrap().calibration().to_string()
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn samples_beyond_a_fixed_batch_are_run_in_turn() {
    use quantir::ir::{Tensor, text};
    // The batch is 2, so 5 samples take three runs, the last one filled up with a copy.
    let source = "qir 1 float\ngraph @main(%x: f32[2,3]) {\n  %y = mean %x {axes=[1], keep=true} : f32[2,1]\n  return %y\n}\n";
    let model = Model::from_graph(text::parse(source).unwrap()).unwrap();
    let x = Tensor::f32(&[5, 3], (0..15).map(|i| i as f32).collect());
    for interpret in [false, true] {
        let options = SessionOptions { interpret, ..SessionOptions::single_thread() };
        let y = model.session(&options).unwrap().run(std::slice::from_ref(&x)).unwrap();
        assert_eq!(y[0].shape, [5, 1]);
        assert_eq!(y[0].floats().unwrap().as_ref(), [1.0, 4.0, 7.0, 10.0, 13.0]);
    }
}

#[test]
fn a_batch_gives_what_its_samples_give_alone() {
    let model = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let inputs = open("test.npz", &model).batch(0, 3).unwrap();
    let dynamic = model.session(&SessionOptions::single_thread()).unwrap();
    let all = argmax_rows(&dynamic.run(&inputs).unwrap()[0]).unwrap();
    let one =
        |i| argmax_rows(&dynamic.run(&open("test.npz", &model).batch(i, 1).unwrap()).unwrap()[0]).unwrap()[0];
    assert_eq!(all, [one(0), one(1), one(2)]);
}

#[test]
fn no_command_changes_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.qir");
    let source = "qir 1 float\n// kept\ngraph @main(%x: f32[2]) {\n  %y = relu %x : f32[2]\n  return %y\n}\n";
    std::fs::write(&file, source).unwrap();
    for option in ["-o", "--repro"] {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_qir"))
            .args([
                "opt".as_ref(),
                file.as_os_str(),
                "-p".as_ref(),
                "canon".as_ref(),
                option.as_ref(),
                file.as_os_str(),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.contains("is one of the inputs"), "{text}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), source);
    }
}

#[test]
fn normalization_is_optional() {
    let model = Model::<Float>::load(&digits("digits_cnn.onnx")).unwrap();
    let raw = Dataset::open(&digits("test.npz"), model.graph(), Normalize::none()).unwrap();
    let scaled = open("test.npz", &model);
    let (a, b) = (raw.batch(0, 1).unwrap(), scaled.batch(0, 1).unwrap());
    assert_eq!(a[0].floats().unwrap()[10] / 16.0, b[0].floats().unwrap()[10]);
}

#[test]
fn bad_data_ends_in_one_error_and_leaves_no_output() {
    use quantir::ir::Tensor;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, arrays: &[(&str, Tensor)]| {
        let named: Vec<(String, Tensor)> = arrays.iter().map(|(n, t)| (n.to_string(), t.clone())).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, quantir::data::write_npz(&named).unwrap()).unwrap();
        path
    };
    let images = Tensor::f32(&[2, 1, 8, 8], vec![0.5; 128]);
    let good = write("good.npz", &[("image", images.clone())]);
    let other_name = write("name.npz", &[("picture", images.clone())]);
    let shape = write("shape.npz", &[("image", Tensor::f32(&[2, 1, 8, 7], vec![0.5; 112]))]);
    let labels = write("labels.npz", &[("image", images), ("labels", Tensor::i64(&[2], vec![3, 10]))]);
    let nothing = write("nan.npz", &[("image", Tensor::f32(&[1, 1, 8, 8], vec![f32::NAN; 64]))]);
    let broken = folder.path().join("broken.npz");
    std::fs::write(&broken, b"PK not really").unwrap();
    let cases = [
        (&other_name, &good, "no array for the model's input `image`"),
        (&shape, &good, "the model wants [batch,1,8,8]"),
        (&good, &labels, "label 10 of sample 1 names none of the 10 classes"),
        (&nothing, &good, "NaN"),
        (&broken, &good, "not a readable array file"),
    ];
    for (calibrate, evaluate, message) in cases {
        let out = folder.path().join("out.qir.safetensors");
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_qir"))
            .arg("quantize")
            .arg(digits("digits_cnn.onnx"))
            .args([
                "--calibrate".as_ref(),
                calibrate.as_os_str(),
                "--evaluate".as_ref(),
                evaluate.as_os_str(),
            ])
            .args(["-o".as_ref(), out.as_os_str()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.contains(message), "{text}");
        assert!(text.lines().count() < 40, "more than a screen:\n{text}");
        assert!(!out.exists(), "{message}");
    }
}

#[test]
fn a_plan_says_what_a_recipe_does_before_any_data_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, "[[rule]]\nop = \"add\"\nqconfig = \"float\"\n").unwrap();
    let qir = |extra: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_qir"))
            .arg("plan-quantization")
            .arg(digits("digits_cnn.onnx"))
            .args(["--config".as_ref(), recipe.as_os_str()])
            .args(extra)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let plan: serde_json::Value = serde_json::from_str(&qir(&["--json"])).unwrap();
    let ops = plan["ops"].as_array().unwrap();
    let of = |name: &str| ops.iter().find(|o| o["op"] == name).unwrap();
    assert_eq!(of("add")["quantized"], false);
    assert_eq!(of("add")["rule"], "the rule for op `add`");
    assert_eq!((&of("linear")["quantized"], &of("linear")["qconfig"]), (&true.into(), &"native".into()));
    // A pooling shares the observer of what it reads.
    assert_eq!(of("max_pool")["inputs"][0], of("max_pool")["outputs"][0]);
    let weight = plan["tensors"].as_array().unwrap().iter().find(|t| t["constant"] == true).unwrap();
    assert_eq!(weight["declaration"], "minmax i8[-127:127] symmetric(0)");
    let table = qir(&["--float-only"]);
    assert!(
        table.contains("left float by the rule for op `add`") && table.contains("1 stay float"),
        "{table}"
    );
    assert!(qir(&["--fx", "x86"]).contains("ops will be quantized"));
}
