//! Crate of quantir; see `docs/architecture.md`.

pub mod isa;
pub mod kernels;
