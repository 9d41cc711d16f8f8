//! Importers: model files become graphs.
//!
//! Every file is untrusted. Sizes are checked against what is there before memory is reserved, nothing outside the
//! model's folder is opened, and whatever is wrong ends in one [`Error`] that says what, where and what to do.

mod error;
mod limits;
pub mod map;
pub mod model_file;
pub mod onnx;
pub mod trace;
mod write;

pub use error::{Error, Unsupported};
pub use limits::{Budget, Limits};
pub use write::write_atomically;
