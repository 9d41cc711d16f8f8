//! `docs/conformance.md`: for each numbered PyTorch test case, which test covers it. `QIR_BLESS=1` writes it.
//!
//! A test covers a case by naming its number, `T42`, in the comment above it; a filetest by a comment line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/conformance.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// `number<TAB>text` lines.
fn tsv(path: &str) -> BTreeMap<u32, String> {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines()
        .map(|l| {
            let (number, rest) = l.split_once('\t').unwrap_or_else(|| panic!("{path}: no tab in `{l}`"));
            (case(number).unwrap_or_else(|| panic!("{path}: `{number}` is no case")), rest.to_string())
        })
        .collect()
}

/// `T42`
fn case(word: &str) -> Option<u32> {
    let digits = word.strip_prefix('T')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The cases that a comment names; `T63–T65` is three.
fn cases_in(line: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '–' || c == '-')) {
        let ends: Vec<Option<u32>> = word.split(['–', '-']).map(case).collect();
        match ends[..] {
            [Some(one)] => all.push(one),
            [Some(a), Some(b)] if a < b => all.extend(a..=b),
            _ => {}
        }
    }
    all
}

/// Files below `dir` with one of these endings, in order.
fn files(dir: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for p in paths {
        if p.is_dir() {
            if !p.ends_with("target") && !p.ends_with(".git") {
                files(&p, endings, into);
            }
        } else if p.extension().is_some_and(|e| endings.iter().any(|x| e == *x)) {
            into.push(p);
        }
    }
}

/// Case → tests that cover it, as Markdown.
fn covered() -> BTreeMap<u32, Vec<String>> {
    let mut all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    for dir in ["ir", "quant", "passes", "runtime", "frontend", "trace", "src", "tests", "examples"] {
        files(&root().join(dir), &["rs", "qir"], &mut paths);
    }
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        if name == "tests/case_table.rs" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let filetest = name.ends_with(".qir");
        let mut pending: Vec<u32> = Vec::new();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("//") {
                pending.extend(cases_in(line));
                if filetest {
                    for c in pending.drain(..) {
                        add(&mut all, c, format!("`{name}`"));
                    }
                }
            } else if line.starts_with("#[") {
                is_test |= line.contains("test");
            } else {
                let function = line.trim_start_matches("pub ").strip_prefix("fn ");
                if let (Some(f), true) = (function, is_test) {
                    let f = f.split(['(', '<']).next().unwrap_or("");
                    for c in pending.drain(..) {
                        add(&mut all, c, format!("`{name}` {f}"));
                    }
                }
                pending.clear();
                is_test = false;
            }
        }
    }
    all
}

fn add(all: &mut BTreeMap<u32, Vec<String>>, case: u32, test: String) {
    let tests = all.entry(case).or_default();
    if !tests.contains(&test) {
        tests.push(test);
    }
}

#[test]
fn the_table_of_cases_is_fresh() {
    let cases = tsv("tests/conformance/cases.tsv");
    let excused = tsv("tests/conformance/not_applicable.tsv");
    let covered = covered();
    for c in covered.keys().chain(excused.keys()) {
        assert!(cases.contains_key(c), "T{c} is no case");
    }
    for c in excused.keys() {
        assert!(!covered.contains_key(c), "T{c} is covered and said not to apply");
    }
    let mut body = String::new();
    let (mut done, mut not, mut open) = (0, 0, 0);
    for (c, what) in &cases {
        let by = match (covered.get(c), excused.get(c)) {
            (Some(tests), _) => {
                done += 1;
                tests.join(", ")
            }
            (None, Some(why)) => {
                not += 1;
                format!("does not apply: {why}")
            }
            (None, None) => {
                open += 1;
                "not covered yet".into()
            }
        };
        let _ = writeln!(body, "| T{c} | {} | {by} |", what.replace('|', "\\|"));
    }
    let page = format!(
        "# Conformance with PyTorch's tests\n\n\
         <!-- Written by tests/case_table.rs. Do not edit: run `QIR_BLESS=1 cargo test --test case_table`. -->\n\n\
         PyTorch's own tests of quantization, grouped into {} numbered cases, and the tests here that cover each.\n\
         {done} are covered, {not} do not apply, {open} are not covered yet. The golden vectors are a check of their own:\n\
         `cargo test --test conformance`; what deviates on purpose is in [deviations.md](deviations.md).\n\n\
         | case | PyTorch's tests | here |\n|---|---|---|\n{body}",
        cases.len()
    );
    let path = root().join(PAGE);
    let old = fs::read_to_string(&path).unwrap_or_default();
    if old == page {
        return;
    }
    if std::env::var_os("QIR_BLESS").is_some() {
        fs::write(&path, page).unwrap();
        return;
    }
    panic!("{PAGE} is not fresh:\n{}", quantir_ir::text::diff(&old, &page));
}

#[test]
fn numbers_are_read_from_comments() {
    assert_eq!(cases_in("/// T7, T63–T65: and T8-T9; not T1x nor XT2."), [7, 63, 64, 65, 8, 9]);
}
