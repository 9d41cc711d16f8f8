//! Activations, arithmetic, shape operators, matrix products.
