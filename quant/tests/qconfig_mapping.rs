//! Mappings: setters, precedence, defaults and what is refused.

use quantir_ir::Storage;
use quantir_quant::defaults::*;
use quantir_quant::{Error, ObserverTemplate, OpRef, QConfig, QConfigDict, QConfigMapping, Rule};

fn labelled(label: u8) -> Option<QConfig> {
    let mut q = QConfig::minmax();
    q.activation = q.activation.range(0, i64::from(label));
    Some(q)
}

fn label(q: &Option<QConfig>) -> Option<i64> {
    q.as_ref().map(|q| q.activation.range.1)
}

/// T63
#[test]
fn setters_hold_what_was_given_in_order_and_the_later_one_counts() {
    let mut m = QConfigMapping::new();
    m.set_global(labelled(1))
        .set_object_type("nn.Conv2d", labelled(2))
        .set_object_type(".reshape", labelled(3));
    m.set_object_type("nn.Conv2d", labelled(4)).set_object_type("nn.Linear", None);
    m.set_module_name_regex("a.*", labelled(5)).unwrap().set_module_name("a.b", labelled(6));
    m.set_module_name_object_type_order("a", "nn.Linear", 0, None);
    let d = m.to_dict();
    assert_eq!(label(&d.global.unwrap()), Some(1));
    let types: Vec<_> = d.object_type.iter().map(|(t, q)| (t.as_str(), label(q))).collect();
    assert_eq!(types, [("nn.Conv2d", Some(4)), (".reshape", Some(3)), ("nn.Linear", None)]);
    assert_eq!(d.module_name_regex.len() + d.module_name.len() + d.module_name_object_type_order.len(), 3);
    assert!(m.set_module_name_regex("(", None).is_err());
}

/// T64
#[test]
fn dictionaries_and_recipes_round_trip() {
    let dict = QConfigDict {
        global: Some(labelled(1)),
        object_type: vec![("nn.Linear".into(), labelled(2)), ("F.relu".into(), None)],
        module_name_regex: vec![("block.*".into(), labelled(3))],
        module_name: vec![("head".into(), None)],
        module_name_object_type_order: vec![(("block".into(), "torch.add".into(), 1), labelled(4))],
    };
    let m = QConfigMapping::from_dict(dict.clone()).unwrap();
    assert_eq!(m.to_dict(), dict);
    assert_eq!(QConfigMapping::from_toml(&m.to_toml()).unwrap(), m);
    for name in QConfigMapping::NAMES {
        let m = QConfigMapping::named(name).unwrap();
        assert_eq!(QConfigMapping::from_toml(&m.to_toml()).unwrap(), m, "{name}");
        m.check().unwrap();
    }
}

/// T65
#[test]
fn the_global_rule_of_a_default_mapping_can_be_replaced() {
    let before = get_default_qconfig_mapping("x86").unwrap();
    let mut m = before.clone();
    m.set_global(labelled(9));
    assert_eq!(label(m.global().unwrap()), Some(9));
    assert_eq!(m.to_dict().object_type, before.to_dict().object_type);
}

/// T66
#[test]
fn module_name_beats_regex_beats_type_beats_global() {
    let mut m = QConfigMapping::new();
    m.set_global(labelled(1)).set_object_type("torch.nn.Conv2d", labelled(2));
    m.set_module_name_regex("module_conv*", labelled(3)).unwrap();
    m.set_module_name("module_conv2", labelled(4));
    let ops = [
        ("linear", "nn.Linear"),
        ("conv", "nn.Conv2d"),
        ("module_conv1", "nn.Conv2d"),
        ("module_conv2", "nn.Conv2d"),
    ]
    .map(|(path, class)| OpRef::module("", path, class));
    let labels: Vec<_> = m.resolve(&ops).iter().map(|r| label(&r.qconfig)).collect();
    assert_eq!(labels, [Some(1), Some(2), Some(3), Some(4)]);
}

/// The calls of a model of three levels, each with two `Linear`s, an addition and the next level: as the first level is called.
fn nested() -> Vec<OpRef<'static>> {
    let mut ops = Vec::new();
    for (path, scope, fc1, fc2) in [
        ("", None, "fc1", "fc2"),
        ("m2", Some("my.M2"), "m2.fc1", "m2.fc2"),
        ("m2.m1", Some("my.M1"), "m2.m1.fc1", "m2.m1.fc2"),
    ] {
        ops.push(OpRef::module("linear", fc1, "nn.Linear"));
        ops.push(OpRef::module("linear", fc2, "nn.Linear"));
        ops.push(OpRef::function("add", path, "torch.add", scope));
        ops.push(OpRef::function("add", path, "torch.add", scope));
        ops.push(OpRef::function("reshape", path, ".reshape", scope));
    }
    ops
}

