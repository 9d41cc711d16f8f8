//! Tools that say where accuracy is lost and what would help: numeric suite, n-shadows, model report, equalization.

use std::path::Path;
use std::sync::Arc;

use quantir::calibrate::CalibrateOptions;
use quantir::data::{Dataset, Normalize};
use quantir::equalize::{EqualizationMapping, equalize};
use quantir::ir::text;
use quantir::model_report::{
    Detector, DynamicStaticDetector, Feature, Filter, InputWeightEqualizationDetector, ModelReport,
    OutlierDetector, PerChannelDetector,
};
use quantir::numeric_suite::{
    CompareOptions, Metric, ShadowGraph, ShadowLayers, add_loggers, compare_layers, extract_logger_info,
    prepare_n_shadows_model,
};
use quantir::passes::prepare;
use quantir::quant::{KernelSupport, ObserverTemplate, QConfig, QConfigMapping};
use quantir::{Float, Graph, Model, SessionOptions, Tensor};

fn digits() -> (Model<Float>, Dataset) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits");
    let model = Model::<Float>::load(&dir.join("digits_cnn.onnx")).unwrap().fuse().unwrap();
    let mut data = Dataset::open(&dir.join("calibration.npz"), model.graph(), Normalize::none()).unwrap();
    data.truncate(40);
    (model, data)
}

/// A graph of phase float from the lines of its body.
fn graph(body: &str) -> Graph {
    text::parse_example(body).unwrap()
}

/// Numbers without pattern, the same every time.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (f64::from(x) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    };
    (0..n).map(|_| next()).collect()
}

/// T180: layers of a quantized model against the float one, with the errors of all layers and with their own; the interpreter and the
/// runtime agree.
#[test]
fn layers_of_a_quantized_model_are_compared() {
    let (float, data) = digits();
    let observed = float.clone().prepare(&QConfigMapping::x86()).unwrap();
    let calibrated = observed.calibrate(&data, &CalibrateOptions::default()).unwrap();
    let quantized = calibrated.convert().unwrap().lower().unwrap().shared_graph();
    let float = float.shared_graph();
    let options = CompareOptions { shadow: true, ..CompareOptions::default() };
    let report = compare_layers(&float, &quantized, &data, &options).unwrap();
    assert_eq!(report.samples, 40);
    assert!(report.layers.len() >= 7 && report.unmatched.is_empty(), "{report}");
    let own = |i: usize| report.layers[i].own.as_ref().unwrap().sqnr;
    assert!((1..report.layers.len()).all(|i| own(i - 1) <= own(i)), "the worst comes first\n{report}");
    for l in &report.layers {
        assert!(l.total.sqnr > 20.0, "{report}");
        assert!(
            l.own.as_ref().unwrap().sqnr >= l.total.sqnr - 1.0,
            "a layer loses less than all before it\n{report}"
        );
        assert!(l.weight_sqnr.is_some() == ["qconv2d", "qlinear"].contains(&l.op.as_str()));
    }
    // Selecting integers is exact.
    let pool = report.layers.iter().find(|l| l.op == "max_pool").unwrap();
    assert_eq!(pool.own.as_ref().unwrap().sqnr, f64::INFINITY);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert!(json["layers"][0]["total"]["normalized_l2"].as_f64().unwrap() > 0.0);

    let interpret = SessionOptions { interpret: true, ..SessionOptions::default() };
    let slow = CompareOptions { session: interpret, shadow: true, progress: None };
    let other = compare_layers(&float, &quantized, &data, &slow).unwrap();
    for (a, b) in report.layers.iter().zip(&other.layers) {
        assert_eq!(a.layer, b.layer);
        assert!((a.total.sqnr - b.total.sqnr).abs() < 0.01, "{report}\n{other}");
    }
}

/// T180: models without a common layer are refused, and loggers can be switched off.
#[test]
fn models_must_have_layers_in_common() {
    let a = Arc::new(graph("input %x: f32[1,4]\n%a = relu %x : f32[1,4]"));
    let b = Arc::new(graph("input %x: f32[1,4]\n%b = relu %x : f32[1,4]"));
    let (_, data) = digits();
    let e = compare_layers(&a, &b, &data, &CompareOptions::default()).unwrap_err();
    assert!(e.to_string().contains("no layer of the same name"), "{e}");

    let x = [Tensor::f32(&[1, 4], vec![1.0, -1.0, 2.0, -2.0])];
    let mut loggers = add_loggers("a", a.clone(), "b", a, &SessionOptions::default()).unwrap();
    loggers.set_enabled(false);
    loggers.run(&x).unwrap();
    loggers.set_enabled(true);
    loggers.run(&x).unwrap();
    let results = extract_logger_info(&loggers);
    assert_eq!(results.layers["a"].values().next().unwrap()["b"][0].values.len(), 1);
}

