//! quantir: a quantization compiler.

pub mod data;
