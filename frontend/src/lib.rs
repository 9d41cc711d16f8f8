//! Crate of quantir; see `docs/architecture.md`.