/// T180: the shadow of a layer is its float form alone, fed by the quantized model.
#[test]
fn a_shadow_graph_is_a_graph() {
    let float = graph(
        "input %x: f32[1,4]
         %w = const {data=rand(1)} : f32[4,4]
         %a = linear %x, %w : f32[1,4] @fc1
         %b = relu %a : f32[1,4]
         %c = add %b, %x : f32[1,4]",
    );
    let s = ShadowGraph::new(&float, &float, ShadowLayers::All).unwrap();
    let names: Vec<&str> = s.graph.outputs().iter().map(|o| &*o.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    // The model's input for its symbols, then what `%a`, `%b` and `%c` read.
    assert_eq!(s.graph.inputs().len(), 1 + 3);
    let again = text::parse(&text::print(&s.graph)).unwrap();
    assert_eq!(text::print(&again), text::print(&s.graph));
    let s = ShadowGraph::new(&float, &float, ShadowLayers::OneInput).unwrap();
    assert_eq!(s.pairs.len(), 2, "PyTorch leaves out additions of two values");
}

/// T89 (`end_to_end`): several settings for each layer in one calibration and one run; coarser integers are worse.
#[test]
fn several_settings_compare_in_one_run() {
    let (float, data) = digits();
    let bits = |lo: i64, hi: i64| {
        let weight = ObserverTemplate { range: (lo, hi), ..QConfig::minmax().weight };
        QConfigMapping::with_defaults(QConfig { weight, ..QConfig::minmax() })
    };
    let mut only_linear = QConfigMapping::new();
    only_linear.set_object_type("linear", Some(QConfig::native()));
    let mappings = [bits(-127, 127), bits(-7, 7), only_linear];
    let prepared = prepare_n_shadows_model(float.graph(), &mappings, |g, m| {
        prepare::prepare(g, m, &KernelSupport::native()).map(drop)
    })
    .unwrap();
    assert!(quantir::ir::verify(&prepared.graph).is_empty());
    let mut converted = prepared.calibrate(&data, &CalibrateOptions::default()).unwrap();
    let batches = || [data.batch(0, 20), data.batch(20, 20)].into_iter().map(|b| Ok(b?));
    let results = converted.run(batches(), &SessionOptions::default()).unwrap();
    let of = |layer: &str, mapping: usize| {
        results.rows.iter().find(|r| r.layer == layer && r.mapping == mapping).map(|r| r.sqnr)
    };
    let layer = &results.rows.iter().find(|r| r.mapping == 2).unwrap().layer;
    let (fine, coarse) = (of(layer, 0).unwrap(), of(layer, 1).unwrap());
    assert!(fine > coarse + 10.0, "{results}");
    assert!(results.best().iter().all(|(_, best)| *best != 1), "{results}");
    assert!(results.rows.iter().filter(|r| r.mapping == 2).count() < results.rows.len() / 3, "{results}");
    assert!(
        results
            .rows
            .iter()
            .all(|r| r.values.is_empty() && r.qconfig.contains("histogram") == (r.mapping == 2))
    );
    assert!(results.to_string().contains("sqnr 2"));

    converted.loggers_set_save_activations(true);
    let results = converted.run(batches(), &SessionOptions::default()).unwrap();
    assert!(results.rows.iter().all(|r| r.values.len() == 2));
}

fn report(g: Graph, detectors: Vec<Detector>, batches: Vec<Tensor>) -> quantir::model_report::Report {
    let report = ModelReport::new(g.into(), detectors).unwrap();
    report.calibrate_batches(batches.into_iter().map(|t| Ok(vec![t])), &SessionOptions::default()).unwrap()
}

fn fc() -> Graph {
    graph(
        "input %x: f32[8,4]
         %w = const {data=rand(1)} : f32[3,4]
         %y = linear %x, %w : f32[8,3] @fc",
    )
}

fn feature<'r>(r: &'r quantir::model_report::Report, name: &str) -> &'r Feature {
    r.findings.iter().find_map(|f| f.layers["fc"].get(name)).unwrap()
}

