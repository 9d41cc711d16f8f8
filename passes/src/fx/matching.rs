//! Finds a back end's patterns in a [`View`]: backwards from the outputs, larger patterns first, each node once.

use quantir_quant::backend::Operand;
use quantir_quant::{BackendPatternConfig, Pattern};

use crate::fx::view::{Id, Kind, View};
use crate::prelude::*;

/// A pattern that was found.
#[derive(Clone, Debug)]
pub(crate) struct Match<'c> {
    /// What the back end says; `None` for standalone and custom modules.
    pub config: Option<&'c BackendPatternConfig>,
    /// The node of each line of the pattern.
    pub nodes: Vec<Id>,
    /// The line that holds the weights.
    pub root: usize,
}

impl Match<'_> {
    /// The node that yields the result.
    pub fn last(&self) -> Id {
        self.nodes[self.nodes.len() - 1]
    }
    /// The node that holds the weights, which is the one that takes the input.
    pub fn root(&self) -> Id {
        self.nodes[self.root]
    }
}

/// The pattern with its result at `at`, if it is there.
pub(crate) fn match_at<'c>(
    g: &Graph,
    view: &View,
    config: &'c BackendPatternConfig,
    at: Id,
) -> Option<Match<'c>> {
    let p = &config.pattern;
    let mut nodes = vec![None; p.len()];
    find(g, view, p, p.len() - 1, at, &mut nodes)?;
    let nodes: Vec<Id> = nodes.into_iter().collect::<Option<_>>()?;
    Some(Match { config: Some(config), nodes, root: config.root() })
}

fn find(g: &Graph, view: &View, p: &Pattern, line: usize, at: Id, nodes: &mut [Option<Id>]) -> Option<()> {
    let (l, node) = (&p.lines()[line], &view.nodes[at]);
    let inner = line + 1 < p.len();
    if !node.is_call() || (inner && (node.users.len() > 1 || used_twice(view, at))) {
        return None;
    }
    let named = node.call.as_deref() == Some(l.op.as_str());
    if !named && !is_op(g, view, at, &l.op) {
        return None;
    }
    nodes[line] = Some(at);
    if !l.fixes_operands() {
        return Some(());
    }
    if l.operands.len() != node.arity() || node.list {
        return None;
    }
    for (o, a) in l.operands.iter().zip(&node.args) {
        match o {
            Operand::Any | Operand::Free(_) => {}
            Operand::Literal(text) => {
                let Use::Node(n, slot) = a.at else { return None };
                let v = g.node(n).ins.get(slot as usize).copied().flatten()?;
                let number = g.constant(v)?.floats().ok()?.first().copied()?;
                if a.from.is_some() || text.parse() != Ok(number) {
                    return None;
                }
            }
            Operand::Line(i) => find(g, view, p, *i, a.from?, nodes)?,
        }
    }
    Some(())
}

/// Whether one user reads the node more than once.
fn used_twice(view: &View, at: Id) -> bool {
    let reads = |u: &Id| view.nodes[*u].args.iter().filter(|a| a.from == Some(at)).count();
    view.nodes[at].users.iter().map(reads).sum::<usize>() > 1
}

/// Whether the call is one node of the op that a pattern names by its word in the text.
fn is_op(g: &Graph, view: &View, at: Id, name: &str) -> bool {
    let node = &view.nodes[at];
    node.call.is_none() && node.nodes.len() == 1 && g.op(node.nodes[0]).name() == name
}

/// All matches of `configs`, which are tried in their order, by node; in the order in which they are found.
pub(crate) fn find_all<'c>(
    g: &Graph,
    view: &View,
    configs: &[&'c BackendPatternConfig],
) -> (Vec<Match<'c>>, Vec<Option<usize>>) {
    let mut found: Vec<Match> = Vec::new();
    let mut of: Vec<Option<usize>> = vec![None; view.len];
    for at in (0..view.len).rev() {
        if of[at].is_some() || !matches!(view.nodes[at].kind, Kind::Module | Kind::Function) {
            continue;
        }
        for config in configs {
            let Some(m) = match_at(g, view, config, at) else { continue };
            if m.nodes.iter().any(|&n| of[n].is_some()) {
                continue;
            }
            for &n in &m.nodes {
                of[n] = Some(found.len());
            }
            found.push(m);
            break;
        }
    }
    (found, of)
}
