//! Tests of the tracer itself.

use quantir_ir::{Type, ops};

use super::*;

struct Relu;
impl Module for Relu {
    fn class(&self) -> String {
        "nn.ReLU".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        cx.emit(ops::Relu {}, &[&x], Call::Module)
    }
}

struct Net;
impl Module<(Traced, Traced), (Traced, Traced)> for Net {
    fn forward(&self, cx: &Cx, (a, b): (Traced, Traced)) -> (Traced, Traced) {
        let x = cx.call("act.0", &Relu, &a);
        let y = cx.call("act.0", &Relu, &b);
        let w = cx.attr("w", &[3], Init::Uniform(0.5));
        let z = cx.emit(ops::Add { act: ops::Act::None }, &[&x, &w], Call::Function("operator.add"));
        (z, y)
    }
}

#[test]
fn calls_have_the_names_paths_and_call_types_of_fx() {
    let t = Tracer::new()
        .input("a", Type::f32(&[2, 3]))
        .input("input", Type::f32(&[2, 3]))
        .trace(&Net)
        .unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = t.calls.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["a", "input_1", "act_0", "act_1", "w", "add"]);
    let text = quantir_ir::text::print(&t.graph);
    assert!(text.contains(r#"%act_1 = relu %input_1 : f32[2,3] @act.0 by "nn.ReLU""#), "{text}");
    assert!(text.contains(r#"by "operator.add""#), "{text}");
    assert!(text.contains(r#"return %add as "out.0", %act_1 as "out.1""#), "{text}");
    let back = quantir_ir::text::parse(&text).unwrap_or_else(|d| panic!("{d:?}\n{text}"));
    assert_eq!(quantir_ir::text::print(&back), text);
}
