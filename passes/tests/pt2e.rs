//! Annotations, the groups that follow from them, and the shipped quantizers.

use std::sync::Arc;

use quantir_ir::interp::run;
use quantir_ir::ops::{Observe, Op};
use quantir_ir::{Diag, Graph, NodeId, QParams, Quant, Reason, Storage, Tensor, ValueId, Zeros, text};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::pt2e::{
    Annotations, ComposableQuantizer, DerivedQuantizationSpec, EdgeOrNode, EmbeddingQuantizer, Prepared,
    QuantizationAnnotation, QuantizationSpec, Quantizer, Spec, X86InductorConfig, X86InductorQuantizer,
    XnnpackConfig, XnnpackQuantizer, convert_pt2e, prepare_pt2e,
};
use quantir_quant::{Calibration, ObserverTemplate};

/// A quantizer made of one function.
struct By<F>(F);
impl<F: Fn(&Graph, &mut Annotations) -> Result<(), Diag>> Quantizer for By<F> {
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag> {
        self.0(g, to)
    }
}

/// `inputs` and lines of nodes as a graph.
fn graph(inputs: &str, lines: &str, outputs: &str) -> Graph {
    let text = format!("qir 1 float\ngraph @main({inputs}) {{\n{lines}\n  return {outputs}\n}}\n");
    text::parse(&text).unwrap_or_else(|e| panic!("{}\n{text}", quantir_ir::render(&e, None, false)))
}

fn act() -> QuantizationSpec {
    QuantizationSpec::new(ObserverTemplate::new("minmax", Storage::U8)).unwrap()
}
fn weight() -> QuantizationSpec {
    QuantizationSpec::new(ObserverTemplate::new("minmax", Storage::I8).symmetric()).unwrap()
}

fn nodes(g: &Graph, is: fn(&Op) -> bool) -> Vec<NodeId> {
    g.nodes().filter(|&n| is(g.op(n))).collect()
}
fn operand(g: &Graph, n: NodeId, slot: usize) -> ValueId {
    g.node(n).ins[slot].unwrap()
}

fn calibrated(g: &Graph) -> Calibration {
    let batch: Vec<Tensor> = g
        .inputs()
        .iter()
        .map(|&v| {
            let ty = g.ty(v);
            let shape = ty.shape.concrete().unwrap();
            let count: usize = shape.iter().product();
            match ty.elem.storage() {
                Storage::I64 => Tensor::i64(&shape, (0..count as i64).map(|i| i % 3).collect()),
                _ => Tensor::f32(&shape, (0..count).map(|i| ((i * 7 % 23) as f32 - 11.0) / 8.0).collect()),
            }
        })
        .collect();
    calibrate_by_interpreter(g, [batch].into_iter().map(Ok), 1).unwrap()
}

/// The graph after the whole flow.
fn converted(mut g: Graph, q: &dyn Quantizer) -> (Graph, Prepared) {
    let prepared = prepare_pt2e(&mut g, q).unwrap();
    let problems = quantir_ir::verify(&g);
    assert!(problems.is_empty(), "{problems:?}");
    let calibration = calibrated(&g);
    convert_pt2e(&mut g, &prepared, &calibration).unwrap();
    let problems = quantir_ir::verify(&g);
    assert!(problems.is_empty(), "{problems:?}");
    (g, prepared)
}

/// Quantize and dequantize nodes.
fn counts(g: &Graph) -> (usize, usize) {
    (nodes(g, |o| matches!(o, Op::Quantize(_))).len(), nodes(g, |o| matches!(o, Op::Dequantize(_))).len())
}

/// The observer of each observed value, by name.
fn observers(g: &Graph) -> Vec<(String, String)> {
    nodes(g, |o| matches!(o, Op::Observe(_)))
        .into_iter()
        .filter_map(|n| g.get::<Observe>(n))
        .map(|o| (g.name_of(o.x).to_string(), o.op.by.0.to_string()))
        .collect()
}

const CONV: &str = "  %w = const {data=rand(1)} : f32[4,3,3,3]\n  %c = conv2d %x, %w {pad=1} : f32[1,4,8,8]";

