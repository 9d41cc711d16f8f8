//! Tracing models written in Rust.

use quantir_frontend::trace::nn::{self, FloatFunctional, QuantWrapper};
use quantir_frontend::trace::{
    Cx, Index, Init, Module, PaddingMode, PoolOptions, Trace, Traced, Tracer, Weights, functional as f, torch,
};
use quantir_ir::interp::run;
use quantir_ir::{Dim, Elem, Shape, Storage, Tensor, Type};

/// A module from a function.
struct Net<F>(F);
impl<I, O, F: Fn(&Cx, I) -> O> Module<I, O> for Net<F> {
    fn class(&self) -> String {
        "Net".into()
    }
    fn forward(&self, cx: &Cx, x: I) -> O {
        (self.0)(cx, x)
    }
}

fn one(dims: &[usize], forward: impl Fn(&Cx, Traced) -> Traced) -> Result<Trace, String> {
    Tracer::new().input("x", Type::f32(dims)).trace(&Net(forward)).map_err(|e| e.to_string())
}
fn good(dims: &[usize], forward: impl Fn(&Cx, Traced) -> Traced) -> Trace {
    one(dims, forward).unwrap_or_else(|e| panic!("{e}"))
}
fn bad(dims: &[usize], forward: impl Fn(&Cx, Traced) -> Traced) -> String {
    match one(dims, forward) {
        Ok(t) => panic!("no error:\n{}", quantir_ir::text::print(&t.graph)),
        Err(e) => e,
    }
}
fn text(t: &Trace) -> String {
    quantir_ir::text::print(&t.graph)
}
fn names(t: &Trace) -> Vec<&str> {
    t.calls.iter().map(|c| &*c.name).collect()
}
/// The output for an input that counts from 0.
fn counted(t: &Trace, dims: &[usize]) -> (Vec<usize>, Vec<f32>) {
    let n: usize = dims.iter().product();
    let x = Tensor::f32(dims, (0..n).map(|i| i as f32).collect());
    let y = run(&t.graph, &[x], &mut ()).unwrap_or_else(|e| panic!("{e}")).remove(0);
    (y.shape.clone(), y.floats().expect("floats").into_owned())
}

#[test]
fn a_module_called_twice_is_one_module() {
    let t = good(&[1, 4], |cx, x| {
        let fc = nn::Linear::new(4, 4);
        let y = cx.call("fc", &fc, x);
        cx.call("fc", &fc, y)
    });
    assert_eq!(names(&t), ["x", "fc", "fc_1"]);
    assert_eq!(text(&t).matches("const").count(), 2, "{}", text(&t));
    assert_eq!(&*t.graph.modules["fc"], "nn.Linear");
}

/// T113: a dictionary of outputs keeps its keys, and a sequence of modules is traced through.
#[test]
fn outputs_are_named_as_they_are_nested() {
    let two = |cx: &Cx, x: Traced| {
        let body = nn::Sequential::new().add(nn::ReLU).named("last", nn::Tanh);
        let y = cx.call("body", &body, &x);
        vec![("box".to_string(), y), ("raw".to_string(), x)]
    };
    let t = Tracer::new().input("x", Type::f32(&[2])).trace(&Net(two)).unwrap_or_else(|e| panic!("{e}"));
    let out: Vec<&str> = t.graph.outputs().iter().map(|o| &*o.name).collect();
    assert_eq!(out, ["out.box", "out.raw"]);
    assert_eq!(names(&t), ["x", "body_0", "body_last"]);
    assert_eq!(&*t.graph.modules["body"], "nn.Sequential");
}

