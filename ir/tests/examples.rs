//! Every `qir` example in the documentation of an op parses, infers, and runs on generated inputs.

use std::fs;
use std::mem::discriminant;
use std::path::Path;

use quantir_ir::ops::{ConstData, Op};
use quantir_ir::{Dim, Shape, Tensor, Type, interp, text};

/// The `qir` blocks in the doc comments of a source text.
fn blocks(source: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        match (doc.trim(), &mut open) {
            ("```qir", None) => open = Some(String::new()),
            ("```", Some(_)) => all.extend(open.take()),
            (text, Some(block)) => *block += &format!("{text}\n"),
            _ => {}
        }
    }
    all
}

/// A tensor for an input; symbols become 2.
fn input(ty: &Type, seed: u64) -> Tensor {
    let dims = ty.shape.0.iter().map(|d| d.substitute(&|_| Some(Dim::lit(2)))).collect();
    ConstData::Rand(seed).tensor(&Type::new(ty.elem.clone(), Shape(dims))).unwrap()
}

#[test]
fn examples_run_and_show_every_op() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut seen = Vec::new();
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        for block in blocks(&fs::read_to_string(&file).unwrap()) {
            let at = format!("{}:\n{block}", file.display());
            let g = text::parse_example(&block).unwrap_or_else(|e| panic!("{at}{e:?}"));
            let inputs: Vec<Tensor> =
                g.inputs().iter().enumerate().map(|(i, &v)| input(g.ty(v), i as u64)).collect();
            interp::run(&g, &inputs, &mut ()).unwrap_or_else(|e| panic!("{at}{e}"));
            seen.extend(g.nodes().map(|n| g.node(n).op.clone()));
        }
    }
    // An example of `conv2d` shows `conv1d` too: both are one op under several names.
    let shown = |name: &str| {
        seen.iter().any(|op: &Op| {
            matches!(Op::parse(name, op.attrs()), Some(Ok(o)) if discriminant(&o) == discriminant(op))
        })
    };
    let missing: Vec<&str> = Op::all_names().filter(|n| !shown(n)).collect();
    assert!(missing.is_empty(), "ops without an example: {}", missing.join(", "));
}
