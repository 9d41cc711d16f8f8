//! The graph seen by petgraph: visit traits over `&Graph`, and analyses on top of them.
//!
//! Nodes are nodes, and an edge leads from the node that defines a value to each node that uses it, once for
//! each operand slot. Nothing here is recursive, so depth of a graph is no limit.

use std::collections::HashMap;
use std::fmt::Write as _;

use petgraph::Direction;
use petgraph::algo::dominators::{self, simple_fast};
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::unionfind::UnionFind;
use petgraph::visit::{
    Data, GraphBase, GraphProp, GraphRef, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers,
    NodeCount, NodeIndexable, VisitMap, Visitable,
};

use crate::entity::{Entity, IdSet};
use crate::graph::{Graph, Use};
use crate::ops::{Op, OperandKind};
use crate::types::{Elem, Type};
use crate::{NodeId, ValueId};

/// A graph as petgraph sees it.
#[derive(Clone, Copy)]
pub struct GraphView<'g>(pub &'g Graph);

impl GraphBase for GraphView<'_> {
    type NodeId = NodeId;
    /// The user and its operand slot.
    type EdgeId = (NodeId, u32);
}
impl GraphRef for GraphView<'_> {}
impl Data for GraphView<'_> {
    type NodeWeight = NodeId;
    type EdgeWeight = ValueId;
}
impl GraphProp for GraphView<'_> {
    type EdgeType = petgraph::Directed;
}

/// The neighbours of a node, once for each edge.
pub struct Neighbors<'g> {
    g: &'g Graph,
    ins: std::slice::Iter<'g, Option<ValueId>>,
    outs: std::slice::Iter<'g, ValueId>,
    uses: std::slice::Iter<'g, Use>,
}

impl Iterator for Neighbors<'_> {
    type Item = NodeId;
    fn next(&mut self) -> Option<NodeId> {
        loop {
            if let Some(v) = self.ins.next() {
                match v.and_then(|v| self.g.def_node(v)) {
                    Some(n) => return Some(n),
                    None => continue,
                }
            }
            match self.uses.next() {
                Some(Use::Node(n, _)) => return Some(*n),
                Some(Use::Output(_)) => {}
                None => self.uses = self.g.value(*self.outs.next()?).uses.iter(),
            }
        }
    }
}

impl<'g> IntoNeighbors for GraphView<'g> {
    type Neighbors = Neighbors<'g>;
    fn neighbors(self, n: NodeId) -> Neighbors<'g> {
        self.neighbors_directed(n, Direction::Outgoing)
    }
}
impl<'g> IntoNeighborsDirected for GraphView<'g> {
    type NeighborsDirected = Neighbors<'g>;
    fn neighbors_directed(self, n: NodeId, d: Direction) -> Neighbors<'g> {
        let g = self.0;
        let (ins, outs) = match (g.try_node(n), d) {
            (Some(node), Direction::Outgoing) => ([].iter(), node.outs.iter()),
            (Some(node), Direction::Incoming) => (node.ins.iter(), [].iter()),
            (None, _) => ([].iter(), [].iter()),
        };
        Neighbors { g, ins, outs, uses: [].iter() }
    }
}
impl<'g> IntoNodeIdentifiers for GraphView<'g> {
    type NodeIdentifiers = Box<dyn Iterator<Item = NodeId> + 'g>;
    fn node_identifiers(self) -> Self::NodeIdentifiers {
        Box::new(self.0.nodes())
    }
}
impl NodeIndexable for GraphView<'_> {
    fn node_bound(&self) -> usize {
        self.0.node_bound()
    }
    fn to_index(&self, n: NodeId) -> usize {
        n.index()
    }
    fn from_index(&self, i: usize) -> NodeId {
        NodeId::new(i)
    }
}
impl NodeCount for GraphView<'_> {
    fn node_count(&self) -> usize {
        self.0.node_count()
    }
}

/// Nodes that a traversal has seen.
#[derive(Clone, Default)]
pub struct Visited(IdSet<NodeId>);
impl VisitMap<NodeId> for Visited {
    fn visit(&mut self, n: NodeId) -> bool {
        self.0.insert(n)
    }
    fn is_visited(&self, n: &NodeId) -> bool {
        self.0.contains(*n)
    }
    fn unvisit(&mut self, n: NodeId) -> bool {
        self.0.remove(n)
    }
}
impl Visitable for GraphView<'_> {
    type Map = Visited;
    fn visit_map(&self) -> Visited {
        Visited::default()
    }
    fn reset_map(&self, map: &mut Visited) {
        *map = Visited::default();
    }
}

/// Nodes each of which uses a result of the one before, and the first one a result of the last.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} nodes use each other's results in a cycle", .0.len())]
pub struct Cycle(pub Vec<NodeId>);