/// T181, T182, T190: annotated inputs and results are quantized, weights are folded into integers.
#[test]
fn what_is_annotated_is_quantized() {
    let with_output = |output: bool| {
        move |g: &Graph, to: &mut Annotations| {
            let n = nodes(g, |o| matches!(o, Op::Conv(_)))[0];
            let a = QuantizationAnnotation::new()
                .input(operand(g, n, 0), act())
                .input(operand(g, n, 1), weight());
            to.annotate(n, if output { a.output(act()) } else { a });
            Ok(())
        }
    };
    let g = graph("%x: f32[1,3,8,8]", CONV, "%c");
    assert_eq!(counts(&converted(g.clone(), &By(with_output(true))).0), (2, 3));
    let (g, _) = converted(g, &By(with_output(false)));
    assert_eq!(counts(&g), (1, 2));
    let w = nodes(&g, |o| matches!(o, Op::Const(_)))[0];
    assert!(g.elem(g.node(w).outs[0]).quant().is_some(), "the weight is stored as integers");
}

/// T183: a pool whose result shares with what it reads.
#[test]
fn a_pool_shares_with_its_input() {
    let lines = format!("{CONV}\n  %p = max_pool %c {{kernel=2, stride=2}} : f32[1,4,4,4]");
    let g = graph("%x: f32[1,3,8,8]", &lines, "%p");
    let by = By(|g: &Graph, to: &mut Annotations| {
        let n = nodes(g, |o| matches!(o, Op::Conv(_)))[0];
        let p = nodes(g, |o| matches!(o, Op::MaxPool(_)))[0];
        let c = operand(g, p, 0);
        to.annotate(
            n,
            QuantizationAnnotation::new()
                .input(operand(g, n, 0), act())
                .input(operand(g, n, 1), weight())
                .output(act()),
        );
        let shared = Spec::Shared(EdgeOrNode::Edge(c, p));
        to.annotate(p, QuantizationAnnotation::new().input(c, act()).output(shared));
        Ok(())
    });
    let (g, _) = converted(g, &by);
    assert_eq!(counts(&g), (3, 4));
}

/// T184: sharing is transitive; two convolutions and their join have one observer.
#[test]
fn sharing_is_transitive() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3,1,1]\n  %a = conv2d %x, %w : f32[1,4,8,8]\n  \
                 %b = conv2d %y, %w : f32[1,4,8,8]\n  %j = concat %a, %b {axis=1} : f32[1,8,8,8]";
    let mut g = graph("%x: f32[1,3,8,8], %y: f32[1,3,8,8]", lines, "%j");
    let by = By(|g: &Graph, to: &mut Annotations| {
        let j = nodes(g, |o| matches!(o, Op::Concat(_)))[0];
        let (a, b) = (operand(g, j, 0), operand(g, j, 1));
        for n in nodes(g, |o| matches!(o, Op::Conv(_))) {
            let out = g.node(n).outs[0];
            // The first convolution decides; the second shares with it through the join.
            let spec = if out == a { act().into() } else { Spec::Shared(EdgeOrNode::Edge(a, j)) };
            to.annotate(n, QuantizationAnnotation::new().input(operand(g, n, 0), act()).output(spec));
        }
        let with_first = Spec::Shared(EdgeOrNode::Edge(a, j));
        let a = QuantizationAnnotation::new()
            .input(a, Spec::Shared(EdgeOrNode::Node(a)))
            .input(b, with_first.clone())
            .output(with_first);
        to.annotate(j, a);
        Ok(())
    });
    prepare_pt2e(&mut g, &by).unwrap();
    let of = |v: &str| observers(&g).into_iter().find(|(n, _)| n == v).unwrap().1;
    assert_eq!(of("a"), of("b"));
    assert_eq!(of("a"), of("j"));
    assert_ne!(of("x"), of("a"));
}

