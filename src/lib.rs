//! quantir: a quantization compiler.
