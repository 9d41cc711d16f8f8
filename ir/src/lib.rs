//! The language of quantir: graph, types, ops, text, checks, meaning.
//!
//! **Architecture invariant.** This crate knows nothing of back ends or files, and of an observer only its
//! declaration. The reference interpreter defines meaning and is not fast.

pub mod attr;
pub mod bind;
pub mod diag;
pub mod dim;
pub mod edit;
pub mod entity;
pub mod graph;
pub mod interp;
pub mod loc;
pub mod ops;
pub mod qtensor;
pub mod quant;
pub mod render;
pub mod rowwise;
pub mod shape_value;
pub mod tensor;
pub mod text;
pub mod types;
pub mod verify;
pub mod view;

pub use diag::{Diag, Reason, Severity};
pub use dim::Dim;
pub use edit::{Applied, Edit, Editor};
pub use entity::{Entity, NodeId, TypeId, ValueId};
pub use graph::{Graph, Name, Node, ObserverSpec, Output, Phase, Use, Value};
pub use loc::{Call, Loc, Path, Span};
pub use ops::{Op, OpDef};
pub use qtensor::{QScheme, QTensor};
pub use quant::{QParams, Quant, Zeros};
pub use render::render;
pub use tensor::Tensor;
pub use types::{Elem, Shape, Storage, Type};
pub use verify::verify;
