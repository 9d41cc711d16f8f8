//! Symbolic dimensions: ONNX names to symbols of the graph.

use std::collections::HashMap;

/// Symbols handed out so far.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Symbol of each `dim_param`.
    named: HashMap<String, String>,
    /// All symbols in use.
    taken: std::collections::HashSet<String>,
}

impl Symbols {
    /// The symbol of `dim_param`; the same one whenever the name recurs.
    pub fn named(&mut self, param: &str) -> String {
        if let Some(s) = self.named.get(param) {
            return s.clone();
        }
        let symbol = self.claim(&identifier(param));
        self.named.insert(param.to_owned(), symbol.clone());
        symbol
    }

    /// A new symbol for an unnamed dimension, called after its place, such as `x_2`.
    pub fn fresh(&mut self, place: &str, axis: usize) -> String {
        self.claim(&format!("{}_{axis}", identifier(place)))
    }

    fn claim(&mut self, wanted: &str) -> String {
        let mut symbol = wanted.to_owned();
        let mut n = 1;
        while !self.taken.insert(symbol.clone()) {
            n += 1;
            symbol = format!("{wanted}_{n}");
        }
        symbol
    }
}

/// Whether a `dim_param` names a dimension rather than saying that it is unknown.
pub fn is_name(param: &str) -> bool {
    param.chars().any(|c| c.is_alphabetic())
}

/// `name` with everything replaced that the text format does not take for a symbol.
fn identifier(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' }
    };
    let mut out: String = name.chars().take(80).map(plain).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, 'd');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_recur() {
        let mut s = Symbols::default();
        assert_eq!(s.named("batch"), "batch");
        assert_eq!(s.named("p2o.DynamicDimension.0"), "p2o.DynamicDimension.0");
        assert_eq!(s.named("batch"), "batch");
        assert_eq!(s.named("past + 1"), "past___1");
        assert_eq!(s.named("past - 1"), "past___1_2");
        assert_eq!(s.fresh("x", 2), "x_2");
        assert_eq!(s.fresh("0", 1), "d0_1");
        assert!(!is_name("?") && !is_name("-1") && is_name("N"));
    }
}
