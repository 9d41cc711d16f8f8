//! What readers of TOML texts share: mistakes at their places, unknown keys refused with the nearest known one.

use std::ops::Range;

use quantir_ir::diag::{Diag, did_you_mean};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place in the text.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// Collects the mistakes of one text, so that all are reported at once.
pub(crate) struct Reader {
    /// The code of the diagnostics.
    code: &'static str,
    pub diags: Vec<Diag>,
}

impl Reader {
    pub fn new(code: &'static str) -> Reader {
        Reader { code, diags: Vec::new() }
    }

    pub fn refuse(&mut self, at: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let mut d = Diag::error(self.code, message).label(at, "here");
        d.help = help;
        self.diags.push(d);
    }

    /// Refuses keys that are not `known`.
    pub fn known(&mut self, table: &DeTable, known: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let help = match did_you_mean(name, known.iter().copied()) {
                    Some(k) => format!("did you mean `{k}`?"),
                    None => format!("known are: {}", known.join(", ")),
                };
                self.refuse(key.span(), format!("unknown key `{name}`"), Some(help));
            }
        }
    }

    pub fn string<'a>(&mut self, v: &'a Value) -> Option<&'a str> {
        if let DeValue::String(s) = v.get_ref() {
            return Some(s);
        }
        self.refuse(v.span(), "expected a string", None);
        None
    }
}

/// A string as TOML writes it.
pub(crate) fn quoted(s: &str) -> String {
    toml::Value::String(s.into()).to_string()
}
