//! PyTorch's cases of prepare and convert on small graphs: how many observers, how many `quantize` and `dequantize`, what became of
//! each op.

use quantir_ir::interp::run;
use quantir_ir::ops::{Observe, Op};
use quantir_ir::{Elem, Graph, NodeId, Storage, Tensor, Use, text};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::fx::{
    ConvertCustomConfig, PrepareCustomConfig, Standalone, convert_fx, convert_to_reference_fx, prepare_fx,
};
use quantir_passes::prepare::PrepareReport;
use quantir_quant::{BackendConfig, Calibration, ObserverTemplate, QConfig, QConfigMapping};

/// `inputs` and lines of nodes as a graph.
fn graph(inputs: &str, lines: &str, outputs: &str) -> Graph {
    let text = format!("qir 1 float\ngraph @main({inputs}) {{\n{lines}\n  return {outputs}\n}}\n");
    text::parse(&text).unwrap_or_else(|e| panic!("{}\n{text}", quantir_ir::render(&e, None, false)))
}

fn everywhere(name: &str) -> QConfigMapping {
    let mut m = QConfigMapping::new();
    m.set_global(Some(QConfig::named(name).unwrap()));
    m
}

/// PyTorch's `default_qconfig` everywhere.
fn default() -> QConfigMapping {
    everywhere("default_qconfig")
}

fn native() -> BackendConfig {
    BackendConfig::named("native").unwrap()
}

fn batch(g: &Graph) -> Vec<Tensor> {
    g.inputs()
        .iter()
        .map(|&v| {
            let ty = g.ty(v);
            let shape = ty.shape.concrete().unwrap();
            let count: usize = shape.iter().product();
            match &ty.elem {
                Elem::Quant(q) => {
                    let codes: Vec<i64> = (0..count as i64).map(|i| i * 11 % 120).collect();
                    Tensor::from_ints(Elem::Quant(q.clone()), &shape, &codes).unwrap()
                }
                Elem::Plain(Storage::I64) => Tensor::i64(&shape, (0..count as i64).map(|i| i % 3).collect()),
                _ => Tensor::f32(&shape, (0..count).map(|i| ((i * 7 % 23) as f32 - 11.0) / 8.0).collect()),
            }
        })
        .collect()
}

/// A graph and what became of it.
struct Flow {
    float: Graph,
    observed: Graph,
    calibration: Calibration,
    report: PrepareReport,
    convert: ConvertCustomConfig,
}

impl Flow {
    fn with(g: Graph, m: &QConfigMapping, p: &PrepareCustomConfig, convert: ConvertCustomConfig) -> Flow {
        let float = g.clone();
        let mut observed = g;
        let report = prepare_fx(&mut observed, m, &native(), p).unwrap_or_else(|e| panic!("{e}"));
        verified(&observed);
        let inputs = batch(&observed);
        let calibration =
            calibrate_by_interpreter(&observed, [Ok(inputs)], 1).unwrap_or_else(|e| panic!("{e}"));
        Flow { float, observed, calibration, report, convert }
    }
    fn new(g: Graph, m: &QConfigMapping) -> Flow {
        Flow::with(g, m, &PrepareCustomConfig::new(), ConvertCustomConfig::new())
    }
    fn reference(&self) -> Graph {
        let mut g = self.observed.clone();
        convert_to_reference_fx(&mut g, &self.calibration, &self.convert).unwrap_or_else(|e| panic!("{e}"));
        verified(&g);
        g
    }
    fn lowered(&self) -> Graph {
        let mut g = self.observed.clone();
        convert_fx(&mut g, &self.calibration, &self.convert).unwrap_or_else(|e| panic!("{e}"));
        verified(&g);
        g
    }
    /// Observed activations.
    fn observers(&self) -> usize {
        self.observed.nodes().filter(|&n| self.observes(n)).count()
    }
    /// Distinct observers of activations.
    fn instances(&self) -> usize {
        let g = &self.observed;
        let mut names: Vec<String> = g
            .nodes()
            .filter(|&n| self.observes(n))
            .filter_map(|n| g.get::<Observe>(n).map(|o| o.op.by.0.to_string()))
            .collect();
        names.sort();
        names.dedup();
        names.len()
    }
    fn observes(&self, n: NodeId) -> bool {
        self.observed.get::<Observe>(n).is_some_and(|o| !self.observed.is_const(o.x))
    }
    /// The outputs of the lowered graph lie near the float ones.
    fn is_near(&self, tolerance: f32) {
        let inputs = batch(&self.float);
        let want = run(&self.float, &inputs, &mut ()).unwrap();
        let got = run(&self.lowered(), &inputs, &mut ()).unwrap();
        for (a, b) in want.iter().zip(&got) {
            let (a, b) = (a.floats().unwrap(), b.floats().unwrap());
            for (a, b) in a.iter().zip(b.iter()) {
                assert!((a - b).abs() <= tolerance, "{a} {b}");
            }
        }
    }
}

fn verified(g: &Graph) {
    let problems = quantir_ir::verify(g);
    assert!(problems.is_empty(), "{problems:?}\n{g}");
}

