//! Fusion: several ops become one.

pub mod act;
pub mod bias;
pub mod conv_bn;
pub mod hard_swish;
pub mod linear;
pub mod pad;
mod root;
pub mod scale;
