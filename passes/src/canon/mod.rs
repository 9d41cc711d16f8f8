//! Canonical form: what is said in two ways is said in one.

pub mod const_fold;
pub mod dce;
pub mod dropout;
