//! Fusion and observers by a back end's patterns (PyTorch's `fuse_fx` and `prepare_fx`), on small graphs; meaning is compared.

use quantir_ir::text::{parse, print};
use quantir_ir::{Diag, Graph, interp, verify};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::check::{bind_symbols, seeded_inputs};
use quantir_passes::fx::{ConvertCustomConfig, PrepareCustomConfig, convert_fx, fuse_fx, prepare_fx};
use quantir_passes::prepare::PrepareReport;
use quantir_quant::backend::{
    BackendConfig, BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints, FuserMethod,
};
use quantir_quant::{QConfig, QConfigMapping};

/// A graph whose lines are `body`; `{bn}` writes the parameters of a batch norm of four features.
fn graph(inputs: &str, body: &str, output: &str) -> Graph {
    let bn = "  %bn.g = const {data=rand(11)} : f32[4] @bn\n  %bn.b = const {data=rand(12)} : f32[4] @bn\n  \
              %bn.m = const {data=rand(13)} : f32[4] @bn\n  %bn.v = const {data=[0.5,1.0,2.0,4.0]} : f32[4] @bn\n";
    let body = body.replace("{bn}\n", bn);
    let text = format!("qir 1 float\ngraph @main({inputs}) {{\n{body}  return %{output}\n}}\n");
    parse(&text).unwrap_or_else(|d| panic!("{}\n{text}", d.iter().map(Diag::to_string).collect::<String>()))
}

/// Fuses, compares the meaning, and gives the calls that were made.
fn fused(g: &Graph, backend: &BackendConfig) -> Vec<(String, Vec<String>)> {
    let mut after = g.clone();
    let calls = fuse_fx(&mut after, backend).unwrap_or_else(|e| panic!("{e}"));
    let wrong = verify::verify(&after);
    assert!(wrong.is_empty(), "{}", print(&after));
    let inputs = seeded_inputs(g, &bind_symbols(g, 0), 1).unwrap();
    let run = |g: &Graph| interp::run(g, &inputs, &mut ()).unwrap_or_else(|e| panic!("{e}\n{}", print(g)));
    for (a, b) in run(g).iter().zip(&run(&after)) {
        for (x, y) in a.floats().unwrap().iter().zip(b.floats().unwrap().iter()) {
            assert!((x - y).abs() <= 1e-4 * x.abs().max(1.0), "{x} {y}\n{}", print(&after));
        }
    }
    calls.into_iter().map(|c| (c.call.to_string(), c.members)).collect()
}

fn classes(g: &Graph, backend: &str) -> Vec<String> {
    fused(g, &BackendConfig::named(backend).unwrap()).into_iter().map(|(class, _)| class).collect()
}

fn conv(rank: usize, act: &str) -> Graph {
    let (x, y) = (vec!["6"; rank].join(","), vec!["5"; rank].join(","));
    let k = vec!["2"; rank].join(",");
    let body = format!(
        "  %w = const {{data=rand(1)}} : f32[4,3,{k}] @conv\n{{bn}}\n  %c = conv{rank}d %x, %w : f32[1,4,{y}] @conv by \
         \"nn.Conv{rank}d\"\n  %n = batch_norm %c, %bn.g, %bn.b, %bn.m, %bn.v : f32[1,4,{y}] @bn by \"nn.BatchNorm{rank}d\"\n  \
         %r = {act} %n : f32[1,4,{y}] @act by \"{}\"\n",
        if act == "relu" { "nn.ReLU" } else { "nn.Hardswish" }
    );
    graph(&format!("%x: f32[1,3,{x}]"), &body, "r")
}

/// T90: convolution, batch norm and relu become one class; a batch norm alone is folded away.
#[test]
fn convolutions_take_batch_norms_and_relus() {
    for rank in 1..=3 {
        assert_eq!(classes(&conv(rank, "relu"), "native"), [format!("nn.intrinsic.ConvReLU{rank}d")]);
        assert_eq!(classes(&conv(rank, "hard_swish"), "native"), [format!("nn.Conv{rank}d")]);
    }
}

fn linear(after: &str, call: &str, with_bn: bool) -> Graph {
    let bn = "{bn}\n  %n = batch_norm %l, %bn.g, %bn.b, %bn.m, %bn.v : f32[2,4] @bn by \"nn.BatchNorm1d\"\n";
    let (bn, x) = if with_bn { (bn, "n") } else { ("", "l") };
    let body = format!(
        "  %w = const {{data=rand(1)}} : f32[4,3] @fc\n  %l = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"\n{bn}  \
         %r = {after} %{x} : f32[2,4] @act by \"{call}\"\n"
    );
    graph("%x: f32[2,3]", &body, "r")
}

