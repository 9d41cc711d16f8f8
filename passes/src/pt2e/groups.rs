//! Which edges and nodes have one observer: union-find over annotated places.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Annotations, DerivedQuantizationSpec, EdgeOrNode, QuantizationSpec, Spec};
use crate::prelude::*;

/// What quantizes a group of places.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    Own(QuantizationSpec),
    Derived(DerivedQuantizationSpec),
}

/// Annotated places and the group of each.
pub(crate) struct Groups {
    specs: IndexMap<EdgeOrNode, Spec>,
    parent: HashMap<EdgeOrNode, EdgeOrNode>,
}

impl Groups {
    /// Groups of all places; edges share with earlier users of their value first, then with its definition.
    pub fn of(g: &Graph, annotations: &Annotations) -> Result<Groups, Diag> {
        let mut specs = IndexMap::new();
        for n in g.nodes() {
            let Some(a) = annotations.get(n) else { continue };
            for (&v, spec) in &a.input_qspec_map {
                let Some(spec) = spec else { continue };
                if !g.node(n).ins.contains(&Some(v)) {
                    return Err(misplaced(g, n, v));
                }
                if !matches!(g.elem(v), Elem::Plain(s) if s.is_float()) {
                    return Err(not_float(g, n, v));
                }
                specs.insert(EdgeOrNode::Edge(v, n), spec.clone());
            }
            if let (Some(spec), Some(&out)) = (&a.output_qspec, g.node(n).outs.first()) {
                specs.insert(EdgeOrNode::Node(out), spec.clone());
            }
        }
        let parent = specs.keys().map(|&k| (k, k)).collect();
        let mut groups = Groups { specs, parent };
        let places: Vec<EdgeOrNode> = groups.specs.keys().copied().collect();
        for place in places {
            if let EdgeOrNode::Edge(v, n) = place
                && annotations.get(n).is_some_and(|a| a.allow_implicit_sharing)
            {
                let root = groups.root(g, place)?;
                let mut others: Vec<EdgeOrNode> = Vec::new();
                for user in g.users(v).filter(|&u| u != n) {
                    let other = EdgeOrNode::Edge(v, user);
                    if !others.contains(&other)
                        && annotations.get(user).is_some_and(|a| a.allow_implicit_sharing)
                    {
                        others.push(other);
                    }
                }
                others.push(EdgeOrNode::Node(v));
                for other in others {
                    if groups.specs.contains_key(&other)
                        && let (Root::Own(a), Root::Own(b)) = (&root, groups.root(g, other)?)
                        && a.shares_with(&b)
                    {
                        groups.union(other, place);
                    }
                }
            }
            if let Spec::Shared(with) = groups.specs[&place] {
                groups.known(g, with)?;
                groups.union(with, place);
            }
        }
        Ok(groups)
    }

    /// Whether the place is annotated.
    pub fn contains(&self, place: EdgeOrNode) -> bool {
        self.specs.contains_key(&place)
    }
    /// The group's representative.
    pub fn group(&self, mut place: EdgeOrNode) -> EdgeOrNode {
        while let Some(&p) = self.parent.get(&place) {
            if p == place {
                break;
            }
            place = p;
        }
        place
    }
    /// What quantizes the group of an annotated place.
    pub fn root(&self, g: &Graph, place: EdgeOrNode) -> Result<Root, Diag> {
        let mut at = self.group(place);
        for _ in 0..=self.specs.len() {
            self.known(g, at)?;
            match &self.specs[&at] {
                Spec::Own(s) => return Ok(Root::Own(s.clone())),
                Spec::Derived(d) => return Ok(Root::Derived(d.clone())),
                Spec::Shared(with) => at = *with,
            }
        }
        Err(Diag::error("annotation", format!("{} shares with itself in a circle", shown(g, place))))
    }

    fn known(&self, g: &Graph, place: EdgeOrNode) -> Result<(), Diag> {
        if self.contains(place) {
            return Ok(());
        }
        let message = format!("a spec is shared with {}, which has no observer", shown(g, place));
        Err(Diag::error("annotation", message)
            .help("refer only to edges and nodes that have a spec of their own"))
    }
    /// Puts the group of `b` below that of `a`.
    fn union(&mut self, a: EdgeOrNode, b: EdgeOrNode) {
        let (a, b) = (self.group(a), self.group(b));
        if a != b {
            self.parent.insert(b, a);
        }
    }
}

/// A place as messages name it.
pub(crate) fn shown(g: &Graph, place: EdgeOrNode) -> String {
    match place {
        EdgeOrNode::Node(v) => format!("`%{}`", g.name_of(v)),
        EdgeOrNode::Edge(v, n) => match g.node(n).outs.first() {
            Some(&out) => format!("`%{}` as `%{}` reads it", g.name_of(v), g.name_of(out)),
            None => format!("`%{}` as `{}` reads it", g.name_of(v), g.op(n).name()),
        },
    }
}

fn misplaced(g: &Graph, n: NodeId, v: ValueId) -> Diag {
    let message = format!("`%{}` is annotated as an operand of a node that does not read it", g.name_of(v));
    Diag::error("annotation", message).at(&g.node(n).loc)
}

fn not_float(g: &Graph, n: NodeId, v: ValueId) -> Diag {
    let message = format!("operand `%{}` is {}; only floats are quantized", g.name_of(v), g.ty(v));
    Diag::error("annotation", message).at(&g.node(n).loc).help("leave this operand out of `input_qspec_map`")
}
