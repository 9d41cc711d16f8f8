//! Each form that an op had in the operator sets becomes the same graph.

use bytes::Bytes;
use prost::Message;
use quantir_frontend::onnx::proto::attribute_proto::AttributeType;
use quantir_frontend::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use quantir_frontend::onnx::proto::*;
use quantir_frontend::onnx::{self, Imported, Options};
use quantir_frontend::{Error, Limits};
use quantir_ir::Graph;

fn ints(name: &str, v: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Ints as i32),
        ints: v.to_vec(),
        ..Default::default()
    }
}

fn int(name: &str, v: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(v),
        ..Default::default()
    }
}

fn float(name: &str, v: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Float as i32),
        f: Some(v),
        ..Default::default()
    }
}

fn text(name: &str, v: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::String as i32),
        s: Some(Bytes::copy_from_slice(v.as_bytes())),
        ..Default::default()
    }
}

/// `"x w"` as operand names, `_` for an absent one.
fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(|n| if n == "_" { String::new() } else { n.to_owned() }).collect()
}

fn node(op: &str, ins: &str, outs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: names(ins),
        output: names(outs),
        attribute,
        ..Default::default()
    }
}

/// An input: `N` is a symbol, `?` a dimension without a name.
fn input(name: &str, shape: &str) -> ValueInfoProto {
    let dim = |d: &str| {
        let value = match d.parse() {
            Ok(n) => dimension::Value::DimValue(n),
            Err(_) => dimension::Value::DimParam(d.into()),
        };
        Dimension { value: Some(value), ..Default::default() }
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(1),
        shape: Some(TensorShapeProto { dim: shape.split_whitespace().map(dim).collect() }),
    };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..Default::default() }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: Some(name.into()),
        data_type: Some(1),
        dims: dims.to_vec(),
        float_data: (0..count).map(|i| i as f32 * 0.25 + 1.0).collect(),
        ..Default::default()
    }
}

fn longs(name: &str, v: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(7),
        dims: vec![v.len() as i64],
        int64_data: v.to_vec(),
        ..Default::default()
    }
}

fn scalar(name: &str, v: f32) -> TensorProto {
    TensorProto { name: Some(name.into()), data_type: Some(1), float_data: vec![v], ..Default::default() }
}

struct Model {
    opset: i64,
    inputs: Vec<ValueInfoProto>,
    constants: Vec<TensorProto>,
    nodes: Vec<NodeProto>,
}

impl Model {
    fn import(self, outs: &str) -> Result<Imported, Error> {
        let output =
            names(outs).into_iter().map(|n| ValueInfoProto { name: Some(n), ..Default::default() }).collect();
        let graph = GraphProto {
            node: self.nodes,
            initializer: self.constants,
            input: self.inputs,
            output,
            ..Default::default()
        };
        let opset = OperatorSetIdProto { version: Some(self.opset), ..Default::default() };
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![opset],
            graph: Some(graph),
            ..Default::default()
        };
        onnx::import_bytes(model.encode_to_vec().into(), None, &Options::default())
    }
}

/// One node `op` on `x` of the given shape, with constants as further operands; result `y`.
fn one(opset: i64, op: &str, x: &str, constants: Vec<TensorProto>, attributes: Vec<AttributeProto>) -> Graph {
    try_one(opset, op, x, constants, attributes).unwrap_or_else(|e| panic!("{op} {opset}: {e}"))
}

fn try_one(
    opset: i64,
    op: &str,
    x: &str,
    constants: Vec<TensorProto>,
    attributes: Vec<AttributeProto>,
) -> Result<Graph, Error> {
    let mut ins = String::from("x");
    for c in &constants {
        ins.push(' ');
        ins.push_str(if c.data_type.is_none() { "_" } else { c.name() });
    }
    let constants = constants.into_iter().filter(|c| c.data_type.is_some()).collect();
    let nodes = vec![node(op, &ins, "y", attributes)];
    Ok(Model { opset, inputs: vec![input("x", x)], constants, nodes }.import("y")?.graph)
}

