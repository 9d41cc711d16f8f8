//! Plans and kernels that execute graphs.
//!
//! A [`Plan`] is a graph for fixed input shapes as a flat list of steps over one arena; an [`Executor`] keeps
//! plans and runs them. Each step is a kernel of [`kernels::table`] or, where none fits, the `eval` of the op.
//!
//! **Architecture invariant.** The runtime never defines meaning: integer steps, and all steps of a strict plan,
//! give the bits of the interpreter, on every tier and for every number of threads.

mod arena;
mod error;
mod executor;
pub mod isa;
pub mod kernels;
mod par;
pub mod plan;
mod steps;

pub use error::{PlanError, RuntimeError};
pub use executor::{Executor, StepTime};
pub use isa::Isa;
pub use kernels::table::{self, KernelRecord};
pub use plan::{Plan, PlanOptions};