/// T185: a bias whose scale is the product of those of input and weight, per tensor and per channel.
#[test]
fn a_bias_follows_from_input_and_weight() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3,1,1]\n  %b = const {data=rand(2)} : f32[4]\n  \
                 %c = conv2d %x, %w, %b : f32[1,4,8,8]";
    for per_channel in [false, true] {
        let g = graph("%x: f32[1,3,8,8]", lines, "%c");
        let by = By(move |g: &Graph, to: &mut Annotations| {
            let n = nodes(g, |o| matches!(o, Op::Conv(_)))[0];
            let (x, w, b) = (operand(g, n, 0), operand(g, n, 1), operand(g, n, 2));
            let mut weights = weight();
            weights.observer.per_channel = per_channel;
            let product = |q: &[Arc<Quant>]| -> Result<Quant, Reason> {
                let count = q[1].count().unwrap_or(1);
                let scales: Vec<f32> = (0..count).map(|i| q[0].scale(0) * q[1].scale(i)).collect();
                let mut quant = Quant::tensor(Storage::I32, scales[0], 0);
                if count > 1 {
                    quant.params = QParams::Axis { axis: 0, scale: scales.into(), zero: Zeros::All(0) };
                }
                Ok(quant)
            };
            let derived = Spec::Derived(DerivedQuantizationSpec {
                derived_from: vec![EdgeOrNode::Edge(x, n), EdgeOrNode::Edge(w, n)],
                derive: Arc::new(product),
                storage: Storage::I32,
            });
            let a = QuantizationAnnotation::new()
                .input(x, act())
                .input(w, weights)
                .input(b, derived)
                .output(act());
            to.annotate(n, a);
            Ok(())
        });
        let (g, _) = converted(g, &by);
        assert_eq!(counts(&g), (2, 4), "per channel: {per_channel}");
        let b =
            g.nodes().find(|&n| g.elem(g.node(n).outs[0]).quant().is_some_and(|q| q.storage == Storage::I32));
        let q = g.elem(g.node(b.unwrap()).outs[0]).quant().unwrap().clone();
        assert_eq!(q.count(), Some(if per_channel { 4 } else { 1 }));
    }
}

/// T186: known parameters are in the nodes as written; equal ones are one observer.
#[test]
fn fixed_parameters_stay() {
    let mut g = graph("%x: f32[4]", "  %s = sigmoid %x : f32[4]\n  %t = sigmoid %x : f32[4]", "%s, %t");
    let fixed = || QuantizationSpec::fixed(Storage::U8, 1.0 / 256.0, 0).unwrap();
    let by = By(move |g: &Graph, to: &mut Annotations| {
        for n in nodes(g, |o| matches!(o, Op::Sigmoid(_))) {
            to.annotate(n, QuantizationAnnotation::new().input(operand(g, n, 0), fixed()).output(fixed()));
        }
        Ok(())
    });
    let prepared = prepare_pt2e(&mut g, &by).unwrap();
    assert_eq!(observers(&g).iter().filter(|(v, _)| v == "x").count(), 1);
    convert_pt2e(&mut g, &prepared, &Calibration::default()).unwrap();
    for n in nodes(&g, |o| matches!(o, Op::Quantize(_))) {
        assert_eq!(g.elem(g.node(n).outs[0]).quant().unwrap().per_tensor(), Some((1.0 / 256.0, 0)));
    }
}

/// T187: without implicit sharing each reader of a value has an observer of its own.
#[test]
fn readers_need_not_share() {
    let lines = "  %a = add %x, %y : f32[4]\n  %b = add %x, %y : f32[4]\n  %c = add %x, %y : f32[4]";
    for (share, of_x) in [(true, 1), (false, 3)] {
        let mut g = graph("%x: f32[4], %y: f32[4]", lines, "%a, %b, %c");
        let by = By(move |g: &Graph, to: &mut Annotations| {
            for n in nodes(g, |o| matches!(o, Op::Add(_))) {
                let a = QuantizationAnnotation::new()
                    .input(operand(g, n, 0), act())
                    .input(operand(g, n, 1), act());
                to.annotate(n, if share { a } else { a.no_implicit_sharing() });
            }
            Ok(())
        });
        prepare_pt2e(&mut g, &by).unwrap();
        let mut names: Vec<String> =
            observers(&g).into_iter().filter(|(v, _)| v == "x").map(|(_, o)| o).collect();
        names.dedup();
        assert_eq!(names.len(), of_x);
    }
}

