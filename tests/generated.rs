//! The reference tables in `docs/generated`, derived from the lists in the code. `QIR_BLESS=1` writes them.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use quantir_ir::ops::{Op, OpRow, OperandKind};
use quantir_ir::{Phase, text};
use quantir_passes::pass::{OptionInfo, PassInfo};
use quantir_passes::{Effect, registry};
use quantir_quant::observer::Observer;
use quantir_runtime::Isa;
use quantir_runtime::kernels::table::{self, Accept, Fuses, KernelRecord};
use quantir_runtime::plan::LayoutRule;

#[path = "support/docs.rs"]
// Each test uses a part of it.
#[allow(dead_code)]
mod docs;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Fails unless `docs/generated/{name}` holds `body` under its heading; writes it when blessing.
fn fresh(name: &str, title: &str, source: &str, body: &str) {
    let new = format!(
        "# {title}\n\n\
         <!-- Written by tests/generated.rs from {source}. Do not edit: run `QIR_BLESS=1 cargo test --test generated`. -->\n\
         \n{body}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/generated").join(name);
    let old = fs::read_to_string(&path).unwrap_or_default();
    if old == new {
        return;
    }
    if std::env::var_os("QIR_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, new).unwrap();
        return;
    }
    let diff = text::diff(&old, &new);
    panic!("docs/generated/{name} is not fresh (- file, + code)\n{diff}\nrun with QIR_BLESS=1 to write it");
}

/// A row of a Markdown table.
fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heads: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
    let mut out = row(&heads);
    out += &format!("|{}\n", "---|".repeat(columns.len()));
    for cells in rows {
        assert_eq!(cells.len(), columns.len());
        out += &row(&cells);
    }
    out
}

fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

fn list<T>(items: impl IntoIterator<Item = T>, show: impl FnMut(T) -> String) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

fn phases((first, last): (Phase, Phase)) -> String {
    match (first, last) {
        (Phase::Float, Phase::Integer) => "all".into(),
        _ if first == last => first.to_string(),
        _ => format!("{first} to {last}"),
    }
}

/// The first sentence of a doc comment, with links of rustdoc as plain code.
fn first_sentence(doc: &[docs::Line]) -> String {
    let lines: Vec<&str> = doc.iter().map(|(_, l)| l.trim()).take_while(|l| !l.is_empty()).collect();
    let text = lines.join(" ");
    let mut end = text.len();
    let mut in_code = false;
    for (i, c) in text.char_indices() {
        in_code ^= c == '`';
        if c == '.' && !in_code && text[i + 1..].starts_with(' ') {
            end = i;
            break;
        }
    }
    without_links(text[..end].trim_end_matches('.'))
}

/// ``[`Conv`](crate::ops::Conv)`` and ``[`Conv`]`` as `` `Conv` ``.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        out += before;
        out += &code(name);
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    out + rest
}

/// The doc comment of each type that a file of ops declares, by its name.
fn op_docs(source: &str) -> HashMap<&str, Vec<docs::Line<'_>>> {
    let lines: Vec<&str> = source.lines().collect();
    let mut all = HashMap::new();
    for run in docs::doc_runs(source) {
        let after = run.last().map_or(0, |(number, _)| *number);
        let Some(item) = lines[after..].iter().map(|l| l.trim()).find(|l| !l.starts_with("#[")) else {
            continue;
        };
        // `pub struct Conv {`, or `Exp as ExpView = …` in a macro that declares several ops.
        let name = match item.strip_prefix("pub struct ") {
            Some(rest) => rest.split([' ', '{', ';', '(']).next(),
            None => item.split_once(" as ").map(|(name, _)| name),
        };
        if let Some(name) = name {
            all.insert(name, run);
        }
    }
    all
}

fn operands(row: &OpRow) -> String {
    list(row.operands, |o| match o.kind {
        OperandKind::One => o.name.into(),
        OperandKind::Maybe => format!("{}?", o.name),
        OperandKind::Many => format!("{}…", o.name),
    })
}

