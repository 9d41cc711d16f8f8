//! Integer kernels: pure functions on slices, bit-equal on every [`Isa`](crate::isa::Isa).
//!
//! # Numerics
//!
//! Activations are `u8` with a zero point, weights `i8` per output channel, accumulators `i32`.
//!
//! * `acc = Σ (x − z_x)·(w − z_w) + bias`, wrapping in `i32`; the terms with `z_x` are folded
//!   into the bias when weights are packed.
//! * `f = (acc as f32 + offset[channel]) · mult[channel]`, one rounding to nearest even for the conversion, one for the
//!   sum and one for the product, never fused. The offset is a float bias in steps of the accumulator, if there is one.
//! * `q = clamp(round_ties_even(f) + z_y, lo, hi)`.
//!
//! The scalar path defines the result and the vector tiers reproduce it exactly. Work may be cut
//! into ranges of rows in any way without changing a bit; no kernel starts a thread or allocates.
//!
//! An `i8` activation is the same value as the `u8` activation `q ^ 0x80` with the zero point
//! raised by 128, so that kernels read `u8` only; see [`flip_sign`](quantize::flip_sign).

pub mod add;
pub mod conv;
pub mod depthwise;
pub mod epilogue;
mod error;
pub(crate) mod float;
pub mod gemm;
pub mod lut;
pub mod mul;
pub mod pool;
pub mod quantize;
mod round;
pub mod table;

pub use conv::{ConvGeometry, PackedConv};
pub use depthwise::PackedDepthwise;
pub use epilogue::{OutputRange, Requant};
pub use error::KernelError;
pub use gemm::PackedGemm;