/// T91: a batch norm is folded into a linear layer, and the relu after it stays on its own.
#[test]
fn linear_layers_take_batch_norms_or_relus() {
    assert_eq!(classes(&linear("relu", "nn.ReLU", true), "native"), ["nn.Linear"]);
    assert_eq!(classes(&linear("relu", "nn.ReLU", false), "native"), ["nn.intrinsic.LinearReLU"]);
    assert_eq!(classes(&linear("relu", "F.relu", false), "native"), ["nn.intrinsic.LinearReLU"]);
}

/// T92: transposed convolutions of every rank, and with groups, which PyTorch cannot fold.
#[test]
fn transposed_convolutions_take_batch_norms() {
    for (rank, groups) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)] {
        let dims = |n: &str| vec![n; rank].join(",");
        let body = format!(
            "  %w = const {{data=rand(1)}} : f32[6,{},{}] @conv\n{{bn}}\n  %c = conv_transpose{rank}d %x, %w {{groups={groups}}} : \
             f32[1,4,{}] @conv by \"nn.ConvTranspose{rank}d\"\n  %n = batch_norm %c, %bn.g, %bn.b, %bn.m, %bn.v : f32[1,4,{}] \
             @bn by \"nn.BatchNorm{rank}d\"\n",
            4 / groups,
            dims("2"),
            dims("4"),
            dims("4")
        )
        .replace(" {groups=1}", "");
        let g = graph(&format!("%x: f32[1,6,{}]", dims("3")), &body, "n");
        assert_eq!(classes(&g, "native"), [format!("nn.ConvTranspose{rank}d")]);
    }
}

/// T93: `torch.relu`, a relu before a batch norm, and a convolution with another user are not fused.
#[test]
fn what_is_not_listed_is_not_fused() {
    let head = "  %w = const {data=rand(1)} : f32[4,3,2,2] @conv\n  %c = conv2d %x, %w : f32[1,4,5,5] @conv by \"nn.Conv2d\"\n";
    let relu = |call: &str| format!("  %r = relu %c : f32[1,4,5,5] by \"{call}\"\n");
    let of = |body: &str, out: &str| classes(&graph("%x: f32[1,3,6,6]", body, out), "native");
    assert_eq!(of(&format!("{head}{}", relu("F.relu")), "r"), ["nn.intrinsic.ConvReLU2d"]);
    assert!(of(&format!("{head}{}", relu("torch.relu")), "r").is_empty());
    assert!(of(&format!("{head}{}", relu(".relu")), "r").is_empty());
    assert!(of(&format!("{head}{}", relu("nn.ReLU")), "r, %c").is_empty());
    let bn =
        "{bn}\n  %n = batch_norm %r, %bn.g, %bn.b, %bn.m, %bn.v : f32[1,4,5,5] @bn by \"nn.BatchNorm2d\"\n";
    assert_eq!(of(&format!("{head}{}{bn}", relu("nn.ReLU")), "n"), ["nn.intrinsic.ConvReLU2d"]);
}

/// T94, T95: leaky relu and tanh are fused into linear layers for oneDNN and nowhere else.
#[test]
fn linear_layers_take_leaky_relu_and_tanh_for_onednn() {
    for (op, call, with_bn, class) in [
        ("leaky_relu", "nn.LeakyReLU", false, "nn.intrinsic.LinearLeakyReLU"),
        ("leaky_relu", "nn.LeakyReLU", true, "nn.intrinsic.LinearLeakyReLU"),
        ("tanh", "nn.Tanh", false, "nn.intrinsic.LinearTanh"),
        ("tanh", "torch.tanh", false, "nn.intrinsic.LinearTanh"),
    ] {
        let g = linear(op, call, with_bn);
        assert_eq!(classes(&g, "onednn"), [class]);
        assert_eq!(classes(&g, "native"), vec!["nn.Linear"; usize::from(with_bn)]);
    }
}

