//! Fusion: several ops become one.

pub mod act;
pub mod bias;
pub mod conv_bn;
pub mod fold;
pub mod gelu;
pub mod hard_swish;
pub mod linear;
pub mod pad;
mod product;
pub mod push_affine;
mod root;
pub mod scale;
