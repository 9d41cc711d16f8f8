//! The way from a float graph to integer ops, on small graphs of every kind, with the meaning compared at each step.

use quantir_ir::text::{parse, print};
use quantir_ir::{Diag, Graph, Op, Phase, Tensor, interp, verify};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::check::{bind_symbols, seeded_inputs};
use quantir_passes::convert::convert;
use quantir_passes::lower::{explain, lower};
use quantir_passes::prepare::{PrepareReport, prepare};
use quantir_quant::{Calibration, KernelSupport, QConfig, QConfigMapping};

struct Stages {
    float: Graph,
    report: PrepareReport,
    observed: Graph,
    calibration: Calibration,
    reference: Graph,
    integer: Graph,
}

fn read(text: &str) -> Graph {
    parse(text).unwrap_or_else(|d| panic!("{}", d.iter().map(Diag::to_string).collect::<String>()))
}

fn stages(text: &str, mapping: &QConfigMapping, backend: &KernelSupport) -> Stages {
    let float = read(text);
    let mut observed = float.clone();
    let report = prepare(&mut observed, mapping, backend).unwrap_or_else(|e| panic!("{e}"));
    let batches = (0..4).map(|i| Ok(inputs(&float, i))).collect::<Vec<_>>();
    let calibration = calibrate_by_interpreter(&observed, batches, 2).unwrap_or_else(|e| panic!("{e}"));
    let mut reference = observed.clone();
    convert(&mut reference, &calibration).unwrap_or_else(|e| panic!("{e}"));
    let mut integer = reference.clone();
    lower(&mut integer, backend).unwrap_or_else(|e| panic!("{e}"));
    for (g, phase) in
        [(&observed, Phase::Observed), (&reference, Phase::Reference), (&integer, Phase::Integer)]
    {
        assert_eq!(g.phase(), phase);
        let wrong = verify::verify(g);
        assert!(wrong.is_empty(), "{}\n{}", print(g), wrong.iter().map(Diag::to_string).collect::<String>());
    }
    Stages { float, report, observed, calibration, reference, integer }
}

fn inputs(g: &Graph, seed: u64) -> Vec<Tensor> {
    seeded_inputs(g, &bind_symbols(g, 0), seed).unwrap()
}

fn run(g: &Graph, inputs: &[Tensor]) -> Vec<Vec<f32>> {
    let outs = interp::run(g, inputs, &mut ()).unwrap_or_else(|e| panic!("{e}\n{}", print(g)));
    outs.iter().map(|t| t.floats().unwrap().into_owned()).collect()
}

/// The largest difference as a fraction of the largest number.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let all = a.iter().flatten().zip(b.iter().flatten());
    let most = a.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
    all.fold(0f32, |m, (x, y)| m.max((x - y).abs())) / most.max(f32::MIN_POSITIVE)
}

fn count(g: &Graph, is: impl Fn(&Op) -> bool) -> usize {
    g.nodes().filter(|&n| is(g.op(n))).count()
}

