//! `convert-fx`: replaces observers as PyTorch's `convert_to_reference_fx` does.
//!
//! ```qir
//! // RUN: calibrate,convert-fx
//! observer $a = fixed(0.05,128) u8[0:255] affine
//! input %x: f32[2,4]
//! %a = observe %x {by=$a} : f32[2,4]
//! %y = relu %a : f32[2,4] by "F.relu"
//! return %y
//! =>
//! %quantize_per_tensor = quantize %x : u8!a[2,4]
//! %dequantize = dequantize %quantize_per_tensor : f32[2,4]
//! %y = relu %dequantize : f32[2,4] by "F.relu"
//! ```

use quantir_quant::Calibration;

use crate::fx::{ConvertCustomConfig, convert};
use crate::prelude::*;

/// The pass `convert-fx`. Reads a [`Calibration`] and a [`ConvertCustomConfig`] from the context.
pub struct ConvertFx;

const CONVERT: PassInfo =
    PassInfo::new("convert-fx", "Replace observers as PyTorch's `convert_to_reference_fx` does")
        .phases(Phase::Observed, Phase::Observed)
        .approximate();

impl Pass for ConvertFx {
    fn info(&self) -> &PassInfo {
        &CONVERT
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let calibration = cx.input::<Calibration>().unwrap_or_default();
        let custom = cx.input::<ConvertCustomConfig>().unwrap_or_default();
        convert::run(g, cx, &calibration, &custom)?;
        Ok(Changed::Yes)
    }
}
