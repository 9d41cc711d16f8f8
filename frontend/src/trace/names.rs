//! Names of values as PyTorch's FX gives them, so that what users know from `torch.fx` finds its node here.

use std::collections::{HashMap, HashSet};

/// Hands out names: duplicates get `_1`, `_2` …, and no name is a word that Python has taken.
#[derive(Clone, Debug, Default)]
pub struct Names {
    used: HashSet<String>,
    last: HashMap<String, u64>,
}

/// Keywords of Python and the names of its builtins that a model's values can collide with (`getattr_1`, `input_1`).
const TAKEN: &[&str] = &[
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "None",
    "True",
    "False",
    "abs",
    "all",
    "any",
    "ascii",
    "bin",
    "bool",
    "breakpoint",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "compile",
    "complex",
    "copyright",
    "credits",
    "delattr",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "help",
    "hex",
    "id",
    "input",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "license",
    "list",
    "locals",
    "map",
    "max",
    "memoryview",
    "min",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "pow",
    "print",
    "property",
    "quit",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "setattr",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "vars",
    "zip",
    "inf",
    "nan",
    "NoneType",
    "torch",
    "device",
    "fx_pytree",
    "pytree",
];

impl Names {
    /// A name made from `wish` that no earlier value has: `features.0` becomes `features_0`, the second `relu` `relu_1`.
    pub fn fresh(&mut self, wish: &str) -> String {
        let clean = clean(wish);
        let (base, number) = match clean.rsplit_once('_') {
            Some((b, n)) if !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()) => {
                (b.to_owned(), n.parse::<u64>().ok())
            }
            _ => (clean, None),
        };
        let mut name = match number {
            Some(n) => format!("{base}_{n}"),
            None => base.clone(),
        };
        let mut n = number.filter(|&n| n > 0).unwrap_or_else(|| self.last.get(&base).copied().unwrap_or(0));
        while self.used.contains(&name) || TAKEN.contains(&name.as_str()) {
            n += 1;
            name = format!("{base}_{n}");
        }
        self.used.insert(name.clone());
        self.last.insert(base, n);
        name
    }
}

/// Snake case, with every character that no Python name has replaced by `_`.
fn clean(wish: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for c in wish.chars() {
        if lower && c.is_ascii_uppercase() {
            out.push('_');
        }
        lower = c.is_ascii_lowercase();
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c.to_ascii_lowercase()),
            _ => out.push('_'),
        }
    }
    match out.chars().next() {
        None => "_unnamed".into(),
        Some(c) if c.is_ascii_digit() => format!("_{out}"),
        Some(_) => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_counted_and_paths_become_words() {
        let mut n = Names::default();
        let got: Vec<String> =
            ["relu", "relu", "features.0", "0", "getattr", "relu_1", "MyModule", "relu", "input", "bn1"]
                .map(|w| n.fresh(w))
                .to_vec();
        assert_eq!(
            got,
            [
                "relu",
                "relu_1",
                "features_0",
                "_0",
                "getattr_1",
                "relu_2",
                "my_module",
                "relu_3",
                "input_1",
                "bn1"
            ]
        );
    }
}
