//! Where a quantized model loses accuracy: PyTorch's Numeric Suite.
//!
//! - [`extract_weights`]: weights of two models, layer by layer;
//! - [`add_loggers`], [`extract_logger_info`]: results of their layers on the same data;
//! - [`add_shadow_loggers`], [`extract_shadow_logger_info`]: each layer in float, but from the quantized model's
//!   inputs, so that a layer shows what it loses by itself;
//! - [`prepare_n_shadows_model`]: several settings for each layer side by side in one run;
//! - [`compare_layers`]: figures of all layers over a data set, in constant memory: `qir compare`.
//!
//! Layers of two models align by value name, which all passes keep. Results are data: `serde` writes them, `Display` shows them.

mod extract;
mod layers;
mod loggers;
mod metrics;
mod n_shadows;
mod report;
mod results;
mod shadow;
mod weights;

pub use layers::{Layer, Pair, align, key_of, layers};
pub use loggers::{Loggers, add_loggers, extract_logger_info};
pub use metrics::{Metric, Sums, cosine, kl, mse, normalized_l2, sqnr};
pub use n_shadows::{
    Candidate, NShadowRow, NShadows, NShadowsConverted, NShadowsResults, convert_n_shadows_model,
    prepare_n_shadows_model,
};
pub use report::{CompareOptions, Figures, LayerFigures, LayerReport, compare_layers};
pub use results::{Entry, ResultKind, Results, extend_logger_results_with_comparison};
pub use shadow::{ShadowGraph, ShadowLayers, Shadows, add_shadow_loggers, extract_shadow_logger_info};
pub use weights::{extract_weights, weight};
