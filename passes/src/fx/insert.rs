//! Puts the observers of a [`View`](crate::fx::view::View) into the graph.

use std::collections::HashMap;

use quantir_ir::loc::Path;
use quantir_ir::{Loc, ObserverSpec};

use crate::fx::custom::PrepareCustomConfig;
use crate::fx::view::{Id, Leaf};
use crate::prelude::*;

/// The prefix of observers of activations and of the nodes where they observe.
pub(crate) const ACTIVATION: &str = "activation_post_process_";
/// What a node says that keeps a standalone module's inside apart from the outside.
pub(crate) const FENCE: &str = "quantir.standalone";

/// What stands before the call type of a call without a qconfig.
pub(crate) const FLOAT: &str = "float ";

/// An observer node.
pub(crate) struct Slot {
    /// The node's number in order of creation.
    pub number: usize,
    /// The number of the node whose observer it has.
    pub instance: usize,
    /// The value that is observed.
    pub value: ValueId,
    /// The number of the observer node whose result it observes instead.
    pub behind: Option<usize>,
    /// What reads the observed value.
    pub uses: Vec<Use>,
    pub spec: ObserverSpec,
}

/// The observer of a module's weight.
pub(crate) struct Weight {
    pub name: String,
    pub spec: ObserverSpec,
    pub uses: Vec<Use>,
}

/// All that is to be inserted.
#[derive(Default)]
pub(crate) struct Observers {
    pub prefix: String,
    pub slots: Vec<Slot>,
    pub weights: Vec<(ValueId, Weight)>,
    /// Sums and products without a qconfig that read observed values.
    pub float: Vec<NodeId>,
    /// Calls of modules that are prepared on their own.
    pub leaf_calls: Vec<(Path, Id)>,
}

pub(crate) fn insert(g: &mut Graph, cx: &mut PassCx, all: &Observers) -> Result<(), Diag> {
    let order: Vec<NodeId> = g.nodes().collect();
    let after: HashMap<NodeId, NodeId> = order.iter().copied().zip(order.iter().copied().skip(1)).collect();
    let mut made: HashMap<usize, ValueId> = HashMap::new();
    let name = |k: usize| format!("{}{ACTIVATION}{k}", all.prefix);
    for s in &all.slots {
        let from = s.behind.and_then(|j| made.get(&j).copied()).unwrap_or(s.value);
        let (value, by) = (name(s.number), name(s.instance));
        let Some(seen) = one(g, cx, (s.value, from), &after, &order, (&value, &by), &s.spec, &s.uses)? else {
            return Ok(());
        };
        made.insert(s.number, seen);
    }
    for (v, w) in &all.weights {
        if one(g, cx, (*v, *v), &after, &order, (&format!("{}.o", w.name), &w.name), &w.spec, &w.uses)?
            .is_none()
        {
            return Ok(());
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn one(
    g: &mut Graph,
    cx: &mut PassCx,
    (old, from): (ValueId, ValueId),
    after: &HashMap<NodeId, NodeId>,
    order: &[NodeId],
    (name, by): (&str, &str),
    spec: &ObserverSpec,
    uses: &[Use],
) -> Result<Option<ValueId>, Diag> {
    let def = g.def_node(old);
    let at = match def {
        Some(d) => after.get(&d).copied(),
        None => order.first().copied(),
    };
    let mut e = match at {
        Some(at) => g.edit(at),
        None => g.edit_end(),
    };
    // An observer belongs to the module whose value it observes; it is no call of the author's.
    let path = def.and_then(|d| g.node(d).loc.path.clone());
    e.loc(Loc { path, ..Loc::default() });
    let op = Observe { by: ops::observe::ObserverName(by.into()) };
    let seen = e.op(op, [from]).map_err(|r| r.diag("prepare"))?;
    e.name(seen, name).replace_uses(old, seen, uses.to_vec());
    let edit = e.finish();
    let Some(mark) = def.or(order.first().copied()) else { return Ok(Some(old)) };
    g.observers.entry(by.into()).or_insert_with(|| spec.clone());
    let Some(done) = cx.apply(g, "observe", mark, edit)? else { return Ok(None) };
    Ok(done.new.first().map(|&n| g.node(n).outs[0]))
}

/// Says of calls that no qconfig applies to them although what is around them is observed: lowering leaves those alone.
///
/// Their call type gets the prefix [`FLOAT`], so that it is none that has a quantized form.
///
/// Returns the nodes that take their places.
pub(crate) fn mark_float(
    g: &mut Graph,
    cx: &mut PassCx,
    calls: &[NodeId],
) -> Result<HashMap<NodeId, NodeId>, Diag> {
    let mut marked = HashMap::new();
    for &n in calls {
        let node = g.node(n);
        let (Some(call), &[out]) = (&node.loc.call, node.outs.as_slice()) else { continue };
        let mut e = g.edit(n);
        e.loc(Loc { call: Some(format!("{FLOAT}{call}").into()), ..node.loc.clone() });
        let new = e.op(node.op.clone(), node.ins.iter().copied()).map_err(|r| r.diag("prepare"))?;
        e.name(new, g.name_of(out)).replace_uses(out, new, g.value(out).uses.to_vec());
        let edit = e.finish();
        let Some(done) = cx.apply(g, "mark-float", n, edit)? else { break };
        marked.extend(done.new.first().map(|&new| (n, new)));
    }
    Ok(marked)
}

/// Keeps what is behind a standalone module that gives floats from being fused with what is in it.
pub(crate) fn fence(
    g: &mut Graph,
    cx: &mut PassCx,
    leaf: &Leaf,
    config: &PrepareCustomConfig,
) -> Result<(), Diag> {
    if !config.outputs.is_empty() {
        return Ok(());
    }
    let inside = |g: &Graph, n: NodeId| {
        leaf.nodes.contains(&n) || (matches!(g.op(n), Op::Observe(_)) && own(g, n, &leaf.path))
    };
    let nodes: Vec<NodeId> = g.nodes().filter(|&n| inside(g, n)).collect();
    for n in nodes {
        for v in g.node(n).outs.clone() {
            let outside = |u: &Use| !matches!(u, Use::Node(m, _) if inside(g, *m));
            let uses: Vec<Use> = g.value(v).uses.iter().copied().filter(outside).collect();
            if uses.is_empty() || g.is_const(v) || *g.elem(v) != Elem::F32 {
                continue;
            }
            let next = g.nodes().skip_while(|&m| m != n).nth(1);
            let mut e = match next {
                Some(at) => g.edit(at),
                None => g.edit_end(),
            };
            e.loc(Loc::at(leaf.path.clone()).by(FENCE));
            let out = e.op(Identity {}, [v]).map_err(|r| r.diag("prepare"))?;
            e.name(out, &leaf.path).replace_uses(v, out, uses);
            let edit = e.finish();
            if cx.apply(g, "fence", n, edit)?.is_none() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether an observer was inserted for what is in the module.
fn own(g: &Graph, n: NodeId, path: &Path) -> bool {
    let Some(o) = g.get::<Observe>(n) else { return false };
    o.op.by
        .0
        .strip_prefix(&**path)
        .is_some_and(|r| r.strip_prefix('.').is_some_and(|r| r.starts_with(ACTIVATION)))
}