/// The nodes so that each comes after those whose results it uses. Fails with the nodes of a cycle.
pub fn topological(g: &Graph) -> Result<Vec<NodeId>, Cycle> {
    toposort(GraphView(g), None).map_err(|at| cycle(g).unwrap_or_else(|| Cycle(vec![at.node_id()])))
}

/// A cycle, if there is one; the witness of a broken graph.
pub fn cycle(g: &Graph) -> Option<Cycle> {
    let view = GraphView(g);
    let uses_itself = |n: NodeId| view.neighbors(n).any(|m| m == n);
    // Kosaraju's algorithm rather than Tarjan's, whose implementation is recursive.
    let component =
        kosaraju_scc(view).into_iter().find(|c| c.len() > 1 || c.first().is_some_and(|&n| uses_itself(n)))?;
    let inside = set(component.iter().copied());
    // Walking on within the component must come back to a node of the walk.
    let (mut walk, mut seen) = (Vec::new(), IdSet::new());
    let mut n = *component.first()?;
    while seen.insert(n) {
        walk.push(n);
        n = view.neighbors(n).find(|&m| inside.contains(m))?;
    }
    let start = walk.iter().position(|&m| m == n)?;
    Some(Cycle(walk.split_off(start)))
}

fn set(nodes: impl Iterator<Item = NodeId>) -> IdSet<NodeId> {
    let mut set = IdSet::new();
    for n in nodes {
        set.insert(n);
    }
    set
}

/// The graph with a virtual root, `None`, that leads to every place where data enters (or, reversed, leaves).
#[derive(Clone, Copy)]
struct Rooted<'g> {
    g: &'g Graph,
    direction: Direction,
    ends: &'g [NodeId],
}
impl GraphBase for Rooted<'_> {
    type NodeId = Option<NodeId>;
    type EdgeId = ();
}
impl GraphRef for Rooted<'_> {}
impl<'g> IntoNeighbors for Rooted<'g> {
    type Neighbors = Box<dyn Iterator<Item = Option<NodeId>> + 'g>;
    fn neighbors(self, n: Option<NodeId>) -> Self::Neighbors {
        match n {
            None => Box::new(self.ends.iter().copied().map(Some)),
            Some(n) => Box::new(GraphView(self.g).neighbors_directed(n, self.direction).map(Some)),
        }
    }
}
/// Visited nodes of a [`Rooted`]: the root and the others.
struct RootedVisited(bool, Visited);
impl VisitMap<Option<NodeId>> for RootedVisited {
    fn visit(&mut self, n: Option<NodeId>) -> bool {
        match n {
            None => !std::mem::replace(&mut self.0, true),
            Some(n) => self.1.visit(n),
        }
    }
    fn is_visited(&self, n: &Option<NodeId>) -> bool {
        match n {
            None => self.0,
            Some(n) => self.1.is_visited(n),
        }
    }
    fn unvisit(&mut self, n: Option<NodeId>) -> bool {
        match n {
            None => std::mem::replace(&mut self.0, false),
            Some(n) => self.1.unvisit(n),
        }
    }
}
impl Visitable for Rooted<'_> {
    type Map = RootedVisited;
    fn visit_map(&self) -> RootedVisited {
        RootedVisited(false, Visited::default())
    }
    fn reset_map(&self, map: &mut RootedVisited) {
        *map = self.visit_map();
    }
}

/// Which node every path to (or from) a node passes.
pub struct Dominators(dominators::Dominators<Option<NodeId>>);

impl Dominators {
    /// The nearest node that every path passes; `None` if there is none, or if no path reaches `n` at all.
    pub fn immediate(&self, n: NodeId) -> Option<NodeId> {
        self.0.immediate_dominator(Some(n)).flatten()
    }
    /// All nodes that every path passes, from the nearest to the farthest, without `n` itself.
    pub fn strict(&self, n: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.immediate(n), |&m| self.immediate(m))
    }
}

/// For each node, the nodes that every path from a graph input to it passes.
///
/// What depends on constants alone has no such path.
pub fn dominators(g: &Graph) -> Dominators {
    let users = g.inputs().iter().flat_map(|&v| g.users(v));
    let ends: Vec<NodeId> = users.collect();
    Dominators(simple_fast(Rooted { g, direction: Direction::Outgoing, ends: &ends }, None))
}

/// For each node, the nodes that every path from it to a graph output passes: where a branch joins again.
pub fn post_dominators(g: &Graph) -> Dominators {
    let ends: Vec<NodeId> = g.outputs().iter().filter_map(|o| g.def_node(o.value)).collect();
    Dominators(simple_fast(Rooted { g, direction: Direction::Incoming, ends: &ends }, None))
}

