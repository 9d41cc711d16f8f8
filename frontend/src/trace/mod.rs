//! Models written in Rust, traced into a graph.
//!
//! A model is a tree of [`Module`]s whose `forward` computes on [`Traced`] values. Tracing runs `forward` once with
//! values that stand for tensors and records every call: its op, the path of its module, what the author called
//! (`nn.Conv2d`, `F.relu`, `.reshape`) and the line of Rust. Names are those that PyTorch's FX gives.
//!
//! Nothing in a model's code returns `Result`: whatever is wrong is kept as a [`quantir_ir::Diag`] with its file and
//! line, the values that depend on it stay silent, and [`Tracer::trace`] returns all of it at once.
//!
//! It is part of this crate, not one of its own, because it is one more way for models to come in: it shares the
//! reading of safetensors and the errors of importers, and knows nothing but the IR.

mod arith;
mod calls;
mod cx;
pub mod functional;
mod index;
mod make;
mod names;
pub mod nn;
mod site;
mod size;
#[cfg(test)]
mod tests;
mod traced;
mod tracer;
mod tuple;
mod weights;

pub use arith::{Compared, Operand};
pub use calls::torch;
pub use cx::Cx;
pub use index::{Index, Indices};
pub use make::{ConvOptions, Interpolation, Padding, PaddingMode, PoolOptions, Resampling, Spatial};
pub use names::Names;
pub use site::{Call, Site};
pub use size::{Size, Sizes};
pub use traced::Traced;
pub use tracer::{CallKind, CallRecord, Feed, Inputs, Module, Outputs, Trace, Tracer};
pub use tuple::Tuple;
pub use weights::{Init, Weights};
