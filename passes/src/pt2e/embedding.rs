//! [`EmbeddingQuantizer`]: tables in 8 bits with float zero points.

use quantir_quant::ObserverTemplate;

use super::{Annotations, QuantizationAnnotation, QuantizationSpec, Quantizer};
use crate::prelude::*;

/// Quantizes the tables of embeddings, one scale and float zero point for each row.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddingQuantizer;

impl Quantizer for EmbeddingQuantizer {
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag> {
        let rows = ObserverTemplate::new("minmax", Storage::U8).float_qparams().per_channel().eps(EPS);
        let spec = QuantizationSpec::new(rows)?;
        for n in g.nodes() {
            let table = match g.op(n) {
                Op::Embedding(_) | Op::EmbeddingBag(_) => g.node(n).ins.get(1).copied().flatten(),
                _ => None,
            };
            if let Some(table) = table.filter(|_| !to.is_annotated(n)) {
                to.annotate(n, QuantizationAnnotation::new().input(table, spec.clone()));
            }
        }
        Ok(())
    }
}

/// The least scale of the shipped quantizers: 2⁻¹².
pub(crate) const EPS: f32 = 1.0 / 4096.0;