/// Arguments out of their domain are refused with the domain.
#[test]
fn detectors_check_their_arguments() {
    assert!(PerChannelDetector::new("x87").unwrap_err().to_string().contains("known are: fbgemm"));
    assert!(DynamicStaticDetector::new(1.5).is_err());
    assert!(
        InputWeightEqualizationDetector::new(0.0, 1).is_err()
            && InputWeightEqualizationDetector::new(1.0, 1).is_err()
    );
    assert!(OutlierDetector::new(1.0, 0.9, 0.9).is_err() && OutlierDetector::new(2.0, 1.0, 0.9).is_err());
    assert!(
        OutlierDetector::new(2.0, 0.9, 1.1).is_err() && OutlierDetector::new(f64::NAN, 0.9, 0.9).is_err()
    );
    let twice = vec![Detector::PerChannel(PerChannelDetector::default()); 2];
    assert!(ModelReport::new(fc().into(), twice).is_err() && ModelReport::new(fc().into(), vec![]).is_err());
    let report = ModelReport::new(fc().into(), Detector::all()).unwrap();
    assert!(report.calibrate_batches([], &SessionOptions::default()).is_err());
}

/// `S = mean range of a batch / whole range`: ranges that move from batch to batch ask for dynamic quantization.
#[test]
fn moving_ranges_ask_for_dynamic_quantization() {
    let batch = |offset: f32| Tensor::f32(&[8, 4], noise(32, 3).into_iter().map(|x| x + offset).collect());
    let detector = || vec![Detector::DynamicStatic(DynamicStaticDetector::default())];
    let still = report(fc(), detector(), vec![batch(0.0), batch(0.0)]);
    assert_eq!(feature(&still, "dynamic_recommended"), &Feature::Flag(false));
    assert_eq!(feature(&still, "pre_observer_distribution"), &Feature::Text("stationary".into()));
    assert_eq!(feature(&still, "pre_observer_statistic"), &Feature::Number(1.0));
    let moving = report(fc(), detector(), vec![batch(0.0), batch(100.0)]);
    assert_eq!(feature(&moving, "dynamic_recommended"), &Feature::Flag(true));
    let mapping = moving.generate_qconfig_mapping();
    let rules = mapping.rules();
    assert_eq!(rules.len(), 1);
    assert!(rules[0].1.as_ref().unwrap().activation.dynamic);
    assert!(!still.generate_qconfig_mapping().rules()[0].1.as_ref().unwrap().activation.dynamic);
    assert!(moving.to_string().contains("fc: quantize it dynamically"), "{moving}");
}

/// A channel whose largest value is far above its percentile has outliers; constant batches are counted apart.
#[test]
fn rare_large_values_are_outliers() {
    let batch = |seed: u32| {
        let mut x: Vec<f32> = noise(8 * 4, seed).into_iter().map(|x| x.abs() + 0.1).collect();
        x[4 + 2] = 50.0;
        (0..8).for_each(|row| x[row * 4 + 3] = 1.0);
        Tensor::f32(&[8, 4], x)
    };
    let d = OutlierDetector::new(3.5, 0.8, 0.95).unwrap();
    let r = report(fc(), vec![Detector::Outlier(d)], vec![batch(1), batch(2)]);
    assert_eq!(feature(&r, "outliers_detected"), &Feature::Flags(vec![false, false, true, false]));
    assert_eq!(
        feature(&r, "outlier_detection_batch_count_constant"),
        &Feature::Numbers(vec![0.0, 0.0, 0.0, 2.0])
    );
    let (whole, channels) = r.generate_filtered_tables(Filter { feature: "outlier", module: "fc" });
    assert_eq!((whole.rows.len(), channels.rows.len()), (1, 4));
    assert!(channels.to_string().contains("true"));
    let (none, _) = r.generate_filtered_tables(Filter { feature: "", module: "conv" });
    assert!(none.rows.is_empty());
}

