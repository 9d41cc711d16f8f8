//! Import of ONNX models.

mod contained;
pub mod external;
pub mod node;
pub mod order;
pub mod path;
#[allow(missing_docs)]
pub mod proto;
pub mod scan;
pub mod schema;
mod sha1;
pub mod symbols;
pub mod tensor;
