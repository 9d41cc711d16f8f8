//! Which field of which ONNX message holds what: the table behind the pre-scan.

use std::mem::size_of;

use super::proto::{self, type_proto};

/// The messages of an ONNX file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Segment,
    ValueInfo,
    Type,
    TensorType,
    SequenceType,
    MapType,
    OptionalType,
    SparseTensorType,
    OpaqueType,
    Shape,
    Dimension,
    OpsetId,
    Function,
    Entry,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// One message inside its parent.
    One(Kind),
    /// One message in an allocation of its own.
    Boxed(Kind),
    /// A list of messages.
    Many(Kind),
    /// One string.
    Str,
    /// A list of strings.
    Strs,
    /// Bytes, kept as a view of the file.
    Bytes,
    /// A list of such bytes.
    ByteViews,
    /// One number as a varint.
    Number,
    /// One 32-bit float.
    Float,
    /// A list of numbers, packed or not.
    Numbers(Number),
    /// A field that is skipped.
    Unknown,
}

/// How a list of numbers is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// Varints that decode to this many bytes each.
    Varint(u64),
    /// Four bytes each.
    Fixed32,
    /// Eight bytes each.
    Fixed64,
}

impl Kind {
    /// The field's name and content.
    pub fn field(self, tag: u32) -> (&'static str, Field) {
        use Field::*;
        match (self, tag) {
            (Kind::Model, 1) => ("ir_version", Field::Number),
            (Kind::Model, 2) => ("producer_name", Str),
            (Kind::Model, 3) => ("producer_version", Str),
            (Kind::Model, 4) => ("domain", Str),
            (Kind::Model, 5) => ("model_version", Field::Number),
            (Kind::Model, 6) => ("doc_string", Str),
            (Kind::Model, 7) => ("graph", One(Kind::Graph)),
            (Kind::Model, 8) => ("opset_import", Many(Kind::OpsetId)),
            (Kind::Model, 14) => ("metadata_props", Many(Kind::Entry)),
            (Kind::Model, 25) => ("functions", Many(Kind::Function)),

            (Kind::Graph, 1) => ("node", Many(Kind::Node)),
            (Kind::Graph, 2) => ("name", Str),
            (Kind::Graph, 5) => ("initializer", Many(Kind::Tensor)),
            (Kind::Graph, 10) => ("doc_string", Str),
            (Kind::Graph, 11) => ("input", Many(Kind::ValueInfo)),
            (Kind::Graph, 12) => ("output", Many(Kind::ValueInfo)),
            (Kind::Graph, 13) => ("value_info", Many(Kind::ValueInfo)),
            (Kind::Graph, 15) => ("sparse_initializer", Many(Kind::SparseTensor)),
            (Kind::Graph, 16) => ("metadata_props", Many(Kind::Entry)),

            (Kind::Node, 1) => ("input", Strs),
            (Kind::Node, 2) => ("output", Strs),
            (Kind::Node, 3) => ("name", Str),
            (Kind::Node, 4) => ("op_type", Str),
            (Kind::Node, 5) => ("attribute", Many(Kind::Attribute)),
            (Kind::Node, 6) => ("doc_string", Str),
            (Kind::Node, 7) => ("domain", Str),
            (Kind::Node, 8) => ("overload", Str),
            (Kind::Node, 9) => ("metadata_props", Many(Kind::Entry)),

            (Kind::Attribute, 1) => ("name", Str),
            (Kind::Attribute, 2) => ("f", Float),
            (Kind::Attribute, 3) => ("i", Field::Number),
            (Kind::Attribute, 4) => ("s", Bytes),
            (Kind::Attribute, 5) => ("t", Boxed(Kind::Tensor)),
            (Kind::Attribute, 6) => ("g", Boxed(Kind::Graph)),
            (Kind::Attribute, 7) => ("floats", Numbers(self::Number::Fixed32)),
            (Kind::Attribute, 8) => ("ints", Numbers(self::Number::Varint(8))),
            (Kind::Attribute, 9) => ("strings", ByteViews),
            (Kind::Attribute, 10) => ("tensors", Many(Kind::Tensor)),
            (Kind::Attribute, 11) => ("graphs", Many(Kind::Graph)),
            (Kind::Attribute, 13) => ("doc_string", Str),
            (Kind::Attribute, 14) => ("tp", Boxed(Kind::Type)),
            (Kind::Attribute, 15) => ("type_protos", Many(Kind::Type)),
            (Kind::Attribute, 20) => ("type", Field::Number),
            (Kind::Attribute, 21) => ("ref_attr_name", Str),
            (Kind::Attribute, 22) => ("sparse_tensor", Boxed(Kind::SparseTensor)),
            (Kind::Attribute, 23) => ("sparse_tensors", Many(Kind::SparseTensor)),

            (Kind::Tensor, 1) => ("dims", Numbers(self::Number::Varint(8))),
            (Kind::Tensor, 2) => ("data_type", Field::Number),
            (Kind::Tensor, 3) => ("segment", One(Kind::Segment)),
            (Kind::Tensor, 4) => ("float_data", Numbers(self::Number::Fixed32)),
            (Kind::Tensor, 5) => ("int32_data", Numbers(self::Number::Varint(4))),
            (Kind::Tensor, 6) => ("string_data", ByteViews),
            (Kind::Tensor, 7) => ("int64_data", Numbers(self::Number::Varint(8))),
            (Kind::Tensor, 8) => ("name", Str),
            (Kind::Tensor, 9) => ("raw_data", Bytes),
            (Kind::Tensor, 10) => ("double_data", Numbers(self::Number::Fixed64)),
            (Kind::Tensor, 11) => ("uint64_data", Numbers(self::Number::Varint(8))),
            (Kind::Tensor, 12) => ("doc_string", Str),
            (Kind::Tensor, 13) => ("external_data", Many(Kind::Entry)),
            (Kind::Tensor, 14) => ("data_location", Field::Number),
            (Kind::Tensor, 16) => ("metadata_props", Many(Kind::Entry)),

            (Kind::SparseTensor, 1) => ("values", One(Kind::Tensor)),
            (Kind::SparseTensor, 2) => ("indices", One(Kind::Tensor)),
            (Kind::SparseTensor, 3) => ("dims", Numbers(self::Number::Varint(8))),

            (Kind::Segment, 1) => ("begin", Field::Number),
            (Kind::Segment, 2) => ("end", Field::Number),

            (Kind::ValueInfo, 1) => ("name", Str),
            (Kind::ValueInfo, 2) => ("type", One(Kind::Type)),
            (Kind::ValueInfo, 3) => ("doc_string", Str),
            (Kind::ValueInfo, 4) => ("metadata_props", Many(Kind::Entry)),

            (Kind::Type, 1) => ("tensor_type", One(Kind::TensorType)),
            (Kind::Type, 4) => ("sequence_type", Boxed(Kind::SequenceType)),
            (Kind::Type, 5) => ("map_type", Boxed(Kind::MapType)),
            (Kind::Type, 6) => ("denotation", Str),
            (Kind::Type, 7) => ("opaque_type", One(Kind::OpaqueType)),
            (Kind::Type, 8) => ("sparse_tensor_type", One(Kind::SparseTensorType)),
            (Kind::Type, 9) => ("optional_type", Boxed(Kind::OptionalType)),

            (Kind::TensorType | Kind::SparseTensorType, 1) => ("elem_type", Field::Number),
            (Kind::TensorType | Kind::SparseTensorType, 2) => ("shape", One(Kind::Shape)),
            (Kind::SequenceType | Kind::OptionalType, 1) => ("elem_type", Boxed(Kind::Type)),
            (Kind::MapType, 1) => ("key_type", Field::Number),
            (Kind::MapType, 2) => ("value_type", Boxed(Kind::Type)),
            (Kind::OpaqueType, 1) => ("domain", Str),
            (Kind::OpaqueType, 2) => ("name", Str),

            (Kind::Shape, 1) => ("dim", Many(Kind::Dimension)),
            (Kind::Dimension, 1) => ("dim_value", Field::Number),
            (Kind::Dimension, 2) => ("dim_param", Str),
            (Kind::Dimension, 3) => ("denotation", Str),

            (Kind::OpsetId, 1) => ("domain", Str),
            (Kind::OpsetId, 2) => ("version", Field::Number),

            (Kind::Function, 1) => ("name", Str),
            (Kind::Function, 4) => ("input", Strs),
            (Kind::Function, 5) => ("output", Strs),
            (Kind::Function, 6) => ("attribute", Strs),
            (Kind::Function, 7) => ("node", Many(Kind::Node)),
            (Kind::Function, 8) => ("doc_string", Str),
            (Kind::Function, 9) => ("opset_import", Many(Kind::OpsetId)),
            (Kind::Function, 10) => ("domain", Str),
            (Kind::Function, 11) => ("attribute_proto", Many(Kind::Attribute)),
            (Kind::Function, 12) => ("value_info", Many(Kind::ValueInfo)),
            (Kind::Function, 13) => ("overload", Str),
            (Kind::Function, 14) => ("metadata_props", Many(Kind::Entry)),

            (Kind::Entry, 1) => ("key", Str),
            (Kind::Entry, 2) => ("value", Str),

            _ => ("", Unknown),
        }
    }

