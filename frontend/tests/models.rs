//! Whole models: names, errors, constants from inputs and files, quantized models, damaged files.

mod common;

use bytes::Bytes;
use common::*;
use prost::Message;
use quantir_frontend::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use quantir_frontend::onnx::proto::*;
use quantir_frontend::onnx::{self, Options};
use quantir_frontend::{Error, Limits};

#[test]
fn names_and_module_paths_are_kept() {
    let mut conv =
        node("Conv", "image features.0.0.weight", "/features/features.0/features.0.0/Conv_output_0", vec![]);
    conv.name = Some("/features/features.0/features.0.0/Conv".into());
    let relu = node("Relu", "/features/features.0/features.0.0/Conv_output_0", "out:0", vec![]);
    let model = Model {
        opset: 13,
        inputs: vec![input("image", "N 3 8 8")],
        constants: vec![floats("features.0.0.weight", &[4, 3, 3, 3])],
        nodes: vec![conv, relu],
    };
    let g = model.import("out:0").unwrap().graph;
    let nodes: Vec<_> = g.nodes().map(|n| g.node(n).clone()).collect();
    let path = |i: usize| nodes[i].loc.path.as_deref().map(str::to_owned);
    assert_eq!((path(0).as_deref(), path(1).as_deref()), (Some("features.0.0"), Some("features.0.0")));
    assert_eq!(&**g.name_of(nodes[0].outs[0]), "features.0.0.weight");
    assert_eq!(&**g.name_of(nodes[1].outs[0]), "/features/features.0/features.0.0/Conv_output_0");
    assert_eq!(&**g.name_of(g.inputs()[0]), "image");
    assert_eq!(&*g.outputs()[0].name, "out:0");
}

#[test]
fn all_unsupported_ops_are_listed_at_once() {
    let mut custom = node("Frobnicate", "a", "b", vec![]);
    custom.domain = Some("com.example".into());
    let nodes = vec![
        node("Einsum", "x", "a", vec![]),
        custom,
        node("Relu", "b", "c", vec![]),
        node("MaxPool", "x", "d e", vec![ints("kernel_shape", &[2, 2])]),
        node("Einsum", "x", "f", vec![]),
        node("Sum", "c d e f", "y", vec![]),
    ];
    let model = Model { opset: 13, inputs: vec![input("x", "N 3 8 8")], constants: vec![], nodes };
    let error = model.import("y").unwrap_err();
    let Error::Unsupported(rows) = &error else { panic!("{error}") };
    let found: Vec<_> = rows.iter().map(|r| (r.op.as_str(), r.domain.as_str(), r.count)).collect();
    assert_eq!(found, [("Einsum", "", 2), ("Frobnicate", "com.example", 1), ("MaxPool", "", 1)]);
}

#[test]
fn contradictions_are_errors_with_place_and_cure() {
    let bad = |op: &str, x: &str, constants, attributes| {
        try_one(13, op, x, constants, attributes).map(|g| show(&g)).unwrap_err().to_string()
    };
    let w = || vec![floats("w", &[2, 3, 3, 3])];
    for (text, part) in [
        (bad("Conv", "N 4 8 8", w(), vec![]), "node `#0 → y` (`Conv`)"),
        (bad("Conv", "N 3 8 8", w(), vec![ints("strides", &[0, 1])]), "each must be at least 1"),
        (bad("Conv", "N 3 8 8", w(), vec![ints("pads", &[1, 1])]), "`pads` has 2 numbers for 2 spatial axes"),
        (bad("Conv", "N 3 8 8", w(), vec![ints("kernel_shape", &[5, 5])]), "but the weight has [3, 3]"),
        (bad("Conv", "N 3 8 8", w(), vec![int("group", 0)]), "`group` must be at least 1"),
        (bad("Transpose", "N 3", vec![], vec![ints("perm", &[0, 0])]), "axis 0 is given twice"),
        (bad("Softmax", "N 3", vec![], vec![int("axis", 2)]), "axis 2 does not exist"),
        (bad("Reshape", "2 3", vec![longs("s", &[-1, 4])], vec![]), "`Reshape`"),
        (bad("Concat", "N 3", vec![floats("w", &[3])], vec![int("axis", 0)]), "`Concat`"),
    ] {
        assert!(text.contains(part), "{text}");
        assert!(text.contains("\nhelp: "), "{text}");
    }
}