/// T96: a sum is fused into the convolution on either side of it for oneDNN.
#[test]
fn convolutions_take_sums_for_onednn() {
    for operands in ["%n, %y", "%y, %n"] {
        let body = format!(
            "  %w = const {{data=rand(1)}} : f32[4,3,2,2] @conv\n{{bn}}\n  %c = conv2d %x, %w : f32[1,4,5,5] @conv by \
             \"nn.Conv2d\"\n  %n = batch_norm %c, %bn.g, %bn.b, %bn.m, %bn.v : f32[1,4,5,5] @bn by \"nn.BatchNorm2d\"\n  \
             %s = add {operands} : f32[1,4,5,5] by \"operator.add\"\n  %r = relu %s : f32[1,4,5,5] @act by \"nn.ReLU\"\n"
        );
        let g = graph("%x: f32[1,3,6,6], %y: f32[1,4,5,5]", &body, "r");
        assert_eq!(classes(&g, "onednn"), ["nn.intrinsic.ConvAddReLU2d"]);
        assert_eq!(classes(&g, "native"), ["nn.Conv2d"]);
    }
}

/// T98, T99: a fusion of the user's own, with another value as its second input.
#[test]
fn a_pattern_of_ones_own_is_fused() {
    let body = "  %w = const {data=rand(1)} : f32[4,3] @fc\n  %l = linear %x, %w : f32[2,4] @fc by \"nn.Linear\"\n  \
                %r = relu %l : f32[2,4] @act by \"nn.ReLU\"\n";
    let own = BackendPatternConfig::new(["nn.Linear", "nn.ReLU"])
        .set_fuser_method(FuserMethod::Sequential)
        .set_fused_module("my.LinearReLU");
    let backend = BackendConfig::new("mine").set_backend_pattern_config(own);
    let members = vec!["nn.Linear".to_string(), "nn.ReLU".to_string()];
    assert_eq!(fused(&graph("%x: f32[2,3]", body, "r"), &backend), [("my.LinearReLU".to_string(), members)]);
}

fn prepared(g: &Graph, backend: &BackendConfig, q: &QConfig) -> PrepareReport {
    let mut g = g.clone();
    let mut mapping = QConfigMapping::new();
    mapping.set_global(Some(q.clone()));
    prepare_fx(&mut g, &mapping, backend, &PrepareCustomConfig::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn q(activation: &str) -> QConfig {
    QConfig { activation: activation.parse().unwrap(), weight: "minmax i8 symmetric".parse().unwrap() }
}

fn tanh() -> Graph {
    graph("%x: f32[2,3]", "  %t = tanh %x : f32[2,3] @act by \"nn.Tanh\"\n", "t")
}

/// T82: a back end of one's own that wants `qint8` in and out of tanh, with parameters of its choice.
#[test]
fn fixed_parameters_follow_the_back_end() {
    let ends = DTypeWithConstraints::new(DType::QInt8).range(-128, 127).exactly(1.0 / 128.0, 0);
    let backend = BackendConfig::new("mine").set_backend_pattern_config(
        BackendPatternConfig::new("nn.Tanh").add_dtype_config(DTypeConfig::new(ends, ends)),
    );
    assert_eq!(prepared(&tanh(), &backend, &q("fixed(0.0078125,0) i8")).quantized, 1);
    for other in ["fixed(0.0078125,128) u8", "fixed(0.5,0) i8", "minmax i8"] {
        assert_eq!(prepared(&tanh(), &backend, &q(other)).quantized, 0, "{other}");
    }
}

/// T83: with an observer of its own range tanh stays float, and the report says what would help.
#[test]
fn the_report_says_why_an_op_stays_float() {
    let report = prepared(&tanh(), &BackendConfig::native(), &q("histogram u8"));
    assert_eq!(report.quantized, 0);
    let text = report.to_string();
    assert!(text.contains("fixed(0.0078125,128) u8"), "{text}");
    let signed = prepared(
        &linear("relu", "nn.ReLU", false),
        &BackendConfig::named("fbgemm").unwrap(),
        &q("minmax i8"),
    );
    let text = signed.to_string();
    assert!(text.contains("the qconfig has qint8 for the input, the back end wants quint8"), "{text}");
}

/// T97: rules for both classes of a fused pair, and nothing for the rest: the pair is fused and quantized. T72: if they
/// differ, it is an error.
#[test]
fn rules_for_members_of_a_fusion_speak_of_the_fused_call() {
    let g = linear("relu", "nn.ReLU", false);
    let backend = BackendConfig::named("fbgemm").unwrap();
    let prepare = |linear: &QConfig, relu: &QConfig| {
        let mut mapping = QConfigMapping::new();
        mapping.set_global(None);
        mapping.set_object_type("nn.Linear", Some(linear.clone()));
        mapping.set_object_type("nn.ReLU", Some(relu.clone()));
        prepare_fx(&mut g.clone(), &mapping, &backend, &PrepareCustomConfig::default())
    };
    let (one, other) = (q("histogram u8"), q("minmax u8[0:127]"));
    let report = prepare(&one, &one).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.quantized, report.float.len()), (1, 0), "{report}");
    assert!(prepare(&one, &other).is_err());
}

