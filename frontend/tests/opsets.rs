//! Each form that an op had in the operator sets becomes the same graph.

mod common;

use common::*;
use quantir_frontend::onnx::proto::TensorProto;

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
