//! `docs/adding-a-pass.md` is true: its pass compiles, its filetest passes, its text is that of the files.

use std::fs;
use std::path::Path;

use quantir_passes::Registry;
// The page shows a file of `quantir-passes`, where this is the crate's own prelude.
use quantir_passes::prelude;

#[path = "support/filetest.rs"]
mod filetest;
#[path = "adding_a_pass/neg_neg.rs"]
mod neg_neg;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bless() -> bool {
    std::env::var_os("QIR_BLESS").is_some()
}

#[test]
fn the_filetest_of_the_page_passes() {
    let path = root().join("tests/adding_a_pass/basic.qir");
    let registry = Registry::standard().with(&neg_neg::NegNeg);
    match filetest::run(&fs::read_to_string(&path).unwrap(), &registry, bless()) {
        Ok(None) => {}
        Ok(Some(new)) => fs::write(path, new).unwrap(),
        Err(message) => panic!("{message}"),
    }
}

/// The page with each block after `<!-- file: … -->` replaced by that file.
fn fresh(page: &str) -> String {
    let mut out = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(file) = line.strip_prefix("<!-- file: ").and_then(|l| l.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().expect("a fenced block after the comment");
        out.push_str(fence);
        out.push('\n');
        out.push_str(&fs::read_to_string(root().join(file)).unwrap());
        let end = lines.by_ref().find(|l| *l == "```").expect("the end of the block");
        out.push_str(end);
        out.push('\n');
    }
    out
}

#[test]
fn the_page_shows_the_files() {
    let path = root().join("docs/adding-a-pass.md");
    let page = fs::read_to_string(&path).unwrap();
    let fresh = fresh(&page);
    if bless() {
        fs::write(path, fresh).unwrap();
    } else {
        pretty_assertions::assert_eq!(page, fresh, "run with QIR_BLESS=1 to copy the files into the page");
    }
}
