//! The names under which values are printed: the stored ones, made unique.

use std::collections::HashMap;

use crate::entity::SideTable;
use crate::graph::{Graph, Name};
use crate::quant::{QParams, Quant};
use crate::{NodeId, ValueId};
use indexmap::{IndexMap, IndexSet};
use std::sync::Arc;

/// The name of each live value in the printed text.
///
/// The first value in printing order keeps a name that several bear; the others get the first of `.1`, `.2`, …
/// that no value bears. So a text that is parsed, where all names differ, prints under the same names.
pub struct Names {
    table: SideTable<ValueId, Option<Name>>,
}

impl Names {
    /// The names of `g`'s values. Never panics, whatever the graph.
    pub fn of(g: &Graph) -> Names {
        let mut unique = Uniquifier::default();
        for v in values_in_order(g) {
            if let Some(value) = g.try_value(v) {
                unique.reserve(&value.name);
            }
        }
        let mut table = SideTable::new(None);
        for v in values_in_order(g) {
            if let Some(value) = g.try_value(v)
                && table[v].is_none()
            {
                table[v] = Some(unique.take(&value.name));
            }
        }
        Names { table }
    }

    /// The printed name of a value without `%`; `?` for one that is not live.
    pub fn get(&self, v: ValueId) -> &str {
        self.table[v].as_deref().unwrap_or("?")
    }
}

/// Inputs, then the results of nodes in order. Ends even if the order of nodes is broken.
pub(crate) fn values_in_order(g: &Graph) -> impl Iterator<Item = ValueId> + '_ {
    let results = nodes_in_order(g).filter_map(|n| g.try_node(n)).flat_map(|n| n.outs.iter().copied());
    g.inputs().iter().copied().chain(results)
}

/// The nodes in order; one more than there ever were at most, should the order run in a circle.
pub(crate) fn nodes_in_order(g: &Graph) -> impl Iterator<Item = NodeId> + '_ {
    g.nodes().take(g.node_bound() + 1)
}

/// Gives out names of which no two are equal, in linear time.
#[derive(Default)]
pub(crate) struct Uniquifier {
    /// For each name that is spoken for: whether it was given out, and the next suffix to try.
    names: HashMap<Name, (bool, u32)>,
}

impl Uniquifier {
    /// Keeps `name` for one that asks for it by itself.
    pub fn reserve(&mut self, name: &Name) {
        self.names.entry(name.clone()).or_insert((false, 1));
    }

    /// `name`, or `name.1`, `name.2`, … if it was given out.
    pub fn take(&mut self, name: &Name) -> Name {
        let (given, mut next) = self.names.get(name).copied().unwrap_or((false, 1));
        if !given {
            self.names.insert(name.clone(), (true, next));
            return name.clone();
        }
        loop {
            let candidate: Name = format!("{name}.{next}").into();
            next += 1;
            if !self.names.contains_key(&candidate) {
                self.names.insert(candidate.clone(), (true, 1));
                self.names.insert(name.clone(), (true, next));
                return candidate;
            }
        }
    }
}

/// The quantizations that a graph's types use, with their names: those that have a name in the order in which
/// they got it, then the others in the order of use; factors before their product.
pub(crate) fn quant_names(g: &Graph) -> IndexMap<Arc<Quant>, Name> {
    let mut used: IndexSet<Arc<Quant>> = IndexSet::new();
    let mut seen = SideTable::new(false);
    for v in values_in_order(g) {
        let Some(value) = g.try_value(v) else { continue };
        if std::mem::replace(&mut seen[value.ty], true) {
            continue;
        }
        if let Some(q) = g.types.get(value.ty).and_then(|t| t.elem.quant()) {
            add_with_factors(q, &mut used);
        }
    }
    let mut order: IndexSet<Arc<Quant>> = IndexSet::new();
    for q in g.quant_names.keys().filter(|q| used.contains(*q)).chain(&used) {
        add_with_factors(q, &mut order);
    }
    let mut unique = Uniquifier::default();
    let named = |q: &Arc<Quant>| g.quant_names.get(q).cloned();
    order.iter().filter_map(named).for_each(|n| unique.reserve(&n));
    let mut number = 0;
    order
        .iter()
        .map(|q| {
            let name = named(q).unwrap_or_else(|| {
                loop {
                    let name: Name = format!("q{number}").into();
                    number += 1;
                    if !unique.names.contains_key(&name) {
                        return name;
                    }
                }
            });
            (q.clone(), unique.take(&name))
        })
        .collect()
}

fn add_with_factors(q: &Arc<Quant>, into: &mut IndexSet<Arc<Quant>>) {
    if into.contains(q) {
        return;
    }
    if let QParams::Product(x, w) = &q.params {
        add_with_factors(x, into);
        add_with_factors(w, into);
    }
    into.insert(q.clone());
}