/// Nodes of one op.
fn count(g: &Graph, op: &str) -> usize {
    g.nodes()
        .filter(|&n| g.op(n).name() == op && !g.node(n).ins.iter().all(|v| v.is_none_or(|v| g.is_const(v))))
        .count()
}
/// `quantize` and `dequantize` of activations.
fn counts(g: &Graph) -> (usize, usize) {
    (count(g, "quantize"), count(g, "dequantize"))
}
/// Names of the ops in order, without constants.
fn order(g: &Graph) -> Vec<&'static str> {
    g.nodes().filter(|&n| !matches!(g.op(n), Op::Const(_))).map(|n| g.op(n).name()).collect()
}

const W: &str =
    "  %w = const {data=rand(1)} : f32[3,3,1,1] @conv\n  %b = const {data=rand(2)} : f32[3] @conv\n";

fn conv(x: &str, y: &str, path: &str) -> String {
    format!("  %{y} = conv2d %{x}, %w, %b : f32[1,3,4,4] @{path} by \"nn.Conv2d\"\n")
}

const IMAGE: &str = "%x: f32[1,3,4,4]";

/// T107: layers lower to one integer op between one `quantize` and one `dequantize`; the reference form has a pair around each value.
#[test]
fn layers_lower_to_one_op() {
    for (rank, x, k, y) in [(1, "8", "3", "6"), (2, "8,8", "3,3", "6,6"), (3, "6,6,6", "3,3,3", "4,4,4")] {
        let lines = format!(
            "  %w = const {{data=rand(1)}} : f32[4,3,{k}] @c\n  %y = conv{rank}d %x, %w : f32[1,4,{y}] @c by \"nn.Conv{rank}d\""
        );
        let f = Flow::new(graph(&format!("%x: f32[1,3,{x}]"), &lines, "%y"), &default());
        let g = f.lowered();
        assert_eq!((counts(&g), count(&g, &format!("qconv{rank}d"))), ((1, 1), 1));
        assert_eq!(counts(&f.reference()), (2, 2));
    }
    let linear =
        "  %w = const {data=rand(1)} : f32[4,3] @fc\n  %y = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"";
    let f = Flow::new(graph("%x: f32[2,3]", linear, "%y"), &default());
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qlinear")), ((1, 1), 1));
}

/// T107, T165: a transposed convolution is lowered; the relu behind it stays an op of its own, on integers.
#[test]
fn transposed_convolutions_keep_their_relu() {
    let lines = "  %w = const {data=rand(1)} : f32[3,4,2,2] @up\n  \
                 %y = conv_transpose2d %x, %w {stride=2} : f32[1,4,8,8] @up by \"nn.ConvTranspose2d\"\n  \
                 %r = relu %y : f32[1,4,8,8] by \"F.relu\"";
    let f = Flow::new(graph(IMAGE, lines, "%r"), &default());
    let g = f.lowered();
    assert_eq!(counts(&g), (1, 1));
    assert_eq!(count(&g, "relu"), 1);
}

/// T108: the weight of a dynamic function has the parameters of a weight observer that sees it.
#[test]
fn weights_of_dynamic_functions_are_observed_at_conversion() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3]\n  %y = linear %x, %w : f32[2,4] by \"F.linear\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%y"), &everywhere("default_dynamic_qconfig"));
    let g = f.reference();
    let w = g.nodes().find_map(|n| g.elem(g.node(n).outs[0]).quant().cloned()).expect("a quantized weight");
    let spec = QConfig::named("default_dynamic_qconfig").unwrap().weight.spec(0);
    let mut observer = quantir_quant::Observer::new(&spec).unwrap();
    let t = f.float.constant(f.float.find("w").unwrap()).unwrap();
    observer.see(&t.floats().unwrap(), &t.shape);
    assert_eq!(*w, observer.params(&spec).unwrap());
}

/// T111: a value that two dynamic layers read; the sum behind them stays float.
#[test]
fn dynamic_layers_share_their_input() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3]\n  %a = linear %x, %w : f32[2,4] @a by \"nn.Linear\"\n  \
                 %b = linear %x, %w : f32[2,4] @b by \"nn.Linear\"\n  %s = add %a, %b : f32[2,4] by \"operator.add\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%s"), &everywhere("default_dynamic_qconfig"));
    let g = f.lowered();
    assert_eq!((count(&g, "linear_dynamic"), count(&g, "add")), (2, 1));
    f.is_near(0.05);
}

/// T119, T120: a prepared graph is a value; copies convert on their own and alike.
#[test]
fn copies_convert_alike() {
    let g = graph(IMAGE, &format!("{W}{}", conv("x", "y", "conv")), "%y");
    let f = Flow::new(g, &default());
    assert_eq!(f.lowered().to_string(), f.lowered().to_string());
    assert_eq!(f.observed.phase(), quantir_ir::Phase::Observed);
    assert_eq!(f.lowered().phase(), quantir_ir::Phase::Integer);
}

/// T121–T123: quantized edges: observers, `quantize`, `dequantize` for each combination.
#[test]
fn quantized_edges() {
    let lines = format!("{W}{}{}", conv("x", "a", "c1"), conv("a", "y", "c2"));
    for (input, output, want) in [
        (true, true, (2, 0, 0)),
        (false, true, (3, 1, 0)),
        (true, false, (2, 0, 1)),
        (false, false, (3, 1, 1)),
    ] {
        let (mut p, mut c) = (PrepareCustomConfig::new(), ConvertCustomConfig::new());
        if input {
            p = p.set_input_quantized_indexes(&[0]);
            c = c.set_input_quant(0, quantir_ir::Quant::tensor(Storage::U8, 0.02, 60));
        }
        if output {
            p = p.set_output_quantized_indexes(&[0]);
            c = c.set_output_quantized_indexes(&[0]);
        }
        let f = Flow::with(graph(IMAGE, &lines, "%y"), &default(), &p, c);
        let (q, dq) = counts(&f.lowered());
        assert_eq!((f.observers(), q, dq), want, "quantized input: {input}, output: {output}");
    }
}

