//! A graph as PyTorch's FX sees it: one node for each call of the model's author, parameters of modules inside.
//!
//! Rules of PyTorch speak of arguments, users in order, and tuples; this view holds just that. It is built from a graph, changed
//! by the decisions of `prepare`, and only then are observers put into the graph itself.

use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use quantir_ir::entity::SideTable;
use quantir_ir::loc::{Call, Path};
use quantir_quant::call_type;
use smallvec::SmallVec;

use crate::prelude::*;

/// The number of a node in a [`View`].
pub(crate) type Id = usize;

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Graph input number `i`.
    Input(u32),
    /// A parameter that a function takes as an argument (`get_attr`).
    Attr,
    /// A call of a module.
    Module,
    /// A call of a function or method.
    Function,
    /// One result of a call that has several.
    Item,
    /// What the graph returns.
    Output,
    /// Observer node number `i`.
    Observer(usize),
}

/// What an argument is to its call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArgRole {
    /// An activation.
    Activation,
    /// The weight of a functional call.
    Weight,
    /// The weight of a functional norm, which is never observed.
    NormWeight,
    /// The bias of a functional call.
    Bias,
    /// A number.
    Literal,
}

/// An argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arg {
    /// Where it comes from; `None` for a number.
    pub from: Option<Id>,
    /// Where it is read in the graph.
    pub at: Use,
    /// What it is.
    pub role: ArgRole,
}

/// A parameter of a called module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    /// The constant.
    pub value: ValueId,
    /// Where it is read.
    pub at: Use,
    /// Whether it is a weight that quantization speaks of.
    pub weight: bool,
}

/// A node of the view.
#[derive(Clone, Debug)]
pub(crate) struct FxNode {
    pub kind: Kind,
    /// The value that it yields; `None` for the output, and for calls with several results.
    pub value: Option<ValueId>,
    /// The nodes of the graph that it stands for, in order.
    pub nodes: SmallVec<[NodeId; 1]>,
    pub call: Option<Call>,
    pub path: Option<Path>,
    pub args: Vec<Arg>,
    /// Whether the arguments are one list (`torch.cat([a, b])`).
    pub list: bool,
    pub params: Vec<Param>,
    pub users: IndexSet<Id>,
}

impl FxNode {
    /// Whether it is a call of a module, function or method.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Module | Kind::Function)
    }
    /// Number of arguments, as a pattern counts them.
    pub fn arity(&self) -> usize {
        if self.list { 1 } else { self.args.len() }
    }
}

/// The graph as FX sees it.
pub(crate) struct View {
    /// The nodes; those of the graph first, in order.
    pub nodes: Vec<FxNode>,
    /// The number of nodes before any observer.
    pub len: usize,
    /// For each value: its node.
    pub of: HashMap<ValueId, Id>,
}

/// Calls that fusion writes as several ops; all with one path are one call.
const COMPOSITE: &[&str] = &[
    "nn.intrinsic.BNReLU2d",
    "nn.intrinsic.BNReLU3d",
    "nn.intrinsic.LinearLeakyReLU",
    "nn.intrinsic.LinearTanh",
    "nn.intrinsic.ConvAdd2d",
    "nn.intrinsic.ConvAddReLU2d",
];

/// A module that is one call to the outside: a leaf of tracing, a standalone or custom module.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub path: Path,
    pub class: Call,
    pub nodes: HashSet<NodeId>,
}

