//! What PyTorch's default qconfigs make of small graphs under PyTorch's rules.

use quantir_ir::ops::Observe;
use quantir_ir::text::parse_example;
use quantir_ir::{Graph, ObserverSpec};
use quantir_passes::fx::{PrepareCustomConfig, prepare_fx};
use quantir_quant::defaults::*;
use quantir_quant::{BackendConfig, QConfig, QConfigMapping};

fn prepared(text: &str, mapping: &QConfigMapping, backend: &str) -> Graph {
    let mut g = parse_example(text).unwrap_or_else(|d| panic!("{d:?}"));
    let backend = BackendConfig::named(backend).unwrap();
    prepare_fx(&mut g, mapping, &backend, &PrepareCustomConfig::default()).unwrap_or_else(|e| panic!("{e}"));
    g
}

/// The declarations of observers of activations, and of constants.
fn observers(g: &Graph) -> (Vec<&ObserverSpec>, Vec<&ObserverSpec>) {
    let (mut activations, mut constants) = (Vec::new(), Vec::new());
    for n in g.nodes() {
        if let Some(o) = g.get::<Observe>(n) {
            let into = if g.is_const(o.x) { &mut constants } else { &mut activations };
            into.push(&g.observers[&o.op.by.0]);
        }
    }
    (activations, constants)
}

const LINEAR_RELU: &str = "input %x: f32[2,4]
    %w = const {data=rand(1)} : f32[3,4]
    %l = linear %x, %w : f32[2,3] @fc by \"nn.Linear\"
    %r = relu %l : f32[2,3] @act by \"nn.ReLU\"";

/// T59: an input, a weight and a result, by moving averages.
#[test]
fn training_observes_a_linear_layer_in_three_places() {
    for (backend, range) in [("fbgemm", (0, 127)), ("qnnpack", (0, 255))] {
        let g = prepared(LINEAR_RELU, &get_default_qat_qconfig_mapping(backend).unwrap(), backend);
        let (activations, weights) = observers(&g);
        assert_eq!((activations.len(), weights.len()), (2, 1));
        assert!(activations.iter().all(|o| o.kind == "moving_average" && o.range == range));
        assert_eq!(
            (weights[0].kind.as_str(), weights[0].axis.is_some()),
            ("moving_average", backend == "fbgemm")
        );
    }
}

/// T88: every activation has the range that the back end's sums allow.
#[test]
fn default_mappings_give_every_activation_the_back_ends_range() {
    let text = "input %x: f32[1,4,6,6]
        %w = const {data=rand(1)} : f32[4,4,3,3]
        %c = conv2d %x, %w : f32[1,4,4,4] @conv by \"nn.Conv2d\"
        %t = const {data=rand(2)} : f32[4,4,2,2]
        %u = conv_transpose2d %c, %t : f32[1,4,5,5] @up by \"nn.ConvTranspose2d\"
        %v = const {data=rand(3)} : f32[4,4,3,3]
        %d = conv2d %u, %v : f32[1,4,3,3] @f by \"F.conv2d\"";
    for (backend, range) in [("fbgemm", (0, 127)), ("qnnpack", (0, 255))] {
        for m in [get_default_qconfig_mapping(backend), get_default_qat_qconfig_mapping(backend)] {
            let g = prepared(text, &m.unwrap(), backend);
            let (activations, weights) = observers(&g);
            assert_eq!((activations.len(), weights.len()), (4, 3));
            assert!(activations.iter().all(|o| o.range == range), "{backend}");
        }
    }
}

/// T73: which parts of a linear layer with a relu are quantized follows from the qconfigs of all.
#[test]
fn rules_for_parts_decide_about_a_fused_module() {
    let q = || Some(default_qconfig());
    let of = |global: Option<QConfig>, linear: Option<Option<QConfig>>, relu: Option<Option<QConfig>>| {
        let mut m = QConfigMapping::new();
        m.set_global(global);
        linear.map(|q| m.set_object_type("nn.Linear", q).global().is_some());
        relu.map(|q| m.set_object_type("nn.ReLU", q).global().is_some());
        let g = prepared(LINEAR_RELU, &m, "native");
        let (activations, weights) = observers(&g);
        (activations.len(), weights.len())
    };
    assert_eq!(of(q(), None, None), (2, 1));
    assert_eq!(of(None, Some(q()), Some(q())), (2, 1));
    assert_eq!(of(None, None, None), (0, 0));
    assert_eq!(of(q(), Some(q()), Some(q())), (2, 1));
}

/// T77: one value, observed for each of two qconfigs that use it.
#[test]
fn two_qconfigs_for_one_value_observe_it_twice() {
    let text = "input %x: f32[2,4]
        %w = const {data=rand(1)} : f32[3,4]
        %a = linear %x, %w : f32[2,3] @a by \"nn.Linear\"
        %v = const {data=rand(2)} : f32[3,4]
        %b = linear %x, %v : f32[2,3] @b by \"nn.Linear\"
        %s = sub %a, %b : f32[2,3] by \"torch.sub\"";
    let mut m = QConfigMapping::new();
    m.set_module_name("a", Some(default_qconfig())).set_module_name("b", Some(default_dynamic_qconfig()));
    let g = prepared(text, &m, "native");
    let of_input = g.nodes().filter_map(|n| g.get::<Observe>(n)).filter(|o| !g.is_const(o.x));
    let mut kinds: Vec<String> = of_input
        .filter(|o| g.name_of(o.x).starts_with('x') || g.observers[&o.op.by.0].dynamic)
        .map(|o| g.observers[&o.op.by.0].kind.clone())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["minmax", "placeholder"]);
}

/// T78: a reshape takes the parameters of its input.
#[test]
fn a_reshape_shares_the_observer_of_its_input() {
    let text = "input %x: f32[1,3,4,4]
        %w = const {data=rand(1)} : f32[2,3,3,3]
        %c = conv2d %x, %w : f32[1,2,2,2] @conv by \"nn.Conv2d\"
        %r = reshape %c {shape=[1,8]} : f32[1,8] by \".reshape\"";
    let g = prepared(text, &get_default_qconfig_mapping("x86").unwrap(), "x86");
    let names: Vec<&str> = g
        .nodes()
        .filter_map(|n| g.get::<Observe>(n))
        .filter(|o| !g.is_const(o.x))
        .map(|o| &*o.op.by.0)
        .collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[1], names[2]);
    assert_ne!(names[0], names[1]);
}
