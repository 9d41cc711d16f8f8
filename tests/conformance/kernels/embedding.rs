//! Embedding tables and bags.
