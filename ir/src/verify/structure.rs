//! Invariants 1 to 3: ids, order, use lists.

use crate::ValueId;
use crate::diag::Diag;
use crate::entity::{Entity, IdSet};
use crate::graph::{Def, Use};
use crate::text::nodes_in_order;
use crate::verify::{Place, Verifier};

impl Verifier<'_> {
    /// Whether all ids are live and the use lists are right, so that the accessors of the graph do not panic.
    pub(super) fn structure(&mut self) -> bool {
        let before = self.found.len();
        let defined = self.liveness();
        if self.found.len() == before {
            self.order();
            self.uses(&defined);
        }
        // A use before its definition breaks no accessor.
        self.found[before..].iter().all(|f| f.diag.code == "order")
    }

    /// Invariant 1; returns the values that have a place in the graph.
    fn liveness(&mut self) -> IdSet<ValueId> {
        let g = self.g;
        let mut owned = IdSet::new();
        for (i, &v) in g.inputs().iter().enumerate() {
            if self.full() {
                return owned;
            }
            match g.try_value(v) {
                Some(x) if x.def == Def::Input(i as u32) && owned.insert(v) => {
                    self.live_type(v, Place::Input(i))
                }
                Some(_) => {
                    let d = dead(format!("input {i} ({v:?}) is defined elsewhere"));
                    self.report(d, Place::Input(i), "")
                }
                None => self.report(dead(format!("input {i} ({v:?}) is not live")), Place::Input(i), ""),
            }
        }
        let mut seen = IdSet::new();
        for n in nodes_in_order(g) {
            if self.full() {
                return owned;
            }
            if !seen.insert(n) {
                let d = dead(format!("the order of nodes runs in a circle at {n:?}"));
                self.report(d, Place::Node(n), "here again");
                break;
            }
            let Some(node) = g.try_node(n) else {
                self.report(dead(format!("{n:?} in the order is not live")), Place::Graph, "");
                continue;
            };
            for (slot, v) in node.ins.iter().enumerate() {
                if let Some(v) = v
                    && g.try_value(*v).is_none()
                {
                    let d = dead(format!("operand {} of `{}` ({v:?}) is not live", slot + 1, node.op.name()));
                    self.report(d, Place::Operand(n, slot), "was removed");
                }
            }
            for (i, &v) in node.outs.iter().enumerate() {
                match g.try_value(v) {
                    Some(x) if x.def == Def::Node(n, i as u32) && owned.insert(v) => {
                        self.live_type(v, Place::Node(n))
                    }
                    Some(_) => {
                        let d = dead(format!(
                            "result {} of `{}` ({v:?}) is defined elsewhere",
                            i + 1,
                            node.op.name()
                        ));
                        self.report(d, Place::Node(n), "")
                    }
                    None => {
                        let d = dead(format!("result {} of `{}` ({v:?}) is not live", i + 1, node.op.name()));
                        self.report(d, Place::Node(n), "")
                    }
                }
            }
        }
        for (i, out) in g.outputs().iter().enumerate() {
            if g.try_value(out.value).is_none() {
                let d = dead(format!("output {i} `{}` ({:?}) is not live", out.name, out.value));
                self.report(d, Place::Output(i), "");
            }
        }
        for (n, node) in g.nodes.iter() {
            if node.is_some() && !seen.contains(n) && !self.full() {
                self.report(dead(format!("{n:?} is live, but not in the order")), Place::Node(n), "");
            }
        }
        for (v, value) in g.values.iter() {
            if value.is_some() && !owned.contains(v) && !self.full() {
                self.report(dead(format!("{v:?} is live, but defined nowhere")), Place::Graph, "");
            }
        }
        owned
    }

    fn live_type(&mut self, v: ValueId, place: Place) {
        let ty = self.g.try_value(v).map(|x| x.ty);
        if ty.is_none_or(|t| self.g.types.get(t).is_none()) {
            self.report(dead(format!("the type of {v:?} is unknown")), place, "");
        }
    }

    /// Invariant 2.
    fn order(&mut self) {
        let g = self.g;
        let mut defined = IdSet::new();
        for &v in g.inputs() {
            defined.insert(v);
        }
        for n in g.nodes() {
            let node = g.node(n);
            for (slot, v) in node.ins.iter().enumerate() {
                if let Some(v) = v
                    && !defined.contains(*v)
                    && !self.full()
                {
                    let message = format!("`{}` is used before its definition", self.name(*v));
                    self.report(Diag::error("order", message), Place::Operand(n, slot), "used here");
                }
            }
            for &v in &node.outs {
                defined.insert(v);
            }
        }
    }

    /// Invariant 3.
    fn uses(&mut self, owned: &IdSet<ValueId>) {
        let g = self.g;
        // Each operand slot has a number: that of its node's first slot plus its own.
        let mut first = Vec::with_capacity(g.node_bound());
        let mut slots = 0;
        for (_, node) in g.nodes.iter() {
            first.push(slots);
            slots += node.as_ref().map_or(0, |n| n.ins.len());
        }
        let mut seen = vec![false; slots];
        let mut seen_outputs = vec![false; g.outputs().len()];
        for (v, value) in g.values.iter() {
            let Some(value) = value.as_ref().filter(|_| owned.contains(v)) else { continue };
            for u in &value.uses {
                let right = match *u {
                    Use::Node(n, slot) => match g.try_node(n).and_then(|x| x.ins.get(slot as usize)) {
                        Some(Some(w)) if *w == v => {
                            !std::mem::replace(&mut seen[first[n.index()] + slot as usize], true)
                        }
                        _ => false,
                    },
                    Use::Output(i) => match g.outputs().get(i as usize) {
                        Some(o) if o.value == v => !std::mem::replace(&mut seen_outputs[i as usize], true),
                        _ => false,
                    },
                };
                if !right && !self.full() {
                    let d = uses(format!("the uses of `{}` list {u:?}, which is none", self.name(v)));
                    self.report(d, definition(g.value(v).def), "");
                }
            }
        }
        for (n, node) in g.nodes.iter() {
            let ins = node.iter().flat_map(|x| x.ins.iter().enumerate());
            for (slot, v) in ins {
                if let Some(v) = v
                    && !seen[first[n.index()] + slot]
                    && !self.full()
                {
                    self.lacks(*v, Use::Node(n, slot as u32), Place::Operand(n, slot));
                }
            }
        }
        for (i, o) in g.outputs().iter().enumerate() {
            if !seen_outputs[i] && !self.full() {
                self.lacks(o.value, Use::Output(i as u32), Place::Output(i));
            }
        }
    }

    fn lacks(&mut self, v: ValueId, u: Use, place: Place) {
        let d = uses(format!("the uses of `{}` lack {u:?}", self.name(v)));
        self.report(d, place, "this use");
    }
}