/// T115: a standalone module with float and with quantized edges.
#[test]
fn standalone_modules() {
    let text = format!(
        "qir 1 float\nmodule @standalone = \"my.Inner\"\ngraph @main({IMAGE}) {{\n{W}{}{}  return %y\n}}\n",
        conv("x", "a", "conv"),
        conv("a", "y", "standalone.conv")
    );
    let float = || text::parse(&text).unwrap();
    let p = PrepareCustomConfig::new().set_standalone_module_name("standalone", Standalone::default());
    let f = Flow::with(float(), &default(), &p, ConvertCustomConfig::new());
    assert_eq!(f.observers(), 4, "two in the parent, two in the child");
    assert_eq!(counts(&f.lowered()), (2, 2));
    let edges =
        PrepareCustomConfig::new().set_input_quantized_indexes(&[0]).set_output_quantized_indexes(&[0]);
    let inner = Standalone { prepare_custom_config: edges, ..Standalone::default() };
    let p = PrepareCustomConfig::new().set_standalone_module_class("my.Inner", inner);
    let f = Flow::with(float(), &default(), &p, ConvertCustomConfig::new());
    assert_eq!(f.observers(), 3, "two in the parent, one in the child");
    assert_eq!(counts(&f.lowered()), (1, 1));
}

/// T116: the setters keep what they are given; a name beats a class.
#[test]
fn standalone_settings_are_kept() {
    let p = PrepareCustomConfig::new()
        .set_standalone_module_name("a.b", Standalone::default())
        .set_standalone_module_class("torch.nn.Linear", Standalone::default())
        .set_non_traceable_module_names(&["leaf"])
        .set_preserved_attributes(&["version"]);
    let shown = format!("{p:?}");
    for word in ["a.b", "nn.Linear", "leaf", "version"] {
        assert!(shown.contains(word), "{shown}");
    }
    assert_eq!(p.preserved_attributes(), ["version"]);
}

/// T124: what follows in float comes after the `dequantize`.
#[test]
fn integers_end_before_a_float_op() {
    let lines = format!("{W}{}  %g = gelu %y : f32[1,3,4,4] @act by \"nn.GELU\"", conv("x", "y", "conv"));
    let f = Flow::new(graph(IMAGE, &lines, "%g"), &default());
    assert_eq!(order(&f.lowered()), ["quantize", "qconv2d", "dequantize", "gelu"]);
}

/// T125: scales per channel of transposed convolutions, which PyTorch refuses, are computed right here (deviation B4).
#[test]
fn transposed_convolutions_have_scales_per_channel() {
    let lines = "  %w = const {data=rand(1)} : f32[3,4,2,2] @up\n  \
                 %y = conv_transpose2d %x, %w {stride=2} : f32[1,4,8,8] @up by \"nn.ConvTranspose2d\"";
    let f = Flow::new(graph(IMAGE, lines, "%y"), &everywhere("default_per_channel_qconfig"));
    let (want, got) = (f.reference(), f.lowered());
    assert_eq!(count(&got, "qconv_transpose2d"), 1);
    let inputs = batch(&f.float);
    let (a, b) = (run(&want, &inputs, &mut ()).unwrap(), run(&got, &inputs, &mut ()).unwrap());
    let step = f.calibration.entries.values().last().unwrap().quant.scale(0);
    for (a, b) in a[0].floats().unwrap().iter().zip(b[0].floats().unwrap().iter()) {
        assert!((a - b).abs() <= 1.01 * step, "{a} {b}");
    }
}

/// T126: quantizations are called after their observers, in order.
#[test]
fn quantizations_have_names() {
    let f = Flow::new(graph(IMAGE, &format!("{W}{}", conv("x", "y", "conv")), "%y"), &default());
    let text = f.lowered().to_string();
    for name in ["quant !activation_post_process_0", "quant !activation_post_process_1"] {
        assert!(text.contains(name), "{text}");
    }
}

/// T127: half precision everywhere, on arithmetic and functions.
#[test]
fn half_precision_runs() {
    let lines = "  %five = const {data=splat(5.0)} : f32[]\n  %m = mul %x, %five : f32[2,3] by \"operator.mul\"\n  \
                 %p = add %m, %five : f32[2,3] by \"operator.add\"\n  %w = const {data=rand(1)} : f32[4,3]\n  \
                 %y = linear %p, %w : f32[2,4] by \"F.linear\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%y"), &everywhere("float16_dynamic_qconfig"));
    f.is_near(0.05);
}

