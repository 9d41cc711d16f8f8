//! `qir inspect`: a summary of a model.

use indexmap::IndexMap;
use quantir::ir::ops::Op;
use quantir::{Error, Graph, file};
use serde::Serialize;

use crate::args::Inspect;
use crate::table::{bytes, table};

#[derive(Serialize)]
struct Summary {
    phase: &'static str,
    file_bytes: u64,
    inputs: IndexMap<String, String>,
    outputs: IndexMap<String, String>,
    nodes: usize,
    parameters: usize,
    parameter_bytes: usize,
    ops: IndexMap<String, usize>,
}

pub fn main(a: Inspect) -> Result<(), Error> {
    let graph = file::load(&a.model)?;
    let s = summary(&graph, std::fs::metadata(&a.model).map_or(0, |m| m.len()));
    if a.json {
        say!("{}", serde_json::to_string_pretty(&s).expect("plain data"));
        return Ok(());
    }
    say!("phase       {}", s.phase);
    say!("file        {}", bytes(s.file_bytes));
    say!("parameters  {} in {}", s.parameters, bytes(s.parameter_bytes as u64));
    for (what, list) in [("input", &s.inputs), ("output", &s.outputs)] {
        for (name, ty) in list {
            say!("{what:<11} {name}: {ty}");
        }
    }
    let mut t = table(&["op", "count"]);
    for (op, n) in &s.ops {
        t.add_row([op.clone(), n.to_string()]);
    }
    say!("{t}");
    Ok(())
}

fn summary(g: &Graph, file_bytes: u64) -> Summary {
    let mut ops: IndexMap<String, usize> = IndexMap::new();
    let (mut parameters, mut parameter_bytes) = (0, 0);
    for n in g.nodes() {
        let node = g.node(n);
        if let Op::Const(_) = node.op {
            let ty = g.ty(node.outs[0]);
            let count: usize = ty.shape.concrete().map_or(0, |s| s.iter().product());
            parameters += count;
            parameter_bytes += count * ty.elem.storage().bytes();
        } else {
            *ops.entry(node.op.name().into()).or_default() += 1;
        }
    }
    ops.sort_by(|a, m, b, n| n.cmp(m).then(a.cmp(b)));
    Summary {
        phase: g.phase().word(),
        file_bytes,
        inputs: g.inputs().iter().map(|&v| (g.name_of(v).to_string(), g.ty(v).to_string())).collect(),
        outputs: g.outputs().iter().map(|o| (o.name.to_string(), g.ty(o.value).to_string())).collect(),
        nodes: g.node_count(),
        parameters,
        parameter_bytes,
        ops,
    }
}
