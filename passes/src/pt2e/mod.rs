//! PyTorch's export-based quantization (PT2E): a [`Quantizer`] annotates the graph with what it wants quantized and how;
//! `prepare_pt2e` finds out which values share an observer and puts observers there; `convert_pt2e` replaces them.
//!
//! Where FX graph mode asks a table of patterns, here the back end's code decides, value by value:
//!
//! - an **edge** (a value and a node that reads it) or a **node** (its result) has a [`Spec`]: a quantization of its own, one
//!   shared with another edge or node, or one derived from others;
//! - edges that read one value with equal specs share an observer with each other and with the value's own
//!   ([`QuantizationAnnotation::allow_implicit_sharing`]).
//!
//! The rules are those of `torch.ao.quantization.pt2e` 2.5.1.

mod annotation;
mod composable;
mod convert;
mod embedding;
mod groups;
mod prepare;
mod spec;
mod x86_inductor;
mod xnnpack;

pub use annotation::{Annotations, EdgeOrNode, QuantizationAnnotation, Quantizer};
pub use composable::ComposableQuantizer;
pub use convert::{convert_pt2e, convert_pt2e_to_integers};
pub use embedding::EmbeddingQuantizer;
pub use prepare::{Prepared, prepare_pt2e};
pub use spec::{DerivedQuantizationSpec, QuantizationSpec, Spec};
pub use x86_inductor::{X86InductorConfig, X86InductorQuantizer};
pub use xnnpack::{XnnpackConfig, XnnpackQuantizer};
