//! Diagnostics that no filetest can raise, because they need data, a recipe or a configuration.
//!
//! `tests/doc_examples.rs` asks for a test of every code; most are in `tests/filetests/diagnostics`.

use std::sync::Arc;

use quantir_ir::{Diag, Severity, Tensor, interp, text};
use quantir_passes::prepare;
use quantir_quant::{Calibration, Error, KernelSupport, OpRef, QConfig, QConfigMapping};
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
    expect(&warnings[0], "nonfinite", "`$act0` saw 3 numbers");
    assert_eq!(warnings[0].severity, Severity::Warning);
}

#[test]
fn a_line_that_is_no_calibration_is_refused() {
    let Err(Error::Text(diags)) = Calibration::parse("$act0 = min 0.0\n") else { panic!("half a line") };
    expect(&diags[0], "calibration", "no `->`");
}