/// T129: ops that move values observe the value they move and nothing else.
#[test]
fn only_tensors_are_observed() {
    let moves = [
        ("permute", "transpose %y {perm=[0,2,3,1]} : f32[1,4,4,3]"),
        ("reshape", "reshape %y {shape=[3,16]} : f32[3,16]"),
        ("view", "reshape %y {shape=[48]} : f32[48]"),
        ("transpose", "transpose %y {perm=[0,1,3,2]} : f32[1,3,4,4]"),
        ("unsqueeze", "reshape %y {shape=[1,1,3,4,4]} : f32[1,1,3,4,4]"),
        ("squeeze", "reshape %y {shape=[3,4,4]} : f32[3,4,4]"),
    ];
    for (method, op) in moves {
        let lines = format!("{W}{}  %m = {op} by \".{method}\"", conv("x", "y", "conv"));
        let f = Flow::new(graph(IMAGE, &lines, "%m"), &default());
        assert!(f.observers() <= 3, "{method}: {}", f.observed);
        assert_eq!(f.instances(), 2, "{method} shares with the convolution");
        assert_eq!(counts(&f.lowered()), (1, 1), "{method}");
    }
}

/// T132: a float op between quantized ones has `dequantize` before and `quantize` behind.
#[test]
fn a_float_sum_between_convolutions() {
    let lines = format!(
        "{W}{}{}  %s = stack %a, %c {{axis=0}} : f32[2,1,3,4,4] by \"torch.stack\"\n  \
         %t = sum %s {{axes=[0]}} : f32[1,3,4,4] by \"torch.sum\"\n{}",
        conv("x", "a", "c1"),
        conv("x", "c", "c2"),
        conv("t", "y", "c3")
    );
    let f = Flow::new(graph(IMAGE, &lines, "%y"), &default());
    let g = f.lowered();
    assert_eq!(count(&g, "qconv2d"), 3);
    assert_eq!(count(&g, "sum"), 1);
    assert_eq!(counts(&g), (2, 2));
}

/// T133: a result that nothing reads stops nothing.
#[test]
fn unused_results_are_ignored() {
    let lines = format!("{W}{}  %dead = relu %y : f32[1,3,4,4] by \"F.relu\"", conv("x", "y", "conv"));
    let f = Flow::new(graph(IMAGE, &lines, "%y"), &default());
    assert_eq!(count(&f.lowered(), "qconv2d"), 1);
}

/// T134: no observer between an op that nothing is said about and one that moves its result.
#[test]
fn unmatched_ops_are_not_observed() {
    let lines = "  %e = exp %x : f32[2,3] by \"my.function\"\n  %i = slice %e {axis=0, end=1} : f32[1,3] by \"operator.getitem\"\n  \
                 %one = const {data=splat(1.0)} : f32[]\n  %y = add %i, %one : f32[1,3] by \"operator.add\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%y"), &default());
    let g = &f.observed;
    let seen: Vec<&str> = g.nodes().filter_map(|n| g.get::<Observe>(n)).map(|o| &**g.name_of(o.x)).collect();
    assert!(!seen.contains(&"e"), "{seen:?}");
    f.is_near(0.1);
}

/// T135: where one function has a qconfig, one pair is left.
#[test]
fn one_function_is_quantized() {
    let mut m = QConfigMapping::new();
    m.set_object_type("torch.nn.functional.linear", Some(QConfig::named("default_qconfig").unwrap()));
    let lines = "  %j = concat %x, %x {axis=1} : f32[2,6] by \"torch.cat\"\n  %w = const {data=rand(1)} : f32[4,6]\n  \
                 %y = linear %j, %w : f32[2,4] by \"F.linear\"\n  %m = mul %y, %y : f32[2,4] by \"operator.mul\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%m"), &m);
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qlinear"), count(&g, "mul")), ((1, 1), 1, 1));
}

/// T136: an output that is to stay quantized is observed whatever makes it.
#[test]
fn quantized_outputs_are_always_observed() {
    let lines = format!("{W}{}", conv("x", "y", "conv"));
    let p = PrepareCustomConfig::new().set_output_quantized_indexes(&[0]);
    let c = ConvertCustomConfig::new().set_output_quantized_indexes(&[0]);
    let f = Flow::with(graph(IMAGE, &lines, "%y"), &default(), &p, c);
    let g = f.lowered();
    assert_eq!((f.observers(), counts(&g)), (2, (1, 0)));
    assert!(g.elem(g.outputs()[0].value).quant().is_some());
}

/// T138, T150: a shape that is read in between costs nothing.
#[test]
fn shapes_are_free() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3] @fc\n  %y = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"\n  \
                 %v = reshape %y {shape=[2,2,2]} : f32[2,2,2] by \".view\"";
    let f = Flow::new(graph("%x: f32[2,3]", lines, "%v"), &default());
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qlinear")), ((1, 1), 1));
}

/// T140: signed symmetric activations in the reference form.
#[test]
fn signed_activations() {
    let signed = QConfig {
        activation: ObserverTemplate::new("minmax", Storage::I8).symmetric(),
        weight: ObserverTemplate::new("minmax", Storage::I8).symmetric(),
    };
    let mut m = QConfigMapping::new();
    m.set_global(Some(signed));
    let lines = format!(
        "{W}{}  %f = reshape %y {{shape=[1,48]}} : f32[1,48] by \".flatten\"\n  %v = const {{data=rand(3)}} : f32[2,48] @fc\n  \
         %z = linear %f, %v : f32[1,2] @fc by \"nn.Linear\"",
        conv("x", "y", "conv")
    );
    let mut g = graph(IMAGE, &lines, "%z");
    let float = g.clone();
    prepare_fx(&mut g, &m, &BackendConfig::named("tensorrt").unwrap(), &PrepareCustomConfig::new()).unwrap();
    let inputs = batch(&g);
    let c = calibrate_by_interpreter(&g, [Ok(inputs.clone())], 1).unwrap();
    convert_to_reference_fx(&mut g, &c, &ConvertCustomConfig::new()).unwrap();
    assert!(counts(&g).0 >= 3);
    let (a, b) = (run(&float, &inputs, &mut ()).unwrap(), run(&g, &inputs, &mut ()).unwrap());
    for (a, b) in a[0].floats().unwrap().iter().zip(b[0].floats().unwrap().iter()) {
        assert!((a - b).abs() < 0.2, "{a} {b}");
    }
}

