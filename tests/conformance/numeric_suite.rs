//! Measures of numeric closeness.
