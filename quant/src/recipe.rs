//! Recipes: a `QConfigMapping` as TOML.
//!
//! ```toml
//! base = "native"                  # start from a named mapping: native, x86, minmax, pytorch_x86, …; left out: no rules
//! global = "float"                 # a named qconfig, "float", or { activation = "…", weight = "…" }
//!
//! [[rule]]
//! op = "add"                       # ops of one name or family
//! qconfig = "float"
//!
//! [[rule]]
//! op = "torch.nn.Linear"           # what the model's author called: a class, a function, a method (".reshape")
//! qconfig = "default_dynamic_qconfig"
//!
//! [[rule]]
//! regex = 'features\.1[0-9]'       # modules whose path matches from its start; the first match wins
//! qconfig = { activation = "moving_average(0.01) u8[0:255] affine", weight = "minmax i8[-127:127] symmetric(axis)" }
//!
//! [[rule]]
//! module = "classifier"            # a module with all inside it
//! qconfig = "x86"
//!
//! [[rule]]
//! module = "layer1.0"              # one op of a module, counted from 0
//! op = "add"
//! index = 0
//! qconfig = "float"
//! ```
//!
//! Unknown keys and words are refused with their line and the nearest known word.

use std::fmt::Write as _;

use quantir_ir::diag::{Diag, did_you_mean};
use toml::de::{DeTable, DeValue};

use crate::mapping::check_type;
use crate::toml_reader::{Reader, Value, quoted};
use crate::{Error, ObserverTemplate, QConfig, QConfigMapping, Rule};

impl QConfigMapping {
    /// The mapping that a recipe describes. All mistakes are reported at once; `Error::Text` holds them, each
    /// labelled with its place in `text`.
    pub fn from_toml(text: &str) -> Result<QConfigMapping, Error> {
        QConfigMapping::from_toml_over(text, QConfigMapping::new())
    }

    /// As [`QConfigMapping::from_toml`]; a recipe without `base` changes `base`.
    pub fn from_toml_over(text: &str, base: QConfigMapping) -> Result<QConfigMapping, Error> {
        let mut reader = Reader::new("recipe");
        let mapping = match DeTable::parse(text) {
            Ok(table) => reader.mapping(table.get_ref(), base),
            Err(e) => {
                let mut d = Diag::error("recipe", e.message());
                if let Some(span) = e.span() {
                    d = d.label(span, "here");
                }
                reader.diags.push(d);
                QConfigMapping::new()
            }
        };
        if reader.diags.is_empty() {
            return Ok(mapping);
        }
        for d in &mut reader.diags {
            if let Some(l) = d.labels.first() {
                let line = text[..l.start.min(text.len())].matches('\n').count() + 1;
                d.notes.insert(0, format!("in line {line}"));
            }
        }
        Err(Error::Text(reader.diags))
    }

    /// The recipe that describes this mapping, all rules spelled out.
    pub fn to_toml(&self) -> String {
        let mut s = String::new();
        for (rule, q) in self.rules() {
            let q = qconfig_toml(q);
            // Writing to a `String` cannot fail.
            let _ = match rule {
                Rule::Global => writeln!(s, "global = {q}"),
                Rule::ObjectType(t) => writeln!(s, "\n[[rule]]\nop = {}\nqconfig = {q}", quoted(&t)),
                Rule::Regex(r) => writeln!(s, "\n[[rule]]\nregex = {}\nqconfig = {q}", quoted(&r)),
                Rule::Module(m) => writeln!(s, "\n[[rule]]\nmodule = {}\nqconfig = {q}", quoted(&m)),
                Rule::Order(m, t, i) => writeln!(
                    s,
                    "\n[[rule]]\nmodule = {}\nop = {}\nindex = {i}\nqconfig = {q}",
                    quoted(&m),
                    quoted(&t)
                ),
            };
        }
        s
    }
}

fn qconfig_toml(q: &Option<QConfig>) -> String {
    match q {
        None => quoted("float"),
        Some(q) => match q.name() {
            Some(name) => quoted(name),
            None => format!(
                "{{ activation = {}, weight = {} }}",
                quoted(&q.activation.to_string()),
                quoted(&q.weight.to_string())
            ),
        },
    }
}

impl Reader {
    fn mapping(&mut self, t: &DeTable, mut m: QConfigMapping) -> QConfigMapping {
        self.known(t, &["base", "global", "rule"]);
        if let Some(v) = t.get("base")
            && let Some(name) = self.string(v)
        {
            match QConfigMapping::named(name) {
                Some(base) => m = base,
                None => self.unknown_name(v, "mapping", name, QConfigMapping::NAMES),
            }
        }
        if let Some(v) = t.get("global")
            && let Some(q) = self.qconfig(v)
        {
            m.set_global(q);
        }
        if let Some(v) = t.get("rule") {
            let DeValue::Array(rules) = v.get_ref() else {
                self.refuse(v.span(), "expected `[[rule]]` tables", None);
                return m;
            };
            for r in rules.iter() {
                match r.get_ref() {
                    DeValue::Table(rule) => self.rule(&mut m, r.span(), rule),
                    _ => self.refuse(r.span(), "expected a table", None),
                }
            }
        }
        m
    }

