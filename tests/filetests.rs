//! One test for each file of `tests/filetests`; see `support/filetest.rs` for the format.
//!
//! `cargo test --test filetests fuse-act` runs one folder, `QIR_BLESS=1` writes expected differences.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use quantir_passes::Registry;

#[path = "support/filetest.rs"]
mod filetest;

fn main() {
    let args = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("").display().to_string();
            Trial::test(name, move || one(&path))
        })
        .collect();
    trials.push(Trial::test("tidy/every-pass-has-a-folder", move || every_pass_has_a_folder(&root)));
    libtest_mimic::run(&args, trials).exit();
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|e| e == "qir") {
            out.push(path);
        }
    }
}

fn one(path: &Path) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let bless = std::env::var_os("QIR_BLESS").is_some();
    if let Some(new) = filetest::run(&text, &Registry::standard(), bless)? {
        fs::write(path, new)?;
    }
    Ok(())
}

fn every_pass_has_a_folder(root: &Path) -> Result<(), Failed> {
    for pass in Registry::standard().passes() {
        let folder = root.join(pass.info().name);
        let mut files = Vec::new();
        collect(&folder, &mut files);
        if files.is_empty() {
            return Err(
                format!("pass `{}` needs a filetest in {}", pass.info().name, folder.display()).into()
            );
        }
    }
    Ok(())
}