impl Leaf {
    /// The module at `path`: nodes at that path or inside it, and what has no path of its own and lies between them.
    pub fn find(g: &Graph, path: &Path, class: &Call) -> Leaf {
        let inside = |n: NodeId| {
            let at = g.node(n).loc.path.as_deref();
            at.is_some_and(|p| p == &**path || p.strip_prefix(&**path).is_some_and(|r| r.starts_with('.')))
        };
        let mut nodes = HashSet::new();
        for n in g.nodes().filter(|&n| inside(n) && !is_param(g, n) && !matches!(g.op(n), Op::Observe(_))) {
            nodes.insert(n);
        }
        let reads = |nodes: &HashSet<NodeId>, n: NodeId| {
            let ins = g.node(n).ins.iter().flatten().filter(|&&v| !g.is_const(v));
            let from: Vec<bool> = ins.map(|&v| g.def_node(v).is_some_and(|d| nodes.contains(&d))).collect();
            !from.is_empty() && from.iter().all(|x| *x)
        };
        // Forward: what only the module computes from; then backward: of these, what only the module uses.
        let mut maybe = nodes.clone();
        for n in g.nodes() {
            if g.node(n).loc.path.is_none() && reads(&maybe, n) {
                maybe.insert(n);
            }
        }
        let order: Vec<NodeId> = g.nodes_rev().collect();
        for n in order {
            let used = |u: &Use| matches!(u, Use::Node(m, _) if nodes.contains(m));
            let outs = &g.node(n).outs;
            if maybe.contains(&n) && outs.iter().all(|&v| g.value(v).uses.iter().all(used)) {
                nodes.insert(n);
            }
        }
        Leaf { path: path.clone(), class: class.clone(), nodes }
    }
}

/// Whether `n` is a constant that holds a parameter or number.
fn is_param(g: &Graph, n: NodeId) -> bool {
    matches!(g.op(n), Op::Const(_))
}

/// Whether `v` is a number that the author wrote, not a parameter: a constant without dimensions.
pub(crate) fn is_literal(g: &Graph, v: ValueId) -> bool {
    g.is_const(v) && g.ty(v).rank() == 0
}

impl View {
    /// The view of all of `g`, or of the nodes in `only`, with `leaves` as single calls.
    pub fn new(g: &Graph, only: Option<&HashSet<NodeId>>, leaves: &[Leaf]) -> View {
        let mut b = Builder { g, view: View { nodes: Vec::new(), len: 0, of: HashMap::new() }, only };
        b.inputs();
        let mut leaf_of: SideTable<NodeId, Option<usize>> = SideTable::new(None);
        for (i, l) in leaves.iter().enumerate() {
            for &n in &l.nodes {
                leaf_of[n] = Some(i);
            }
        }
        let group_of = groups(g, &leaf_of);
        let mut members: HashMap<NodeId, SmallVec<[NodeId; 1]>> = HashMap::new();
        let nodes: Vec<NodeId> = g.nodes().filter(|&n| only.is_none_or(|s| s.contains(&n))).collect();
        for &n in &nodes {
            members.entry(group_of[n].unwrap_or(n)).or_default().push(n);
        }
        // A call stands where its last node does, so that all its arguments are known.
        for &n in &nodes {
            let head = group_of[n].unwrap_or(n);
            let Some(all) = members.get(&head).filter(|all| all.last() == Some(&n)).cloned() else {
                continue;
            };
            match leaf_of[n] {
                _ if is_param(g, n) => {}
                Some(i) => b.call(&all, Some(&leaves[i])),
                None => b.call(&all, None),
            }
        }
        b.output();
        let mut view = b.view;
        view.len = view.nodes.len();
        for id in 0..view.len {
            let from: Vec<Id> = view.nodes[id].args.iter().filter_map(|a| a.from).collect();
            for f in from {
                view.nodes[f].users.insert(id);
            }
        }
        view
    }

    /// The calls, in order.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = Id> + '_ {
        (0..self.len).filter(|&i| self.nodes[i].is_call())
    }

    /// Adds an observer node behind `from`; nothing reads it yet.
    pub fn observe(&mut self, from: Id, number: usize) -> Id {
        let id = self.nodes.len();
        let at = Use::Output(u32::MAX);
        self.nodes.push(FxNode {
            kind: Kind::Observer(number),
            value: self.nodes[from].value,
            nodes: SmallVec::new(),
            call: None,
            path: None,
            args: vec![Arg { from: Some(from), at, role: ArgRole::Activation }],
            list: false,
            params: Vec::new(),
            users: IndexSet::new(),
        });
        self.nodes[from].users.insert(id);
        id
    }

    /// Lets argument `arg` of `user` read `to`.
    pub fn set_arg(&mut self, user: Id, arg: usize, to: Id) {
        let Some(old) = self.nodes[user].args[arg].from.replace(to) else { return };
        if !self.nodes[user].args.iter().any(|a| a.from == Some(old)) {
            self.nodes[old].users.shift_remove(&user);
        }
        self.nodes[to].users.insert(user);
    }

    /// Lets all arguments of `user` that read `old` read `new`.
    pub fn replace_input(&mut self, user: Id, old: Id, new: Id) {
        for i in 0..self.nodes[user].args.len() {
            if self.nodes[user].args[i].from == Some(old) {
                self.set_arg(user, i, new);
            }
        }
    }

    /// Takes an observer node out: its users read what it observed.
    pub fn remove_observer(&mut self, id: Id) {
        let Some(from) = self.nodes[id].args[0].from else { return };
        for user in self.nodes[id].users.clone() {
            self.replace_input(user, id, from);
        }
        self.nodes[from].users.shift_remove(&id);
        self.nodes[id].args[0].from = None;
    }
}

