//! [`Annotations`]: what a quantizer says about a graph.

use indexmap::IndexMap;

use super::Spec;
use crate::prelude::*;

/// A place that is quantized.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EdgeOrNode {
    /// A value as its definition gives it.
    Node(ValueId),
    /// A value as one node reads it.
    Edge(ValueId, NodeId),
}

/// What is said about one node.
#[derive(Clone, Debug)]
pub struct QuantizationAnnotation {
    /// Operands by value; `None` says that one stays as it is.
    pub input_qspec_map: IndexMap<ValueId, Option<Spec>>,
    /// The first result.
    pub output_qspec: Option<Spec>,
    /// Whether its edges share observers with other edges of the same value that have equal specs.
    pub allow_implicit_sharing: bool,
}

impl Default for QuantizationAnnotation {
    fn default() -> Self {
        QuantizationAnnotation {
            input_qspec_map: IndexMap::new(),
            output_qspec: None,
            allow_implicit_sharing: true,
        }
    }
}

impl QuantizationAnnotation {
    /// Nothing is quantized; the node counts as annotated.
    pub fn new() -> Self {
        Self::default()
    }
    /// With this spec for an operand.
    pub fn input(mut self, value: ValueId, spec: impl Into<Spec>) -> Self {
        self.input_qspec_map.insert(value, Some(spec.into()));
        self
    }
    /// With this spec for the first result.
    pub fn output(mut self, spec: impl Into<Spec>) -> Self {
        self.output_qspec = Some(spec.into());
        self
    }
    /// With an observer of its own for each edge, whatever others of the same value have.
    pub fn no_implicit_sharing(mut self) -> Self {
        self.allow_implicit_sharing = false;
        self
    }
}

/// Annotated nodes in the order in which they were annotated.
#[derive(Clone, Default, Debug)]
pub struct Annotations {
    pub(crate) nodes: IndexMap<NodeId, QuantizationAnnotation>,
}

impl Annotations {
    /// No annotation.
    pub fn new() -> Self {
        Self::default()
    }
    /// Annotates a node; an earlier annotation of it is replaced.
    pub fn annotate(&mut self, node: NodeId, annotation: QuantizationAnnotation) {
        self.nodes.insert(node, annotation);
    }
    /// What is said about a node.
    pub fn get(&self, node: NodeId) -> Option<&QuantizationAnnotation> {
        self.nodes.get(&node)
    }
    /// Whether something, if only "leave it", is said about a node.
    pub fn is_annotated(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }
    /// All annotated nodes.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &QuantizationAnnotation)> {
        self.nodes.iter().map(|(&n, a)| (n, a))
    }
}

/// A back end's opinion on which values are quantized and how (`torch.ao.quantization.quantizer.Quantizer`).
pub trait Quantizer {
    /// Rewrites the graph before it is annotated.
    ///
    /// # Errors
    /// Whatever makes the rewrite impossible.
    fn transform_for_annotation(&self, _g: &mut Graph) -> Result<(), Diag> {
        Ok(())
    }
    /// Annotates nodes.
    ///
    /// # Errors
    /// Whatever makes the annotation impossible.
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag>;
    /// Refuses annotations that the back end cannot serve.
    ///
    /// # Errors
    /// Which annotation, and why.
    fn validate(&self, _g: &Graph, _annotations: &Annotations) -> Result<(), Diag> {
        Ok(())
    }
}
