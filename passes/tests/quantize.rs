//! The way from a float graph to integer ops, on small graphs, with the meaning compared at each step.

use quantir_ir::interp;
use quantir_ir::text::{parse, print};
use quantir_ir::{Diag, Graph, Tensor};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::check::{bind_symbols, seeded_inputs};
use quantir_passes::convert::convert;
use quantir_passes::lower::{explain, lower};
use quantir_passes::prepare::{PrepareReport, prepare};
use quantir_quant::{BackendConfig, Calibration, QConfigMapping};

struct Stages {
    float: Graph,
    report: PrepareReport,
    observed: Graph,
    calibration: Calibration,
    reference: Graph,
    integer: Graph,
}

fn stages(text: &str, mapping: &QConfigMapping, backend: &BackendConfig) -> Stages {
    let float =
        parse(text).unwrap_or_else(|d| panic!("{}", d.iter().map(Diag::to_string).collect::<String>()));
    let mut observed = float.clone();
    let report = prepare(&mut observed, mapping, backend).unwrap();
    let batches = (0..4).map(|i| Ok(inputs(&float, i))).collect::<Vec<_>>();
    let calibration = calibrate_by_interpreter(&observed, batches, 1).unwrap();
    let mut reference = observed.clone();
    convert(&mut reference, &calibration).unwrap();
    let mut integer = reference.clone();
    lower(&mut integer, backend).unwrap();
    Stages { float, report, observed, calibration, reference, integer }
}

fn inputs(g: &Graph, seed: u64) -> Vec<Tensor> {
    seeded_inputs(g, &bind_symbols(g, 0), seed).unwrap()
}

fn run(g: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    interp::run(g, inputs, &mut ()).unwrap_or_else(|e| panic!("{e}\n{}", print(g)))
}

const SMALL: &str = r#"qir 1 float
dim N = 1..
graph @main(%x: f32[N,3,16,16]) {
  %conv1.weight = const {data=rand(1)} : f32[8,3,3,3] @conv1
  %conv1.bias = const {data=rand(4)} : f32[8] @conv1
  %relu = conv2d %x, %conv1.weight, %conv1.bias {stride=2, pad=1, act=relu} : f32[N,8,8,8] @conv1
  %mean = mean %relu {axes=[2,3]} : f32[N,8]
  %fc.weight = const {data=rand(2)} : f32[4,8] @fc
  %fc.bias = const {data=rand(3)} : f32[4] @fc
  %fc = linear %mean, %fc.weight, %fc.bias : f32[N,4] @fc
  return %fc
}
"#;

#[test]
fn explore() {
    let s = stages(SMALL, &QConfigMapping::x86(), &BackendConfig::native());
    println!(
        "{}\n{}\n{}\n{}\n{}",
        print(&s.observed),
        s.calibration,
        print(&s.reference),
        print(&s.integer),
        s.report
    );
    for r in explain(&s.integer, &BackendConfig::native()) {
        println!("{r}");
    }
    let x = inputs(&s.float, 9);
    for g in [&s.float, &s.observed, &s.reference, &s.integer] {
        println!("{:?}", run(g, &x)[0].floats().unwrap());
    }
}
