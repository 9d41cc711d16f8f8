//! Integer kernels, compared with the recorded `reference`.

mod arithmetic;
mod conv;
mod eager;
mod elementwise;
mod embedding;
mod linear;
mod pool_norm;
mod rnn;
mod run;