/// T188: 16-bit activations.
#[test]
fn integers_of_16_bits() {
    let g = graph("%x: f32[1,3,8,8]", CONV, "%c");
    let by = By(|g: &Graph, to: &mut Annotations| {
        let wide = QuantizationSpec::new(ObserverTemplate::new("minmax", Storage::I16).symmetric())?;
        let n = nodes(g, |o| matches!(o, Op::Conv(_)))[0];
        to.annotate(n, QuantizationAnnotation::new().input(operand(g, n, 0), wide.clone()).output(wide));
        Ok(())
    });
    let (g, _) = converted(g, &by);
    assert!(
        nodes(&g, |o| matches!(o, Op::Quantize(_)))
            .iter()
            .all(|&n| g.elem(g.node(n).outs[0]).storage() == Storage::I16)
    );
}

/// T189: annotations that cannot be meant are refused with their place.
#[test]
fn misplaced_annotations_are_refused() {
    type Annotate = fn(&Graph, &mut Annotations) -> Result<(), Diag>;
    let inputs = "%x: f32[4], %i: i64[4]";
    let lines = "  %a = neg %x : f32[4]\n  %b = neg %i : i64[4]\n  %c = neg %a : f32[4]";
    let cases: [(Annotate, &str); 4] = [
        (
            |g, to| {
                let n = nodes(g, |o| matches!(o, Op::Neg(_)));
                to.annotate(n[2], QuantizationAnnotation::new().input(g.inputs()[0], act()));
                Ok(())
            },
            "does not read it",
        ),
        (
            |g, to| {
                let n = nodes(g, |o| matches!(o, Op::Neg(_)));
                to.annotate(n[1], QuantizationAnnotation::new().input(g.inputs()[1], act()));
                Ok(())
            },
            "only floats are quantized",
        ),
        (
            |g, to| {
                let n = nodes(g, |o| matches!(o, Op::Neg(_)));
                let nowhere = Spec::Shared(EdgeOrNode::Node(g.node(n[0]).outs[0]));
                to.annotate(n[2], QuantizationAnnotation::new().input(g.node(n[0]).outs[0], nowhere));
                Ok(())
            },
            "has no observer",
        ),
        (
            |g, to| {
                let n = nodes(g, |o| matches!(o, Op::Neg(_)));
                let (a, c) = (g.node(n[0]).outs[0], g.node(n[2]).outs[0]);
                let at = |v| Spec::Shared(EdgeOrNode::Node(v));
                to.annotate(n[0], QuantizationAnnotation::new().output(at(c)));
                to.annotate(n[2], QuantizationAnnotation::new().input(a, at(c)).output(at(a)));
                Ok(())
            },
            "in a circle",
        ),
    ];
    for (annotate, says) in cases {
        let mut g = graph(inputs, lines, "%b, %c");
        let e = prepare_pt2e(&mut g, &By(annotate)).err().expect("refused");
        assert!(e.message.contains(says), "{}", e.message);
        assert_eq!(e.code, "annotation");
    }
    let empty = QuantizationSpec::new(ObserverTemplate::new("minmax", Storage::U8).range(9, 3));
    assert_eq!(empty.unwrap_err().code, "quantization-spec", "a range from 9 to 3");
}

/// T191: quantizers one after the other, none of which may change what an earlier one said.
#[test]
fn quantizers_compose() {
    let lines = "  %t = const {data=rand(1)} : f32[5,4]\n  %e = embedding %i, %t : f32[2,4]\n  \
                 %w = const {data=rand(2)} : f32[3,4]\n  %y = linear %e, %w : f32[2,3]";
    let g = graph("%i: i64[2]", lines, "%y");
    let xnnpack = || XnnpackQuantizer::new().set_global(XnnpackConfig::symmetric(false, false).unwrap());
    let both = ComposableQuantizer::new(vec![
        ("embedding".into(), Box::new(EmbeddingQuantizer)),
        ("xnnpack".into(), Box::new(xnnpack())),
    ]);
    let (c, _) = converted(g.clone(), &both);
    assert_eq!(counts(&c), (2, 4));
    let meddling = By(|g: &Graph, to: &mut Annotations| {
        to.annotate(nodes(g, |o| matches!(o, Op::Linear(_)))[0], QuantizationAnnotation::new());
        Ok(())
    });
    let both = ComposableQuantizer::new(vec![
        ("xnnpack".into(), Box::new(xnnpack())),
        ("meddling".into(), Box::new(meddling)),
    ]);
    let e = prepare_pt2e(&mut g.clone(), &both).err().expect("refused");
    assert!(e.message.contains("`meddling` changed"), "{}", e.message);
}

