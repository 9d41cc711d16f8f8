//! Lowering of the reference form, by PyTorch's table of stages: which calls get a quantized form, and which results stay in
//! the parameters of the input.
//!
//! One walk from the inputs on: at each `quantize` the call before it is looked at. Where PyTorch's op computes the very
//! integers that `quantize` asks for, it takes the place of both. Where PyTorch lets the op run on the quantized tensor
//! and drops the `quantize` (copies, `dropout`, sums with a number), the parameters that came in go on, and what dequantized the
//! old integers dequantizes the new ones. Calls without a quantized form stay between `dequantize` and `quantize`.

mod calls;
mod dynamic;
mod embedding;
mod scalar;
mod special;
mod weighted;

use std::sync::Arc;

use quantir_ir::{Editor, Loc, Quant};

use crate::fx::convert::remove_unused;
use crate::fx::insert::FENCE;
use crate::fx::view::is_literal;
use crate::lower::integers;
use crate::prelude::*;

/// Lowers a reference graph, which advances to phase `integer`.
pub(super) fn run(g: &mut Graph, cx: &mut PassCx) -> Result<(), Diag> {
    let nodes: Vec<NodeId> = g.nodes().collect();
    for n in nodes {
        let (Some(_), true) = (g.try_node(n), matches!(g.try_node(n).map(|n| &n.op), Some(Op::Quantize(_))))
        else {
            continue;
        };
        let Some(call) = Call::before(g, n) else { continue };
        let edit = weighted::lower(g, &call)
            .or_else(|| weighted::with_sum(g, &call))
            .or_else(|| weighted::with_curve(g, &call))
            .or_else(|| scalar::lower(g, &call))
            .or_else(|| binary(g, &call))
            .or_else(|| special::lower(g, &call));
        if let Some(edit) = edit
            && cx.apply(g, "lower-fx", n, edit)?.is_none()
        {
            return Ok(());
        }
    }
    dynamic::lower(g, cx)?;
    embedding::lower(g, cx)?;
    remove_fences(g, cx)?;
    g.advance(Phase::Integer);
    remove_unused(g);
    Ok(())
}

/// The call that computes what a `quantize` takes.
pub(super) struct Call {
    /// The `quantize`.
    pub quantize: NodeId,
    /// Its result.
    pub out: ValueId,
    /// The node of the call.
    pub node: NodeId,
    /// A relu of its own between the call and the `quantize`.
    pub relu: bool,
    /// What was called.
    pub call: String,
    /// The integers that are asked for.
    pub ty: Type,
    /// Their quantization.
    pub quant: Arc<Quant>,
}

impl Call {
    fn before(g: &Graph, at: NodeId) -> Option<Call> {
        let q = g.get::<Quantize>(at)?;
        let mut node = g.def_node(q.x)?;
        let mut relu = false;
        let named = |n: NodeId| g.node(n).loc.call.as_deref().unwrap_or("");
        if matches!(g.op(node), Op::Relu(_)) && matches!(named(node), "nn.ReLU" | "F.relu" | "torch.relu") {
            let before = g.node(node).ins.first().copied().flatten()?;
            // A relu on its own runs on the quantized tensor.
            if let Some(d) = g.def_node(before)
                && calls::takes_relu(named(d))
                && g.one_use(before)
            {
                (node, relu) = (d, true);
            }
        }
        let ty = g.ty(q.out).clone();
        let quant = ty.elem.quant()?.clone();
        let call = named(node).to_string();
        Some(Call { quantize: at, out: q.out, node, relu, call, ty, quant })
    }

    /// Starts an edit whose nodes are of the quantized class `class`.
    pub fn editor<'g>(&self, g: &'g Graph, class: &str) -> Editor<'g> {
        let mut e = g.edit(self.quantize);
        let loc = g.node(self.node).loc.clone();
        e.loc(Loc { call: Some(class.into()), ..loc });
        e
    }

    /// Ends an edit: `new` is the quantized result. If it has other parameters than were asked for, those go on.
    pub fn finish(&self, g: &Graph, mut e: Editor, new: ValueId) -> Option<Edit> {
        let name = g.name_of(*g.node(self.node).outs.first()?).to_string();
        e.name(new, &name);
        let uses = g.value(self.out).uses.to_vec();
        if *e.ty(new) == self.ty {
            e.replace_uses(self.out, new, uses);
            return Some(e.finish());
        }
        for u in uses {
            let Use::Node(n, _) = u else { return None };
            let d = g.get::<Dequantize>(n)?;
            e.loc(g.node(n).loc.clone());
            let dq = e.op(Dequantize {}, [new]).ok()?;
            e.name(dq, g.name_of(d.out)).replace_uses(d.out, dq, g.value(d.out).uses.to_vec());
        }
        Some(e.finish())
    }
}

/// Operand `slot` of `n`, if it is dequantized: the integers.
pub(super) fn operand(g: &Graph, n: NodeId, slot: usize) -> Option<ValueId> {
    let v = g.node(n).ins.get(slot).copied().flatten()?;
    integers(g, v).map(|(x, _)| x)
}

/// Sums and products of two tensors; operands that are broadcast too.
fn binary(g: &Graph, c: &Call) -> Option<Edit> {
    let relu = if c.relu { Act::Relu } else { Act::None };
    let (op, name): (Op, &str) = match g.op(c.node) {
        Op::Add(a) if a.act == Act::None => (Qadd { act: relu }.into(), "quantized.add"),
        Op::Mul(m) if m.act == Act::None => (Qmul { act: relu }.into(), "quantized.mul"),
        _ => return None,
    };
    if !calls::is_binary(&c.call) || g.node(c.node).ins.iter().flatten().any(|&v| is_literal(g, v)) {
        return None;
    }
    let (a, b) = (operand(g, c.node, 0)?, operand(g, c.node, 1)?);
    let mut e = c.editor(g, &with_relu(name, c.relu));
    let new = e.op_as(op, [a, b], std::slice::from_ref(&c.ty)).ok()?[0];
    c.finish(g, e, new)
}

/// The name of a quantized function, with its relu.
pub(super) fn with_relu(name: &str, relu: bool) -> String {
    if relu { format!("{name}_relu") } else { name.into() }
}

/// The identities that kept standalone modules apart.
fn remove_fences(g: &mut Graph, cx: &mut PassCx) -> Result<(), Diag> {
    let fence = |g: &Graph, n: NodeId| g.node(n).loc.call.as_deref() == Some(FENCE);
    for n in g.nodes().collect::<Vec<_>>() {
        if let Some(i) = g.get::<Identity>(n)
            && fence(g, n)
            && let Some(edit) = Edit::forward(g, i.out, i.x)
        {
            cx.apply(g, "fence", n, edit)?;
        }
    }
    Ok(())
}
