//! `prepare_pt2e`: observers where a quantizer wants them.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::graph::Name;
use quantir_ir::{ObserverSpec, Quant};
use quantir_quant::{Calibration, Observer};

use super::groups::{Groups, Root};
use super::spec::Derive;
use super::{Annotations, EdgeOrNode, Quantizer};
use crate::driver::{Rule, drive};
use crate::fuse::conv_bn::FuseConvBn;
use crate::fx::insert::{ACTIVATION, Observers, Slot, insert};
use crate::prelude::*;

/// What `convert_pt2e` needs beside the graph: parameters that follow from others.
#[derive(Clone, Default)]
pub struct Prepared {
    /// Observer → the observers its parameters follow from, and how.
    pub(crate) derived: IndexMap<Name, (Vec<Name>, Derive)>,
    /// What the quantizer said.
    pub annotations: Annotations,
}

/// Folds batch norms into convolutions, lets the quantizer annotate, and puts observers into the graph, which advances to phase
/// `observed`. Observers are called `activation_post_process_N`.
///
/// # Errors
/// Whatever the quantizer refuses; a spec that refers to a place without observer; a quantized operand that is no float.
pub fn prepare_pt2e(g: &mut Graph, quantizer: &dyn Quantizer) -> Result<Prepared, Diag> {
    let mut cx = PassCx::new();
    let fold = |g: &Graph, n: NodeId| FuseConvBn.rewrite(g, n);
    drive(g, &mut cx, &[Rule { name: FuseConvBn::INFO.name, apply: &fold }])?;
    quantizer.transform_for_annotation(g)?;
    let mut annotations = Annotations::new();
    quantizer.annotate(g, &mut annotations)?;
    quantizer.validate(g, &annotations)?;
    let groups = Groups::of(g, &annotations)?;
    let mut plan =
        Plan { g, groups: &groups, all: Observers::default(), first: HashMap::new(), of: HashMap::new() };
    for n in g.nodes() {
        let Some(a) = annotations.get(n) else { continue };
        let mut seen: Vec<ValueId> = Vec::new();
        for v in g.node(n).ins.iter().flatten().copied() {
            if !seen.contains(&v) && matches!(a.input_qspec_map.get(&v), Some(Some(_))) {
                plan.edge(v, n)?;
            }
            seen.push(v);
        }
        if let (Some(_), Some(&out)) = (&a.output_qspec, g.node(n).outs.first()) {
            plan.slot(EdgeOrNode::Node(out), out, Vec::new())?;
        }
    }
    let (all, derived) = plan.finish()?;
    insert(g, &mut cx, &all)?;
    g.advance(Phase::Observed);
    Ok(Prepared { derived, annotations })
}

struct Plan<'a> {
    g: &'a Graph,
    groups: &'a Groups,
    all: Observers,
    /// The first slot of each group.
    first: HashMap<EdgeOrNode, usize>,
    /// Slots of each value, its own output's first.
    of: HashMap<ValueId, Vec<usize>>,
}

