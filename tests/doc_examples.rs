//! Runs the documentation: every `qir` block in doc comments and in `docs/`, and asks for a test of every code.
//!
//! A block is a whole text (`qir 1 …`) or the lines of an example (`input %x: f32[2]`, then nodes). It is parsed,
//! printed and parsed again, verified, and evaluated on seeded inputs. A line `=>` in the doc comment of a pass
//! separates the graph before it from the lines after it: the pass must yield these lines. Constants and
//! declarations that a pass adds may be left out there. `// RUN: pipeline` names other passes than the file's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use quantir_ir::ops::Op;
use quantir_ir::{Graph, interp, text, verify};
use quantir_passes::manager::{Manager, Verify};
use quantir_passes::{Pipeline, Registry, check};

// The page on adding a pass shows a file of `quantir-passes`, where this is the crate's own prelude.
use quantir_passes::prelude;

#[path = "adding_a_pass/neg_neg.rs"]
mod neg_neg;

#[path = "support/docs.rs"]
#[allow(dead_code)]
mod docs;

use docs::Block;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The passes, and the one that the documentation builds.
fn registry() -> Registry {
    Registry::standard().with(&neg_neg::NegNeg)
}

/// Files below `dir` with one of these extensions, in order, with their path from the root and their text.
fn files(dir: &str, extensions: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: PathBuf, extensions: &[&str], out: &mut Vec<(String, String)>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                walk(path, extensions, out);
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e)) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    walk(root().join(dir), extensions, &mut out);
    out
}

/// The first line that is no comment.
fn first_line(block: &str) -> Option<&str> {
    block.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("//"))
}

/// The graph of a block, sound and the same when printed and parsed again.
fn graph(block: &str) -> Result<Graph, String> {
    let all = |diags: Vec<quantir_ir::Diag>| diags.iter().map(|d| format!("{d}\n")).collect::<String>();
    let whole = first_line(block).is_some_and(|l| l.starts_with("qir "));
    let g = if whole { text::parse(block) } else { text::parse_example(block) }.map_err(all)?;
    let printed = text::print(&g);
    let again = text::parse(&printed).map_err(all)?;
    if text::print(&again) != printed {
        return Err(format!(
            "printed and parsed again it differs\n{}",
            text::diff(&printed, &text::print(&again))
        ));
    }
    let diags = verify(&g);
    if diags.is_empty() { Ok(g) } else { Err(all(diags)) }
}

