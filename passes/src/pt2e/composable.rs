//! [`ComposableQuantizer`]: several quantizers, one after the other.

use super::{Annotations, Quantizer};
use crate::prelude::*;

/// Runs quantizers in order; none may change what an earlier one said.
pub struct ComposableQuantizer {
    parts: Vec<(String, Box<dyn Quantizer>)>,
}

impl ComposableQuantizer {
    /// Quantizers with the names that errors use.
    pub fn new(parts: Vec<(String, Box<dyn Quantizer>)>) -> ComposableQuantizer {
        ComposableQuantizer { parts }
    }
}

impl Quantizer for ComposableQuantizer {
    fn transform_for_annotation(&self, g: &mut Graph) -> Result<(), Diag> {
        self.parts.iter().try_for_each(|(_, q)| q.transform_for_annotation(g))
    }
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag> {
        for (name, q) in &self.parts {
            let before: Vec<(NodeId, String)> = to.iter().map(|(n, a)| (n, format!("{a:?}"))).collect();
            q.annotate(g, to)?;
            for (n, old) in before {
                if to.get(n).map(|a| format!("{a:?}")) != Some(old) {
                    let message = format!(
                        "quantizer `{name}` changed what an earlier one said about `{}`",
                        g.op(n).name()
                    );
                    return Err(Diag::error("annotation", message)
                        .at(&g.node(n).loc)
                        .help("annotate only nodes for which `is_annotated` is false"));
                }
            }
        }
        Ok(())
    }
    fn validate(&self, g: &Graph, annotations: &Annotations) -> Result<(), Diag> {
        self.parts.iter().try_for_each(|(_, q)| q.validate(g, annotations))
    }
}
