//! The crate's error type.

use quantir_ir::Diag;

/// Why parameters cannot be computed or a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The observer was shown nothing.
    #[error("the observer saw no data; run calibration with at least one batch that reaches it")]
    NoData,
    /// The observer was shown nothing but NaN and infinities.
    #[error("none of the {nonfinite} numbers seen is finite; look for the op that produces NaN or infinity")]
    NoFinite {
        /// How many numbers were seen, none of them finite.
        nonfinite: u64,
    },
    /// The ends of a range are not finite, or the wrong way round.
    #[error(
        "the observer found no range with finite ends; run calibration with at least one batch that reaches it"
    )]
    NoRange,
    /// The observer was shown NaN.
    #[error(
        "{count} of the numbers seen are NaN; look for the op that produces them, or for broken calibration data"
    )]
    Nan {
        /// How many.
        count: u64,
    },
    /// Parameters were asked of an observer that only marks a value.
    #[error("an observer of kind `{kind}` has no parameters: it {does}")]
    Passive {
        /// The observer's kind.
        kind: &'static str,
        /// What it does instead.
        does: &'static str,
    },
    /// Two tensors with different lengths along the observed axis.
    #[error("the axis with parameters of its own had {had} elements, then {has}")]
    AxisLength {
        /// Length at first.
        had: usize,
        /// Length later.
        has: usize,
    },
    /// The tensor has no such axis.
    #[error("there is no axis {axis} in a tensor of {rank} dimensions")]
    NoAxis {
        /// The axis asked for.
        axis: usize,
        /// Dimensions of the tensor.
        rank: usize,
    },
    /// Accumulators of different kinds or settings cannot be merged.
    #[error("`{0}` and `{1}` cannot be merged; both sides must come from the same declaration")]
    Merge(String, String),
    /// The kind, an argument or the range of a declaration is wrong.
    #[error("{0}")]
    Declaration(String),
    /// A text could not be read; each diagnostic has its place.
    #[error("{}", .0.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("\n"))]
    Text(Vec<Diag>),
}
