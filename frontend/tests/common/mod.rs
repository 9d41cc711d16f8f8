//! Tiny ONNX models, built from their messages.
#![allow(dead_code)]

use bytes::Bytes;
use prost::Message;
use quantir_frontend::Error;
use quantir_frontend::onnx::proto::attribute_proto::AttributeType;
use quantir_frontend::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use quantir_frontend::onnx::proto::*;
use quantir_frontend::onnx::{self, Imported, Options};
use quantir_ir::Graph;

pub fn ints(name: &str, v: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Ints as i32),
        ints: v.to_vec(),
        ..Default::default()
    }
}

pub fn int(name: &str, v: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(v),
        ..Default::default()
    }
}

pub fn float(name: &str, v: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Float as i32),
        f: Some(v),
        ..Default::default()
    }
}

pub fn text(name: &str, v: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::String as i32),
        s: Some(Bytes::copy_from_slice(v.as_bytes())),
        ..Default::default()
    }
}

/// `"x w"` as operand names, `_` for an absent one.
pub fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(|n| if n == "_" { String::new() } else { n.to_owned() }).collect()
}

pub fn node(op: &str, ins: &str, outs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: names(ins),
        output: names(outs),
        attribute,
        ..Default::default()
    }
}

/// An input: `N` is a symbol, `?` a dimension without a name.
pub fn input(name: &str, shape: &str) -> ValueInfoProto {
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

pub fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: Some(name.into()),
        data_type: Some(1),
        dims: dims.to_vec(),
        float_data: (0..count).map(|i| i as f32 * 0.25 + 1.0).collect(),
        ..Default::default()
    }
}

pub fn longs(name: &str, v: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(7),
        dims: vec![v.len() as i64],
        int64_data: v.to_vec(),
        ..Default::default()
    }
}

pub fn scalar(name: &str, v: f32) -> TensorProto {
    TensorProto { name: Some(name.into()), data_type: Some(1), float_data: vec![v], ..Default::default() }
}

pub struct Model {
    pub opset: i64,
    pub inputs: Vec<ValueInfoProto>,
    pub constants: Vec<TensorProto>,
    pub nodes: Vec<NodeProto>,
}

impl Model {
    pub fn import(self, outs: &str) -> Result<Imported, Error> {
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
pub fn one(
    opset: i64,
    op: &str,
    x: &str,
    constants: Vec<TensorProto>,
    attributes: Vec<AttributeProto>,
) -> Graph {
    try_one(opset, op, x, constants, attributes).unwrap_or_else(|e| panic!("{op} {opset}: {e}"))
}

pub fn try_one(
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
pub fn absent() -> TensorProto {
    TensorProto::default()
}

/// The nodes but constants, one on a line: op with attributes, result type.
pub fn show(g: &Graph) -> String {
    let mut lines = Vec::new();
    for n in g.nodes().filter(|n| g.op(*n).name() != "const") {
        let attrs: Vec<String> = g.op(n).attrs().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let attrs = if attrs.is_empty() { String::new() } else { format!(" {{{}}}", attrs.join(", ")) };
        lines.push(format!("{}{attrs} : {}", g.op(n).name(), g.ty(g.node(n).outs[0])));
    }
    lines.join("\n")
}

#[track_caller]
pub fn same(wanted: &str, graphs: &[Graph]) {
    for g in graphs {
        assert_eq!(show(g), wanted);
    }
}

pub fn floats_of(name: &str, v: &[f32]) -> TensorProto {
    TensorProto { float_data: v.to_vec(), dims: vec![v.len() as i64], ..floats(name, &[0]) }
}