/// Evaluates the graph on seeded inputs, for two choices of its symbols.
fn evaluate(g: &Graph) -> Result<(), String> {
    for round in 0..2 {
        let inputs =
            check::seeded_inputs(g, &check::bind_symbols(g, round), round).map_err(|d| d.to_string())?;
        interp::run(g, &inputs, &mut ()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Runs `each` on all blocks and fails with all that went wrong.
fn all(
    blocks: Vec<(String, Result<Vec<Block>, String>)>,
    mut each: impl FnMut(&str, &Block) -> Result<(), String>,
) {
    let mut wrong = String::new();
    for (file, blocks) in blocks {
        match blocks {
            Err(why) => wrong += &format!("{file}: {why}\n"),
            Ok(blocks) => {
                for b in blocks {
                    if let Err(why) = each(&file, &b) {
                        wrong += &format!("{file}:{}: {}\n{}\n", b.line, why.trim_end(), b.text);
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "examples that do not hold:\n\n{wrong}");
}

#[test]
fn examples_of_ops_hold_and_every_op_has_one() {
    let mut shown: BTreeMap<String, Vec<Op>> = BTreeMap::new();
    let sources = files("ir/src/ops", &["rs"]);
    let blocks = sources.iter().map(|(name, text)| (name.clone(), docs::qir_in_source(text))).collect();
    all(blocks, |file, block| {
        let g = graph(&block.text)?;
        shown.entry(file.into()).or_default().extend(g.nodes().map(|n| g.op(n).clone()));
        evaluate(&g)
    });
    // An example of `conv2d` shows `conv1d` too: both are one op under several names.
    let has_example = |row: &quantir_ir::ops::OpRow| {
        let file = format!("ir/src/ops/{}.rs", row.module);
        shown.get(&file).into_iter().flatten().any(|op| {
            matches!(Op::parse(row.name, op.attrs()), Some(Ok(o)) if discriminant(&o) == discriminant(op))
        })
    };
    let table = Op::table();
    // Constants need no example: they are in half of the others.
    let missing: Vec<&str> =
        table.iter().filter(|r| r.name != "const" && !has_example(r)).map(|r| r.name).collect();
    assert!(missing.is_empty(), "ops without an example in their file: {}", missing.join(", "));
}

/// The pass that a file declares.
fn pass_of(source: &str) -> Option<&str> {
    let (_, rest) = source.split_once("PassInfo::new(")?;
    rest.split('"').nth(1)
}

/// Runs an example of a pass: the graph before `=>` must become the lines after it.
fn transforms(block: &str, pass: &str) -> Result<(), String> {
    let lines: Vec<&str> = block.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let Some(arrow) = lines.iter().position(|l| *l == "=>") else {
        return evaluate(&graph(block)?);
    };
    let before = graph(&lines[..arrow].join("\n"))?;
    let run = lines.iter().find_map(|l| l.strip_prefix("// RUN:")).unwrap_or(pass);
    let pipeline = Pipeline::parse(run.trim(), &registry()).map_err(|d| d.to_string())?;
    let mut after = before.clone();
    let manager = Manager { verify: Verify::Each, ..Manager::default() };
    manager.run(&pipeline, &mut after, &mut String::new()).map_err(|e| e.to_string())?;
    check::same_meaning(&before, &after, pipeline.effect(), 1).map_err(|d| d.to_string())?;

    let expected = &lines[arrow + 1..];
    let printed = text::print(&after);
    let may_lack =
        |l: &str| ["quant ", "observer ", "dim "].iter().any(|d| l.starts_with(d)) || l.contains(" = const ");
    // The frame is no part of an example; outputs are where they are written out.
    let returns = expected.iter().any(|l| l.starts_with("return"));
    let framed = |l: &str| {
        l.starts_with("qir ") || l.starts_with("graph ") || l == "}" || (l.starts_with("return") && !returns)
    };
    let got: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|l| !framed(l) && (!may_lack(l) || expected.contains(l)))
        .collect();
    if got == expected {
        return Ok(());
    }
    Err(format!(
        "`{}` yields something else (- example, + now)\n{}",
        run.trim(),
        text::diff(&(expected.join("\n") + "\n"), &(got.join("\n") + "\n"))
    ))
}

#[test]
fn examples_of_passes_hold_and_every_pass_has_one() {
    let mut sources = files("passes/src", &["rs"]);
    sources.extend(files("tests/adding_a_pass", &["rs"]));
    let blocks = sources.iter().map(|(name, text)| (name.clone(), docs::qir_in_source(text))).collect();
    let mut shown = BTreeSet::new();
    all(blocks, |file, block| {
        let source = sources.iter().find(|(name, _)| name == file).map_or("", |(_, text)| text);
        let pass = pass_of(source).ok_or("this file declares no pass")?;
        shown.insert(pass.to_string());
        transforms(&block.text, pass)
    });
    let registry = registry();
    let missing: Vec<&str> =
        registry.passes().iter().map(|p| p.info().name).filter(|n| !shown.contains(*n)).collect();
    assert!(missing.is_empty(), "passes without an example in their file: {}", missing.join(", "));
}

#[test]
fn examples_of_other_sources_hold() {
    let mut sources = Vec::new();
    for dir in ["src", "quant/src", "runtime/src", "frontend/src", "ir/src"] {
        sources.extend(files(dir, &["rs"]));
    }
    sources.retain(|(name, _)| !name.starts_with("ir/src/ops/"));
    let blocks = sources.iter().map(|(name, text)| (name.clone(), docs::qir_in_source(text))).collect();
    all(blocks, |_, block| evaluate(&graph(&block.text)?));
}

#[test]
fn examples_of_the_documentation_hold() {
    let mut sources = files("docs", &["md"]);
    sources.push(("README.md".into(), fs::read_to_string(root().join("README.md")).unwrap()));
    let blocks = sources.iter().map(|(name, text)| (name.clone(), docs::qir_in_markdown(text))).collect();
    // A filetest holds several graphs, and expected differences between them.
    all(blocks, |_, block| {
        let lines: Vec<&str> = block.text.lines().collect();
        let parts = lines.split(|l| l.starts_with("// ----")).map(|part| part.join("\n"));
        parts.filter(|part| first_line(part).is_some()).try_for_each(|text| evaluate(&graph(&text)?))
    });
}

/// The codes of diagnostics in a source text: `Diag::error("code"` and `.diag("code"`.
fn codes(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for start in ["Diag::error(", ".diag("] {
        for rest in source.split(start).skip(1) {
            // Elsewhere the code is a parameter.
            if let Some(word) = rest.trim_start().strip_prefix('"') {
                found.extend(word.split('"').next());
            }
        }
    }
    found
}

#[test]
fn every_diagnostic_code_is_tested() {
    let (mut code, mut tests) = (Vec::new(), String::new());
    for dir in ["src", "ir/src", "quant/src", "passes/src", "runtime/src", "frontend/src"] {
        for (name, text) in files(dir, &["rs"]) {
            let (source, unit) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            code.push((name, source.to_string()));
            tests += unit;
        }
    }
    for dir in ["tests", "ir/tests", "quant/tests", "passes/tests", "runtime/tests", "frontend/tests"] {
        tests.extend(files(dir, &["rs", "qir", "md", "txt", "toml"]).into_iter().map(|(_, text)| text));
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, source) in &code {
        for c in codes(source) {
            if !tests.contains(&format!("\"{c}\"")) && !tests.contains(&format!("[{c}]")) {
                missing.entry(c).or_default().insert(name);
            }
        }
    }
    assert!(missing.is_empty(), "codes of diagnostics that no test expects: {missing:#?}");
}
