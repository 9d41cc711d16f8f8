//! `Loop`, as far as it is what PyTorch's exporter writes for an embedding bag.

use std::collections::HashMap;

use quantir_ir::Dim;
use quantir_ir::ops::embedding::BagMode;
use quantir_ir::ops::{EmbeddingBag, Slice};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::super::proto::{GraphProto, NodeProto};
use super::Table;

pub(super) const OPS: Table = &[("Loop", embedding_bag)];

/// A loop over bags: each turn slices the indices between two offsets, gathers these rows of the table (times weights),
/// and reduces them to one.
struct Bag<'m> {
    indices: &'m str,
    table: &'m str,
    weights: Option<&'m str>,
    starts: &'m str,
    ends: &'m str,
    mode: BagMode,
}

fn embedding_bag<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let other = || {
        Fail::unsupported(
            "it is a loop that depends on data; only the loop of an exported `EmbeddingBag` is known",
        )
    };
    let body = node.attr("body").and_then(|a| a.g.as_deref()).ok_or_else(other)?;
    let bag = Body::of(body).and_then(|b| b.bag()).ok_or_else(other)?;
    let starts = cx.named_value(bag.starts, node.path.as_ref())?;
    let ends = cx.named_value(bag.ends, node.path.as_ref())?;
    let length = cx.shape(starts);
    let is_rest = cx.graph.def::<Slice>(ends).is_some_and(|s| {
        let all = s.op.start.is(1) && Some(&s.op.end) == length.first();
        s.x == starts && s.op.axis == 0 && s.op.step == 1 && all
    });
    if !is_rest {
        return Err(other());
    }
    // The number of turns is that of the ends; anything else would leave bags out.
    let turns = cx.dims(node, 0)?;
    let bags = cx.shape(ends);
    if turns.as_deref().and_then(<[Dim]>::first).is_some_and(|n| Some(n) != bags.first()) {
        return Err(other());
    }
    let mut ins = vec![
        Some(cx.named_value(bag.indices, node.path.as_ref())?),
        Some(cx.named_value(bag.table, node.path.as_ref())?),
        Some(starts),
    ];
    if let Some(w) = bag.weights {
        ins.push(Some(cx.named_value(w, node.path.as_ref())?));
    }
    cx.finish(node, EmbeddingBag { mode: bag.mode, include_last_offset: true, padding_idx: -1 }, ins)
}

/// The nodes of a loop's body by what they make.
struct Body<'m> {
    graph: &'m GraphProto,
    makers: HashMap<&'m str, &'m NodeProto>,
}

impl<'m> Body<'m> {
    fn of(graph: &'m GraphProto) -> Option<Body<'m>> {
        let mut makers = HashMap::new();
        for n in &graph.node {
            makers.insert(n.output.first()?.as_str(), n);
        }
        Some(Body { graph, makers })
    }

    /// The node of one of these ops that makes `name`.
    fn made(&self, name: &str, ops: &[&str]) -> Option<&'m NodeProto> {
        self.makers.get(name).copied().filter(|n| ops.contains(&n.op_type()))
    }

    fn input(node: &'m NodeProto, i: usize) -> Option<&'m str> {
        node.input.get(i).map(String::as_str).filter(|s| !s.is_empty())
    }

    /// The outer vector whose element at the number of the turn is `name`, with an axis added.
    fn element(&self, name: &str) -> Option<&'m str> {
        let unsqueeze = self.made(name, &["Unsqueeze"])?;
        let gather = self.made(Self::input(unsqueeze, 0)?, &["Gather"])?;
        let turn = self.graph.input.first()?.name();
        (Self::input(gather, 1)? == turn).then(|| Self::input(gather, 0))?
    }

    /// The outer vector that `name` is a slice of, and where its bounds come from.
    fn cut(&self, name: &str) -> Option<(&'m str, &'m str, &'m str)> {
        let slice = self.made(name, &["Slice"])?;
        if slice.input.len() > 4 {
            return None;
        }
        let bounds = (self.element(Self::input(slice, 1)?)?, self.element(Self::input(slice, 2)?)?);
        Some((Self::input(slice, 0)?, bounds.0, bounds.1))
    }

    fn bag(&self) -> Option<Bag<'m>> {
        let [_, result] = self.graph.output.as_slice() else { return None };
        let reduce = self.made(result.name(), &["ReduceSum", "ReduceMean", "ReduceMax"])?;
        let keeps = reduce.attribute.iter().find(|a| a.name() == "keepdims").is_none_or(|a| a.i() != 0);
        if keeps {
            return None;
        }
        let mode = match reduce.op_type() {
            "ReduceSum" => BagMode::Sum,
            "ReduceMean" => BagMode::Mean,
            _ => BagMode::Max,
        };
        let mut rows = Self::input(reduce, 0)?;
        let mut factor = None;
        if let Some(mul) = self.made(rows, &["Mul"]) {
            rows = Self::input(mul, 0)?;
            let column = self.made(Self::input(mul, 1)?, &["Unsqueeze"])?;
            factor = Some(self.cut(Self::input(column, 0)?)?);
        }
        let gather = self.made(rows, &["Gather"])?;
        let (indices, starts, ends) = self.cut(Self::input(gather, 1)?)?;
        let weights = match factor {
            None => None,
            Some((w, s, e)) if (s, e) == (starts, ends) => Some(w),
            Some(_) => return None,
        };
        let table = Self::input(gather, 0)?;
        // Everything else comes from outside the body.
        let outer = |name: &str| !self.makers.contains_key(name);
        [indices, table, starts, ends].into_iter().chain(weights).all(outer).then_some(Bag {
            indices,
            table,
            weights,
            starts,
            ends,
            mode,
        })
    }
}
