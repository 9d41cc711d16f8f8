//! Traced models through prepare and convert: cases of PyTorch's tests that depend on how tracing records calls.

use quantir::frontend::trace::{Inputs, Outputs};
use quantir::ir::{Graph, Op, Tensor, Type, render};
use quantir::{Cx, Module, Traced, Tracer, functional as f, nn};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::fx::{self, ConvertCustomConfig, PrepareCustomConfig};
use quantir_quant::BackendConfig;
use quantir_quant::defaults::get_default_qconfig_mapping;

struct Net<F>(&'static str, F);
impl<I, O, F: Fn(&Cx, I) -> O> Module<I, O> for Net<F> {
    fn class(&self) -> String {
        self.0.into()
    }
    fn forward(&self, cx: &Cx, x: I) -> O {
        (self.1)(cx, x)
    }
}

/// Traced on one input of ones, quantized for x86.
fn quantized<I: Inputs, O: Outputs>(
    tracer: Tracer,
    dims: &[usize],
    p: &PrepareCustomConfig,
    forward: impl Fn(&Cx, I) -> O,
) -> Graph {
    let traced = tracer.input("x", Type::f32(dims)).trace(&Net("Net", forward));
    let mut g = traced.unwrap_or_else(|e| panic!("{e}")).graph;
    let shown = |d: quantir_ir::Diag| -> ! { panic!("{}", render(&[d], None, false)) };
    let rules = get_default_qconfig_mapping("x86").unwrap_or_else(|e| panic!("{e}"));
    let backend = BackendConfig::named("native").unwrap_or_else(|e| panic!("{e}"));
    fx::prepare_fx(&mut g, &rules, &backend, p).unwrap_or_else(|d| shown(d));
    let n: usize = dims.iter().product();
    let x = Tensor::f32(dims, (0..n).map(|i| i as f32 / n as f32 - 0.5).collect());
    let batches = [Ok(vec![x])];
    let calibration = calibrate_by_interpreter(&g, batches, 1).unwrap_or_else(|d| shown(d));
    fx::convert_fx(&mut g, &calibration, &ConvertCustomConfig::new()).unwrap_or_else(|d| shown(d));
    g
}

fn count(g: &Graph, is: impl Fn(&Op) -> bool) -> usize {
    g.nodes().filter(|&n| is(g.op(n))).count()
}

/// T162: calls of functional modules are observed and lowered as the functions that they are.
#[test]
fn float_functional_is_lowered() {
    let g = quantized(Tracer::new(), &[2, 4], &PrepareCustomConfig::new(), |cx, x: Traced| {
        let ff = nn::FloatFunctional::new();
        let r = f::relu(&x);
        let y = ff.add(cx, "add", &x, &r);
        let z = ff.mul(cx, "mul", &y, &r);
        let w = ff.add_relu(cx, "add_relu", &z, &y);
        (ff.cat(cx, "cat", &[&z, &w], 1), w)
    });
    let text = quantir::ir::text::print(&g);
    assert_eq!(count(&g, |o| matches!(o, Op::Qadd(_))), 2, "{text}");
    assert_eq!(count(&g, |o| matches!(o, Op::Qmul(_))), 1, "{text}");
    assert_eq!(count(&g, |o| matches!(o, Op::Quantize(_))), 1, "{text}");
    assert_eq!(count(&g, |o| matches!(o, Op::Qconcat(_) | Op::Concat(_))), 1, "{text}");
}

/// T118, T147: a module that is not traced stays float with all inside it, named by the tracer or by the custom config.
#[test]
fn leaves_stay_float() {
    let inner = |cx: &Cx, x: Traced| f::relu(&cx.call("fc", &nn::Linear::new(4, 4), x));
    let net = |cx: &Cx, x: Traced| {
        let y = cx.call("first", &nn::Linear::new(4, 4), x);
        let y = cx.call("inner", &Net("Inner", inner), y);
        cx.call("last", &nn::Linear::new(4, 4), y)
    };
    let none = PrepareCustomConfig::new();
    let named = PrepareCustomConfig::new().set_non_traceable_module_names(&["inner"]);
    let classed = PrepareCustomConfig::new().set_non_traceable_module_classes(&["Inner"]);
    let cases = [
        (Tracer::new().leaf_name("inner"), &none),
        (Tracer::new().leaf_class("Inner"), &none),
        (Tracer::new(), &named),
        (Tracer::new(), &classed),
    ];
    for (tracer, p) in cases {
        let g = quantized(tracer, &[2, 4], p, net);
        let text = quantir::ir::text::print(&g);
        assert_eq!(count(&g, |o| matches!(o, Op::Linear(_))), 1, "{text}");
        assert_eq!(count(&g, |o| matches!(o, Op::Qlinear(_))), 2, "{text}");
    }
}

/// T113: outputs keep the names of their nesting.
#[test]
fn nested_outputs_keep_their_names() {
    let g = quantized(Tracer::new(), &[2, 4], &PrepareCustomConfig::new(), |cx, x: Traced| {
        let y = cx.call("fc", &nn::Linear::new(4, 4), &x);
        vec![("box".to_string(), y.clone()), ("sum".to_string(), y + x)]
    });
    let names: Vec<&str> = g.outputs().iter().map(|o| &*o.name).collect();
    assert_eq!(names, ["out.box", "out.sum"]);
    assert!(g.outputs().iter().all(|o| g.ty(o.value).elem.is_float()));
}

/// T146: a lowered node knows the line of the author's source.
#[test]
fn lowered_nodes_know_their_line() {
    let line = line!() + 2;
    let g = quantized(Tracer::new(), &[2, 4], &PrepareCustomConfig::new(), |cx, x: Traced| {
        cx.call("fc", &nn::Linear::new(4, 4), &x)
    });
    let n = g.nodes().find(|&n| matches!(g.op(n), Op::Qlinear(_))).expect("a lowered layer");
    let span = g.node(n).loc.span.as_ref().expect("a span");
    assert!(span.file.ends_with("flows.rs") && span.line == line, "{span}");
}