impl Plan<'_> {
    /// The observer that node `n` reads `v` from.
    fn edge(&mut self, v: ValueId, n: NodeId) -> Result<(), Diag> {
        let place = EdgeOrNode::Edge(v, n);
        let group = self.groups.group(place);
        let own = EdgeOrNode::Node(v);
        if self.groups.contains(own) && self.groups.group(own) == group {
            return Ok(());
        }
        let uses: Vec<Use> = self
            .g
            .value(v)
            .uses
            .iter()
            .copied()
            .filter(|u| matches!(u, Use::Node(m, _) if *m == n))
            .collect();
        let instance = self.first.get(&group).copied();
        let known = self.of.get(&v).into_iter().flatten().copied();
        let same = known.into_iter().find(|&i| instance == Some(self.all.slots[i].instance));
        match same {
            Some(i) => self.all.slots[i].uses.extend(uses),
            None => drop(self.slot(place, v, uses)?),
        }
        Ok(())
    }

    fn slot(&mut self, place: EdgeOrNode, value: ValueId, uses: Vec<Use>) -> Result<usize, Diag> {
        let number = self.all.slots.len();
        let group = self.groups.group(place);
        let instance = *self.first.entry(group).or_insert(number);
        let own = matches!(place, EdgeOrNode::Node(_));
        // An edge with another observer than its value's reads what that one gives.
        let behind = match (own, self.of.get(&value).and_then(|all| all.first())) {
            (false, Some(&i)) if self.groups.contains(EdgeOrNode::Node(value)) => Some(i),
            _ => None,
        };
        let spec = self.declaration(place)?;
        self.all.slots.push(Slot { number, instance, value, behind, uses, spec });
        self.of.entry(value).or_default().push(number);
        Ok(number)
    }

    fn declaration(&self, place: EdgeOrNode) -> Result<ObserverSpec, Diag> {
        Ok(match self.groups.root(self.g, place)? {
            Root::Own(s) => s.declaration(),
            Root::Derived(d) => quantir_quant::ObserverTemplate::new("placeholder", d.storage).spec(0),
        })
    }

    /// Gives each value's own observer the uses that no edge claims, and collects what is derived.
    fn finish(mut self) -> Result<(Observers, IndexMap<Name, (Vec<Name>, Derive)>), Diag> {
        for (&v, slots) in &self.of {
            if !self.groups.contains(EdgeOrNode::Node(v)) {
                continue;
            }
            let claimed: Vec<Use> = slots[1..].iter().flat_map(|&i| self.all.slots[i].uses.clone()).collect();
            let uses = self.g.value(v).uses.iter().copied().filter(|u| !claimed.contains(u)).collect();
            self.all.slots[slots[0]].uses = uses;
        }
        let name = |number: usize| -> Name { format!("{ACTIVATION}{number}").into() };
        let mut derived = IndexMap::new();
        for (&group, &number) in &self.first {
            let Root::Derived(d) = self.groups.root(self.g, group)? else { continue };
            let mut from = Vec::new();
            for &place in &d.derived_from {
                let Some(&source) = self.first.get(&self.groups.group(place)) else {
                    let message = format!("{} has no observer", super::groups::shown(self.g, place));
                    return Err(Diag::error("annotation", message)
                        .help("parameters can only follow from edges and nodes that are quantized"));
                };
                from.push(name(source));
            }
            derived.insert(name(number), (from, d.derive.clone()));
        }
        Ok((self.all, derived))
    }
}

impl Prepared {
    /// The calibration with the parameters that follow from others.
    pub(crate) fn complete(&self, g: &Graph, calibration: &Calibration) -> Result<Calibration, Diag> {
        let mut all = calibration.clone();
        for (name, (from, derive)) in &self.derived {
            let mut quants: Vec<Arc<Quant>> = Vec::new();
            for source in from {
                let known = match all.quant(source) {
                    Some(q) => Some(q.clone()),
                    None => of_constant(g, source)?.map(Arc::new),
                };
                quants.push(known.ok_or_else(|| {
                    Diag::error(
                        "convert",
                        format!("`${name}` follows from `${source}`, which was not calibrated"),
                    )
                })?);
            }
            let quant = derive(&quants).map_err(|r| r.diag("convert").note(format!("in `${name}`")))?;
            let entry = quantir_quant::Entry { stats: Default::default(), quant: quant.into() };
            all.entries.insert(name.clone(), entry);
        }
        Ok(all)
    }
}

/// The parameters of an observer of a constant.
fn of_constant(g: &Graph, name: &Name) -> Result<Option<Quant>, Diag> {
    let place = g.nodes().find_map(|n| g.get::<Observe>(n).filter(|o| o.op.by.0 == *name).map(|o| o.x));
    let (Some(t), Some(spec)) = (place.and_then(|v| g.constant(v)), g.observers.get(name)) else {
        return Ok(None);
    };
    let wrong = |e: quantir_quant::Error| Diag::error("convert", format!("`${name}`: {e}"));
    let mut observer = Observer::new(spec).map_err(wrong)?;
    observer.see(&t.floats().map_err(|r| r.diag("convert"))?, &t.shape);
    observer.params(spec).map_err(wrong).map(Some)
}
