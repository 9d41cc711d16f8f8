//! Copies parts of graphs: what a value is computed from, up to values that another graph provides.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::ops::Observe;
use quantir_ir::ops::observe::ObserverName;
use quantir_ir::{Diag, Graph, Op, Type, ValueId};

/// What becomes of observers in a copy.
#[derive(Clone, Copy)]
pub(crate) enum Observers<'a> {
    /// They are left out.
    Drop,
    /// They are declared anew with this prefix, so that no copy shares one with another.
    Rename(&'a str),
}

/// Copies from one graph into another.
pub(crate) struct Copier<'g> {
    pub from: &'g Graph,
    pub observers: Observers<'g>,
    /// Copies of constants, which all parts share.
    pub constants: HashMap<ValueId, ValueId>,
}

impl<'g> Copier<'g> {
    pub fn new(from: &'g Graph, observers: Observers<'g>) -> Copier<'g> {
        Copier { from, observers, constants: HashMap::new() }
    }

    /// The copy in `into` of `target` with all that it is computed from, up to values for which `leaf` has a stand-in.
    ///
    /// `target` itself is copied in any case. Fails at a graph input without a stand-in.
    pub fn copy(
        &mut self,
        into: &mut Graph,
        target: ValueId,
        mut leaf: impl FnMut(&mut Graph, ValueId) -> Option<ValueId>,
    ) -> Result<ValueId, Diag> {
        let from = self.from;
        let mut map: HashMap<ValueId, ValueId> = HashMap::new();
        let mut stack = vec![target];
        while let Some(&v) = stack.last() {
            if map.contains_key(&v) {
                stack.pop();
                continue;
            }
            if let Some(&c) = self.constants.get(&v) {
                map.insert(v, c);
                continue;
            }
            if v != target
                && let Some(there) = leaf(into, v)
            {
                map.insert(v, there);
                continue;
            }
            let Some(n) = from.def_node(v) else {
                let message = format!("input `%{}` has no counterpart", from.name_of(v));
                return Err(Diag::error("compare", message).help("compare two forms of one model"));
            };
            let node = from.node(n);
            let missing: Vec<ValueId> =
                node.ins.iter().flatten().copied().filter(|v| !map.contains_key(v)).collect();
            if !missing.is_empty() {
                stack.extend(missing);
                continue;
            }
            let ins: Vec<Option<ValueId>> = node.ins.iter().map(|v| v.map(|v| map[&v])).collect();
            let mut op = node.op.clone();
            if let Op::Observe(o) = &node.op {
                match self.observers {
                    Observers::Drop => {
                        map.insert(v, ins[0].expect("an observer has an operand"));
                        continue;
                    }
                    Observers::Rename(prefix) => op = Op::Observe(self.renamed(into, o, prefix)),
                }
            }
            let declared: Vec<Type> = node.outs.iter().map(|&v| from.ty(v).clone()).collect();
            let name = from.name_of(node.outs[0]).to_string();
            let outs = into.push_as(op, ins, &declared, &name, node.loc.clone())?;
            for (&old, &new) in node.outs.iter().zip(&outs) {
                map.insert(old, new);
                if let Op::Const(_) = node.op {
                    self.constants.insert(old, new);
                }
            }
        }
        Ok(map[&target])
    }

    fn renamed(&self, into: &mut Graph, o: &Observe, prefix: &str) -> Observe {
        let name: Arc<str> = format!("{prefix}{}", o.by.0).into();
        if let Some(spec) = self.from.observers.get(&o.by.0) {
            into.observers.entry(name.clone()).or_insert_with(|| spec.clone());
        }
        Observe { by: ObserverName(name) }
    }
}

/// An empty graph for copies of `from`: its symbols, and its inputs, which give the symbols their values.
pub(crate) fn empty_like(from: &Graph, name: &str, phase: quantir_ir::Phase) -> (Graph, Vec<ValueId>) {
    let mut g = Graph::new(name, phase);
    g.dims = from.dims.clone();
    g.modules = from.modules.clone();
    let inputs = from.inputs().iter();
    let inputs = inputs.map(|&v| g.input(from.name_of(v), from.ty(v).clone())).collect();
    (g, inputs)
}
