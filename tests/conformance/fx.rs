//! Whole models.
