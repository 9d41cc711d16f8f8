//! `fuse-fx`: joins calls by the fusions of a PyTorch back end.
//!
//! ```qir
//! input %x: f32[2,3]
//! %w = const {data=rand(1)} : f32[4,3]
//! %l = linear %x, %w : f32[2,4] @fc by "nn.Linear"
//! %y = relu %l : f32[2,4] @act by "nn.ReLU"
//! =>
//! %l = linear %x, %w {act=relu} : f32[2,4] @fc by "nn.intrinsic.LinearReLU"
//! ```

use crate::fx::fuse;
use crate::fx::pass::{BACKEND, backend};
use crate::prelude::*;

/// The pass `fuse-fx`. Reads a [`BackendConfig`](quantir_quant::BackendConfig) from the context if one was provided.
pub struct FuseFx;

const FUSE: PassInfo = PassInfo::new("fuse-fx", "Join calls by the fusions of a PyTorch back end")
    .rounding(5e-5)
    .options(&[BACKEND]);

impl Pass for FuseFx {
    fn info(&self) -> &PassInfo {
        &FUSE
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let backend = backend(cx)?;
        Ok((!fuse::run(g, cx, &backend)?.is_empty()).into())
    }
}