/// An operand that is left out.
fn absent() -> TensorProto {
    TensorProto::default()
}

/// The nodes but constants, one on a line: op with attributes, result type.
fn show(g: &Graph) -> String {
    let mut lines = Vec::new();
    for n in g.nodes().filter(|n| g.op(*n).name() != "const") {
        let attrs: Vec<String> = g.op(n).attrs().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let attrs = if attrs.is_empty() { String::new() } else { format!(" {{{}}}", attrs.join(", ")) };
        lines.push(format!("{}{attrs} : {}", g.op(n).name(), g.ty(g.node(n).outs[0])));
    }
    lines.join("\n")
}

#[track_caller]
fn same(wanted: &str, graphs: &[Graph]) {
    for g in graphs {
        assert_eq!(show(g), wanted);
    }
}

#[test]
fn clip_takes_bounds_from_attributes_or_operands() {
    same(
        "clip {min=0.0, max=6.0} : f32[N,3]",
        &[
            one(10, "Clip", "N 3", vec![], vec![float("min", 0.0), float("max", 6.0)]),
            one(11, "Clip", "N 3", vec![scalar("lo", 0.0), scalar("hi", 6.0)], vec![]),
        ],
    );
    same("clip {max=6.0} : f32[N,3]", &[one(13, "Clip", "N 3", vec![absent(), scalar("hi", 6.0)], vec![])]);
}

#[test]
fn axes_come_from_attributes_or_operands() {
    let axes = || vec![ints("axes", &[-1])];
    same(
        "reshape {shape=[N,3]} : f32[N,3]",
        &[
            one(11, "Squeeze", "N 3 1", vec![], axes()),
            one(13, "Squeeze", "N 3 1", vec![longs("a", &[-1])], vec![]),
            one(13, "Squeeze", "N 3 1", vec![], vec![]),
        ],
    );
    same(
        "reshape {shape=[N,3,1]} : f32[N,3,1]",
        &[
            one(11, "Unsqueeze", "N 3", vec![], axes()),
            one(13, "Unsqueeze", "N 3", vec![longs("a", &[-1])], vec![]),
        ],
    );
    same(
        "mean {axes=[2], keep=true} : f32[N,3,1]",
        &[
            one(13, "ReduceMean", "N 3 4", vec![], axes()),
            one(18, "ReduceMean", "N 3 4", vec![longs("a", &[-1])], vec![]),
        ],
    );
    same(
        "sum {axes=[2]} : f32[N,3]",
        &[
            one(11, "ReduceSum", "N 3 4", vec![], vec![ints("axes", &[2]), int("keepdims", 0)]),
            one(13, "ReduceSum", "N 3 4", vec![longs("a", &[2])], vec![int("keepdims", 0)]),
        ],
    );
    same("", &[one(18, "ReduceMean", "N 3 4", vec![], vec![int("noop_with_empty_axes", 1)])]);
}