/// T118: modules that shall not be traced, by name or by class, are one call; their nodes share its path and class.
#[test]
fn leaves_are_one_call() {
    let inner = |cx: &Cx, x: Traced| {
        let y = cx.call("fc", &nn::Linear::new(4, 4), x);
        f::relu(&y) + 1.0
    };
    let net = |cx: &Cx, x: Traced| {
        let y = cx.call("inner", &Net(inner), x);
        cx.call("last", &nn::ReLU, y)
    };
    for tracer in [Tracer::new().leaf_name("inner"), Tracer::new().leaf_class("Net")] {
        let by_class = format!("{tracer:?}").contains("leaf_classes: [\"Net\"]");
        let t = tracer.input("x", Type::f32(&[1, 4])).trace(&Net(net)).unwrap_or_else(|e| panic!("{e}"));
        if by_class {
            // The root is of that class too, so the whole model is one call.
            assert_eq!(t.calls.len(), 2);
            continue;
        }
        assert_eq!(names(&t), ["x", "inner", "last"]);
        let leaf = t.graph.nodes().filter(|&n| t.graph.node(n).loc.call.as_deref() == Some("Net")).count();
        assert_eq!(leaf, 3, "{}", text(&t));
    }
    let t = good(&[1, 4], |_, x| f::wrap("my_scale", &x, |x| f::relu(&(x * 2.0))) + 1.0);
    assert_eq!(names(&t), ["x", "my_scale", "add"]);
    assert_eq!(text(&t).matches(r#"by "my_scale""#).count(), 2, "{}", text(&t));
}

/// T128: sizes and their arithmetic leave no nodes, and symbols stay symbols.
#[test]
fn sizes_are_symbolic() {
    let ty = Type::new(Elem::Plain(Storage::F32), Shape(vec![Dim::sym("N"), Dim::lit(4), Dim::lit(6)]));
    let net = |_: &Cx, x: Traced| {
        let (n, c) = (x.size(0), x.size(-1));
        assert_eq!(x.rank(), 3);
        x.reshape((&n * 2, &c / 3, -1))
    };
    let t = Tracer::new().input("x", ty).trace(&Net(net)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names(&t), ["x", "size", "size_1", "mul", "floordiv", "reshape"]);
    assert!(text(&t).contains("reshape %x {shape=[2*N,2,6]}"), "{}", text(&t));
}

/// T146: nodes keep the line of the author's source.
#[test]
fn nodes_know_their_line() {
    let line = line!() + 1;
    let t = good(&[1, 4], |cx, x| cx.call("fc", &nn::Linear::new(4, 2), &x));
    let n = t.graph.nodes().last().expect("a node");
    let span = t.graph.node(n).loc.span.clone().expect("a span");
    assert!(span.file.ends_with("trace.rs") && span.line == line, "{span}");
}

/// T162: in graph mode the functional modules are plain functions, in eager mode calls of their own module.
#[test]
fn float_functional_is_swapped_for_graph_mode() {
    let net = |cx: &Cx, x: Traced| {
        let ff = FloatFunctional::new();
        let y = ff.add(cx, "plus", &x, &x);
        let y = ff.mul_scalar(cx, "scale", &y, 0.5);
        let y = ff.cat(cx, "join", &[&y, &x], 0);
        let y = ff.add_scalar(cx, "shift", &ff.mul(cx, "times", &y, &y), 1.0);
        ff.add_relu(cx, "last", &y, &y)
    };
    let trace = |t: Tracer| t.input("x", Type::f32(&[2])).trace(&Net(net)).unwrap_or_else(|e| panic!("{e}"));
    let calls = |t: &Trace| -> Vec<String> {
        t.calls.iter().skip(1).map(|c| format!("{} {}", c.name, c.target)).collect()
    };
    let graph = trace(Tracer::new());
    assert_eq!(
        calls(&graph),
        [
            "add torch.add",
            "mul torch.mul",
            "cat torch.cat",
            "mul_1 torch.mul",
            "add_1 torch.add",
            "add_2 torch.add",
            "relu F.relu"
        ]
    );
    let eager = trace(Tracer::new().eager());
    assert_eq!(
        calls(&eager),
        ["plus plus", "scale scale", "join join", "times times", "shift shift", "last last"]
    );
    let last = text(&eager).matches(r#"@last by "nn.quantized.FloatFunctional""#).count();
    assert_eq!(last, 2, "{}", text(&eager));
    assert_eq!(&*eager.graph.modules["plus"], "nn.quantized.FloatFunctional");
}

#[test]
fn eager_marks_are_modules() {
    let t = Tracer::new()
        .input("x", Type::f32(&[1, 4]))
        .trace(&QuantWrapper::new(nn::Linear::new(4, 2)))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names(&t), ["x", "quant", "module", "dequant"]);
    assert!(text(&t).contains(r#"@quant by "quantization.QuantStub""#), "{}", text(&t));
}

#[test]
fn operators_are_calls_of_operator() {
    let t = good(&[2, 2], |_, x| {
        let mut y = 1.0 - &x;
        y += &x;
        y *= 2;
        -(&y / &x) - y
    });
    let calls: Vec<&str> = t.calls.iter().skip(1).map(|c| &*c.target).collect();
    let want = ["sub", "add", "mul", "truediv", "neg", "sub"].map(|o| format!("operator.{o}"));
    assert_eq!(calls, want);
    assert_eq!(text(&t).matches("const").count(), 2, "{}", text(&t));
}

#[test]
fn indexing_takes_the_parts_that_python_takes() {
    let dims = [3, 4];
    let case = |forward: fn(&Traced) -> Traced| counted(&good(&dims, |_, x| forward(&x)), &dims);
    assert_eq!(case(|x| x.index(1)), (vec![4], vec![4.0, 5.0, 6.0, 7.0]));
    assert_eq!(case(|x| x.index((.., -1))), (vec![3], vec![3.0, 7.0, 11.0]));
    assert_eq!(case(|x| x.index((1..9, ..2))), (vec![2, 2], vec![4.0, 5.0, 8.0, 9.0]));
    assert_eq!(
        case(|x| x.index((Index::Ellipsis, -2..))),
        (vec![3, 2], vec![2.0, 3.0, 6.0, 7.0, 10.0, 11.0])
    );
    assert_eq!(case(|x| x.index((0, Index::New, 2..3))), (vec![1, 1], vec![2.0]));
    let stepped = Index::Range(None, None, 2);
    let t = good(&dims, |_, x| x.index((stepped.clone(), 0)));
    assert_eq!(counted(&t, &dims), (vec![2], vec![0.0, 8.0]));
    assert_eq!(case(|x| x.select(1, 2)), (vec![3], vec![2.0, 6.0, 10.0]));
    let [a, b, c] = [0, 1, 2].map(|i| counted(&good(&dims, |_, x| torch::unbind(&x, 0).get(i)), &dims).1[0]);
    assert_eq!([a, b, c], [0.0, 4.0, 8.0]);
}

#[test]
fn pooling_to_any_size_covers_the_axis() {
    // Windows 0..2 and 1..3 of each axis.
    let t = good(&[1, 1, 3, 3], |_, x| f::adaptive_avg_pool2d(&x, 2));
    assert_eq!(counted(&t, &[1, 1, 3, 3]).1, [2.0, 3.0, 5.0, 6.0]);
    let by = PoolOptions { divisor_override: Some(2), ..PoolOptions::new(2) };
    let t = good(&[1, 1, 2, 2], |_, x| f::avg_pool2d(&x, by.clone()));
    assert_eq!(counted(&t, &[1, 1, 2, 2]).1, [3.0]);
}

#[test]
fn convolutions_take_single_samples_and_other_paddings() {
    let t = good(&[2, 5], |cx, x| {
        cx.call("c", &nn::Conv1d::new(2, 3, 3).padding_mode(PaddingMode::Reflect).padding(1), x)
    });
    assert_eq!(counted(&t, &[2, 5]).0, [3, 5]);
    assert!(text(&t).contains("mode=reflect"), "{}", text(&t));
    let same = nn::Conv1d::new(2, 2, 4).padding(quantir_frontend::trace::Padding::Same);
    assert_eq!(counted(&good(&[1, 2, 5], |cx, x| cx.call("c", &same, x)), &[1, 2, 5]).0, [1, 2, 5]);
}

#[test]
fn seeds_decide_parameters() {
    let weight = |seed| {
        let t = Tracer::new()
            .weights(Weights::seeded(seed))
            .input("x", Type::f32(&[1, 16]))
            .trace(&nn::Linear::new(16, 4))
            .unwrap_or_else(|e| panic!("{e}"));
        let v = t.graph.find("weight").expect("a weight");
        t.graph.constant(v).expect("a constant").floats().expect("floats").into_owned()
    };
    assert_eq!(weight(1), weight(1));
    assert_ne!(weight(1), weight(2));
    assert!(weight(3).iter().all(|w| w.abs() <= 0.25), "the bound is 1/sqrt(fan_in)");
}

#[test]
fn a_state_dict_must_fit() {
    let dict = [("fc.weigt", vec![2, 4]), ("fc.bias", vec![3]), ("bn.num_batches_tracked", vec![])];
    let dict = dict.map(|(n, shape)| {
        let len = shape.iter().product();
        (n.to_string(), Tensor::f32(&shape, vec![0.5; len]))
    });
    let net = |cx: &Cx, x: Traced| cx.call("fc", &nn::Linear::new(4, 2), x);
    let tracer = Tracer::new().weights(Weights::from_tensors(dict)).input("x", Type::f32(&[1, 4]));
    let e = match tracer.trace(&Net(net)) {
        Ok(_) => panic!("it does not fit"),
        Err(e) => e.to_string(),
    };
    for part in [
        "error[weights]: parameter `fc.weight` is missing",
        "did you mean `fc.weigt`?",
        "parameter `fc.bias` is [3] in the state dict, the module needs [2]",
        "`fc.weigt` of the state dict belongs to no module that was called",
        "trace.rs:",
    ] {
        assert!(e.contains(part), "`{part}` is not in\n{e}");
    }
    assert!(!e.contains("num_batches_tracked"), "{e}");
}

/// Reference 13.1: what Python's tracer refuses, or silently gets wrong, is an error with its line and a way out.
#[test]
fn what_a_trace_cannot_do_is_an_error_with_its_line() {
    let cases: [(&str, u32, fn(&Cx, Traced) -> Traced); 9] = [
        ("cannot be compared", line!(), |_, x| if x > 0.0 { f::relu(&x) } else { x }),
        ("cannot be compared", line!(), |_, x| if x == x.clone() { f::relu(&x) } else { x }),
        ("a branch depends on the contents", line!(), |_, x| if x.is_true() { f::relu(&x) } else { x }),
        ("are read while the model is traced", line!(), |_, x| &x * x.item()),
        ("are read while the model is traced", line!(), |_, x| &x * x.to_vec().len() as f64),
        ("values of a graph do not change", line!(), |_, x| {
            x.set(0, 1.0);
            x
        }),
        ("`cat` is given no values", line!(), |_, _| torch::cat(&[], 0)),
        ("has no axis 7", line!(), |_, x| x.softmax(7)),
        ("has no axis 5", line!(), |_, x| x.reshape((x.size(5), -1))),
    ];
    for (message, line, forward) in cases {
        let e = bad(&[2, 3], forward);
        assert!(e.contains(message), "`{message}` is not in\n{e}");
        let near = (line..line + 5).any(|l| e.contains(&format!("trace.rs:{l}:")));
        assert!(near, "line {line} is not in\n{e}");
        assert!(e.contains("error[trace]") && e.contains("help: "), "{e}");
    }
    let e = bad(&[2, 3], |cx, x| cx.call("inner", &Net(|_: &Cx, x: Traced| if x > 0.0 { x } else { -x }), x));
    assert!(e.contains("in module inner"), "{e}");
}

#[test]
fn a_symbolic_size_is_no_number() {
    let ty = Type::new(Elem::Plain(Storage::F32), Shape(vec![Dim::sym("N"), Dim::lit(4)]));
    let net = |_: &Cx, x: Traced| {
        let n = x.size(0).int();
        if x.size(0) == 3 { x } else { x.reshape([n, 4]) }
    };
    let e = match Tracer::new().input("x", ty).trace(&Net(net)) {
        Ok(_) => panic!("no error"),
        Err(e) => e.to_string(),
    };
    assert!(
        e.contains("the size `N` is read as a number") && e.contains("the sizes `N` and `3` are compared"),
        "{e}"
    );
}

#[test]
fn all_errors_come_at_once() {
    let e = bad(&[2, 3], |cx, x| {
        let a = cx.call("a", &nn::Linear::new(4, 2), &x);
        let b = cx.call("b", &nn::Conv2d::new(3, 4, 1), &x);
        let w = cx.attr("w", &[7], Init::Zeros);
        // What depends on a failed value says nothing of its own.
        f::relu(&(a + b)) + (x + w)
    });
    assert_eq!(e.matches("error[").count(), 3, "{e}");
    let wrong = Tracer::new().input("x", Type::f32(&[1])).input("y", Type::f32(&[1])).trace(&nn::ReLU);
    assert!(matches!(wrong, Err(e) if e.to_string().contains("takes 1 inputs, 2 are declared")));
}

#[test]
fn values_of_another_tracing_are_refused() {
    let other = std::cell::RefCell::new(None);
    good(&[2], |_, x| {
        *other.borrow_mut() = Some(x.clone());
        x
    });
    let e = bad(&[2], |_, x| x + other.borrow().clone().expect("kept"));
    assert!(e.contains("a value of another tracing is used"), "{e}");
}