/// Text, how many ops stay float, and how many conversions are left in the integer graph.
const NETWORKS: &[(&str, usize, (usize, usize), &str)] = &[
    (
        "residual",
        0,
        (1, 1),
        r#"
graph @main(%x: f32[N,3,8,8]) {
  %w1 = const {data=rand(1)} : f32[4,3,3,3] @a
  %b1 = const {data=rand(2)} : f32[4] @a
  %c1 = conv2d %x, %w1, %b1 {pad=1, act=relu} : f32[N,4,8,8] @a
  %w2 = const {data=rand(3)} : f32[4,1,3,3] @b
  %c2 = conv2d %c1, %w2 {pad=1, groups=4, act=clip(0.0,6.0)} : f32[N,4,8,8] @b
  %s = add %c1, %c2 {act=relu} : f32[N,4,8,8]
  %p = max_pool %s {kernel=2, stride=2} : f32[N,4,4,4]
  %q = avg_pool %p {kernel=3, stride=1, pad=1, count_pad=true} : f32[N,4,4,4]
  %f = reshape %q {shape=[N,64]} : f32[N,64]
  %w3 = const {data=rand(4)} : f32[5,64] @c
  %y = linear %f, %w3 : f32[N,5] @c
  return %y
}"#,
    ),
    (
        "squeeze-excite",
        0,
        (1, 1),
        r#"
graph @main(%x: f32[N,3,8,8]) {
  %w1 = const {data=rand(1)} : f32[4,3,1,1]
  %c1 = conv2d %x, %w1 {act=hard_swish} : f32[N,4,8,8]
  %m = mean %c1 {axes=[2,3], keep=true} : f32[N,4,1,1]
  %w2 = const {data=rand(2)} : f32[2,4,1,1]
  %r = conv2d %m, %w2 {act=relu} : f32[N,2,1,1]
  %w3 = const {data=rand(3)} : f32[4,2,1,1]
  %e = conv2d %r, %w3 : f32[N,4,1,1]
  %h = hard_sigmoid %e : f32[N,4,1,1]
  %y = mul %c1, %h : f32[N,4,8,8]
  return %y
}"#,
    ),
    (
        "swish and concat",
        0,
        (1, 1),
        r#"
graph @main(%x: f32[N,3,8,8]) {
  %w1 = const {data=rand(1)} : f32[4,3,1,1]
  %a = conv2d %x, %w1 : f32[N,4,8,8]
  %s = sigmoid %a : f32[N,4,8,8]
  %b = mul %a, %s : f32[N,4,8,8]
  %u = resize %a {scales=[1.0,1.0,1.0,1.0]} : f32[N,4,8,8]
  %t = tanh %a : f32[N,4,8,8]
  %c = concat %b, %u, %x, %t {axis=1} : f32[N,15,8,8]
  %d = transpose %c {perm=[0,2,3,1]} : f32[N,8,8,15]
  %e = slice %d {axis=1, start=2, end=6} : f32[N,4,8,15]
  return %e
}"#,
    ),
    (
        "float island",
        1,
        (2, 2),
        r#"
graph @main(%x: f32[N,8]) {
  %w1 = const {data=rand(1)} : f32[6,8]
  %a = linear %x, %w1 : f32[N,6]
  %s = softmax %a {axis=1} : f32[N,6]
  %w2 = const {data=rand(2)} : f32[3,6]
  %y = linear %s, %w2 : f32[N,3]
  return %y
}"#,
    ),
    (
        "one-dimensional",
        0,
        (1, 1),
        r#"
graph @main(%x: f32[N,4,16]) {
  %w1 = const {data=rand(1)} : f32[6,4,3]
  %a = conv1d %x, %w1 {dilation=2, pad=2} : f32[N,6,16]
  %z = pad %a {pads=[[0,0],[0,0],[1,1]]} : f32[N,6,18]
  %h, %h.1 = split %z {axis=1, sizes=[3,3]} : f32[N,3,18], f32[N,3,18]
  %s = add %h, %h.1 : f32[N,3,18]
  %v = const {data=[0.5,-1.0,2.0]} : f32[3,1]
  %p = mul %s, %v : f32[N,3,18]
  %n = neg %p : f32[N,3,18]
  return %n
}"#,
    ),
];

fn networks() -> impl Iterator<Item = (&'static str, usize, (usize, usize), String)> {
    NETWORKS
        .iter()
        .map(|&(name, float, left, text)| (name, float, left, format!("qir 1 float\ndim N = 1..{text}\n")))
}