/// T67
#[test]
fn calls_are_counted_in_their_module_by_type() {
    let mut m = QConfigMapping::new();
    for (path, t, index) in [
        ("", "torch.nn.Linear", 0),
        ("", "torch.add", 0),
        ("m2", "nn.Linear", 1),
        ("m2", "torch.add", 1),
        ("m2.m1", "nn.Linear", 0),
        ("m2.m1", "torch.add", 0),
        // Methods are not counted.
        ("m2", "method:reshape", 0),
    ] {
        m.set_module_name_object_type_order(path, t, index, labelled(7));
    }
    let ops = nested();
    let chosen: Vec<usize> =
        m.resolve(&ops).iter().enumerate().filter(|(_, r)| r.qconfig.is_some()).map(|(i, _)| i).collect();
    assert_eq!(chosen, [0, 2, 6, 8, 10, 12]);
    let warnings = m.unmatched(&ops);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("no `.reshape` number 0"), "{}", warnings[0].message);
}

/// T68
#[test]
fn types_are_classes_functions_and_methods_in_any_spelling() {
    let mut m = QConfigMapping::new();
    m.set_global(labelled(1)).set_object_type("torch.nn.modules.linear.Linear", None);
    m.set_object_type("torch._C._nn.gelu", labelled(2)).set_object_type("torch.conv2d", labelled(3));
    m.set_object_type("torch.Tensor.reshape", labelled(4)).set_object_type("my.M1", labelled(5));
    let ops = [
        OpRef::module("linear", "fc", "nn.Linear"),
        OpRef::function("gelu", "", "F.gelu", None),
        OpRef::function("conv2d", "", "F.conv2d", None),
        OpRef::function("reshape", "", ".reshape", None),
        OpRef::function("add", "m1", "torch.add", Some("my.M1")),
        // The class around a function beats the function.
        OpRef::function("gelu", "m1", "F.gelu", Some("my.M1")),
        // A module inside is no `my.M1`.
        OpRef::module("linear", "m1.fc", "nn.Linear"),
        OpRef::module("conv2d", "conv", "nn.Conv2d"),
    ];
    let labels: Vec<_> = m.resolve(&ops).iter().map(|r| label(&r.qconfig)).collect();
    assert_eq!(labels, [None, Some(2), Some(3), Some(4), Some(5), Some(5), None, Some(1)]);
}

/// T69
#[test]
fn regular_expressions_match_from_the_start_of_a_path_and_the_first_counts() {
    let mut m = QConfigMapping::new();
    m.set_module_name_regex("conv.*", labelled(1)).unwrap();
    m.set_module_name_regex("conv1", labelled(2)).unwrap();
    let ops = ["conv1", "conv2.inner", "pre.conv1", ""].map(|p| OpRef::module("", p, "nn.Conv2d"));
    let labels: Vec<_> = m.resolve(&ops).iter().map(|r| label(&r.qconfig)).collect();
    assert_eq!(labels, [Some(1), Some(1), None, None]);
}

/// T70, T71
#[test]
fn none_leaves_float_what_lower_rules_quantize() {
    let mut m = QConfigMapping::new();
    m.set_global(labelled(1)).set_module_name("conv2", None).set_object_type("nn.Linear", None);
    m.set_module_name("head", labelled(2));
    let ops = [
        OpRef::module("conv2d", "conv1", "nn.Conv2d"),
        OpRef::module("conv2d", "conv2", "nn.Conv2d"),
        OpRef::module("linear", "head.fc", "nn.Linear"),
        OpRef::module("linear", "fc", "nn.Linear"),
    ];
    let found = m.resolve(&ops);
    let labels: Vec<_> = found.iter().map(|r| label(&r.qconfig)).collect();
    assert_eq!(labels, [Some(1), None, Some(2), None]);
    assert_eq!(found[1].rule, Some(Rule::Module("conv2".into())));
}

/// T76
#[test]
fn convert_may_only_leave_more_float() {
    let prepared = get_default_qconfig_mapping("x86").unwrap();
    let mut m = prepared.clone();
    m.set_module_name("conv1", None).set_object_type("nn.Tanh", None);
    m.check_convert(&prepared).unwrap();
    m.set_object_type("nn.Softmax", Some(default_qconfig()));
    let e = m.check_convert(&prepared).unwrap_err().to_string();
    assert!(e.contains("`nn.Softmax`") && e.contains("another qconfig"), "{e}");
    let e = QConfigMapping::new().check_convert(&prepared).unwrap_err();
    let Error::Text(diags) = e else { panic!("a list of what is missing") };
    assert_eq!(diags.len(), 24);
}