/// T143: integers give what the reference form gives: the same integers, up to rounding at a tie.
#[test]
fn lowered_and_reference_agree() {
    let lines = format!("{W}{}  %r = relu %y : f32[1,3,4,4] by \"F.relu\"", conv("x", "y", "conv"));
    let linear = "  %w = const {data=rand(1)} : f32[4,3] @fc\n  %b = const {data=rand(2)} : f32[4] @fc\n  \
                  %y = linear %x, %w, %b : f32[2,4] @fc by \"nn.Linear\"\n  %r = relu %y : f32[2,4] by \"F.relu\"";
    for (inputs, lines) in [(IMAGE, lines.as_str()), ("%x: f32[2,3]", linear)] {
        for m in ["default_qconfig", "default_per_channel_qconfig"] {
            let f = Flow::new(graph(inputs, lines, "%r"), &everywhere(m));
            let x = batch(&f.float);
            let (a, b) = (run(&f.reference(), &x, &mut ()).unwrap(), run(&f.lowered(), &x, &mut ()).unwrap());
            assert_eq!(a[0].floats().unwrap(), b[0].floats().unwrap(), "{m}");
        }
    }
}

/// T149: stride, padding and groups are attributes with names, so nothing is lost whatever order they were given in.
#[test]
fn attributes_survive_lowering() {
    let lines = "  %w = const {data=rand(1)} : f32[6,1,3,3]\n  \
                 %y = conv2d %x, %w {stride=2, pad=1, dilation=1, groups=3} : f32[1,6,2,2] by \"F.conv2d\"";
    let f = Flow::new(graph(IMAGE, lines, "%y"), &default());
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qconv2d")), ((1, 1), 1));
    f.is_near(0.1);
}

/// T152: a relu of any spelling that PyTorch fuses is in the convolution.
#[test]
fn relus_are_in_the_convolution() {
    for call in ["nn.ReLU", "F.relu"] {
        let lines = format!("{W}{}  %r = relu %y : f32[1,3,4,4] by \"{call}\"", conv("x", "y", "conv"));
        let f = Flow::new(graph(IMAGE, &lines, "%r"), &default());
        let g = f.lowered();
        assert_eq!((counts(&g), count(&g, "qconv2d"), count(&g, "relu")), ((1, 1), 1, 0), "{call}");
    }
}

/// T153, T158: what the back end has no pattern for stays float, and the report says so.
#[test]
fn ops_without_a_pattern_stay_float() {
    for (op, call) in [
        ("sub %y, %y", "operator.sub"),
        ("div %y, %y", "operator.truediv"),
        ("gelu %y", "F.gelu"),
        ("softmax %y {axis=1}", "F.softmax"),
    ] {
        let lines = format!("{W}{}  %z = {op} : f32[1,3,4,4] by \"{call}\"", conv("x", "y", "conv"));
        let f = Flow::new(graph(IMAGE, &lines, "%z"), &default());
        let name = op.split(' ').next().unwrap();
        assert_eq!(count(&f.lowered(), name), 1, "{op}");
        assert!(f.report.float.iter().any(|r| r.op == name), "{}", f.report);
    }
}

/// T155: quantized input and a sum with a number: one observer, behind the sum.
#[test]
fn a_quantized_input_is_not_observed_again() {
    let lines =
        "  %one = const {data=splat(1.0)} : f32[]\n  %y = add %x, %one : f32[2,3] by \"operator.add\"";
    let p = PrepareCustomConfig::new().set_input_quantized_indexes(&[0]);
    let c = ConvertCustomConfig::new().set_input_quant(0, quantir_ir::Quant::tensor(Storage::U8, 0.02, 60));
    let f = Flow::with(graph("%x: f32[2,3]", lines, "%y"), &default(), &p, c);
    assert_eq!(f.observers(), 1);
}

/// T165: booleans are not observed; parts of a value come from one `quantize`.
#[test]
fn booleans_and_chunks() {
    let lines = "  %m = greater %x, %x : bool[2,4] by \"torch.gt\"\n  %n = not %m : bool[2,4] by \"torch.logical_not\"";
    let f = Flow::new(graph("%x: f32[2,4]", lines, "%n"), &default());
    assert_eq!(f.observers(), 0);
    let lines = "  %a, %b = split %x {axis=1, sizes=[2,2]} : f32[2,2], f32[2,2] by \"torch.chunk\"\n  \
                 %y = add %a, %b : f32[2,2] by \"operator.add\"";
    let f = Flow::new(graph("%x: f32[2,4]", lines, "%y"), &default());
    f.is_near(0.1);
}