fn definition(d: Def) -> Place {
    match d {
        Def::Input(i) => Place::Input(i as usize),
        Def::Node(n, _) => Place::Node(n),
    }
}

fn dead(message: String) -> Diag {
    Diag::error("dead", message)
}

fn uses(message: String) -> Diag {
    Diag::error("uses", message).help("change graphs by edits only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Phase, Value};
    use crate::types::Type;
    use crate::verify::verify;
    use crate::{Loc, NodeId, ops};
    use smallvec::SmallVec;

    /// `%y = relu %x`, `%z = add %y, %y`
    fn graph() -> (Graph, [ValueId; 3], [NodeId; 2]) {
        let mut g = Graph::new("main", Phase::Float);
        let x = g.input("x", Type::f32(&[2]));
        let y = g.push(ops::Relu {}, [x], "y", Loc::default()).unwrap();
        let z = g.push(ops::Add { act: ops::Act::None }, [y, y], "z", Loc::default()).unwrap();
        g.output("z", z);
        assert_eq!(verify(&g), []);
        let nodes: Vec<_> = g.nodes().collect();
        (g, [x, y, z], [nodes[0], nodes[1]])
    }

    /// Breaks the graph and expects only findings of this kind.
    fn broken(code: &str, change: impl FnOnce(&mut Graph, [ValueId; 3], [NodeId; 2])) {
        let (mut g, values, nodes) = graph();
        change(&mut g, values, nodes);
        let found = verify(&g);
        assert!(!found.is_empty() && found.iter().all(|d| d.code == code), "{found:?}");
        // Broken graphs still print.
        let _ = g.to_string();
    }

    #[test]
    fn dead_ids_are_found() {
        broken("dead", |g, [_, y, _], _| g.values[y] = None);
        broken("dead", |g, [x, ..], _| g.values[x] = None);
        broken("dead", |g, [.., z], _| g.values[z] = None);
        broken("dead", |g, _, [relu, _]| g.nodes[relu] = None);
        broken("dead", |g, _, [relu, _]| g.order.remove(relu));
        broken("dead", |g, _, [_, add]| g.order.insert(add, None));
        broken("dead", |g, _, _| g.inputs.push(ValueId::new(77)));
        broken("dead", |g, [_, y, _], _| g.inputs.push(y));
        broken("dead", |g, _, [_, add]| g.nodes[add].as_mut().unwrap().ins[0] = Some(ValueId::new(77)));
        broken("dead", |g, [x, ..], _| {
            let ty = crate::TypeId::new(99);
            g.values[x].as_mut().unwrap().ty = ty;
        });
        broken("dead", |g, [x, ..], _| {
            let ty = g.value(x).ty;
            let def = Def::Input(9);
            g.values.push(Some(Value { name: "w".into(), ty, def, uses: SmallVec::new() }));
        });
    }

    #[test]
    fn a_use_before_its_definition_is_found() {
        broken("order", |g, _, [relu, add]| {
            g.order.remove(add);
            g.order.insert(add, Some(relu));
        });
    }

    #[test]
    fn wrong_use_lists_are_found() {
        broken("uses", |g, [_, y, _], _| g.values[y].as_mut().unwrap().uses.truncate(1));
        broken("uses", |g, [_, y, _], _| {
            let uses = &mut g.values[y].as_mut().unwrap().uses;
            uses[1] = uses[0];
        });
        broken("uses", |g, [x, ..], [_, add]| g.values[x].as_mut().unwrap().uses.push(Use::Node(add, 0)));
        broken("uses", |g, [x, ..], _| g.values[x].as_mut().unwrap().uses.push(Use::Node(NodeId::new(9), 0)));
        broken("uses", |g, [x, ..], _| g.values[x].as_mut().unwrap().uses.push(Use::Output(0)));
        broken("uses", |g, [.., z], _| g.values[z].as_mut().unwrap().uses.clear());
    }
}
