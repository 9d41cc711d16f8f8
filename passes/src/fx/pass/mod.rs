//! The steps as passes: `fuse-fx`, `prepare-fx`, `convert-fx`, `lower-fx`.

mod convert;
mod fuse;
mod lower;
mod prepare;

use std::sync::Arc;

use quantir_quant::BackendConfig;

use crate::prelude::*;

pub use convert::ConvertFx;
pub use fuse::FuseFx;
pub use lower::LowerFx;
pub use prepare::PrepareFx;

pub(super) const BACKEND: OptionInfo = OptionInfo {
    name: "backend",
    default: "native",
    doc: "which back end, unless one was provided: native, x86, fbgemm, qnnpack, onednn, executorch, tensorrt",
};

pub(super) fn backend(cx: &PassCx) -> Result<Arc<BackendConfig>, Diag> {
    if let Some(b) = cx.input::<BackendConfig>() {
        return Ok(b);
    }
    let name: String = cx.option("backend")?;
    let named = BackendConfig::named(&name).map_err(|e| Diag::error("pass-option", e.to_string()))?;
    Ok(Arc::new(named))
}