/// T166, T167: products and moves on integers.
#[test]
fn products_and_shuffles_run_on_integers() {
    let f = Flow::new(
        graph("%x: f32[2,3], %y: f32[3,2]", "  %z = matmul %x, %y : f32[2,2] by \"torch.matmul\"", "%z"),
        &default(),
    );
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qmatmul")), ((2, 1), 1));
    let w = "  %w = const {data=rand(1)} : f32[4,3,1,1] @conv\n  %y = conv2d %x, %w : f32[1,4,4,4] @conv by \"nn.Conv2d\"\n";
    for (op, call, ty) in [
        ("pixel_shuffle %y {factor=2}", "nn.PixelShuffle", "f32[1,1,8,8]"),
        ("pixel_unshuffle %y {factor=2}", "F.pixel_unshuffle", "f32[1,16,2,2]"),
        ("slice %y {axis=1, end=2}", "torch.narrow", "f32[1,2,4,4]"),
    ] {
        let f = Flow::new(graph(IMAGE, &format!("{w}  %z = {op} : {ty} by \"{call}\""), "%z"), &default());
        assert_eq!(counts(&f.lowered()), (1, 1), "{op}");
        assert_eq!(f.instances(), 2, "{op} shares with the convolution");
    }
}

/// T169: what observers saw is a value of its own with a text, and moves to another copy of the graph.
#[test]
fn calibration_moves_between_copies() {
    let f = Flow::new(graph(IMAGE, &format!("{W}{}", conv("x", "y", "conv")), "%y"), &default());
    let again = Calibration::parse(&f.calibration.to_string()).unwrap();
    let mut g = f.observed.clone();
    convert_fx(&mut g, &again, &f.convert).unwrap();
    assert_eq!(g.to_string(), f.lowered().to_string());
}

/// T171: parameters stand in the types of the reference form, also those of each channel; dynamic ones are chosen in the run.
#[test]
fn the_reference_form_spells_parameters_out() {
    let linear =
        "  %w = const {data=rand(1)} : f32[4,3] @fc\n  %y = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"";
    let f = Flow::new(graph("%x: f32[2,3]", linear, "%y"), &everywhere("default_per_channel_qconfig"));
    let text = f.reference().to_string();
    assert!(text.contains("quant !activation_post_process_0 = u8[0:255] scale "), "{text}");
    assert!(text.contains("axis 0 scale ["), "{text}");
    let f = Flow::new(graph("%x: f32[2,3]", linear, "%y"), &everywhere("default_dynamic_qconfig"));
    assert_eq!(count(&f.reference(), "fake_quantize_dynamic"), 1);
}

/// T197: a value keeps its name from the float graph to the integer one, so that both can be compared.
#[test]
fn names_last() {
    let lines = format!(
        "{W}{}  %p = max_pool %y {{kernel=2, stride=2}} : f32[1,3,2,2] by \"F.max_pool2d\"",
        conv("x", "y", "conv")
    );
    let f = Flow::new(graph(IMAGE, &lines, "%p"), &default());
    let reference = f.reference();
    for name in ["y", "p"] {
        assert!(f.observed.find(name).is_some() && reference.find(name).is_some(), "{name}");
    }
    let out = &f.lowered().outputs()[0].clone();
    assert_eq!(&*out.name, "p");
    assert!(matches!(f.observed.value(f.observed.inputs()[0]).uses[0], Use::Node(..)));
}

/// T114: only convolutions have a qconfig; what is around them, parts, moves and products, stays float and runs.
#[test]
fn attention_around_a_quantized_convolution() {
    let mut m = QConfigMapping::new();
    m.set_object_type("nn.Conv2d", Some(QConfig::named("default_qconfig").unwrap()));
    let lines = format!(
        "{W}{}  %f = reshape %y {{shape=[1,3,16]}} : f32[1,3,16] by \".view\"\n  \
         %a, %k, %c = split %f {{axis=1, sizes=[1,1,1]}} : f32[1,1,16], f32[1,1,16], f32[1,1,16] by \"torch.chunk\"\n  \
         %t = transpose %a {{perm=[0,2,1]}} : f32[1,16,1] by \".transpose\"\n  \
         %p = matmul %t, %k : f32[1,16,16] by \"torch.matmul\"\n  %s = softmax %p {{axis=2}} : f32[1,16,16] by \"torch.softmax\"\n  \
         %z = matmul %c, %s : f32[1,1,16] by \"torch.matmul\"",
        conv("x", "y", "conv")
    );
    let f = Flow::new(graph(IMAGE, &lines, "%z"), &m);
    let g = f.lowered();
    assert_eq!((counts(&g), count(&g, "qconv2d"), count(&g, "matmul")), ((1, 1), 1, 2));
    f.is_near(0.2);
}

