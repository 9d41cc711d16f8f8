//! Float kernels: pure functions on slices.
//!
//! Those with a `fused` flag give the interpreter's bits when it is off: sums run in the interpreter's order and
//! every operation rounds once. With the flag on, multiply and add are rounded together.

// Loops over constant tile sizes index registers, so that the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

pub(crate) mod depthwise;
pub(crate) mod gemm;
pub(crate) mod map;
pub(crate) mod math;
pub(crate) mod normal;
pub(crate) mod pool;
pub(crate) mod simd;

pub(crate) use gemm::{Clamp, PackedF32};
pub(crate) use simd::Width;