    fn unknown_name(&mut self, v: &Value, what: &str, name: &str, known: &[&str]) {
        let help = match did_you_mean(name, known.iter().copied()) {
            Some(k) => format!("did you mean `{k}`?"),
            None => format!("known are: {}", known.join(", ")),
        };
        self.refuse(v.span(), format!("unknown {what} `{name}`"), Some(help));
    }

    /// `Some(None)` is float; `None` was refused.
    fn qconfig(&mut self, v: &Value) -> Option<Option<QConfig>> {
        match v.get_ref() {
            DeValue::String(s) if s == "float" => Some(None),
            DeValue::String(s) => {
                let q = QConfig::named(s);
                if q.is_none() {
                    let known: Vec<&str> = QConfig::names().chain(["float"]).collect();
                    self.unknown_name(v, "qconfig", s, &known);
                }
                q.map(Some)
            }
            DeValue::Table(t) => {
                self.known(t, &["activation", "weight"]);
                let activation = self.template(t, "activation");
                let weight = self.template(t, "weight");
                let default = QConfig::native();
                let q = QConfig {
                    activation: activation?.unwrap_or(default.activation),
                    weight: weight?.unwrap_or(default.weight),
                };
                if let Err(e) = q.check() {
                    self.refuse(v.span(), e.to_string(), None);
                    return None;
                }
                Some(Some(q))
            }
            _ => {
                self.refuse(v.span(), "expected \"float\", a named qconfig or a table", None);
                None
            }
        }
    }

    /// `Some(None)` is absent; `None` was refused.
    fn template(&mut self, t: &DeTable, key: &str) -> Option<Option<ObserverTemplate>> {
        let Some(v) = t.get(key) else { return Some(None) };
        match self.string(v)?.parse() {
            Ok(t) => Some(Some(t)),
            Err(e) => {
                self.refuse(v.span(), e.to_string(), None);
                None
            }
        }
    }

    fn rule(&mut self, m: &mut QConfigMapping, span: std::ops::Range<usize>, t: &DeTable) {
        self.known(t, &["op", "regex", "module", "index", "qconfig"]);
        let text = |r: &mut Self, key: &str| t.get(key).and_then(|v| r.string(v)).map(str::to_owned);
        let (op, regex, module) = (text(self, "op"), text(self, "regex"), text(self, "module"));
        let index = t.get("index").and_then(|v| {
            let n = match v.get_ref() {
                DeValue::Integer(n) => n.as_str().parse::<usize>().ok(),
                _ => None,
            };
            if n.is_none() {
                self.refuse(v.span(), "expected an index counted from 0", None);
            }
            n
        });
        if let (Some(op), Some(v)) = (&op, t.get("op"))
            && let Err(help) = check_type(op)
        {
            self.refuse(v.span(), format!("unknown op `{op}`"), help);
        }
        let Some(q) = t.get("qconfig") else {
            self.refuse(span, "a rule needs `qconfig`", None);
            return;
        };
        let Some(q) = self.qconfig(q) else { return };
        let rule = match (op, regex, module, index) {
            (Some(op), None, None, None) => Rule::ObjectType(op),
            (None, Some(r), None, None) => Rule::Regex(r),
            (None, None, Some(m), None) => Rule::Module(m),
            (Some(op), None, Some(m), Some(i)) => Rule::Order(m, op, i),
            _ => {
                let help = "a rule has `op`, or `regex`, or `module`, or `module` with `op` and `index`";
                self.refuse(span, "a rule with this combination of keys has no meaning", Some(help.into()));
                return;
            }
        };
        if let Err(e) = m.set(&rule, q) {
            let at = t.get("regex").map_or(span, |v| v.span());
            self.refuse(at, e.to_string(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_round_trip() {
        let text = r#"
base = "x86"
global = { activation = "moving_average(0.05) u8[0:255] affine", weight = "minmax i8[-127:127] symmetric(axis)" }

[[rule]]
op = "add"
qconfig = "float"

[[rule]]
regex = 'features\.1[0-9]'
qconfig = "native"

[[rule]]
module = "layer1.0"
op = "add"
index = 0
qconfig = "float"
"#;
        let m = QConfigMapping::from_toml(text).unwrap();
        assert_eq!(m.rules().len(), 9);
        let again = QConfigMapping::from_toml(&m.to_toml()).unwrap();
        assert_eq!(again.rules(), m.rules());
    }

    #[test]
    fn mistakes_are_reported_together_with_lines() {
        let text = "bse = \"x86\"\n\n[[rule]]\nop = \"conv2\"\nqconfig = \"nativ\"\n[[rule]]\nindex = 1\nqconfig = \"float\"\n";
        let Err(Error::Text(diags)) = QConfigMapping::from_toml(text) else { panic!("refused") };
        let texts: Vec<String> = diags.iter().map(|d| d.to_string()).collect();
        assert_eq!(diags.len(), 4, "{texts:#?}");
        assert!(texts[0].contains("unknown key `bse`") && texts[0].contains("line 1"), "{}", texts[0]);
        assert!(
            texts[1].contains("`conv2`") && texts[1].contains("line 4") && texts[1].contains("did you mean")
        );
        assert!(texts[2].contains("did you mean `native`"));
        assert!(texts[3].contains("no meaning"));
    }
}