/// T61
#[test]
fn back_ends_halve_the_range_of_activations_where_sums_may_overflow() {
    for (backend, reduced) in [("fbgemm", true), ("x86", true), ("qnnpack", false), ("onednn", false)] {
        for q in [
            get_default_qconfig(backend, 0),
            get_default_qat_qconfig(backend, 0),
            get_default_qat_qconfig(backend, 1),
        ] {
            let q = q.unwrap();
            assert_eq!((q.activation.reduce_range, q.weight.reduce_range), (reduced, false), "{backend}");
            assert_eq!(q.activation.range, (0, if reduced { 127 } else { 255 }));
            assert_eq!(q.weight.per_channel, backend != "qnnpack");
        }
    }
}

/// T85
#[test]
fn unknown_back_ends_and_versions_are_refused_with_what_there_is() {
    let text = |r: Result<QConfig, Error>| r.unwrap_err().to_string();
    let e = text(get_default_qconfig("x87", 0));
    assert!(e.contains("fbgemm, qnnpack, onednn, x86") && e.contains("did you mean `x86`?"), "{e}");
    assert!(text(get_default_qconfig("x86", 1)).contains("there is version 0"));
    assert!(text(get_default_qat_qconfig("x86", 2)).contains("there are 0 and 1"));
    assert!(get_default_qconfig_mapping("gpu").is_err() && get_default_qat_qconfig_mapping("gpu").is_err());
}

/// T58
#[test]
fn embeddings_train_with_float_zero_points() {
    let q = default_embedding_qat_qconfig();
    assert_eq!(q.activation.kind, "noop");
    assert!(q.weight.float_zero && q.weight.per_channel && q.weight.fake.is_some());
    assert_eq!(default_embedding_qat_qconfig_4bit().weight.range, (0, 15));
}

/// T84
#[test]
fn qnnpacks_symmetric_kernels_want_narrow_weights_and_a_larger_least_scale() {
    for m in
        [get_default_symmetric_qnnpack_qconfig_mapping(), get_default_symmetric_qnnpack_qat_qconfig_mapping()]
    {
        let q = m.global().unwrap().clone().unwrap();
        assert_eq!((q.activation.storage, q.weight.range), (Storage::I8, (-127, 127)));
        assert_eq!((q.activation.eps, q.weight.eps), (QNNPACK_EPS, QNNPACK_EPS));
    }
}

/// T56
#[test]
fn a_given_range_survives_other_arguments() {
    let t = ObserverTemplate::new("minmax", Storage::U8).range(0, 15).eps(0.5).symmetric();
    assert_eq!(t.range, (0, 15));
    assert_eq!(t.spec(0).range, (0, 15));
    assert_eq!(t.to_string().parse::<ObserverTemplate>().unwrap(), t);
}

#[test]
fn declarations_that_make_no_sense_are_refused_with_the_reason() {
    for (text, says) in [
        ("minmax u8 symmetric reduce_range", "zero point is 128"),
        ("minmax u8[0:300]", "does not lie within"),
        ("minmax i8[1:100]", "does not include 0"),
        ("minmax u8 float_qparams", "for each row"),
        ("histogram u8 affine dynamic", "cannot be dynamic"),
        ("moving_average(0.01) u8 affine dynamic", "cannot be dynamic"),
        ("minmax u8 affine eps 0", "not positive"),
        ("minmax u8 affine eps", "without a number"),
        ("fused_fake_quant minmax u8", "observes by `moving_average`"),
        ("fake_quant noop f16", "no parameters"),
        ("histogram u8 affine dynmic", "unknown word"),
    ] {
        let e = text.parse::<ObserverTemplate>().unwrap_err().to_string();
        assert!(e.contains(says), "`{text}`: {e}");
    }
    for (_, make) in OBSERVERS.iter().chain(FAKE_QUANTS) {
        let t = make();
        assert_eq!(t.to_string().parse::<ObserverTemplate>().unwrap(), t);
    }
}

#[test]
fn recipes_name_classes_and_refuse_slips_of_case() {
    let m = QConfigMapping::from_toml(
        "base = \"pytorch_x86\"\n[[rule]]\nop = \"torch.nn.Linear\"\nqconfig = \"default_dynamic_qconfig\"\n",
    )
    .unwrap();
    assert!(m.to_dict().object_type.contains(&("nn.Linear".into(), Some(default_dynamic_qconfig()))));
    let slip = "[[rule]]\nop = \"nn.Relu\"\nqconfig = \"float\"\n";
    let e = QConfigMapping::from_toml(slip).unwrap_err().to_string();
    assert!(e.contains("did you mean `nn.ReLU`?"), "{e}");
}

#[test]
fn a_rule_for_a_class_close_to_one_of_the_model_is_a_slip() {
    let mut m = QConfigMapping::new();
    m.set_object_type("my.Blok", None);
    let w = m.unmatched(&[OpRef::function("add", "b", "torch.add", Some("my.Block"))]);
    assert_eq!(w[0].help.as_deref(), Some("did you mean `my.Block`?"));
}
