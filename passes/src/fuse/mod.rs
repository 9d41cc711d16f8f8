//! Fusion: several ops become one.

pub mod act;
