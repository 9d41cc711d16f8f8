//! Where a [`Pattern`] occurs in a graph: the search of PyTorch's fusion and observation, for users' own passes.
//!
//! Calls are searched from the last one backwards. A pattern matches at a call if the call is the pattern's last line, and so
//! on through the operands: every call inside (all but the last) has exactly one user, a line that fixes operands has as many
//! of them as the call has arguments, literals are equal, `_` and free names match anything. Parameters of a module are no
//! arguments of its call. A call belongs to at most one match. Of several patterns those of more entries are tried first, then
//! those given first.

use quantir_quant::{BackendPatternConfig, Pattern};

use crate::fx::matching::find_all;
use crate::fx::view::View;
use crate::prelude::*;

/// An occurrence of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Which of the patterns, counted from 0.
    pub pattern: usize,
    /// For each line of the pattern the nodes that the call consists of, in order.
    pub lines: Vec<Vec<NodeId>>,
}

impl Found {
    /// The node that yields the pattern's result.
    pub fn last(&self) -> Option<NodeId> {
        self.lines.last()?.last().copied()
    }
}

/// All occurrences of `patterns` in `g`, in the order in which they are found: from the last call backwards.
pub fn find(g: &Graph, patterns: &[Pattern]) -> Vec<Found> {
    let mut configs: Vec<(usize, BackendPatternConfig)> =
        patterns.iter().cloned().map(BackendPatternConfig::new).enumerate().collect();
    configs.sort_by_key(|(_, c)| std::cmp::Reverse(c.pattern.weight()));
    let refs: Vec<&BackendPatternConfig> = configs.iter().map(|(_, c)| c).collect();
    let view = View::new(g, None, &[]);
    let (matches, _) = find_all(g, &view, &refs);
    let found = |m: crate::fx::matching::Match| {
        let config = m.config?;
        let (pattern, _) = configs.iter().find(|(_, c)| std::ptr::eq(c, config))?;
        let lines = m.nodes.iter().map(|&id| view.nodes[id].nodes.to_vec()).collect();
        Some(Found { pattern: *pattern, lines })
    };
    matches.into_iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use quantir_ir::text::parse;

    use super::*;

    fn found(graph: &str, patterns: &[&str]) -> Vec<(usize, Vec<String>)> {
        let g = parse(graph).unwrap_or_else(|d| panic!("{d:?}"));
        let patterns: Vec<Pattern> = patterns.iter().map(|p| p.parse().unwrap()).collect();
        let names = |f: &Found| {
            let all = f.lines.iter().map(|l| g.name_of(g.node(l[0]).outs[0]).to_string());
            (f.pattern, all.collect())
        };
        find(&g, &patterns).iter().map(names).collect()
    }

    const TWO: &str = r#"qir 1 float
graph @main(%x: f32[1,4]) {
  %w = const {data=rand(1)} : f32[4,4] @fc
  %a = linear %x, %w : f32[1,4] @fc by "nn.Linear"
  %b = relu %a : f32[1,4] by "F.relu"
  %c = linear %b, %w : f32[1,4] @fc by "nn.Linear"
  %d = relu %c : f32[1,4] @act by "nn.ReLU"
  %e = add %d, %c : f32[1,4] by "operator.add"
  return %e
}
"#;

    /// T100: the right sequence is found, backwards; a call with two users is not inside a match.
    #[test]
    fn sequences_are_found_backwards() {
        let v = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let linear_relu = ["nn.Linear, F.relu", "nn.Linear, nn.ReLU", "nn.Linear"];
        assert_eq!(found(TWO, &linear_relu), [(2, v(&["c"])), (0, v(&["a", "b"]))]);
        let sum = "%r = nn.ReLU %x; %s = operator.add %r, _";
        assert_eq!(found(TWO, &[sum]), [(0, v(&["d", "e"]))]);
        let other_side = "%r = nn.ReLU %x; %s = operator.add _, %r";
        assert_eq!(found(TWO, &[other_side]), []);
    }

    /// T86, T100: numbers in a pattern must be those of the call.
    #[test]
    fn literals_are_compared() {
        let graph = r#"qir 1 float
graph @main(%x: f32[1,4]) {
  %two = const {data=splat(2)} : f32[]
  %a = relu %x : f32[1,4] by "F.relu"
  %b = add %a, %two : f32[1,4] by "torch.add"
  return %b
}
"#;
        let with = |n: &str| found(graph, &[&format!("%r = F.relu %x; %s = torch.add %r, {n}")]).len();
        assert_eq!((with("2"), with("3"), with("_")), (1, 0, 1));
        assert_eq!(found(graph, &["%r = F.relu %x; %s = torch.add %r"]).len(), 0);
    }
}