fn attributes(row: &OpRow) -> String {
    list(row.attrs.iter().zip(&row.defaults), |(name, default)| match default {
        Some(value) => code(format!("{name}={value}")),
        None => code(name),
    })
}

#[test]
fn ops() {
    let rows = Op::table();
    // Rows of one op stand together; its names share a line.
    let groups: Vec<&[OpRow]> = rows.chunk_by(|a, b| a.op == b.op).collect();
    let mut missing = Vec::new();
    let lines: Vec<Vec<String>> = groups
        .iter()
        .map(|names| {
            let first = &names[0];
            let file = format!("ir/src/ops/{}.rs", first.module);
            let source = read(&file);
            let doc = op_docs(&source).get(first.op).map(|doc| first_sentence(doc)).unwrap_or_default();
            if doc.is_empty() {
                missing.push(first.op);
            }
            let link = format!("[{}](../../{file})", first.module);
            let names = list(*names, |r| code(r.name));
            vec![names, operands(first), attributes(first), phases(first.phases), doc, link]
        })
        .collect();
    assert!(missing.is_empty(), "ops without a doc comment: {missing:?}");
    let body = format!(
        "{} ops under {} names. `?` marks an operand that may be left out (`_`), `…` the operands that take all the rest.\n\
         An attribute shows its default; one without `=` must be given.\n\n{}",
        groups.len(),
        rows.len(),
        table(&["Op", "Operands", "Attributes", "Phases", "Meaning", "Source"], lines)
    );
    fresh("ops.md", "Ops", "the table in `ir/src/ops/mod.rs`", &body);
}

fn effect(e: Effect) -> String {
    match e {
        Effect::Exact => "exact".into(),
        Effect::Rounding { rel } => format!("rounding, {rel:e}"),
        Effect::Approximate => "approximate".into(),
    }
}

fn option(o: &OptionInfo) -> String {
    format!("{}: {}", code(format!("{}={}", o.name, o.default)), o.doc)
}

/// The file that declares a pass, relative to `passes/src`.
fn file_of(info: &PassInfo, dir: &Path, at: &str) -> Option<String> {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        let name = format!("{at}{}", path.file_name()?.to_str()?);
        if path.is_dir() {
            return file_of(info, &path, &format!("{name}/"));
        }
        // The name may stand on the next line.
        let squeezed: String = fs::read_to_string(&path).ok()?.split_whitespace().collect();
        squeezed.contains(&format!("PassInfo::new(\"{}\"", info.name)).then_some(name)
    })
}

#[test]
fn passes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("passes/src");
    let rows = registry::PASSES.iter().map(|p| {
        let info = p.info();
        let file = file_of(info, &dir, "").unwrap_or_else(|| panic!("where is `{}`?", info.name));
        let link = format!("[{file}](../../passes/src/{file})");
        let options = info.options.iter().map(option).collect::<Vec<_>>().join("; ");
        vec![code(info.name), info.summary.into(), phases(info.phases), effect(info.effect), options, link]
    });
    let mut body = String::from(
        "An exact pass keeps every bit of every output. Rounding bounds the change of a float output by its largest\n\
         magnitude. The filetest runner evaluates graphs before and after and enforces both.\n\n",
    );
    body += &table(&["Pass", "What it does", "Phases", "Effect", "Options", "Source"], rows);
    body += "\n## Pipelines\n\nA pipeline is named in the place of a pass: `canon,fuse`.\n\n";
    for (name, passes) in registry::PIPELINES {
        let _ = writeln!(body, "- {}: {}", code(name), list(passes.split(','), |p| code(p.trim())));
    }
    fresh("passes.md", "Passes", "the list in `passes/src/registry.rs`", &body);
}