/// For nodes that belong to one call with others: the first of them.
fn groups(g: &Graph, leaf_of: &SideTable<NodeId, Option<usize>>) -> SideTable<NodeId, Option<NodeId>> {
    let mut head: SideTable<NodeId, Option<NodeId>> = SideTable::new(None);
    for n in g.nodes() {
        let node = g.node(n);
        let Some(first) = node.ins.iter().flatten().find_map(|&v| {
            let d = g.def_node(v).filter(|&d| !is_param(g, d))?;
            let one_leaf = leaf_of[n].is_some() && leaf_of[n] == leaf_of[d];
            let one_call = composite(g, n)
                && composite(g, d)
                && !begins(g.op(n))
                && same_call(&node.loc, &g.node(d).loc);
            (one_leaf || one_call).then_some(head[d].unwrap_or(d))
        }) else {
            continue;
        };
        head[n] = Some(first);
    }
    head
}

fn same_call(a: &quantir_ir::Loc, b: &quantir_ir::Loc) -> bool {
    (&a.path, &a.call) == (&b.path, &b.call)
}

fn composite(g: &Graph, n: NodeId) -> bool {
    g.node(n).loc.call.as_deref().is_some_and(|c| COMPOSITE.contains(&c))
}

/// Whether the op is the first one of a composite call.
fn begins(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::Linear(_) | Op::BatchNorm(_))
}

struct Builder<'g> {
    g: &'g Graph,
    view: View,
    only: Option<&'g HashSet<NodeId>>,
}

