//! `lower-fx`: lowers a reference graph by PyTorch's table of quantized forms.
//!
//! ```qir
//! quant !x = u8[0:255] scale 0.05 zp 128
//! quant !w = i8[-128:127] scale 0.01 zp 0
//! quant !y = u8[0:255] scale 0.1 zp 100
//! input %x.q: u8!x[2,8]
//! %w = const {data=rand(1)} : i8!w[4,8]
//! %b = const {data=rand(2)} : f32[4]
//! %x.dq = dequantize %x.q : f32[2,8]
//! %w.dq = dequantize %w : f32[4,8]
//! %fc = linear %x.dq, %w.dq, %b : f32[2,4] @fc by "nn.Linear"
//! %y.q = quantize %fc : u8!y[2,4]
//! %y = dequantize %y.q : f32[2,4]
//! return %y
//! =>
//! %fc = qlinear %x.q, %w, %b : u8!y[2,4] @fc by "nn.quantized.Linear"
//! %y = dequantize %fc : f32[2,4]
//! ```

use crate::fx::lower;
use crate::prelude::*;

/// The pass `lower-fx`.
pub struct LowerFx;

const LOWER: PassInfo =
    PassInfo::new("lower-fx", "Lower a reference graph by PyTorch's table of quantized forms")
        .phases(Phase::Reference, Phase::Reference)
        .approximate();

impl Pass for LowerFx {
    fn info(&self) -> &PassInfo {
        &LOWER
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        lower::run(g, cx)?;
        Ok(Changed::Yes)
    }
}
