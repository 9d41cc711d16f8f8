use thiserror::Error;

use crate::isa::Isa;

/// Why a kernel could not be built from its weights and parameters.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum KernelError {
    /// The tier cannot run on this machine.
    #[error("instruction set `{0}` is not available on this machine")]
    Isa(Isa),
    /// A slice has the wrong number of elements.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// The required number of elements.
        expected: usize,
        /// The number of elements given.
        found: usize,
    },
    /// The sum over the reduction axis might leave `i32`.
    #[error("a reduction over {depth} products may overflow 32 bits, at most {limit} are allowed")]
    Depth {
        /// Products per output.
        depth: usize,
        /// The largest number that cannot overflow.
        limit: usize,
    },
    /// A zero point or bound that its type cannot hold.
    #[error("{what} {value} is outside {lo}..={hi}")]
    Range {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        value: i32,
        /// Least allowed value.
        lo: i32,
        /// Greatest allowed value.
        hi: i32,
    },
    /// A multiplier that is infinite or not a number.
    #[error("multiplier of channel {channel} is {value}, expected a finite number")]
    Multiplier {
        /// Output channel.
        channel: usize,
        /// The multiplier.
        value: f32,
    },
    /// A geometry that no input satisfies.
    #[error("{0}")]
    Geometry(String),
}