/// Weights with channels of different size gain from a scale for each.
#[test]
fn uneven_weights_gain_from_scales_per_channel() {
    let g = graph(
        "input %x: f32[8,2]
         %w = const {data=[100.0,-50.0,0.1,0.07]} : f32[2,2]
         %y = linear %x, %w : f32[8,2] @fc",
    );
    let r = report(g, Detector::all(), vec![Tensor::f32(&[8, 2], noise(16, 1))]);
    let number = |name| match feature(&r, name) {
        Feature::Number(x) => *x,
        f => panic!("{f:?}"),
    };
    assert!(number("weight_sqnr_per_channel") >= number("weight_sqnr_per_tensor"));
    assert_eq!(feature(&r, "per_channel_quantization_recommended"), &Feature::Flag(true));
    assert!(r.generate_qconfig_mapping().rules()[0].1.as_ref().unwrap().weight.per_channel);
    let recipe = r.generate_qconfig_mapping().to_toml();
    assert!(QConfigMapping::from_toml(&recipe).is_ok(), "{recipe}");
    // s_c = sqrt(w_c / w) / sqrt(x_c / x)
    assert!(
        matches!(feature(&r, "input_weight_channel_comparison_metrics"), Feature::Numbers(s) if s.len() == 2)
    );
}

/// T106: `s_c = sqrt(w_c / x_c)`; factors go into the layer before through relu, else a `mul` is put at the input;
/// results stay.
#[test]
fn equalization_keeps_results() {
    let g = Arc::new(graph(
        "input %x: f32[8,4]
         %w1 = const {data=rand(1)} : f32[5,4]
         %b1 = const {data=rand(2)} : f32[5]
         %a = linear %x, %w1, %b1 : f32[8,5] @fc1
         %r = relu %a : f32[8,5]
         %w2 = const {data=rand(3)} : f32[3,5]
         %y = linear %r, %w2 : f32[8,3] @fc2",
    ));
    let x = Tensor::f32(
        &[8, 4],
        noise(32, 5).iter().enumerate().map(|(i, v)| v * [1.0, 30.0, 0.1, 4.0][i % 4]).collect(),
    );
    let run = |g: &Graph| quantir::ir::interp::run(g, std::slice::from_ref(&x), &mut ()).unwrap().remove(0);
    let batches = || [Ok(vec![x.clone()])];
    let (all, done) = equalize(&g, &EqualizationMapping::All, batches(), &SessionOptions::default()).unwrap();
    assert!(quantir::ir::verify(&all).is_empty());
    let into: Vec<Option<&str>> = done.iter().map(|e| e.into.as_deref()).collect();
    assert_eq!(into, [None, Some("fc1")]);
    assert!(Metric::Sqnr.of(&run(&g), &run(&all)).unwrap() > 100.0);
    let ops = |g: &Graph| g.nodes().map(|n| g.op(n).name()).filter(|o| *o == "mul").count();
    assert_eq!(ops(&all), 1);
    // Input and weight now have the same range in each channel.
    let [w, scaled] = ["w1", "x.equalized"].map(|n| all.find(n).unwrap());
    let weights = quantir::model_report::ranges(&all.constant(w).unwrap(), 1).unwrap();
    struct See(quantir::ir::ValueId, Option<Tensor>);
    impl quantir::ir::interp::Hook for See {
        fn value(&mut self, _: &Graph, v: quantir::ir::ValueId, t: &Tensor) {
            if v == self.0 {
                self.1 = Some(t.clone());
            }
        }
    }
    let mut see = See(scaled, None);
    quantir::ir::interp::run(&all, std::slice::from_ref(&x), &mut see).unwrap();
    let inputs = quantir::model_report::ranges(&see.1.unwrap(), 1).unwrap();
    for ((wl, wh), (xl, xh)) in weights.iter().zip(&inputs) {
        assert!(((wh - wl) / (xh - xl) - 1.0).abs() < 1e-4);
    }

    let one = EqualizationMapping::Modules(vec!["fc2".into()]);
    let (only, done) = equalize(&g, &one, batches(), &SessionOptions::default()).unwrap();
    assert_eq!((done.len(), ops(&only)), (1, 1), "fc1 may not be changed");
    assert!(Metric::Sqnr.of(&run(&g), &run(&only)).unwrap() > 100.0);
}

/// T106 (selective): the layers with the lowest SQNR are chosen.
#[test]
fn equalization_can_be_given_the_worst_layers() {
    let (float, data) = digits();
    let observed = float.clone().prepare(&QConfigMapping::minmax()).unwrap();
    let quantized = observed.calibrate(&data, &CalibrateOptions::default()).unwrap().convert().unwrap();
    let report =
        compare_layers(&float.shared_graph(), &quantized.shared_graph(), &data, &CompareOptions::default());
    let mapping = EqualizationMapping::worst(&report.unwrap(), 2);
    assert!(matches!(&mapping, EqualizationMapping::Modules(m) if m.len() == 2));
    let batch = || [Ok(data.batch(0, 40).unwrap())];
    let (g, done) = equalize(&float.shared_graph(), &mapping, batch(), &SessionOptions::default()).unwrap();
    assert!(done.len() <= 2);
    let x = data.batch(0, 8).unwrap();
    let run = |g: &Graph| quantir::ir::interp::run(g, &x, &mut ()).unwrap().remove(0);
    assert!(Metric::Sqnr.of(&run(float.graph()), &run(&g)).unwrap() > 80.0);
}

