//! Why ops of an integer graph are float.
//!
//! Reasons are computed from the graph and the back end, so they are there for a model that was loaded from a file as well.

use std::fmt;

use quantir_ir::Path;
use quantir_ir::graph::Name;
use quantir_quant::{KernelSupport, Role};

use crate::lower::{arith, integers, weighted};
use crate::prelude::*;
use crate::prepare::elementwise::{is_elementwise, is_scalar_const, is_unary};
use crate::prepare::fits;

/// One op of an integer graph.
#[derive(Clone, PartialEq, Debug)]
pub struct ExplainRow {
    /// The node.
    pub node: Option<NodeId>,
    /// Its first result.
    pub name: Name,
    /// The op's name.
    pub op: &'static str,
    /// Its module.
    pub path: Option<Path>,
    /// Why it is float; `None` if it works on integers.
    pub float: Option<String>,
}

impl fmt::Display for ExplainRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{} = {}", self.name, self.op)?;
        if let Some(p) = &self.path {
            write!(f, " @{p}")?;
        }
        match &self.float {
            None => f.write_str(": int8"),
            Some(why) => write!(f, ": float, {why}"),
        }
    }
}

/// For each op in order, constants and conversions left out: integer, or float and why.
///
/// Ops on plain integers and truth values, such as shape arithmetic, have no row.
pub fn explain(g: &Graph, backend: &KernelSupport) -> Vec<ExplainRow> {
    let mut rows = Vec::new();
    for n in g.nodes() {
        let node = g.node(n);
        let Some(&out) = node.outs.first() else { continue };
        if matches!(node.op, Op::Const(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_)) {
            continue;
        }
        let float = match g.elem(out) {
            Elem::Quant(_) => None,
            Elem::Plain(s) if s.is_float() => Some(why(g, n, backend)),
            Elem::Plain(_) => continue,
        };
        let path = node.loc.path.clone();
        rows.push(ExplainRow {
            node: Some(n),
            name: g.name_of(out).clone(),
            op: node.op.name(),
            path,
            float,
        });
    }
    rows
}

fn why(g: &Graph, n: NodeId, backend: &KernelSupport) -> String {
    let node = g.node(n);
    let name = node.op.name();
    let Some(s) = backend.get(name) else {
        // Such an op has an integer form inside a function of one value only.
        let computed = is_elementwise(&node.op) && !is_unary(&node.op);
        let scalar = node.ins.iter().flatten().any(|&v| is_scalar_const(g, v));
        return match computed && scalar {
            true => between(g, n).unwrap_or_else(|| format!("`{name}` has no integer kernel")),
            false => format!("`{name}` has no integer kernel"),
        };
    };
    if let Some(r) = &s.refusal {
        return r.clone();
    }
    if let Err(r) = fits(g, n).and_then(|()| s.check_act(crate::prepare::act_word(&node.op))) {
        return r;
    }
    if let Some(r) = between(g, n) {
        return r;
    }
    let out = quantized_by(g, node.outs[0]);
    let of = |i: usize| node.ins.get(i).copied().flatten().and_then(|v| integers(g, v)).map(|i| i.1.as_ref());
    let checked = match (s.role, of(0), of(1), out) {
        (Role::Weighted { .. }, Some(x), Some(w), Some(y)) => weighted::check(&node.op, x, w, y, backend),
        (Role::Weighted { .. }, _, None, _) => Err("its weight is float".into()),
        (_, _, _, Some(y)) => {
            let ins = (0..node.ins.len()).filter_map(of);
            arith::check(&node.op, ins.chain([y]), backend)
        }
        _ => Ok(()),
    };
    match checked {
        Err(r) => r,
        Ok(()) => format!("no integer form of this `{name}` fits its operands"),
    }
}

/// What is not quantized around `n`, if something is.
fn between(g: &Graph, n: NodeId) -> Option<String> {
    let node = g.node(n);
    let weighted = matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_));
    let moves = matches!(node.op, Op::Gather(_));
    for (i, &v) in node.ins.iter().enumerate() {
        let Some(v) = v else { continue };
        if i == 2 && weighted {
            if !g.is_const(v) {
                return Some("its bias is not a constant".into());
            }
            continue;
        }
        if (i == 1 && moves) || is_scalar_const(g, v) {
            continue;
        }
        if integers(g, v).is_none() {
            return Some(match (weighted, i) {
                (true, 1) => "its weight is float".into(),
                _ => format!("its operand `%{}` is float", g.name_of(v)),
            });
        }
    }
    let out = node.outs[0];
    if quantized_by(g, out).is_none() {
        let user = g.users(out).next();
        return Some(match user {
            Some(u) => format!("its result is used as float by `{}`", g.op(u).name()),
            None => "its result is a float output".into(),
        });
    }
    if !g.one_use(out) {
        return Some("its float result is used beside the quantized one".into());
    }
    None
}

/// The quantization that a user quantizes `v` to.
fn quantized_by(g: &Graph, v: ValueId) -> Option<&quantir_ir::Quant> {
    g.users(v).find_map(|u| {
        let q = g.get::<Quantize>(u)?;
        g.elem(q.out).quant().map(|q| q.as_ref())
    })
}
