//! Puts `observe` nodes where decisions say.

use std::collections::HashMap;

use quantir_ir::Loc;

use crate::prelude::*;
use crate::prepare::decide::Slot;

pub(crate) fn insert(g: &mut Graph, cx: &mut PassCx, slots: &[Slot]) -> Result<(), Diag> {
    let order: Vec<NodeId> = g.nodes().collect();
    let after: HashMap<NodeId, NodeId> = order.iter().copied().zip(order.iter().copied().skip(1)).collect();
    // Uses that belong to a particular slot are not taken by the slot that takes the rest. For each use: a slot that
    // names it, and whether another one does.
    let mut named: HashMap<(ValueId, Use), (usize, bool)> = HashMap::new();
    for (i, s) in slots.iter().enumerate() {
        for &u in &s.uses {
            let (first, others) = named.entry((s.value, u)).or_insert((i, false));
            *others |= *first != i;
        }
    }
    let claimed = |v: ValueId, i: usize, u: &Use| {
        named.get(&(v, *u)).is_some_and(|&(first, others)| first != i || others)
    };
    // A value that exists as integers only is observed first; other observers of it read that observer's result.
    let mut read_from: HashMap<ValueId, ValueId> = HashMap::new();
    for (i, s) in slots.iter().enumerate() {
        let uses: Vec<Use> = match s.takes_all {
            true => g.value(s.value).uses.iter().copied().filter(|u| !claimed(s.value, i, u)).collect(),
            false => s.uses.clone(),
        };
        let def = g.def_node(s.value);
        let at = match def {
            Some(d) => after.get(&d).copied(),
            None => order.first().copied(),
        };
        let mut e = match at {
            Some(at) => g.edit(at),
            None => g.edit_end(),
        };
        match def {
            Some(d) => {
                e.loc_of(d);
            }
            None => {
                e.loc(Loc::default());
            }
        }
        let from = read_from.get(&s.value).copied().unwrap_or(s.value);
        let by = ops::observe::ObserverName(s.observer.as_str().into());
        let seen = e.op(Observe { by }, [from]).map_err(|r| r.diag("prepare"))?;
        let name = format!("{}.o", g.name_of(s.value));
        e.name(seen, &name).replace_uses(s.value, seen, uses);
        let edit = e.finish();
        let mark = def.or(order.first().copied());
        let Some(mark) = mark else { continue };
        g.observers.entry(s.observer.as_str().into()).or_insert_with(|| s.spec.clone());
        let Some(done) = cx.apply(g, "observe", mark, edit)? else { break };
        if let (true, Some(&n)) = (s.takes_all, done.new.first()) {
            read_from.insert(s.value, g.node(n).outs[0]);
        }
    }
    Ok(())
}
