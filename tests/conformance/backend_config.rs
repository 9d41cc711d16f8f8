//! Tables of back ends.