/// T194: a value that several nodes read, each with a spec, and no observer of its own.
#[test]
fn several_readers_without_an_observer_at_the_source() {
    let lines = "  %w = const {data=rand(1)} : f32[4,4]\n  %r = relu %x : f32[2,4]\n  %a = linear %r, %w : f32[2,4]\n  \
                 %b = linear %r, %w : f32[2,4]";
    let mut g = graph("%x: f32[2,4]", lines, "%a, %b");
    let by = By(|g: &Graph, to: &mut Annotations| {
        for n in nodes(g, |o| matches!(o, Op::Linear(_))) {
            to.annotate(n, QuantizationAnnotation::new().input(operand(g, n, 0), act()));
        }
        Ok(())
    });
    prepare_pt2e(&mut g, &by).unwrap();
    assert_eq!(observers(&g).len(), 1, "both read from one observer");
}

/// T195: each reader of a quantized value has a `dequantize` of its own.
#[test]
fn dequantize_has_one_reader() {
    let lines = "  %w = const {data=rand(1)} : f32[4,4]\n  %a = linear %x, %w : f32[2,4]\n  %b = linear %a, %w : f32[2,4]\n  \
                 %s = add %a, %b : f32[2,4]";
    let g = graph("%x: f32[2,4]", lines, "%s");
    let q = XnnpackQuantizer::new().set_global(XnnpackConfig::symmetric(false, false).unwrap());
    let (g, _) = converted(g, &q);
    for n in nodes(&g, |o| matches!(o, Op::Dequantize(_))) {
        assert_eq!(g.value(g.node(n).outs[0]).uses.len(), 1);
    }
}

/// T196: `quantize` and `dequantize` belong to the module of the value that they quantize.
#[test]
fn quantize_keeps_the_module() {
    let lines =
        "  %w = const {data=rand(1)} : f32[4,4] @fc\n  %a = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"";
    let g = graph("%x: f32[2,4]", lines, "%a");
    let q = XnnpackQuantizer::new().set_global(XnnpackConfig::symmetric(false, false).unwrap());
    let (g, _) = converted(g, &q);
    let last = *nodes(&g, |o| matches!(o, Op::Quantize(_))).last().unwrap();
    assert_eq!(g.node(last).loc.path.as_deref(), Some("fc"));
    assert_eq!(g.node(last).loc.call, None, "nobody calls it");
}

fn xnnpack(per_channel: bool, dynamic: bool) -> XnnpackQuantizer {
    XnnpackQuantizer::new().set_global(XnnpackConfig::symmetric(per_channel, dynamic).unwrap())
}

/// T201: counts of `quantize` and `dequantize` (weights included) for convolutions, linear layers and what shares.
#[test]
fn xnnpack_layers() {
    let conv1d = "  %w = const {data=rand(1)} : f32[4,3,3]\n  %c = conv1d %x, %w : f32[1,4,6]";
    let (g, _) = converted(graph("%x: f32[1,3,8]", conv1d, "%c"), &xnnpack(true, false));
    assert_eq!(counts(&g), (2, 3));
    let relu = "  %w = const {data=rand(1)} : f32[4,4]\n  %a = linear %x, %w : f32[2,3,4]\n  %r = relu %a : f32[2,3,4]";
    let (g, _) = converted(graph("%x: f32[2,3,4]", relu, "%r"), &xnnpack(true, false));
    assert_eq!(counts(&g), (2, 3), "linear and relu are one");
    let two = "  %w = const {data=rand(1)} : f32[4,4]\n  %v = const {data=rand(2)} : f32[4,4]\n  \
               %a = linear %x, %w : f32[2,4]\n  %b = linear %a, %v : f32[2,4]";
    let (g, _) = converted(graph("%x: f32[2,4]", two, "%b"), &xnnpack(true, false));
    assert_eq!(counts(&g), (3, 5));
    let sharing = "  %w = const {data=rand(1)} : f32[4,3,1,1]\n  %c = conv2d %x, %w : f32[1,4,8,8]\n  \
                   %p = avg_pool %c {kernel=2, stride=2} : f32[1,4,4,4] by \"nn.AdaptiveAvgPool2d\"\n  \
                   %h = clip %p {min=-1.0, max=1.0} : f32[1,4,4,4] by \"nn.Hardtanh\"\n  \
                   %m = mean %h {axes=[2,3]} : f32[1,4] by \".mean\"";
    let (g, _) = converted(graph("%x: f32[1,3,8,8]", sharing, "%m"), &xnnpack(true, false));
    assert_eq!(counts(&g), (5, 6));
}

