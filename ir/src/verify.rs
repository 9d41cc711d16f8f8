//! The verifier: what holds for every graph between passes.
//!
//! **Contract.** A graph that verifies never panics in a pass, the interpreter, lowering or planning. The
//! verifier itself never panics, whatever the graph, and takes linear time.
//!
//! | | invariant | code |
//! |---|---|---|
//! | 1 | every id is live: operands, results, inputs, outputs; each live node is in the order once | `dead` |
//! | 2 | definitions precede uses in the order | `order` |
//! | 3 | use lists equal the operands and outputs | `uses` |
//! | 4 | exactly the declared operands; optional ones may be absent | `operands` |
//! | 5 | result types equal `infer(operands)` | `type` |
//! | 6 | every quantized type satisfies its `Quant`: storage, range, axis, scales, zero points | `quant` |
//! | 7 | the op is allowed in this phase | `phase` |
//! | 8 | names are unique when printed; [`Names`] sees to it, the parser refuses others | `name` |
//! | 9 | observers used are declared, declared ones are used, their ranges fit | `observer` |
//! | 10 | symbols used are declared with a range that is not empty; no dimension is negative | `dim` |
//! | 11 | outputs have names of their own | `output` |
//! | 12 | a constant's contents match its type | `const` |
//!
//! Results are in the order of the graph; there are at most [`MAX_FINDINGS`], so that a hopeless graph does not
//! bury its first error.

mod constant;
mod node;
mod structure;
mod types;

use std::cell::OnceCell;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::Diag;
use crate::graph::{Graph, Name};
use crate::quant::Quant;
use crate::text::{self, Names, Options, SourceMap};
use crate::types::{Elem, Type};
use crate::{NodeId, ValueId};

/// After this many findings the rest of the graph is not looked at.
pub const MAX_FINDINGS: usize = 100;

/// What is wrong with the graph; empty if all invariants hold.
pub fn verify(g: &Graph) -> Vec<Diag> {
    let find = |f: Finding| match f.place.node().and_then(|n| g.try_node(n)) {
        Some(node) => f.diag.at(&node.loc),
        None => f.diag,
    };
    check(g).into_iter().map(find).collect()
}

/// As [`verify`], with places in the text that the graph was parsed from.
pub fn verify_source(g: &Graph, source: &SourceMap, text: &str) -> Vec<Diag> {
    let find = |f: Finding| {
        let range = f.place.range(source, text);
        let d = match f.place.node().and_then(|n| g.try_node(n)) {
            Some(node) => f.diag.at(&node.loc),
            None => f.diag,
        };
        match range {
            Some(r) => d.label(r, f.label),
            None => d,
        }
    };
    check(g).into_iter().map(find).collect()
}

/// Parses a text and verifies the graph: all errors of the first kind, or else all of the second.
pub fn verify_text(text: &str, options: &Options) -> Result<Graph, Vec<Diag>> {
    let parsed = text::parse_source(text, options)?;
    let diags = verify_source(&parsed.graph, &parsed.source, text);
    if diags.is_empty() { Ok(parsed.graph) } else { Err(diags) }
}

fn check(g: &Graph) -> Vec<Finding> {
    let mut v = Verifier { g, found: Vec::new(), names: OnceCell::new(), quants: OnceCell::new() };
    v.declarations();
    // The other checks follow ids, so they need this one to hold.
    if v.structure() {
        v.contents();
    }
    v.found
}

/// Where in a graph something is wrong.
#[derive(Clone, PartialEq, Debug)]
enum Place {
    /// The graph as a whole.
    Graph,
    /// A node, at its op.
    Node(NodeId),
    /// Operand number `i` of a node.
    Operand(NodeId, usize),
    /// The type of result number `i` of a node.
    Result(NodeId, usize),
    /// An attribute of a node.
    Attr(NodeId, String),
    /// Graph input number `i`.
    Input(usize),
    /// Graph output number `i`.
    Output(usize),
    /// Declaration number `i` of a symbol.
    Dim(usize),
    /// Declaration number `i` of an observer.
    Observer(usize),
}

impl Place {
    fn node(&self) -> Option<NodeId> {
        match self {
            Place::Node(n) | Place::Operand(n, _) | Place::Result(n, _) | Place::Attr(n, _) => Some(*n),
            _ => None,
        }
    }

    fn range(&self, source: &SourceMap, text: &str) -> Option<std::ops::Range<usize>> {
        match self {
            Place::Graph => None,
            Place::Input(i) => source.inputs.get(*i).cloned(),
            Place::Output(i) => source.outputs.get(*i).cloned(),
            Place::Dim(i) => source.dims.get(*i).cloned(),
            Place::Observer(i) => source.observers.get(*i).cloned(),
            Place::Node(n) => Some(source.node(text, *n)?.op),
            Place::Operand(n, i) => {
                let places = source.node(text, *n)?;
                Some(places.operands.get(*i).cloned().filter(|r| !r.is_empty()).unwrap_or(places.op))
            }
            Place::Result(n, i) => {
                let places = source.node(text, *n)?;
                Some(places.types.get(*i).cloned().unwrap_or(places.op))
            }
            Place::Attr(n, name) => {
                let places = source.node(text, *n)?;
                let attr = places.attrs.into_iter().find(|(a, _)| a == name);
                Some(attr.map_or(places.op, |(_, range)| range))
            }
        }
    }
}

struct Finding {
    diag: Diag,
    place: Place,
    /// The remark at the place.
    label: String,
}

struct Verifier<'g> {
    g: &'g Graph,
    found: Vec<Finding>,
    /// Printed names, made when the first message needs them.
    names: OnceCell<Names>,
    quants: OnceCell<IndexMap<Arc<Quant>, Name>>,
}

impl Verifier<'_> {
    fn report(&mut self, diag: Diag, place: Place, label: impl Into<String>) {
        self.found.push(Finding { diag, place, label: label.into() });
    }

    fn full(&self) -> bool {
        self.found.len() >= MAX_FINDINGS
    }

    /// `%conv1`, as printed.
    fn name(&self, v: ValueId) -> String {
        let names = self.names.get_or_init(|| Names::of(self.g));
        text::sigil('%', names.get(v)).to_string()
    }

    /// The type as printed.
    fn ty(&self, t: &Type) -> String {
        let quants = self.quants.get_or_init(|| text::quant_names(self.g));
        match &t.elem {
            Elem::Quant(q) if quants.contains_key(q) => {
                format!("{}{}{}", q.storage, text::sigil('!', &quants[q]), t.shape)
            }
            _ => t.to_string(),
        }
    }

    /// The remark at a node that names its op and module.
    fn here(&self, n: NodeId) -> String {
        let Some(node) = self.g.try_node(n) else { return String::new() };
        match &node.loc.path {
            Some(p) => format!("in this `{}` of module `{p}`", node.op.name()),
            None => format!("in this `{}`", node.op.name()),
        }
    }
}
