//! The steps as passes: `fuse-fx`, `prepare-fx`, `convert-fx`, `lower-fx`.

use std::sync::Arc;

use quantir_quant::defaults::get_default_qconfig_mapping;
use quantir_quant::{BackendConfig, Calibration, QConfigMapping};

use crate::fx::{ConvertCustomConfig, PrepareCustomConfig, convert, decide, fuse, lower};
use crate::prelude::*;

const BACKEND: OptionInfo = OptionInfo {
    name: "backend",
    default: "native",
    doc: "which back end, unless one was provided: native, x86, fbgemm, qnnpack, onednn, executorch, tensorrt",
};

fn backend(cx: &PassCx) -> Result<Arc<BackendConfig>, Diag> {
    if let Some(b) = cx.input::<BackendConfig>() {
        return Ok(b);
    }
    let name: String = cx.option("backend")?;
    let named = BackendConfig::named(&name).map_err(|e| Diag::error("pass-option", e.to_string()))?;
    Ok(Arc::new(named))
}

/// The pass `fuse-fx`. Reads a [`BackendConfig`] from the context if one was provided.
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

/// The pass `prepare-fx`. Reads a [`QConfigMapping`], a [`BackendConfig`] and a [`PrepareCustomConfig`] from the context if
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
