//! Checks on the repository itself: layering, unsafe code, file access.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The layer of each crate; a crate may depend only on crates of lower layers.
const LAYERS: [(&str, u32); 6] = [
    ("quantir-ir", 0),
    ("quantir-quant", 1),
    ("quantir-frontend", 1),
    ("quantir-passes", 2),
    ("quantir-runtime", 2),
    ("quantir", 3),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifests() -> Vec<toml::Table> {
    let top: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = top["workspace"]["members"].as_array().unwrap().clone();
    let mut all = vec![top];
    for m in members {
        let path = root().join(m.as_str().unwrap()).join("Cargo.toml");
        all.push(fs::read_to_string(path).unwrap().parse().unwrap());
    }
    all
}

#[test]
fn arrows_between_crates_point_down() {
    let layers: BTreeMap<&str, u32> = LAYERS.into();
    let manifests = manifests();
    assert_eq!(manifests.len(), LAYERS.len(), "a new crate needs its layer in this table");
    for m in &manifests {
        let name = m["package"]["name"].as_str().unwrap();
        let layer = *layers.get(name).unwrap_or_else(|| panic!("{name} has no layer"));
        let deps = m.get("dependencies").and_then(|d| d.as_table()).cloned().unwrap_or_default();
        for dep in deps.keys() {
            if let Some(&below) = layers.get(dep.as_str()) {
                assert!(below < layer, "{name} (layer {layer}) must not depend on {dep} (layer {below})");
            }
        }
    }
}

/// Every source file under `dir` with its text.
fn sources(dir: &Path, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            out.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for dir in ["src", "ir/src", "quant/src", "passes/src", "runtime/src", "frontend/src"] {
        sources(&root().join(dir), &mut out);
    }
    out
}

#[test]
fn unsafe_code_stays_in_kernels_and_says_why() {
    for (name, text) in all_sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            if !line.split("//").next().unwrap_or("").contains("unsafe {") {
                continue;
            }
            let allowed = name.starts_with("runtime/src/") || name.starts_with("frontend/src/map");
            assert!(allowed, "{name}:{}: unsafe code belongs into the runtime's kernels", i + 1);
            let near = &lines[i.saturating_sub(6)..=i];
            let said = near.iter().any(|l| l.contains("SAFETY:"));
            assert!(said, "{name}:{}: unsafe code without a `SAFETY:` reason", i + 1);
        }
    }
}

#[test]
fn only_the_front_end_and_the_top_touch_files() {
    for (name, text) in all_sources() {
        let below = ["ir/", "quant/", "passes/", "runtime/"].iter().any(|d| name.starts_with(d));
        assert!(!(below && text.contains("std::fs")), "{name} touches the file system");
    }
}
