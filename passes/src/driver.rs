//! The worklist driver: applies local rules until none matches.

use std::collections::VecDeque;

use quantir_ir::entity::IdSet;
use quantir_ir::{Diag, Edit, Graph, NodeId};

use crate::pass::{Changed, PassCx};

/// A named local rule.
pub struct Rule<'a> {
    /// What its edits are counted under.
    pub name: &'static str,
    /// The edit for the pattern whose last node is given, if it matches.
    pub apply: &'a (dyn Fn(&Graph, NodeId) -> Option<Edit> + 'a),
}

/// Edits allowed for each node of the graph before the rules are taken to undo each other.
const EDITS_PER_NODE: u64 = 16;
/// Edits allowed beyond that, so that tiny graphs have room.
const EDITS_AT_LEAST: u64 = 256;

/// Applies `rules` to a fixpoint: nodes are visited in order, each edit is performed at once, and new and
/// touched nodes are visited again.
///
/// An edit can also make a pattern elsewhere match, for instance by removing the second user of a value; so
/// after a round with edits all nodes are visited once more, and the last round makes none. Without edits the
/// time is linear in the number of nodes. Fails when the number of edits exceeds a limit proportional to the
/// number of nodes: then some rule matches its own result.
pub fn drive(g: &mut Graph, cx: &mut PassCx, rules: &[Rule]) -> Result<Changed, Diag> {
    let limit = EDITS_PER_NODE * g.node_count() as u64 + EDITS_AT_LEAST;
    let mut edits = 0;
    loop {
        let before = edits;
        let mut queue: VecDeque<NodeId> = g.nodes().collect();
        let mut queued = IdSet::new();
        for &n in &queue {
            queued.insert(n);
        }
        while let Some(n) = queue.pop_front() {
            queued.remove(n);
            for rule in rules {
                // An earlier edit, of this rule or another, may have removed the node.
                if g.try_node(n).is_none() {
                    break;
                }
                let Some(edit) = (rule.apply)(g, n) else { continue };
                let Some(done) = cx.apply(g, rule.name, n, edit)? else {
                    return Ok(Changed::from(edits > 0));
                };
                edits += 1;
                if edits > limit {
                    return Err(runaway(g, rule.name, n, limit));
                }
                let again = done.new.iter().chain(&done.touched).chain(std::iter::once(&n));
                for &m in again {
                    if g.try_node(m).is_some() && queued.insert(m) {
                        queue.push_back(m);
                    }
                }
            }
        }
        if edits == before {
            return Ok(Changed::from(edits > 0));
        }
    }
}

fn runaway(g: &Graph, rule: &str, n: NodeId, limit: u64) -> Diag {
    let mut d = Diag::error("pass-limit", format!("rule `{rule}` does not come to an end ({limit} edits)"))
        .help("a rewrite must not match the result of its own edit");
    if let Some(node) = g.try_node(n) {
        d = d.at(&node.loc);
        if let Some(&v) = node.outs.first() {
            d = d.note(format!("last edit at %{}", g.name_of(v)));
        }
    }
    d
}
