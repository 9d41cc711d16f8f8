//! Folding of batch norms and fusion of modules.