/// T202: settings for modules by name and by class, the name first.
#[test]
fn xnnpack_modules() {
    let text = "qir 1 float\nmodule @sub = \"my.Sub\"\nmodule @sub.fc = \"nn.Linear\"\nmodule @sub_fc = \"nn.Linear\"\n\
        graph @main(%x: f32[2,4]) {\n  %w = const {data=rand(1)} : f32[4,4]\n  \
        %a = linear %x, %w : f32[2,4] @sub.fc by \"nn.Linear\"\n  %b = linear %a, %w : f32[2,4] @sub_fc by \"nn.Linear\"\n  \
        return %b\n}\n";
    let config = || Some(XnnpackConfig::symmetric(false, false).unwrap());
    let which = |q: XnnpackQuantizer| {
        let mut g = text::parse(text).unwrap();
        prepare_pt2e(&mut g, &q).unwrap();
        let mut of: Vec<String> = observers(&g).into_iter().map(|(v, _)| v).filter(|v| v != "w").collect();
        of.sort();
        of
    };
    assert_eq!(which(XnnpackQuantizer::new().set_module_name("sub", config())), ["a", "x"]);
    assert_eq!(which(XnnpackQuantizer::new().set_module_name("sub_fc", config())), ["a", "b"]);
    assert_eq!(which(XnnpackQuantizer::new().set_module_type("my.Sub", config())), ["a", "x"]);
    let all = XnnpackQuantizer::new().set_module_type("torch.nn.Linear", config());
    assert_eq!(which(all.clone()), ["a", "b", "x"]);
    assert_eq!(which(all.set_module_name("sub", None)), ["a", "b"]);
}

/// T203: moves pass quantization on, a slice does not; huge constants and integers stay.
#[test]
fn xnnpack_rules() {
    let lines = "  %w = const {data=rand(1)} : f32[4,3,1,1]\n  %c = conv2d %x, %w : f32[1,4,2,2]\n  \
                 %v = reshape %c {shape=[1,16]} : f32[1,16] by \".view\"\n  \
                 %h = clip %v {min=-1.0, max=1.0} : f32[1,16] by \"F.hardtanh\"\n  \
                 %s = slice %h {axis=1, end=8} : f32[1,8] by \"operator.getitem\"";
    let mut g = graph("%x: f32[1,3,2,2]", lines, "%s");
    prepare_pt2e(&mut g, &xnnpack(false, false)).unwrap();
    let of = |v: &str| observers(&g).into_iter().find(|(n, _)| n == v).map(|(_, o)| o);
    assert_eq!(of("c"), of("v"));
    assert_eq!(of("c"), of("h"));
    assert_eq!(of("s"), None);
    let scalars =
        "  %k = const {data=splat(2.0)} : f32[]\n  %a = add %x, %k : f32[4]\n  %m = mul %a, %k : f32[4]";
    let (g, _) = converted(graph("%x: f32[4]", scalars, "%m"), &xnnpack(false, false));
    assert_eq!(counts(&g).0, 3, "the input and both results; constants are folded");
    let huge = "  %k = const {data=splat(-3.4e38)} : f32[]\n  %m = mul %x, %k : f32[4]";
    assert_eq!(counts(&converted(graph("%x: f32[4]", huge, "%m"), &xnnpack(false, false)).0), (0, 0));
    let ints = "  %a = add %i, %i : i64[4]\n  %m = mul %a, %i : i64[4]";
    assert_eq!(counts(&converted(graph("%i: i64[4]", ints, "%m"), &xnnpack(false, false)).0), (0, 0));
    let same = "  %j = concat %x, %x {axis=0} : f32[8]";
    let mut g = graph("%x: f32[4]", same, "%j");
    prepare_pt2e(&mut g, &xnnpack(false, false)).unwrap();
    assert_eq!(g.observers.len(), 1);
}

