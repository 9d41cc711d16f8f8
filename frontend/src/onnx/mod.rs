//! Import of ONNX models.

mod contained;
pub mod external;
#[allow(missing_docs)]
pub mod proto;
pub mod scan;
pub mod schema;
mod sha1;
pub mod tensor;
