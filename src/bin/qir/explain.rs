//! `qir explain`: each op, in int8 or float and why.

use quantir::backend;
use quantir::passes::lower::explain;
use quantir::{Error, file};

use crate::args::Explain;
use crate::table::table;

pub fn main(a: Explain) -> Result<(), Error> {
    let graph = file::load(&a.model)?;
    let rows = explain(&graph, &backend::native());
    if a.json {
        let shown = rows.iter().map(|r| {
            serde_json::json!({
                "op": r.op, "value": &*r.name, "module": r.path.as_deref(), "int8": r.float.is_none(), "reason": r.float,
            })
        });
        let all: Vec<serde_json::Value> = shown.collect();
        say!("{}", serde_json::to_string_pretty(&all).expect("plain data"));
        return Ok(());
    }
    let mut t = table(&["op", "value", "module", "runs in", "why"]);
    for r in rows.iter().filter(|r| !(a.float_only && r.float.is_none())) {
        let place = if r.float.is_none() { "int8" } else { "float" };
        t.add_row([
            r.op,
            &format!("%{}", r.name),
            r.path.as_deref().unwrap_or(""),
            place,
            r.float.as_deref().unwrap_or_default(),
        ]);
    }
    let int8 = rows.iter().filter(|r| r.float.is_none()).count();
    if rows.len() > int8 || !a.float_only {
        say!("{t}");
    }
    say!("{int8} ops in int8, {} in float", rows.len() - int8);
    if graph.phase() == quantir::ir::Phase::Float {
        say!("this is a float model; quantize it first: qir quantize");
    }
    Ok(())
}