#[test]
fn chains_of_a_hundred_thousand_nodes_import_on_a_small_stack() {
    let count = 100_000;
    let nodes = (0..count).map(|i| node("Relu", &format!("v{i}"), &format!("v{}", i + 1), vec![])).collect();
    let model = Model { opset: 13, inputs: vec![input("v0", "N 3")], constants: vec![], nodes };
    let run = move || model.import(&format!("v{count}")).unwrap().graph.node_count();
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), count);
}

/// Shortened and altered files end in errors, whatever is wrong with them.
#[test]
fn damaged_files_never_panic() {
    let nodes = vec![
        node("Conv", "x w b", "a", vec![ints("pads", &[1; 4]), ints("strides", &[2, 2])]),
        node("Clip", "a lo hi", "c", vec![]),
        node("Pad", "c p", "d", vec![]),
        node("Slice", "d s e", "f", vec![]),
        node("Shape", "f", "g", vec![]),
        node("Gather", "g zero", "h", vec![]),
        node("Concat", "h minus", "i", vec![int("axis", 0)]),
        node("Reshape", "f i", "j", vec![]),
        node("Resize", "f _ r", "k", vec![]),
        node("Softmax", "j", "y", vec![]),
        node("MaxPool", "k", "z", vec![ints("kernel_shape", &[2, 2]), int("ceil_mode", 1)]),
    ];
    let output = ["y", "z"].map(|n| ValueInfoProto { name: Some(n.into()), ..Default::default() }).to_vec();
    let graph = GraphProto {
        node: nodes,
        initializer: vec![
            floats("w", &[2, 3, 3, 3]),
            floats("b", &[2]),
            scalar("lo", 0.0),
            scalar("hi", 6.0),
            longs("p", &[0, 0, 1, 1, 0, 0, 1, 1]),
            longs("s", &[0, 0]),
            longs("e", &[100, -1]),
            longs("zero", &[0]),
            longs("minus", &[-1]),
            floats_of("r", &[1.0, 1.0, 2.0, 2.0]),
        ],
        input: vec![input("x", "N 3 8 W")],
        output,
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    };
    let bytes = model.encode_to_vec();
    let limits = Limits { constant_bytes: 1 << 24, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let import = |b: Vec<u8>| onnx::import_bytes(b.into(), None, &options);
    import(bytes.clone()).unwrap();
    for len in 0..bytes.len() {
        let error = import(bytes[..len].to_vec()).unwrap_err().to_string();
        assert!(error.contains("help: "), "{error}");
    }
    let mut state = 88172645463325252u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut b = bytes.clone();
        for _ in 0..1 + next() % 3 {
            let at = (next() % b.len() as u64) as usize;
            b[at] = next() as u8;
        }
        let _ = import(b);
    }
}

#[test]
fn quantized_models_arrive_in_phase_reference() {
    let bytes = |name: &str, kind: i32, dims: &[i64], v: &[i32]| TensorProto {
        name: Some(name.into()),
        data_type: Some(kind),
        dims: dims.to_vec(),
        int32_data: v.to_vec(),
        ..Default::default()
    };
    let constants = vec![
        scalar("xs", 0.5),
        bytes("xz", 2, &[], &[3]),
        bytes("wq", 3, &[2, 3], &[1, -2, 3, -4, 5, -6]),
        floats_of("ws", &[0.25, 0.125]),
        bytes("wz", 3, &[2], &[0, 0]),
    ];
    let nodes = vec![
        node("QuantizeLinear", "x xs xz", "xq", vec![]),
        node("DequantizeLinear", "xq xs xz", "xd", vec![]),
        node("DequantizeLinear", "wq ws wz", "wd", vec![int("axis", 0)]),
        node("Gemm", "xd wd", "y", vec![int("transB", 1)]),
    ];
    let model = Model { opset: 13, inputs: vec![input("x", "N 3")], constants, nodes };
    let g = model.import("y").unwrap().graph;
    assert_eq!(g.phase(), quantir_ir::Phase::Reference);
    let ops: Vec<_> = g.nodes().map(|n| g.op(n).name()).collect();
    assert_eq!(ops, ["quantize", "dequantize", "const", "dequantize", "linear"]);
    let x = quantir_ir::Tensor::f32(&[1, 3], vec![1.0, -1.2, 0.3]);
    let y = quantir_ir::interp::run(&g, &[x], &mut ()).unwrap();
    // Quantized x stands for 1, -1 and 0.5.
    assert_eq!(y[0].floats().unwrap().to_vec(), [0.25 + 0.5 + 0.375, -0.5 - 0.625 - 0.375]);
}