#[test]
fn pads_splits_and_slices_moved_to_operands() {
    let pads = [0, 0, 1, 1, 0, 0, 1, 2];
    same(
        "pad {pads=[[0,0],[0,0],[1,1],[1,2]]} : f32[N,3,10,11]",
        &[
            one(10, "Pad", "N 3 8 8", vec![], vec![ints("pads", &pads)]),
            one(11, "Pad", "N 3 8 8", vec![longs("p", &pads)], vec![]),
            one(
                18,
                "Pad",
                "N 3 8 8",
                vec![longs("p", &[1, 1, 1, 2]), absent(), longs("a", &[2, -1])],
                vec![],
            ),
        ],
    );
    same(
        "slice {axis=1, start=1, end=3} : f32[N,2]",
        &[
            one(
                9,
                "Slice",
                "N 4",
                vec![],
                vec![ints("starts", &[1]), ints("ends", &[-1]), ints("axes", &[1])],
            ),
            one(13, "Slice", "N 4", vec![longs("s", &[-3]), longs("e", &[3]), longs("a", &[1])], vec![]),
        ],
    );
    same(
        "slice {axis=0, end=N-1} : f32[N-1,4]",
        &[one(13, "Slice", "N 4", vec![longs("s", &[0]), longs("e", &[-1])], vec![])],
    );
    let whole = vec![longs("s", &[0]), longs("e", &[i64::MAX])];
    same("", &[one(13, "Slice", "N 4", whole, vec![])]);
    for (opset, constants, attributes) in [
        (11, vec![], vec![ints("split", &[1, 3]), int("axis", 1)]),
        (13, vec![longs("s", &[1, 3])], vec![int("axis", 1)]),
    ] {
        let ins = if constants.is_empty() { "x" } else { "x s" };
        let nodes = vec![node("Split", ins, "a b", attributes)];
        let g =
            Model { opset, inputs: vec![input("x", "N 4")], constants, nodes }.import("b a").unwrap().graph;
        same("split {axis=1, sizes=[1,3]} : f32[N,1]", &[g]);
    }
    let nodes = vec![node("Split", "x", "a b", vec![int("num_outputs", 2)])];
    let g = Model { opset: 18, inputs: vec![input("x", "5 4")], constants: vec![], nodes }
        .import("b a")
        .unwrap()
        .graph;
    same("split {axis=0, sizes=[3,2]} : f32[3,4]", std::slice::from_ref(&g));
    let names: Vec<_> = g.outputs().iter().map(|o| o.name.to_string()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn softmax_before_version_13_sees_a_matrix() {
    same("softmax {axis=2} : f32[N,3,4]", &[one(13, "Softmax", "N 3 4", vec![], vec![])]);
    same("softmax {axis=1} : f32[N,3]", &[one(11, "Softmax", "N 3", vec![], vec![])]);
    same("softmax {axis=1} : f32[N,3,1,1]", &[one(11, "Softmax", "N 3 1 1", vec![], vec![])]);
    same(
        "reshape {shape=[N,12]} : f32[N,12]\nsoftmax {axis=1} : f32[N,12]\nreshape {shape=[N,3,4]} : f32[N,3,4]",
        &[one(11, "Softmax", "N 3 4", vec![], vec![])],
    );
}

#[test]
fn resampling_keeps_the_coordinates_of_its_version() {
    let scales = || floats_of("s", &[1.0, 1.0, 2.0, 2.0]);
    same(
        "resize {scales=[1.0,1.0,2.0,2.0], coord=asymmetric, round=floor} : f32[N,3,2*H,16]",
        &[
            one(9, "Upsample", "N 3 H 8", vec![scales()], vec![text("mode", "nearest")]),
            one(10, "Resize", "N 3 H 8", vec![scales()], vec![]),
        ],
    );
    same(
        "resize {scales=[1.0,1.0,2.0,2.0]} : f32[N,3,2*H,16]",
        &[
            one(13, "Resize", "N 3 H 8", vec![absent(), scales()], vec![]),
            one(
                18,
                "Resize",
                "N 3 H 8",
                vec![absent(), floats_of("s", &[2.0, 2.0])],
                vec![ints("axes", &[2, 3])],
            ),
        ],
    );
    same(
        "resize {sizes=[N,3,5,7], mode=linear} : f32[N,3,5,7]",
        &[one(
            18,
            "Resize",
            "N 3 H 8",
            vec![absent(), absent(), longs("s", &[5, 7])],
            vec![ints("axes", &[2, 3]), text("mode", "linear")],
        )],
    );
}

fn floats_of(name: &str, v: &[f32]) -> TensorProto {
    TensorProto { float_data: v.to_vec(), dims: vec![v.len() as i64], ..floats(name, &[0]) }
}

#[test]
fn automatic_padding_is_resolved() {
    let conv = |x: &str, auto: &str, stride: i64| {
        try_one(
            13,
            "Conv",
            x,
            vec![floats("w", &[2, 3, 3, 3])],
            vec![text("auto_pad", auto), ints("strides", &[stride; 2])],
        )
    };
    same("conv2d {pad=1} : f32[N,2,H,W]", &[conv("N 3 H W", "SAME_UPPER", 1).unwrap()]);
    same("conv2d {stride=2, pad=[[0,1]]} : f32[N,2,4,4]", &[conv("N 3 8 8", "SAME_UPPER", 2).unwrap()]);
    same("conv2d {stride=2, pad=[[1,0]]} : f32[N,2,4,4]", &[conv("N 3 8 8", "SAME_LOWER", 2).unwrap()]);
    same("conv2d : f32[N,2,6,6]", &[conv("N 3 8 8", "VALID", 1).unwrap()]);
    let error = conv("N 3 H W", "SAME_UPPER", 2).unwrap_err().to_string();
    assert!(error.contains("depends on a size that is not known"), "{error}");
}

#[test]
fn matrix_products_become_linear_layers() {
    let gemm = |constants: Vec<TensorProto>, attributes| one(11, "Gemm", "N 3", constants, attributes);
    let (w, b) = (|| floats("w", &[4, 3]), || floats("b", &[4]));
    same(
        "linear : f32[N,4]",
        &[
            gemm(vec![w(), b()], vec![int("transB", 1)]),
            gemm(vec![w()], vec![int("transB", 1)]),
            gemm(vec![floats("w", &[3, 4]), floats("b", &[1, 4])], vec![]),
            gemm(vec![w(), b()], vec![int("transB", 1), float("beta", 0.5)]),
            one(13, "MatMul", "N 3", vec![floats("w", &[3, 4])], vec![]),
        ],
    );
    same("linear : f32[N,7,4]", &[one(13, "MatMul", "N 7 3", vec![floats("w", &[3, 4])], vec![])]);
    same(
        "linear : f32[N,4]\nmul : f32[N,4]\nadd : f32[N,4]",
        &[gemm(vec![w(), b()], vec![int("transB", 1), float("alpha", 0.5)])],
    );
}

#[test]
fn legacy_broadcast_names_an_axis() {
    let attributes = vec![int("broadcast", 1), int("axis", 1)];
    same("add : f32[N,3,4,5]", &[one(6, "Add", "N 3 4 5", vec![floats("b", &[3])], attributes)]);
    same("add : f32[N,3,4,5]", &[one(7, "Add", "N 3 4 5", vec![floats("b", &[5])], vec![])]);
}

#[test]
fn shape_arithmetic_gives_exact_types() {
    let constants = vec![longs("zero", &[0]), longs("minus", &[-1])];
    let nodes = vec![
        node("Shape", "x", "s", vec![]),
        node("Gather", "s zero", "n", vec![]),
        node("Concat", "n minus", "t", vec![int("axis", 0)]),
        node("Reshape", "x t", "y", vec![]),
    ];
    let g =
        Model { opset: 13, inputs: vec![input("x", "N 3 H 2")], constants, nodes }.import("y").unwrap().graph;
    same("reshape {shape=[N,6*H]} : f32[N,6*H]", &[g]);
    let nodes = vec![node("Flatten", "x", "y", vec![])];
    let g = Model { opset: 13, inputs: vec![input("x", "? 3 ? 2")], constants: vec![], nodes }
        .import("y")
        .unwrap()
        .graph;
    same("reshape {shape=[x_0,6*x_2]} : f32[x_0,6*x_2]", &[g]);
}

#[test]
fn dropout_and_identity_leave_no_trace() {
    let nodes = vec![
        node("Dropout", "x", "a mask", vec![float("ratio", 0.5)]),
        node("Identity", "a", "b", vec![]),
        node("Relu", "b", "y", vec![]),
    ];
    let g = Model { opset: 11, inputs: vec![input("x", "N 3")], constants: vec![], nodes }
        .import("y")
        .unwrap()
        .graph;
    same("relu : f32[N,3]", &[g]);
}

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