#[test]
fn meaning_stays_close_through_all_phases() {
    let mappings = [QConfigMapping::native(), QConfigMapping::x86(), QConfigMapping::minmax()];
    for (name, _, _, text) in networks() {
        for mapping in &mappings {
            for backend in [KernelSupport::native(), KernelSupport::pytorch()] {
                let s = stages(&text, mapping, &backend);
                // Seen during calibration, so nothing lies outside the ranges.
                let x = inputs(&s.float, 3);
                let [float, observed, reference, integer] =
                    [&s.float, &s.observed, &s.reference, &s.integer].map(|g| run(g, &x));
                assert!(distance(&float, &observed) <= 1e-5, "{name}: observing changed the results");
                let lost = distance(&float, &reference);
                assert!(
                    lost <= 0.12,
                    "{name}: quantizing lost {lost}\n{}\n{}",
                    print(&s.reference),
                    s.calibration
                );
                let moved = distance(&reference, &integer);
                assert!(moved <= 0.03, "{name}: lowering moved results by {moved}\n{}", print(&s.integer));
            }
        }
    }
}

#[test]
fn nothing_is_left_float_without_a_reason() {
    let backend = KernelSupport::native();
    for (name, float, (quantize, dequantize), text) in networks() {
        let s = stages(&text, &QConfigMapping::native(), &backend);
        let rows = explain(&s.integer, &backend);
        let stays: Vec<_> = rows.iter().filter_map(|r| r.float.as_ref()).collect();
        assert_eq!(stays.len(), float, "{name}: {stays:?}\n{}", print(&s.integer));
        assert_eq!(s.report.float.len(), float, "{name}: {}", s.report);
        let left = (
            count(&s.integer, |op| matches!(op, Op::Quantize(_))),
            count(&s.integer, |op| matches!(op, Op::Dequantize(_))),
        );
        assert_eq!(left, (quantize, dequantize), "{name}\n{}", print(&s.integer));
    }
}

#[test]
fn rules_decide_what_stays_float() {
    let text = networks().find(|n| n.0 == "residual").unwrap().3;
    let mut mapping = QConfigMapping::minmax();
    mapping.set_module_name("b", None).set_module_name("nowhere", None);
    let s = stages(&text, &mapping, &KernelSupport::native());
    assert_eq!(s.report.float.len(), 1);
    assert_eq!(s.report.float[0].reason, "left float by the rule for module `b`");
    assert_eq!(s.report.warnings.len(), 1);
    let all = explain(&s.integer, &KernelSupport::native());
    let b = all.iter().find(|r| r.path.as_deref() == Some("b")).unwrap();
    assert_eq!(b.float.as_deref(), Some("its weight is float"));

    let mut none = read(&text);
    let report = prepare(&mut none, &QConfigMapping::new(), &KernelSupport::native()).unwrap();
    assert_eq!((report.quantized, none.observers.len()), (0, 0));
    assert!(report.float.iter().all(|f| f.reason == "no rule of the mapping applies to it"));
}

#[test]
fn storages_that_differ_meet_by_requantizing() {
    let text = networks().find(|n| n.0 == "one-dimensional").unwrap().3;
    let mut signed = QConfig::minmax();
    signed.activation = "minmax i8".parse().unwrap();
    let mut mapping = QConfigMapping::minmax();
    mapping.set_object_type("add", Some(signed));
    let s = stages(&text, &mapping, &KernelSupport::native());
    // Both operands of the sum, and its result for the convolution that the product became.
    assert_eq!(count(&s.integer, |op| matches!(op, Op::Requantize(_))), 3, "{}", print(&s.integer));
    let x = inputs(&s.float, 2);
    assert!(distance(&run(&s.float, &x), &run(&s.integer, &x)) < 0.05);
}

#[test]
fn calibrations_are_values() {
    let text = networks().find(|n| n.0 == "residual").unwrap().3;
    let s = stages(&text, &QConfigMapping::native(), &KernelSupport::native());
    let again = Calibration::parse(&s.calibration.to_string()).unwrap();
    let mut reference = s.observed.clone();
    convert(&mut reference, &again).unwrap();
    assert_eq!(print(&reference), print(&s.reference));
    let e = convert(&mut s.observed.clone(), &Calibration::default()).unwrap_err();
    assert!(e.notes.iter().any(|n| n.contains("`$act0` at `%x.o` has seen 0 samples")), "{e}");
}
