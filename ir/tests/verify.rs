//! The verifier: each file under `data/verify` breaks one invariant where `//~ error[code]: text` says so.

use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use quantir_ir::text::{self, Blobs, Options};
use quantir_ir::verify::{verify, verify_text};
use quantir_ir::{Diag, render};

fn files(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(dir);
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Line, code and part of the message of each expected error.
fn expected(t: &str) -> Vec<(usize, String, String)> {
    let mut all = Vec::new();
    for (i, line) in t.lines().enumerate() {
        for mark in line.split("//~ error[").skip(1) {
            let (code, message) = mark.split_once("]: ").expect("`//~ error[code]: message`");
            all.push((i + 1, code.to_string(), message.trim().to_string()));
        }
    }
    all
}

fn line_of(t: &str, d: &Diag) -> usize {
    d.labels.first().map_or(0, |l| t[..l.start].matches('\n').count() + 1)
}

#[test]
fn each_invariant_is_held_to() {
    let files = files("verify");
    for number in [2, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        let prefix = format!("{number:02}_");
        assert!(
            files.iter().any(|f| f.file_name().unwrap().to_string_lossy().starts_with(&prefix)),
            "{number}"
        );
    }
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy();
        let t = std::fs::read_to_string(&file).unwrap();
        let options = Options { file: &name, ..Options::default() };
        let found = verify_text(&t, &options).err().unwrap_or_default();
        let shown = render(&found, Some((&name, &t)), false);
        let mut missing = expected(&t);
        for d in &found {
            let line = line_of(&t, d);
            let at = missing.iter().position(|(l, code, part)| {
                *l == line && code == d.code && d.message.contains(part.as_str())
            });
            match at {
                Some(i) => drop(missing.remove(i)),
                None => panic!("{name}:{line}: not expected\n{shown}"),
            }
        }
        assert!(missing.is_empty(), "{name}: not found: {missing:?}\n{shown}");
    }
}

#[test]
fn listings_verify() {
    for file in files("listings") {
        let t = std::fs::read_to_string(&file).unwrap();
        let g = text::parse_keeping_blobs(&t, "listing").unwrap();
        // Their blobs stand for weights that no file holds.
        let found: Vec<_> = verify(&g).into_iter().filter(|d| d.code != "const").collect();
        assert_eq!(found, [], "{}", file.display());
    }
}

#[test]
fn errors_are_rendered_with_carets() {
    let t = "qir 1 float
graph @main(%x: f32[1,3,8,8]) {
  %w = const {data=rand(1)} : f32[8,4,3,3] @features.0
  %v = const {data=rand(1)} : f32[8,3,3,3] @features.1
  %y = conv2d %x, %w : f32[1,8,6,6] @features.0
  %z = conv2d %x, %v : f32[1,8,7,7] @features.1
  %q = quantize %z : u8[1,8,6,6]
  return %y
}
";
    let found = verify_text(t, &Options { file: "m.qir", ..Options::default() }).err().unwrap();
    let shown = render(&found, Some(("m.qir", t)), false);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rendered.txt");
    if std::env::var_os("QIR_BLESS").is_some() {
        std::fs::write(&file, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(file).unwrap(), "run with QIR_BLESS=1");
    // Labels that fit no text and colours break nothing.
    render(&found, Some(("other", "é")), true);
    render(&found, None, false);
}

#[test]
fn no_mutated_text_breaks_the_verifier() {
    let texts: Vec<Vec<u8>> =
        files("listings").into_iter().chain(files("verify")).map(|f| std::fs::read(f).unwrap()).collect();
    let mut state = 11u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) as usize) % n.max(1)
    };
    let pieces =
        ["0", "-1", "99", "N", "9223372036854775807", "_", "!w0", "u8", "i4", "f16", ",", "stride=0,", "%x"];
    let mut parsed = 0;
    let rounds = std::env::var("QIR_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    for _ in 0..rounds {
        let mut bytes = texts[below(texts.len())].clone();
        for _ in 0..1 + below(3) {
            let at = below(bytes.len());
            let piece = pieces[below(pieces.len())].bytes();
            // Numbers and names are replaced where they stand, so that most mutants still parse.
            let len = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count().max(below(2));
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        let t = String::from_utf8_lossy(&bytes);
        let options = Options { file: "mutant", blobs: Blobs::Keep };
        if let Ok(p) = text::parse_source(&t, &options) {
            parsed += 1;
            let diags = quantir_ir::verify::verify_source(&p.graph, &p.source, &t);
            render(&diags, Some(("mutant", &t)), false);
        }
    }
    assert!(parsed > 500, "{parsed}");
}