/// T204: dynamic quantization of linear layers, and nothing else.
#[test]
fn xnnpack_dynamic() {
    let lines = "  %k = const {data=rand(1)} : f32[4,3,1,1]\n  %c = conv2d %x, %k : f32[1,4,2,2]\n  \
                 %v = reshape %c {shape=[4,4]} : f32[4,4]\n  %w = const {data=rand(2)} : f32[3,4]\n  \
                 %y = linear %v, %w : f32[4,3]";
    let mut g = graph("%x: f32[1,3,2,2]", lines, "%y");
    prepare_pt2e(&mut g, &xnnpack(true, true)).unwrap();
    let mut of: Vec<String> = observers(&g).into_iter().map(|(v, _)| v).collect();
    of.sort();
    assert_eq!(of, ["v", "w"]);
    assert!(g.observers.values().any(|o| o.dynamic));
}

fn x86() -> X86InductorQuantizer {
    X86InductorQuantizer::new().set_global(X86InductorConfig::new(false, false).unwrap())
}

/// T205: only inputs of layers are quantized; the other operand of a sum behind a convolution is, too.
#[test]
fn x86_inductor_recipes() {
    let conv = "  %w = const {data=rand(1)} : f32[3,3,1,1]\n  %c = conv2d %x, %w : f32[1,3,8,8]";
    let inputs = "%x: f32[1,3,8,8]";
    assert_eq!(counts(&converted(graph(inputs, conv, "%c"), &x86()).0), (1, 2));
    let add = format!("{conv}\n  %r = relu %x : f32[1,3,8,8]\n  %s = add %c, %r : f32[1,3,8,8]");
    assert_eq!(counts(&converted(graph(inputs, &add, "%s"), &x86()).0), (2, 3));
    let pool = format!(
        "{conv}\n  %r = relu %c : f32[1,3,8,8]\n  %p = max_pool %r {{kernel=2, stride=2}} : f32[1,3,4,4]"
    );
    assert_eq!(counts(&converted(graph(inputs, &pool, "%p"), &x86()).0), (3, 4));
    let linear =
        "  %w = const {data=rand(1)} : f32[4,4]\n  %a = linear %x, %w : f32[2,4]\n  %g = gelu %a : f32[2,4]";
    assert_eq!(counts(&converted(graph("%x: f32[2,4]", linear, "%g"), &x86()).0), (1, 2));
    let none = x86().set_function_type_qconfig("linear", None);
    assert_eq!(counts(&converted(graph("%x: f32[2,4]", linear, "%g"), &none).0), (0, 0));
    let mixed = x86().set_module_name_qconfig("fc", Some(X86InductorConfig::new(true, false).unwrap()));
    let at = linear.replace("linear %x, %w : f32[2,4]", "linear %x, %w : f32[2,4] @fc");
    assert_eq!(
        counts(&converted(graph("%x: f32[2,4]", &at, "%g"), &mixed).0),
        (0, 0),
        "static and dynamic do not mix"
    );
    let matmul = "  %m = matmul %x, %y : f32[2,2]";
    let attention =
        x86().set_function_type_qconfig("matmul", Some(X86InductorConfig::new(false, false).unwrap()));
    let inputs = "%x: f32[2,4], %y: f32[4,2]";
    assert_eq!(counts(&converted(graph(inputs, matmul, "%m"), &attention).0), (2, 2));
    assert_eq!(counts(&converted(graph(inputs, matmul, "%m"), &x86()).0), (0, 0));
}

/// The converted graph runs, and its result is near the float one.
#[test]
fn converted_graphs_run() {
    let lines =
        "  %w = const {data=rand(1)} : f32[4,4]\n  %a = linear %x, %w : f32[2,4]\n  %r = relu %a : f32[2,4]";
    let float = graph("%x: f32[2,4]", lines, "%r");
    let (g, _) = converted(float.clone(), &xnnpack(true, false));
    let x = Tensor::f32(&[2, 4], (0..8).map(|i| i as f32 / 8.0 - 0.4).collect());
    let a = run(&float, std::slice::from_ref(&x), &mut ()).unwrap();
    let b = run(&g, &[x], &mut ()).unwrap();
    let (a, b) = (a[0].data::<f32>().unwrap(), b[0].data::<f32>().unwrap());
    for (a, b) in a.iter().zip(b.iter()) {
        assert!((a - b).abs() < 0.05, "{a} {b}");
    }
}