/// Connected components of the nodes that satisfy `pred`, in graph order.
pub fn islands(g: &Graph, pred: impl Fn(NodeId) -> bool) -> Vec<Vec<NodeId>> {
    let inside = set(g.nodes().filter(|&n| pred(n)));
    let mut sets = UnionFind::<usize>::new(g.node_bound());
    for n in g.nodes().filter(|&n| inside.contains(n)) {
        for m in GraphView(g).neighbors(n).filter(|&m| inside.contains(m)) {
            sets.union(n.index(), m.index());
        }
    }
    let mut number = HashMap::new();
    let mut out: Vec<Vec<NodeId>> = Vec::new();
    for n in g.nodes().filter(|&n| inside.contains(n)) {
        let i = *number.entry(sets.find_mut(n.index())).or_insert(out.len());
        if i == out.len() {
            out.push(Vec::new());
        }
        out[i].push(n);
    }
    out
}

/// The graph in Graphviz's language: ops as boxes with name and type, inputs and outputs as ellipses.
pub fn to_dot(g: &Graph) -> String {
    let mut s = String::new();
    let id = |v: ValueId| match g.def_node(v) {
        Some(n) => format!("n{}", n.index()),
        None => format!("v{}", v.index()),
    };
    let typed = |v: ValueId| format!("%{} : {}", g.name_of(v), short(g, g.ty(v)));
    // Writing to a string cannot fail.
    let _ = writeln!(
        s,
        "digraph {} {{\n  rankdir=TB;\n  node [shape=box, fontname=\"monospace\"];",
        quoted(&[&g.name])
    );
    for &v in g.inputs() {
        let _ = writeln!(s, "  {} [shape=ellipse, label={}];", id(v), quoted(&[&typed(v)]));
    }
    for n in g.nodes() {
        let node = g.node(n);
        let mut lines = vec![node.op.name().to_string()];
        lines.extend(node.outs.iter().map(|&v| typed(v)));
        if let Some(p) = &node.loc.path {
            lines.push(format!("@{p}"));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let style = if matches!(node.op, Op::Const(_)) { ", style=dashed" } else { "" };
        let _ = writeln!(s, "  n{} [label={}{style}];", n.index(), quoted(&lines));
        let specs = node.op.operands();
        for (slot, v) in node.ins.iter().enumerate() {
            let Some(v) = v else { continue };
            let name = match specs.get(slot.min(specs.len().saturating_sub(1))) {
                Some(spec) if spec.kind == OperandKind::Many => {
                    format!("{}[{}]", spec.name, slot + 1 - specs.len())
                }
                Some(spec) => spec.name.to_string(),
                None => slot.to_string(),
            };
            let label =
                if node.ins.len() > 1 { format!(" [label={}]", quoted(&[&name])) } else { String::new() };
            let _ = writeln!(s, "  {} -> n{}{label};", id(*v), n.index());
        }
    }
    for (i, o) in g.outputs().iter().enumerate() {
        let label = quoted(&[&format!("return {}", o.name)]);
        let _ = writeln!(s, "  o{i} [shape=ellipse, label={label}];\n  {} -> o{i};", id(o.value));
    }
    s.push_str("}\n");
    s
}

/// A type with the name of its quantization instead of its contents.
fn short(g: &Graph, ty: &Type) -> String {
    match &ty.elem {
        Elem::Plain(s) => format!("{s}{}", ty.shape),
        Elem::Quant(q) => {
            format!("{}!{}{}", q.storage, g.quant_names.get(q).map_or("", |n| n), ty.shape)
        }
    }
}

/// Lines as one string of Graphviz, whatever characters they hold.
fn quoted(lines: &[&str]) -> String {
    let mut s = String::from("\"");
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            s.push_str("\\n");
        }
        for c in line.chars() {
            match c {
                '"' => s.push_str("\\\""),
                '\\' => s.push_str("\\\\"),
                '\n' => s.push_str("\\n"),
                c if c.is_control() => s.push('\u{fffd}'),
                c => s.push(c),
            }
        }
    }
    s.push('"');
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Phase;
    use crate::loc::Loc;
    use crate::ops::Relu;

    #[test]
    fn a_cycle_is_found_and_shown() {
        let mut g = Graph::new("main", Phase::Float);
        let x = g.input("x", Type::f32(&[2]));
        let mut v = x;
        for i in 0..4 {
            v = g.push(Relu {}, [v], &format!("r{i}"), Loc::default()).unwrap();
        }
        assert_eq!(cycle(&g), None);
        // No edit can do this: the second node now uses the result of the last one.
        let nodes: Vec<NodeId> = g.nodes().collect();
        let old = g.node(nodes[1]).ins[0].unwrap();
        g.nodes[nodes[1]].as_mut().unwrap().ins[0] = Some(v);
        g.values[old].as_mut().unwrap().uses.clear();
        g.values[v].as_mut().unwrap().uses.push(Use::Node(nodes[1], 0));
        let mut found = topological(&g).unwrap_err().0;
        found.sort();
        assert_eq!(found, nodes[1..]);
    }
}
