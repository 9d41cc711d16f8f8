//! Where the parts of a graph stand in the text it was parsed from.

use std::ops::Range;
use std::sync::Arc;

use crate::NodeId;
use crate::entity::Entity;
use crate::text::node::NodeSyntax;
use crate::text::parse::{Options, Parser};

/// Places of a parsed graph's parts in its text. Of a node only the start of its line is kept; the places
/// within are read from the text when a diagnostic needs them.
pub struct SourceMap {
    pub(crate) file: Arc<str>,
    /// By node index: byte and line.
    pub(crate) nodes: Vec<(usize, u32)>,
    pub(crate) inputs: Vec<Range<usize>>,
    pub(crate) outputs: Vec<Range<usize>>,
    /// In the order of declaration.
    pub(crate) dims: Vec<Range<usize>>,
    /// In the order of declaration.
    pub(crate) observers: Vec<Range<usize>>,
}

/// Places of a node's parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodePlaces {
    /// The op's word.
    pub op: Range<usize>,
    /// The results' names.
    pub results: Vec<Range<usize>>,
    /// The operands; trailing absent ones are not there.
    pub operands: Vec<Range<usize>>,
    /// The names of attributes.
    pub attrs: Vec<(String, Range<usize>)>,
    /// The results' types.
    pub types: Vec<Range<usize>>,
}

impl SourceMap {
    pub(crate) fn new(file: Arc<str>) -> SourceMap {
        SourceMap {
            file,
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            dims: Vec::new(),
            observers: Vec::new(),
        }
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The places of a node's parts in the text that was parsed; `None` for a node that came later.
    pub fn node(&self, text: &str, n: NodeId) -> Option<NodePlaces> {
        let (start, line) = *self.nodes.get(n.index())?;
        text.get(start..)?;
        let options = Options::default();
        let mut p = Parser::starting_at(text, &options, start, line);
        let mut s = NodeSyntax::default();
        p.node_syntax(&mut s).ok()?;
        Some(NodePlaces {
            op: s.op?.range(),
            results: s.results.iter().map(|t| t.range()).collect(),
            operands: s.operands.iter().map(|t| t.map_or(0..0, |t| t.range())).collect(),
            attrs: s.attr_names.iter().map(|t| (text[t.range()].to_string(), t.range())).collect(),
            types: s.types.iter().map(|t| t.range()).collect(),
        })
    }
}
