//! Scalar arithmetic of quantization.