/// T117: a custom module that others read too, and one that reads a value twice: it takes integers and gives integers.
#[test]
fn custom_modules_take_and_give_integers() {
    let text = "qir 1 float\nmodule @own = \"my.Sum\"\ngraph @main(%x: f32[2,3]) {\n  \
        %w = const {data=rand(1)} : f32[4,3] @fc\n  %fc = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"\n  \
        %own = add %fc, %fc : f32[2,4] @own by \"operator.add\"\n  %v = const {data=rand(2)} : f32[3,4] @out\n  \
        %a = linear %own, %v : f32[2,3] @out by \"nn.Linear\"\n  %b = gelu %own : f32[2,4] by \"F.gelu\"\n  return %a, %b\n}\n";
    let p = PrepareCustomConfig::new().set_float_to_observed_mapping("my.Sum", "my.ObservedSum");
    let c = ConvertCustomConfig::new().set_observed_to_quantized_mapping("my.ObservedSum", |e, call| {
        let ty = quantir_ir::Type::new(Elem::Quant(call.output.clone()), call.ty.shape.clone());
        let x = call.inputs[0];
        let sum = quantir_ir::ops::Qadd { act: quantir_ir::ops::Act::None };
        Ok(e.op_as(sum, [x, x], &[ty])?[0])
    });
    let f = Flow::with(text::parse(text).unwrap(), &default(), &p, c);
    let g = f.lowered();
    assert_eq!((count(&g, "qadd"), count(&g, "qlinear")), (1, 2));
    assert_eq!(counts(&g).0, 1, "only the input is quantized");
    f.is_near(0.3);
}

/// T151: two layers with integers of their own: each value is quantized for its reader.
#[test]
fn layers_with_integers_of_their_own() {
    let mut m = QConfigMapping::new();
    m.set_module_name("a", Some(QConfig::named("default_symmetric_qnnpack_qconfig").unwrap()));
    m.set_module_name("b", Some(QConfig::named("default_qconfig").unwrap()));
    let lines = "  %w = const {data=rand(1)} : f32[4,3] @a\n  %a = linear %x, %w : f32[2,4] @a by \"nn.Linear\"\n  \
                 %v = const {data=rand(2)} : f32[3,4] @b\n  %b = linear %a, %v : f32[2,3] @b by \"nn.Linear\"";
    let mut g = graph("%x: f32[2,3]", lines, "%b");
    let qnnpack = BackendConfig::named("qnnpack").unwrap();
    prepare_fx(&mut g, &m, &qnnpack, &PrepareCustomConfig::new()).unwrap();
    let c = calibrate_by_interpreter(&g, [Ok(batch(&g))], 1).unwrap();
    convert_to_reference_fx(&mut g, &c, &ConvertCustomConfig::new()).unwrap();
    let storages: Vec<Storage> = g
        .nodes()
        .filter(|&n| matches!(g.op(n), Op::Quantize(_)))
        .map(|n| g.elem(g.node(n).outs[0]).storage())
        .collect();
    assert_eq!(storages, [Storage::I8, Storage::I8, Storage::U8, Storage::U8]);
}

/// T170: a pattern that a user adds to a back end is matched; without it the op stays float.
#[test]
fn patterns_can_be_added() {
    use quantir_quant::backend::{BackendPatternConfig, DType, DTypeConfig};
    let int8 = DTypeConfig::new(DType::QUint8, DType::QUint8);
    let own = BackendPatternConfig::new("my.Gate").add_dtype_config(int8);
    let with = native().set_backend_pattern_config(own);
    let text = "qir 1 float\nmodule @gate = \"my.Gate\"\ngraph @main(%x: f32[2,3]) {\n  \
        %g = gelu %x : f32[2,3] @gate by \"my.Gate\"\n  return %g\n}\n";
    for (backend, observers) in [(native(), 0), (with, 2)] {
        let mut g = text::parse(text).unwrap();
        prepare_fx(&mut g, &default(), &backend, &PrepareCustomConfig::new()).unwrap();
        let seen = g.nodes().filter(|&n| g.get::<Observe>(n).is_some()).count();
        assert_eq!(seen, observers);
    }
}

const NESTED: &str = "  %w = const {data=rand(1)} : f32[3,3]\n  %a = linear %x, %w : f32[2,3] @sub1.fc by \"nn.Linear\"\n  \
    %b = linear %a, %w : f32[2,3] @sub2.fc1 by \"nn.Linear\"\n  %c = linear %b, %w : f32[2,3] @sub2.fc2 by \"nn.Linear\"\n  \
    %d = linear %c, %w : f32[2,3] @fc3 by \"nn.Linear\"";

fn quantized(m: &QConfigMapping) -> Vec<String> {
    let g = Flow::new(graph("%x: f32[2,3]", NESTED, "%d"), m).lowered();
    g.nodes()
        .filter(|&n| g.op(n).name() == "qlinear")
        .filter_map(|n| g.node(n).loc.path.as_deref().map(String::from))
        .collect()
}

/// T172, T173: qconfigs are inherited by what is inside a module, and a child can be left out.
#[test]
fn children_inherit_and_can_be_left_out() {
    let q = || Some(QConfig::named("default_qconfig").unwrap());
    let mut m = QConfigMapping::new();
    m.set_module_name("fc3", q());
    assert_eq!(quantized(&m), ["fc3"]);
    m.set_module_name("sub2", q());
    assert_eq!(quantized(&m), ["sub2.fc1", "sub2.fc2", "fc3"]);
    m.set_module_name("sub2.fc1", None);
    assert_eq!(quantized(&m), ["sub2.fc2", "fc3"]);
    m.set_global(q()).set_module_name("sub2", None);
    assert_eq!(quantized(&m), ["sub1.fc", "fc3"]);
}