impl Builder<'_> {
    fn push(&mut self, kind: Kind, value: Option<ValueId>) -> &mut FxNode {
        let id = self.view.nodes.len();
        if let Some(v) = value {
            self.view.of.insert(v, id);
        }
        self.view.nodes.push(FxNode {
            kind,
            value,
            nodes: SmallVec::new(),
            call: None,
            path: None,
            args: Vec::new(),
            list: false,
            params: Vec::new(),
            users: IndexSet::new(),
        });
        &mut self.view.nodes[id]
    }

    /// What comes in: the graph's inputs, or what a part of it reads from outside.
    fn inputs(&mut self) {
        let g = self.g;
        let Some(only) = self.only else {
            for (i, &v) in g.inputs().iter().enumerate() {
                self.push(Kind::Input(i as u32), Some(v));
            }
            return;
        };
        let mut seen = IndexSet::new();
        for n in g.nodes().filter(|&n| only.contains(&n)) {
            for &v in g.node(n).ins.iter().flatten() {
                if !g.is_const(v) && g.def_node(v).is_none_or(|d| !only.contains(&d)) {
                    seen.insert(v);
                }
            }
        }
        for (i, v) in seen.into_iter().enumerate() {
            self.push(Kind::Input(i as u32), Some(v));
        }
    }

    fn call(&mut self, nodes: &[NodeId], leaf: Option<&Leaf>) {
        let g = self.g;
        let (Some(&first), Some(&last)) = (nodes.first(), nodes.last()) else { return };
        let loc = &g.node(last).loc;
        let (call, path) = match leaf {
            Some(l) => (Some(l.class.clone()), Some(l.path.clone())),
            None => (loc.call.clone(), loc.path.clone()),
        };
        let module = leaf.is_some() || call.as_deref().is_some_and(|c| is_module(g, c, path.as_deref()));
        let inner = |v: ValueId| g.def_node(v).is_some_and(|d| nodes.contains(&d));
        let mut args = Vec::new();
        let mut params = Vec::new();
        for &n in nodes {
            for (slot, v) in g.node(n).ins.iter().enumerate() {
                let Some(v) = *v else { continue };
                let at = Use::Node(n, slot as u32);
                let role = role(g.op(n), slot);
                if inner(v) {
                    continue;
                }
                if is_literal(g, v) && !module {
                    args.push(Arg { from: None, at, role: ArgRole::Literal });
                } else if module && g.is_const(v) {
                    params.push(Param {
                        value: v,
                        at,
                        weight: leaf.is_none() && role == ArgRole::Weight && g.ty(v).rank() > 1,
                    });
                } else {
                    if g.is_const(v) && !self.view.of.contains_key(&v) {
                        let def = g.def_node(v);
                        let attr = self.push(Kind::Attr, Some(v));
                        attr.path = def.and_then(|d| g.node(d).loc.path.clone());
                    }
                    args.push(Arg { from: self.view.of.get(&v).copied(), at, role });
                }
            }
        }
        let outs: Vec<ValueId> = outer_results(g, nodes);
        let one = if let [v] = outs[..] { Some(v) } else { None };
        let list = matches!(g.op(first), Op::Concat(_) | Op::Stack(_)) && leaf.is_none();
        let node = self.push(if module { Kind::Module } else { Kind::Function }, one);
        (node.nodes, node.call, node.path, node.args, node.list, node.params) =
            (nodes.into(), call, path, args, list, params);
        if one.is_none() {
            let id = self.view.nodes.len() - 1;
            for v in outs {
                let item = self.push(Kind::Item, Some(v));
                item.args.push(Arg { from: Some(id), at: Use::Output(u32::MAX), role: ArgRole::Activation });
            }
        }
    }

    fn output(&mut self) {
        let g = self.g;
        let mut args = Vec::new();
        match self.only {
            None => {
                for (i, o) in g.outputs().iter().enumerate() {
                    let from = self.view.of.get(&o.value).copied();
                    args.push(Arg { from, at: Use::Output(i as u32), role: ArgRole::Activation });
                }
            }
            Some(only) => {
                let nodes: Vec<NodeId> = g.nodes().filter(|n| only.contains(n)).collect();
                for v in outer_results(g, &nodes) {
                    for &u in &g.value(v).uses {
                        if !matches!(u, Use::Node(n, _) if only.contains(&n)) {
                            let from = self.view.of.get(&v).copied();
                            args.push(Arg { from, at: u, role: ArgRole::Activation });
                        }
                    }
                }
            }
        }
        self.push(Kind::Output, None).args = args;
    }
}

/// Results of `nodes` that others use, or all of the last one if nobody does.
fn outer_results(g: &Graph, nodes: &[NodeId]) -> Vec<ValueId> {
    let outside = |u: &Use| !matches!(u, Use::Node(n, _) if nodes.contains(n));
    let [.., last] = nodes else { return Vec::new() };
    if nodes.len() == 1 {
        return g.node(*last).outs.to_vec();
    }
    let all = nodes.iter().flat_map(|&n| g.node(n).outs.iter().copied());
    let used: Vec<ValueId> = all.filter(|&v| g.value(v).uses.iter().any(outside)).collect();
    if used.is_empty() { g.node(*last).outs.to_vec() } else { used }
}

/// Whether a call type is a module's class: `nn.Conv2d`, or a class of the user's own that the graph lists.
fn is_module(g: &Graph, call: &str, path: Option<&str>) -> bool {
    call_type::is_module(call) || path.and_then(|p| g.modules.get(p)).is_some_and(|c| &**c == call)
}

/// What operand `slot` is to an op.
pub(crate) fn role(op: &Op, slot: usize) -> ArgRole {
    let spec = op.operands().get(slot).or(op.operands().last());
    match spec.map_or("", |s| s.name) {
        "weight" => ArgRole::Weight,
        "gamma" => ArgRole::NormWeight,
        "beta" | "mean" | "var" => ArgRole::Bias,
        "table" if matches!(op, Op::Embedding(_) | Op::EmbeddingBag(_)) => ArgRole::Weight,
        "weight_ih" | "weight_hh" | "weights" => ArgRole::Weight,
        "bias" => ArgRole::Bias,
        _ => ArgRole::Activation,
    }
}
