//! Diagnostics that no filetest can raise, because they need data, a recipe or a configuration.
//!
//! `tests/doc_examples.rs` asks for a test of every code; most are in `tests/filetests/diagnostics`.

use std::sync::Arc;

use quantir_ir::{Diag, Severity, Tensor, interp, text};
use quantir_passes::fx::{PrepareCustomConfig, prepare_fx};
use quantir_passes::prepare;
use quantir_quant::{BackendConfig, Calibration, Error, KernelSupport, OpRef, QConfig, QConfigMapping};
use quantir_runtime::{Executor, PlanOptions};

/// Asserts the code and a part of the message.
#[track_caller]
fn expect(d: &Diag, code: &str, part: &str) {
    assert_eq!(d.code, code, "{d}");
    assert!(d.message.contains(part), "{d}");
}

#[test]
fn run_errors_name_the_node() {
    let g = text::parse_example(
        "input %x: f32[3]
         input %i: i64[1]
         %picked = gather %x, %i {axis=0} : f32[1]",
    )
    .unwrap();
    let inputs = [Tensor::f32(&[3], vec![1.0, 2.0, 3.0]), Tensor::i64(&[1], vec![7])];
    let e = interp::run(&g, &inputs, &mut ()).unwrap_err();
    expect(e.diag(), "run", "`gather` at `%picked`: ");

    // The runtime refuses the same.
    let executor = Executor::new(Arc::new(g), PlanOptions::default()).unwrap();
    assert!(executor.run(&inputs).is_err());
}

#[test]
fn recipes_are_refused_with_their_place() {
    let text = "global = \"nativ\"\n";
    let Err(Error::Text(diags)) = QConfigMapping::from_toml(text) else { panic!("a recipe with a mistake") };
    expect(&diags[0], "recipe", "nativ");
    assert_eq!(diags[0].labels[0].start..diags[0].labels[0].end, 9..16);
}

#[test]
fn rules_without_an_op_are_warned_of() {
    let mut mapping = QConfigMapping::native();
    mapping.set_module_name("layer1.cnov", None);
    let warnings = mapping.unmatched(&[OpRef::new("conv2d", "layer1.conv")]);
    expect(&warnings[0], "unmatched-rule", "no module is called `layer1.cnov`");
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert_eq!(warnings[0].help.as_deref(), Some("did you mean `layer1.conv`?"));
}

#[test]
fn a_configuration_that_no_observer_takes_is_refused_before_anything_changes() {
    let mut g = text::parse_example("input %x: f32[1,4]\n%y = relu %x : f32[1,4]").unwrap();
    let before = text::print(&g);
    let mut config = QConfig::native();
    config.activation.kind = "magic".into();
    let mapping = QConfigMapping::with_defaults(config);
    let d = prepare::prepare(&mut g, &mapping, &KernelSupport::native()).unwrap_err();
    expect(&d, "qconfig", "unknown observer `magic`");
    assert_eq!(text::print(&g), before);
}

#[test]
fn numbers_that_are_not_finite_are_warned_of() {
    let text = "$act0 = min 0.0 max 1.0 n 4 nonfinite 3 -> u8[0:255] scale 0.004 zp 0\n";
    let warnings = Calibration::parse(text).unwrap().warnings();
    expect(&warnings[0], "nonfinite", "`$act0` saw 3 infinite numbers");
    assert_eq!(warnings[0].severity, Severity::Warning);
}

#[test]
fn a_line_that_is_no_calibration_is_refused() {
    let Err(Error::Text(diags)) = Calibration::parse("$act0 = min 0.0\n") else { panic!("half a line") };
    expect(&diags[0], "calibration", "no `->`");
}

/// What a text's diagnostics look like on the terminal.
fn rendered(source: &str) -> String {
    let diags = quantir_ir::verify::verify_text(source, &text::Options::default()).unwrap_err();
    quantir_ir::render(&diags, Some(("model.qir", source)), false)
}

#[test]
fn a_float_tensor_in_a_quantized_op() {
    let shown = rendered(
        "qir 1 integer
quant !y = u8[0:255] scale 0.1 zp 0
quant !w = i8[-127:127] scale 0.1 zp 0
graph @main(%x: f32[1,3,8,8]) {
  %r = relu %x : f32[1,3,8,8] @stem.act
  %w = const {data=rand(1)} : i8!w[4,3,3,3] @conv1
  %y.q = qconv2d %r, %w : u8!y[1,4,6,6] @conv1
  return %y.q
}
",
    );
    pretty_assertions::assert_eq!(
        shown.trim_end(),
        "error[type]: `qconv2d` needs a quantized input, found f32[1,3,8,8]
 --> model.qir:7:10
  |
7 |   %y.q = qconv2d %r, %w : u8!y[1,4,6,6] @conv1
  |          ^^^^^^^ in this `qconv2d` of module `conv1`
  |
  = note: from text:7:10
  = note: `%r` is float: it is the result of `relu` in module stem.act
  = help: quantize it first; if conversion left it float, it has no observer, and `qir explain` says why"
    );
}

