//! Canonical form: what is said in two ways is said in one.

pub mod batch_norm;
pub mod const_fold;
pub mod cse;
pub mod dce;
pub mod dropout;
pub mod identity;
pub mod reshape;
pub mod shape;