/// T102: what a back end fuses and does not quantize stays one call in float.
#[test]
fn fused_calls_may_stay_float() {
    let fusion = BackendPatternConfig::new(["nn.Linear", "nn.ReLU"])
        .set_fuser_method(FuserMethod::Sequential)
        .set_fused_module("nn.intrinsic.LinearReLU");
    let backend = BackendConfig::new("float").set_backend_pattern_config(fusion);
    let mut g = linear("relu", "nn.ReLU", false);
    let mut mapping = QConfigMapping::new();
    mapping.set_global(Some(q("histogram u8")));
    let report = prepare_fx(&mut g, &mapping, &backend, &PrepareCustomConfig::default()).unwrap();
    assert_eq!(report.quantized, 0);
    let text = print(&g);
    assert!(text.contains("{act=relu}") && text.contains("by \"nn.intrinsic.LinearReLU\""), "{text}");
    assert!(!text.contains("= observe "), "{text}");
}

/// T103: a layer with a bias keeps its names, and a chain of fusions means what it meant.
#[test]
fn chains_of_fusions_keep_names_and_meaning() {
    let body = "  %w = const {data=rand(1)} : f32[4,3,2,2] @conv\n  %cb = const {data=rand(2)} : f32[4] @conv\n{bn}\n  \
                %c = conv2d %x, %w, %cb : f32[1,4,5,5] @conv by \"nn.Conv2d\"\n  \
                %n = batch_norm %c, %bn.g, %bn.b, %bn.m, %bn.v : f32[1,4,5,5] @bn by \"nn.BatchNorm2d\"\n  \
                %r = relu %n : f32[1,4,5,5] @act by \"nn.ReLU\"\n  %w2 = const {data=rand(3)} : f32[2,4,1,1] @head\n  \
                %h = conv2d %r, %w2 : f32[1,2,5,5] @head by \"nn.Conv2d\"\n  \
                %y = relu %h : f32[1,2,5,5] by \"F.relu\"\n";
    let g = graph("%x: f32[1,3,6,6]", body, "y");
    assert_eq!(classes(&g, "native"), ["nn.intrinsic.ConvReLU2d"; 2]);
    let mut after = g.clone();
    fuse_fx(&mut after, &BackendConfig::native()).unwrap();
    let text = print(&after);
    for name in ["%w = const", "%cb = const", "@conv by \"nn.intrinsic.ConvReLU2d\"", "@head by"] {
        assert!(text.contains(name), "{name}\n{text}");
    }
}

/// T109: convolution, batch norm and relu are one integer op in the end, with one quantize and one dequantize.
#[test]
fn fused_calls_become_one_integer_op() {
    for (g, op) in [
        (conv(1, "relu"), "qconv1d"),
        (conv(2, "relu"), "qconv2d"),
        (conv(3, "relu"), "qconv3d"),
        (linear("relu", "nn.ReLU", false), "qlinear"),
    ] {
        let mut observed = g.clone();
        let mut mapping = QConfigMapping::new();
        mapping.set_global(Some(q("histogram u8")));
        let backend = BackendConfig::named("fbgemm").unwrap();
        prepare_fx(&mut observed, &mapping, &backend, &PrepareCustomConfig::default()).unwrap();
        let batch = seeded_inputs(&g, &bind_symbols(&g, 0), 1);
        let calibration = calibrate_by_interpreter(&observed, vec![Ok(batch.unwrap())], 1).unwrap();
        convert_fx(&mut observed, &calibration, &ConvertCustomConfig::default())
            .unwrap_or_else(|e| panic!("{e}"));
        let names: Vec<&str> =
            observed.nodes().map(|n| observed.op(n).name()).filter(|n| *n != "const").collect();
        assert_eq!(names, ["quantize", op, "dequantize"], "{}", print(&observed));
    }
}