#[test]
fn a_quantized_tensor_in_a_float_op() {
    let shown = rendered(
        "qir 1 integer
quant !x = u8[0:255] scale 0.1 zp 0
graph @main(%x: f32[1,3,8,8]) {
  %x.q = quantize %x : u8!x[1,3,8,8] @quant
  %w = const {data=rand(1)} : f32[4,3,3,3] @conv2
  %y = conv2d %x.q, %w : f32[1,4,6,6] @conv2
  return %y
}
",
    );
    pretty_assertions::assert_eq!(
        shown.trim_end(),
        "error[type]: `conv2d` computes with floating-point numbers, but the input is quantized u8[1,3,8,8]
 --> model.qir:6:8
  |
6 |   %y = conv2d %x.q, %w : f32[1,4,6,6] @conv2
  |        ^^^^^^ in this `conv2d` of module `conv2`
  |
  = note: from text:6:8
  = note: `%x.q` is quantized: it is the result of `quantize` in module quant
  = help: dequantize it first, or use `qconv2d` in a graph of phase `integer`"
    );
}

/// A linear layer that PyTorch would call `fc`.
fn linear() -> quantir_ir::Graph {
    text::parse_example(
        "module @fc = \"nn.Linear\"
         input %x: f32[1,4]
         %w = const {data=rand(1)} : f32[3,4] @fc
         %y = linear %x, %w : f32[1,3] @fc by \"nn.Linear\"",
    )
    .unwrap()
}

#[test]
fn observers_that_saw_nothing() {
    let mut g = linear();
    prepare::prepare(&mut g, &QConfigMapping::native(), &KernelSupport::native()).unwrap();
    let d = quantir_passes::convert::convert(&mut g, &Calibration::default()).unwrap_err();
    pretty_assertions::assert_eq!(
        d.to_string(),
        "error[convert]: 2 observers have no parameters
  = note: `$act0` at `%x.o` has seen 0 samples
  = note: `$act1` at `%y.o` has seen 0 samples
  = help: calibrate the graph that `prepare` gave, and convert with that calibration"
    );
}

/// A qconfig with `qint8` activations.
fn signed() -> QConfigMapping {
    let mut q = QConfig::native();
    q.activation = "minmax i8 affine".parse().unwrap();
    QConfigMapping::with_defaults(q)
}

#[test]
fn signed_activations_where_unsigned_ones_are_wanted() {
    let (mut ours, mut theirs) = (linear(), linear());
    let report = prepare::prepare(&mut ours, &signed(), &KernelSupport::native()).unwrap();
    pretty_assertions::assert_eq!(
        report.to_string(),
        "0 ops quantized, 1 stay float
  %y = linear @fc: `linear` has no kernel for activations i8[-128:127]; accepted: u8[0:255]
"
    );
    let x86 = BackendConfig::named("x86").unwrap();
    let report = prepare_fx(&mut theirs, &signed(), &x86, &PrepareCustomConfig::default()).unwrap();
    pretty_assertions::assert_eq!(
        report.to_string(),
        "0 ops quantized, 1 stay float
  %y = linear @fc: the qconfig has qint8 for the input, the back end wants quint8; use an activation observer of dtype quint8 (`u8`), or a back end that takes this one
"
    );
}

#[test]
fn a_qconfig_that_does_not_fit_the_back_end() {
    let mut q = QConfig::native();
    q.weight = "minmax u8 affine".parse().unwrap();
    let mapping = QConfigMapping::with_defaults(q);
    let report = prepare::prepare(&mut linear(), &mapping, &KernelSupport::native()).unwrap();
    pretty_assertions::assert_eq!(
        report.to_string(),
        "0 ops quantized, 1 stay float
  %y = linear @fc: `linear` has no kernel for weights u8[0:255]; accepted: i8[-128:127]
"
    );
}

#[test]
fn a_module_name_that_matches_nothing() {
    let mut mapping = QConfigMapping::native();
    mapping.set_module_name("fcc", None);
    let report = prepare::prepare(&mut linear(), &mapping, &KernelSupport::native()).unwrap();
    pretty_assertions::assert_eq!(
        report.warnings[0].to_string(),
        "warning[unmatched-rule]: no module is called `fcc`
  = help: did you mean `fc`?"
    );
}