/// The command line's tools, and errors as JSON where JSON is asked for.
#[test]
fn the_command_line_compares_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits");
    let saved = folder.path().join("digits.qir.safetensors");
    let (float, data) = digits();
    let observed = float.prepare(&QConfigMapping::minmax()).unwrap();
    let calibrated = observed.calibrate(&data, &CalibrateOptions::default()).unwrap();
    calibrated.convert().unwrap().lower().unwrap().save(&saved).unwrap();
    let qir = |args: &[&std::ffi::OsStr]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_qir")).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (onnx, npz) = (dir.join("digits_cnn.onnx"), dir.join("test.npz"));
    let compare = |data: &Path, extra: &[&str]| {
        let mut args = vec![
            "compare".as_ref(),
            onnx.as_os_str(),
            saved.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ];
        args.extend(extra.iter().map(std::ffi::OsStr::new));
        qir(&args)
    };
    let (code, out, err) = compare(&npz, &["--shadow", "--samples", "16", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(json(&out)["samples"], 16);
    assert!(json(&out)["layers"][0]["own"]["cosine"].as_f64().unwrap() > 0.9);
    let (code, out, _) = compare(&npz, &["--samples", "16"]);
    assert!(code == 0 && out.contains("9 layers over 16 samples"), "{out}");

    let (code, _, err) = compare(Path::new("nothing.npz"), &["--json"]);
    assert_eq!(code, 1);
    let first = &json(&err)["errors"][0];
    assert_eq!(first["code"], "data");
    assert!(first["message"].as_str().unwrap().contains("nothing.npz"), "{err}");

    let recipe = folder.path().join("advice.toml");
    let (model, calibration) = (onnx.as_os_str(), dir.join("calibration.npz"));
    let report = |extra: &[&std::ffi::OsStr]| {
        let mut args = vec!["report".as_ref(), model, "--calibrate".as_ref(), calibration.as_os_str()];
        args.extend(["--samples", "32"].map(std::ffi::OsStr::new));
        args.extend(extra);
        qir(&args)
    };
    let (code, out, err) = report(&["--json".as_ref(), "--recipe".as_ref(), recipe.as_os_str()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(json(&out)["findings"].as_array().unwrap().len(), 4);
    assert!(QConfigMapping::from_toml(&std::fs::read_to_string(recipe).unwrap()).is_ok());
    let (_, out, _) = report(&["--table".as_ref(), "--feature".as_ref(), "dynamic".as_ref()]);
    assert!(out.contains("dynamic_recommended"), "{out}");
}

/// Errors of the façade are diagnostics with a code each.
#[test]
fn errors_are_diagnostics() {
    let code = |e: quantir::Error| e.diags()[0].code;
    assert_eq!(code(ModelReport::new(fc().into(), vec![]).err().unwrap()), "usage");
    assert_eq!(code(quantir::ir::Reason::new("two shapes").into()), "tensor");

    let x = |n: usize| Tensor::f32(&[1, n], vec![1.0; n]);
    let g = Arc::new(graph("dim N = 1..\ninput %x: f32[1,N]\n%a = relu %x : f32[1,N]"));
    let mut loggers = add_loggers("a", g.clone(), "b", g, &SessionOptions::default()).unwrap();
    loggers.run(&[x(2)]).unwrap();
    let mut results = extract_logger_info(&loggers);
    let entry = results.layers["a"].values_mut().next().unwrap().get_mut("b").unwrap();
    entry[0].values[0] = x(3);
    let e = quantir::numeric_suite::extend_logger_results_with_comparison(
        &mut results,
        "a",
        "b",
        Metric::Kl,
        "kl",
    );
    let d = e.unwrap_err();
    assert_eq!(d.code, "compare");
    assert!(d.message.contains("shape [1, 2] cannot be compared with one of shape [1, 3]"), "{d}");
}
