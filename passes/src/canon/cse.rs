//! Computes equal things once.
//!
//! ```qir
//! input %x: f32[1,8]
//! %a = relu %x : f32[1,8]
//! %b = relu %x : f32[1,8]
//! %y = add %a, %b : f32[1,8]
//! =>
//! %a = relu %x : f32[1,8]
//! %y = add %a, %a : f32[1,8]
//! ```
//!
//! Nodes are equal if op, operands and result types are; `add` and `mul` take their operands in any order. Equal
//! constants are shared if they have one element or belong to one module: parameters of two modules stay apart,
//! because modules are quantized by their own rules.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use quantir_ir::TypeId;
use quantir_ir::graph::Operands;
use quantir_ir::loc::Path;

use smallvec::SmallVec;

use crate::prelude::*;

/// The pass `cse`.
pub struct Cse;

const INFO: PassInfo = PassInfo::new("cse", "Compute equal things once").phases(Phase::Float, Phase::Integer);

/// What makes nodes equal.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    op: Op,
    ins: Operands,
    types: SmallVec<[TypeId; 1]>,
    module: Option<Path>,
}

impl Pass for Cse {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let mut first: HashMap<Key, NodeId> = HashMap::new();
        let mut changed = false;
        // Operands come before users, so operands of a node are shared already when it is looked at.
        let nodes: Vec<NodeId> = g.nodes().collect();
        for n in nodes {
            if g.try_node(n).is_none() {
                continue;
            }
            let kept = match first.entry(key(g, n)) {
                Entry::Vacant(slot) => {
                    slot.insert(n);
                    continue;
                }
                Entry::Occupied(slot) => *slot.get(),
            };
            let mut e = g.edit(n);
            for (&old, &new) in g.node(n).outs.iter().zip(&g.node(kept).outs) {
                e.replace(old, new);
            }
            let edit = e.finish();
            if cx.apply(g, INFO.name, n, edit)?.is_none() {
                break;
            }
            changed = true;
        }
        Ok(Changed::from(changed))
    }
}

fn key(g: &Graph, n: NodeId) -> Key {
    let node = g.node(n);
    let mut ins = node.ins.clone();
    if matches!(node.op, Op::Add(_) | Op::Mul(_)) {
        ins.sort_unstable();
    }
    let types = node.outs.iter().map(|&v| g.value(v).ty).collect();
    let apart = matches!(node.op, Op::Const(_)) && !node.outs.iter().all(|&v| g.ty(v).shape.numel().is(1));
    let module = if apart { node.loc.path.clone() } else { None };
    Key { op: node.op.clone(), ins, types, module }
}
