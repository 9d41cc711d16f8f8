//! `prepare-fx`: puts observers where PyTorch's `prepare_fx` puts them.
//!
//! ```qir
//! input %x: f32[2,3]
//! %w = const {data=rand(1)} : f32[4,3] @fc
//! %l = linear %x, %w : f32[2,4] @fc by "nn.Linear"
//! return %l
//! =>
//! %activation_post_process_0 = observe %x {by=$activation_post_process_0} : f32[2,3]
//! %w.o = observe %w {by=$w} : f32[4,3] @fc
//! %l = linear %activation_post_process_0, %w.o : f32[2,4] @fc by "nn.Linear"
//! %activation_post_process_1 = observe %l {by=$activation_post_process_1} : f32[2,4] @fc
//! ```

use std::sync::Arc;

use quantir_quant::QConfigMapping;
use quantir_quant::defaults::get_default_qconfig_mapping;

use crate::fx::pass::{BACKEND, backend};
use crate::fx::{PrepareCustomConfig, decide};
use crate::prelude::*;

/// The pass `prepare-fx`. Reads a [`QConfigMapping`], a [`BackendConfig`](quantir_quant::BackendConfig) and a [`PrepareCustomConfig`] from the context if
/// they were provided; leaves the [`PrepareReport`](crate::prepare::PrepareReport) there.
pub struct PrepareFx;

const PREPARE: PassInfo = PassInfo::new("prepare-fx", "Put observers where PyTorch's `prepare_fx` puts them")
    .options(&[
        OptionInfo {
            name: "mapping",
            default: "x86",
            doc: "the default mapping of which engine, unless a mapping was provided: x86, fbgemm, qnnpack, onednn",
        },
        BACKEND,
    ]);

impl Pass for PrepareFx {
    fn info(&self) -> &PassInfo {
        &PREPARE
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let mapping = match cx.input::<QConfigMapping>() {
            Some(m) => m,
            None => {
                let engine: String = cx.option("mapping")?;
                let named = get_default_qconfig_mapping(&engine);
                Arc::new(named.map_err(|e| Diag::error("pass-option", e.to_string()))?)
            }
        };
        let (backend, custom) = (backend(cx)?, cx.input::<PrepareCustomConfig>().unwrap_or_default());
        let report = decide::prepare(g, cx, &mapping, &backend, &custom)?;
        cx.provide(report);
        Ok(Changed::Yes)
    }
}