#[test]
fn fixed_inputs_are_constants() {
    let shape = TypeProto {
        value: Some(type_proto::Value::TensorType(type_proto::Tensor {
            elem_type: Some(7),
            shape: Some(TensorShapeProto {
                dim: vec![Dimension { value: Some(dimension::Value::DimValue(2)), ..Default::default() }],
            }),
        })),
        ..Default::default()
    };
    let s = ValueInfoProto { name: Some("s".into()), r#type: Some(shape), ..Default::default() };
    let output = ValueInfoProto { name: Some("y".into()), ..Default::default() };
    let graph = GraphProto {
        node: vec![node("Reshape", "x s", "y", vec![])],
        input: vec![input("x", "N 6"), s],
        output: vec![output],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
    let model = ModelProto { opset_import: vec![opset], graph: Some(graph), ..Default::default() };
    let bytes = Bytes::from(model.encode_to_vec());
    let import = |fixed: Vec<(String, quantir_ir::Tensor)>| {
        onnx::import_bytes(bytes.clone(), None, &Options { fixed, ..Options::default() }).map(|i| i.graph)
    };
    assert!(import(vec![]).unwrap_err().to_string().contains("its shape is computed from data"));
    let g = import(vec![("s".into(), quantir_ir::Tensor::i64(&[2], vec![-1, 3]))]).unwrap();
    same("reshape {shape=[2*N,3]} : f32[2*N,3]", std::slice::from_ref(&g));
    assert_eq!(g.inputs().len(), 1);
    let wrong =
        import(vec![("s".into(), quantir_ir::Tensor::f32(&[2], vec![1.0; 2]))]).unwrap_err().to_string();
    assert!(wrong.contains("input `s`: it is i64[2], but it is fixed to f32[2]"), "{wrong}");
    let unknown =
        import(vec![("t".into(), quantir_ir::Tensor::i64(&[2], vec![1; 2]))]).unwrap_err().to_string();
    assert!(unknown.contains("its inputs are: `x`, `s`"), "{unknown}");
}

#[cfg(unix)]
#[test]
fn external_data_is_read_from_the_models_folder_only() {
    let entry = |k: &str, v: &str| StringStringEntryProto { key: Some(k.into()), value: Some(v.into()) };
    let write = |dir: &std::path::Path, location: &str| {
        let weight = TensorProto {
            name: Some("w".into()),
            data_type: Some(1),
            dims: vec![2],
            data_location: Some(tensor_proto::DataLocation::External as i32),
            external_data: vec![entry("location", location), entry("offset", "4"), entry("length", "8")],
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node("Add", "x w", "y", vec![])],
            initializer: vec![weight],
            input: vec![input("x", "N 2")],
            output: vec![ValueInfoProto { name: Some("y".into()), ..Default::default() }],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
        let model = ModelProto { opset_import: vec![opset], graph: Some(graph), ..Default::default() };
        let path = dir.join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        path
    };
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    std::fs::create_dir(&dir).unwrap();
    let data: Vec<u8> = [0f32, 1.5, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(dir.join("weights.bin"), &data).unwrap();
    std::fs::write(root.path().join("weights.bin"), &data).unwrap();
    let g = onnx::import(&write(&dir, "weights.bin"), &Limits::default()).unwrap();
    let w = g.constant(g.find("w").unwrap()).unwrap();
    assert_eq!(w.floats().unwrap().to_vec(), [1.5, -2.0]);
    let escape = onnx::import(&write(&dir, "../weights.bin"), &Limits::default()).unwrap_err();
    assert!(matches!(escape, Error::External { .. }), "{escape}");
}