fn sqnr(a: &[Tensor], b: &[Tensor]) -> f32 {
    let (a, b) = (a[0].floats().unwrap().to_vec(), b[0].floats().unwrap().to_vec());
    let signal: f32 = a.iter().map(|x| x * x).sum();
    let noise: f32 = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum();
    10.0 * (signal / noise.max(f32::MIN_POSITIVE)).log10()
}

/// T179: integers are within 30 dB of the floats per tensor, within 35 dB per channel; lowered within 60 dB of the reference form.
#[test]
fn integers_are_near_the_floats() {
    let lines = format!(
        "{W}{}  %r = relu %y : f32[1,3,4,4] @relu by \"nn.ReLU\"\n  %f = reshape %r {{shape=[3,16]}} : f32[3,16] by \".view\"\n  \
         %v = const {{data=rand(3)}} : f32[5,16] @fc\n  %z = linear %f, %v : f32[3,5] @fc by \"nn.Linear\"",
        conv("x", "y", "conv")
    );
    let full = |name: &str| {
        let mut q = QConfig::named(name).unwrap();
        q.activation = ObserverTemplate::new("minmax", Storage::U8);
        let mut m = QConfigMapping::new();
        m.set_global(Some(q));
        m
    };
    for (name, least) in [("default_qconfig", 30.0), ("default_per_channel_qconfig", 35.0)] {
        let f = Flow::new(graph(IMAGE, &lines, "%z"), &full(name));
        let x = batch(&f.float);
        let [float, reference, lowered] =
            [&f.float, &f.reference(), &f.lowered()].map(|g| run(g, &x, &mut ()).unwrap());
        assert!(sqnr(&float, &lowered) > least, "{name}: {}", sqnr(&float, &lowered));
        assert!(sqnr(&reference, &lowered) > 60.0, "{name}: {}", sqnr(&reference, &lowered));
    }
}

/// T214: a quantized layer of any kind is text and comes back from it, with its weights, and computes the same.
#[test]
fn quantized_layers_come_back_from_text() {
    let bn = "  %g = const {data=rand(5)} : f32[3] @bn\n  %v = const {data=[0.5,1.0,2.0]} : f32[3] @bn\n  \
              %y = batch_norm %x, %g, %g, %g, %v : f32[1,3,4,4] @bn by \"nn.BatchNorm2d\"";
    let layers = [
        format!("{W}{}", conv("x", "y", "conv")),
        "  %w = const {data=rand(1)} : f32[3,4,2,2] @up\n  %y = conv_transpose2d %x, %w {stride=2} : f32[1,4,8,8] @up by \
         \"nn.ConvTranspose2d\""
            .into(),
        "  %w = const {data=rand(1)} : f32[5,4] @fc\n  %y = linear %x, %w : f32[1,3,4,5] @fc by \"nn.Linear\"".into(),
        bn.into(),
        "  %y = hard_swish %x : f32[1,3,4,4] @act by \"nn.Hardswish\"".into(),
        "  %y = elu %x : f32[1,3,4,4] @act by \"nn.ELU\"".into(),
        "  %g = const {data=rand(5)} : f32[3] @n\n  %y = instance_norm %x, %g, %g : f32[1,3,4,4] @n by \"nn.InstanceNorm2d\"".into(),
    ];
    for lines in layers {
        let f = Flow::new(graph(IMAGE, &lines, "%y"), &default());
        let g = f.lowered();
        assert_eq!(counts(&g), (1, 1), "{g}");
        let tensors: Vec<Tensor> = g.nodes().filter_map(|n| g.constant(g.node(n).outs[0])).collect();
        let find = |hash: &str| tensors.iter().find(|t| t.hash() == hash).cloned();
        let again = text::parse_with(&g.to_string(), &find, "layer").unwrap();
        let x = batch(&f.float);
        let (a, b) = (run(&g, &x, &mut ()).unwrap(), run(&again, &x, &mut ()).unwrap());
        assert_eq!(a[0].floats().unwrap(), b[0].floats().unwrap());
    }
}

/// T94–T95: with the back end onednn a leaky relu or a tanh behind a linear layer is in its integer op.
#[test]
fn curves_are_in_the_linear_layer() {
    for (op, call) in [("leaky_relu %y {alpha=0.1}", "nn.LeakyReLU"), ("tanh %y", "nn.Tanh")] {
        let lines = format!(
            "  %w = const {{data=rand(1)}} : f32[4,3] @fc\n  %y = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"\n  \
             %z = {op} : f32[2,4] @act by \"{call}\""
        );
        let mut g = graph("%x: f32[2,3]", &lines, "%z");
        let float = g.clone();
        let onednn = BackendConfig::named("onednn").unwrap();
        prepare_fx(&mut g, &default(), &onednn, &PrepareCustomConfig::new()).unwrap();
        let x = batch(&g);
        let c = calibrate_by_interpreter(&g, [Ok(x.clone())], 1).unwrap();
        convert_fx(&mut g, &c, &ConvertCustomConfig::new()).unwrap();
        verified(&g);
        assert_eq!((counts(&g), count(&g, "qlinear")), ((1, 1), 1), "{g}");
        let (a, b) = (run(&float, &x, &mut ()).unwrap(), run(&g, &x, &mut ()).unwrap());
        for (a, b) in a[0].floats().unwrap().iter().zip(b[0].floats().unwrap().iter()) {
            assert!((a - b).abs() < 0.05, "{call}: {a} {b}");
        }
    }
}
