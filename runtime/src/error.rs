//! What can go wrong between a graph and its results.

use quantir_ir::{Diag, Reason};
use thiserror::Error;

/// Why a graph has no plan for the given input shapes.
#[derive(Clone, Debug, Error)]
pub enum PlanError {
    /// The input shapes do not fit the graph.
    #[error("{0}")]
    Inputs(Reason),
    /// A node cannot be executed.
    #[error("{0}")]
    Node(Diag),
    /// The tensors do not fit into the address space.
    #[error("the values of the graph need more bytes than can be addressed")]
    TooLarge,
}

/// Why a run failed.
#[derive(Clone, Debug, Error)]
pub enum RuntimeError {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The inputs do not have the types that the graph declares.
    #[error("{0}")]
    Inputs(Reason),
    /// A step failed on the values that it met.
    #[error("{0}")]
    Step(Diag),
    /// The threads could not be started.
    #[error("cannot start {count} threads: {reason}")]
    Threads {
        /// How many.
        count: usize,
        /// What the system said.
        reason: String,
    },
}
