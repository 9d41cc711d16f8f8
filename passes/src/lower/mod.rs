//! `lower`: rewrites `dequantize* → op → quantize` into integer ops where the back end has them.
//!
//! ```qir
//! quant !x = u8[0:255] scale 0.05 zp 128
//! quant !w = i8[-128:127] scale 0.01 zp 0
//! quant !y = u8[0:255] scale 0.1 zp 0
//! input %x.q: u8!x[1,3,4,4]
//! %w = const {data=rand(1)} : i8!w[8,3,3,3]
//! %b = const {data=rand(2)} : f32[8]
//! %x.dq = dequantize %x.q : f32[1,3,4,4]
//! %w.dq = dequantize %w : f32[8,3,3,3]
//! %y = conv2d %x.dq, %w.dq, %b {act=relu} : f32[1,8,2,2]
//! %y.q = quantize %y : u8!y[1,8,2,2]
//! =>
//! %y.q = qconv2d %x.q, %w, %b {act=relu} : u8!y[1,8,2,2]
//! ```
//!
//! Every integer op stands for the float formula between its ends, rounded once, so results differ from the reference form by
//! at most one step where `f32` rounding puts a number on the other side of a tie.
//!
//! | rule | from | to |
//! |---|---|---|
//! | `lower-move` | movement op on `dequantize` | `dequantize` of the movement on integers, exact |
//! | `lower-cancel` | `quantize` of `dequantize` | nothing, or `requantize` |
//! | `lower-clamp` | `relu`, `clip` between equal quantizations | the clamp on integers, exact |
//! | `lower-table` | elementwise function of one value | `qlut` with the function evaluated on all integers, exact |
//! | `lower-weighted` | `conv*`, `linear` | `qconv*`, `qlinear` with the bias in the accumulator |
//! | | `conv_transpose*` | `qconv_transpose*` with the bias as it is |
//! | `lower-binary` | `add`, `mul` | `qadd`, `qmul` |
//! | `lower-mean` | `mean`, `avg_pool` | `qmean`, `qavg_pool` |
//! | `lower-concat` | `concat` | `concat` if all quantizations are equal, else `qconcat` |
//! | `lower-join` | `concat` of `requantize` | `qconcat`, exact |
//!
//! What is not accepted stays a float island between `dequantize` and `quantize`; [`explain`] says why.

mod arith;
mod explain;
mod moves;
mod table;
mod weighted;

use std::collections::HashSet;
use std::sync::Arc;

use quantir_ir::graph::Name;
use quantir_ir::{Editor, Quant};
use quantir_quant::KernelSupport;

use crate::driver::{Rule, drive};
use crate::prelude::*;

pub use explain::{ExplainRow, explain};

/// Rewrites a reference graph into integer ops; it advances to phase `integer`.
pub fn lower(g: &mut Graph, backend: &KernelSupport) -> Result<(), Diag> {
    run(g, &mut PassCx::new(), backend)
}

fn run(g: &mut Graph, cx: &mut PassCx, backend: &KernelSupport) -> Result<(), Diag> {
    g.advance(Phase::Integer);
    drive(
        g,
        cx,
        &[
            Rule { name: "lower-move", apply: &|g, n| moves::movement(g, n, backend) },
            Rule { name: "lower-cancel", apply: &moves::cancel },
            Rule { name: "lower-clamp", apply: &|g, n| moves::clamp(g, n, backend) },
            Rule { name: "lower-table", apply: &|g, n| table::table(g, n, backend) },
            Rule { name: "lower-weighted", apply: &|g, n| weighted::weighted(g, n, backend) },
            Rule { name: "lower-binary", apply: &|g, n| arith::binary(g, n, backend) },
            Rule { name: "lower-mean", apply: &|g, n| arith::mean(g, n, backend) },
            Rule { name: "lower-concat", apply: &|g, n| arith::concat(g, n, backend) },
            Rule { name: "lower-join", apply: &|g, n| arith::join(g, n, backend) },
        ],
    )?;
    name_products(g);
    for row in explain(g, backend) {
        if let (Some(reason), Some(n)) = (&row.float, row.node) {
            cx.reject(g, n, reason.clone());
        }
    }
    Ok(())
}

/// Names the quantizations of biases `!b0`, `!b1`, … for printing.
fn name_products(g: &mut Graph) {
    let nodes: Vec<NodeId> = g.nodes().collect();
    let mut taken: HashSet<Name> = g.quant_names.values().cloned().collect();
    let mut next = 0;
    for n in nodes {
        for i in 0..g.node(n).outs.len() {
            let v = g.node(n).outs[i];
            let Some(q) = g.elem(v).quant().cloned() else { continue };
            if matches!(q.params, quantir_ir::QParams::Product(..)) && !g.quant_names.contains_key(&q) {
                let name = loop {
                    let name: Name = format!("b{next}").into();
                    next += 1;
                    if taken.insert(name.clone()) {
                        break name;
                    }
                };
                g.name_quant(&q, &name);
            }
        }
    }
}

/// The float op `op` between integers: `quantize %y : q` where `%y` is its result and has no other use.
pub(crate) struct Island<'g> {
    /// The `quantize`.
    pub quantize: NodeId,
    /// Its result.
    pub out: ValueId,
    /// The float op.
    pub node: NodeId,
    /// Type of the integers that are wanted.
    pub ty: &'g Type,
    /// Their quantization.
    pub quant: &'g Arc<Quant>,
}

impl<'g> Island<'g> {
    /// The island whose `quantize` is `at`.
    pub fn ending(g: &'g Graph, at: NodeId) -> Option<Island<'g>> {
        let q = g.get::<Quantize>(at)?;
        let node = g.def_node(q.x)?;
        if !g.one_use(q.x) {
            return None;
        }
        let ty = g.ty(q.out);
        Some(Island { quantize: at, out: q.out, node, ty, quant: ty.elem.quant()? })
    }

    /// The edit that computes the island's integers by `op` on `ins`.
    pub fn by(&self, g: &Graph, op: impl Into<Op>, ins: &[ValueId]) -> Option<Edit> {
        let mut e = g.edit(self.quantize);
        e.loc_of(self.node);
        let new = e.op_as(op, ins.iter().copied(), std::slice::from_ref(self.ty)).ok()?[0];
        replaced(e, self.out, new)
    }
}

/// The edit that puts `new` in the place of `old`. If inference says less about symbolic dimensions than is known of `old`,
/// there is none: the op stays float, and [`explain`] says so.
pub(crate) fn replaced(mut e: Editor<'_>, old: ValueId, new: ValueId) -> Option<Edit> {
    if e.ty(new) != e.graph().ty(old) {
        return None;
    }
    e.replace(old, new);
    Some(e.finish())
}

/// The integers that `v` is dequantized from, with their quantization.
pub(crate) fn integers(g: &Graph, v: ValueId) -> Option<(ValueId, &Arc<Quant>)> {
    let x = g.def::<Dequantize>(v)?.x;
    Some((x, g.elem(x).quant()?))
}

/// The pass `lower`. Reads a [`KernelSupport`] from the context if one was provided.
pub struct Lower;

const INFO: PassInfo = PassInfo::new("lower", "Rewrite float ops between integers into integer ops")
    .phases(Phase::Reference, Phase::Reference)
    .approximate()
    .options(&[OptionInfo {
        name: "backend",
        default: "native",
        doc: "which back end, unless one was provided: native, pytorch",
    }]);

impl Pass for Lower {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let backend = crate::prepare::backend(cx)?;
        run(g, cx, &backend)?;
        Ok(Changed::Yes)
    }
}