    /// Bytes of the decoded struct itself.
    pub fn size(self) -> u64 {
        let bytes = match self {
            Kind::Model => size_of::<proto::ModelProto>(),
            Kind::Graph => size_of::<proto::GraphProto>(),
            Kind::Node => size_of::<proto::NodeProto>(),
            Kind::Attribute => size_of::<proto::AttributeProto>(),
            Kind::Tensor => size_of::<proto::TensorProto>(),
            Kind::SparseTensor => size_of::<proto::SparseTensorProto>(),
            Kind::Segment => size_of::<proto::tensor_proto::Segment>(),
            Kind::ValueInfo => size_of::<proto::ValueInfoProto>(),
            Kind::Type => size_of::<proto::TypeProto>(),
            Kind::TensorType => size_of::<type_proto::Tensor>(),
            Kind::SequenceType => size_of::<type_proto::Sequence>(),
            Kind::MapType => size_of::<type_proto::Map>(),
            Kind::OptionalType => size_of::<type_proto::Optional>(),
            Kind::SparseTensorType => size_of::<type_proto::SparseTensor>(),
            Kind::OpaqueType => size_of::<type_proto::Opaque>(),
            Kind::Shape => size_of::<proto::TensorShapeProto>(),
            Kind::Dimension => size_of::<proto::tensor_shape_proto::Dimension>(),
            Kind::OpsetId => size_of::<proto::OperatorSetIdProto>(),
            Kind::Function => size_of::<proto::FunctionProto>(),
            Kind::Entry => size_of::<proto::StringStringEntryProto>(),
        };
        bytes as u64
    }
}