#[test]
fn observers() {
    let rows = Observer::KINDS.iter().map(|(kind, args)| {
        let file = format!("quant/src/observer/{kind}.rs");
        let passive = "quant/src/observer/passive.rs";
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists() {
            // Kinds without statistics share a file, each with a line that says what it does.
            let source = read(passive);
            let line = source
                .lines()
                .find(|l| l.contains(&format!("= \"{kind}\", \"")))
                .expect("a line for the kind");
            let meaning = line.split('"').nth(3).unwrap_or_default().to_owned();
            return vec![code(kind), args.to_string(), meaning, format!("[{kind}](../../{passive})")];
        }
        let source = read(&file);
        let runs = docs::doc_runs(&source);
        let doc = first_sentence(&runs[0]);
        let meaning = doc.split_once(": ").map_or(doc.as_str(), |(_, meaning)| meaning);
        vec![code(kind), args.to_string(), meaning.into(), format!("[{kind}](../../{file})")]
    });
    let body = format!(
        "The kinds of a declaration such as `observer $act0 = histogram(2048) u8[0:127] affine`.\n\n{}",
        table(&["Kind", "Arguments", "What it takes", "Source"], rows)
    );
    fresh("observers.md", "Observers", "the list in `quant/src/observer/mod.rs`", &body);
}

fn accept(a: &Accept) -> String {
    let mut out = list(a.storages, code);
    if !out.is_empty() {
        out += " ";
    }
    out += a.scheme.words();
    if a.constant {
        out += ", constant";
    }
    out
}

fn kernel(r: &KernelRecord) -> Vec<String> {
    let fuses = match r.fuses {
        Fuses::Nothing => "none",
        Fuses::Clamp => "`relu`, `clip`",
        Fuses::Any => "`relu`, `clip`, `hard_swish`",
    };
    let layout = match r.layout {
        LayoutRule::RowMajor => "row-major",
        LayoutRule::ChannelsLast => "channels-last",
        LayoutRule::Follow => "as it comes",
    };
    let bits = if r.exact { "same" } else { "may differ" };
    vec![
        code(r.name),
        list(r.ops, code),
        r.operands.iter().map(accept).collect::<Vec<_>>().join("; "),
        r.results.iter().map(accept).collect::<Vec<_>>().join("; "),
        fuses.into(),
        if r.isas == Isa::ALL { "all".into() } else { list(r.isas, code) },
        bits.into(),
        layout.into(),
        r.preference.to_string(),
    ]
}

#[test]
fn kernels() {
    let columns =
        ["Kernel", "Ops", "Operands", "Results", "Activations", "Tiers", "Bits", "Layout", "Preference"];
    let body = format!(
        "Among the kernels that accept an op the one of the highest preference is taken; an op that none accepts runs by\n\
         the interpreter's `eval`. The last operand or result stands for all further ones. Bits are compared with the\n\
         interpreter's.\n\n{}",
        table(&columns, table::records().iter().map(kernel))
    );
    fresh("kernels.md", "Kernels", "the records of `runtime/src/kernels`", &body);
}

/// The mark in `docs/ir.md` behind which the table of invariants stands, up to the end of the page.
const INVARIANTS: &str = "<!-- invariants: ir/src/verify.rs -->\n";

#[test]
fn invariants() {
    let source = read("ir/src/verify.rs");
    let runs = docs::doc_runs(&source);
    let table: Vec<&str> = runs[0].iter().map(|(_, l)| *l).filter(|l| l.starts_with('|')).collect();
    assert!(table.len() > 2, "the module comment of the verifier has a table");
    let page = read("docs/ir.md");
    let (head, old) = page.split_once(INVARIANTS).expect("docs/ir.md has the mark for invariants");
    let new = format!("\n{}\n", table.iter().map(|l| without_links(l)).collect::<Vec<_>>().join("\n"));
    if old == new {
        return;
    }
    assert!(
        std::env::var_os("QIR_BLESS").is_some(),
        "the invariants in docs/ir.md are not those of the verifier\n{}\nrun with QIR_BLESS=1 to write them",
        text::diff(old, &new)
    );
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ir.md"), format!("{head}{INVARIANTS}{new}"))
        .unwrap();
}
