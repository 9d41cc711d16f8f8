//! Which ops together are one function of one value, so that a table of 256 entries computes them.
//!
//! `mul(x, sigmoid(x))`, `mul(x, 0.5)` and `relu(neg(x))` are functions of `x` alone: values between are not
//! observed, and lowering evaluates the whole function once for each integer.

use quantir_ir::entity::{IdSet, SideTable};

use crate::prelude::*;

/// Functions that are still being cut after so many rounds are given up.
const ROUNDS: usize = 32;

/// Whether `op` computes each element of its result from one element of each operand.
pub(crate) fn is_elementwise(op: &Op) -> bool {
    is_unary(op)
        || matches!(
            op,
            Op::Add(_) | Op::Mul(_) | Op::Sub(_) | Op::Div(_) | Op::Pow(_) | Op::Maximum(_) | Op::Minimum(_)
        )
}

/// Whether `op` is a function of one element.
pub(crate) fn is_unary(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu(_)
            | Op::Clip(_)
            | Op::LeakyRelu(_)
            | Op::HardSigmoid(_)
            | Op::HardSwish(_)
            | Op::Elu(_)
            | Op::Gelu(_)
            | Op::Sigmoid(_)
            | Op::Tanh(_)
            | Op::Softplus(_)
            | Op::Neg(_)
            | Op::Abs(_)
            | Op::Exp(_)
            | Op::Log(_)
            | Op::Sqrt(_)
            | Op::Reciprocal(_)
            | Op::Erf(_)
            | Op::Floor(_)
            | Op::Ceil(_)
            | Op::Round(_)
    )
}

/// Whether `v` is a constant of one element, directly or quantized.
pub(crate) fn is_scalar_const(g: &Graph, v: ValueId) -> bool {
    let v = g.def::<Dequantize>(v).map_or(v, |d| d.x);
    g.is_const(v) && g.ty(v).shape.0.iter().all(|d| d.is(1))
}

/// For each node that is a function of one value: that value, and whether the node's result is only used inside
/// such a function.
pub(crate) struct Functions {
    source: SideTable<NodeId, Option<ValueId>>,
    interior: SideTable<NodeId, bool>,
}

impl Functions {
    /// Finds the largest functions among nodes that `may` take part.
    pub(crate) fn find(g: &Graph, may: impl Fn(NodeId) -> bool) -> Functions {
        let nodes: Vec<NodeId> = g.nodes().filter(|&n| is_elementwise(g.op(n)) && may(n)).collect();
        // At first every result is taken to be inside a function; those that are not become sources of their own, which
        // can only cut functions, so this comes to an end.
        let mut head: SideTable<NodeId, bool> = SideTable::new(false);
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut source: SideTable<NodeId, Option<ValueId>> = SideTable::new(None);
            for &n in &nodes {
                source[n] = source_of(g, n, |v| {
                    let def = g.def_node(v).filter(|&d| !head[d]);
                    def.and_then(|d| source[d]).unwrap_or(v)
                });
            }
            let mut changed = false;
            // One cut can be the reason for another. Where that goes on for long, the whole function is given up, so
            // that the time stays linear.
            let mut given_up = IdSet::new();
            for &n in &nodes {
                let Some(s) = source[n] else { continue };
                let out = g.node(n).outs[0];
                let inside = g.value(out).uses.iter().all(|u| match u {
                    Use::Node(user, _) => source[*user] == Some(s),
                    Use::Output(_) => false,
                });
                if !inside && !head[n] {
                    head[n] = true;
                    changed = true;
                    if rounds > ROUNDS {
                        given_up.insert(s);
                    }
                }
            }
            if rounds > ROUNDS {
                for &n in &nodes {
                    head[n] |= source[n].is_some_and(|s| given_up.contains(s));
                }
            }
            if !changed {
                let mut interior = SideTable::new(false);
                for &n in &nodes {
                    interior[n] = source[n].is_some() && !head[n];
                }
                return Functions { source, interior };
            }
        }
    }

    /// The value that `n` is a function of.
    pub(crate) fn source(&self, n: NodeId) -> Option<ValueId> {
        self.source[n]
    }

    /// Whether the result of `n` is only used inside a function.
    pub(crate) fn is_interior(&self, n: NodeId) -> bool {
        self.interior[n]
    }
}

/// The one value that the operands of `n` lead to, if its shape is that of the result.
fn source_of(g: &Graph, n: NodeId, lead: impl Fn(ValueId) -> ValueId) -> Option<ValueId> {
    let node = g.node(n);
    let mut source = None;
    for &v in node.ins.iter().flatten().filter(|&&v| !is_scalar_const(g, v)) {
        let s = lead(v);
        if source.is_some_and(|other| other != s) {
            return None;
        }
        source = Some(s);
    }
    let s = source?;
    let out = *node.outs.first()?;
    (!g.is_const(s) && g.ty(s) == g.ty(out) && *g.elem(s) == Elem::F32).then_some(s)
}
