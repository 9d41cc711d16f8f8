//! Pools, norms, interpolation.
