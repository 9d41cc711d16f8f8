//! Integer kernels, compared with the recorded `reference`.

mod conv;
mod elementwise;
mod embedding;
mod linear;
mod pool_norm;
mod rnn;
