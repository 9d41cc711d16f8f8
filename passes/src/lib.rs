//! The pass manager and the passes of quantir.
//!
//! A pass is one file with one type and one line in [`registry`]; `docs/adding-a-pass.md` shows a complete one.
//!
//! **Architecture invariant.** Passes read and write graphs, nothing else: no files, no global state, no clock
//! in any decision. What a pass needs beyond the graph is handed to it in [`pass::PassCx`].

pub mod calibrate;
pub mod canon;
pub mod check;
mod constant;
pub mod convert;
pub mod driver;
pub mod expand;
pub mod fuse;
pub mod fx;
pub mod lower;
pub mod manager;
pub mod pass;
pub mod pipeline;
pub mod prepare;
pub mod pt2e;
pub mod registry;

pub use manager::{Error, Failure, Manager, Report};
pub use pass::{Changed, Effect, Pass, PassCx, PassInfo, Rewrite};
pub use pipeline::Pipeline;
pub use registry::Registry;

/// What the file of a pass imports.
pub mod prelude {
    pub use crate::pass::{Changed, Effect, OptionInfo, Pass, PassCx, PassInfo, Rewrite};
    pub use quantir_ir::attr::{F32, Pads, PerAxis};
    pub use quantir_ir::graph::{Def, Use};
    pub use quantir_ir::ops::{self, *};
    pub use quantir_ir::{
        Diag, Dim, Edit, Elem, Entity, Graph, NodeId, Phase, Reason, Shape, Storage, Tensor, Type, ValueId,
    };
}
