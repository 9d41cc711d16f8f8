//! Back ends as TOML, for users' own.
//!
//! ```toml
//! name = "mine"
//! base = "fbgemm"                  # start from a named back end; left out: no patterns
//! remove = ["nn.LSTM"]             # without the base's patterns in which these are called
//!
//! [dtype_configs]                  # combinations of dtypes, by a name
//! narrow = "input quint8[0:127], output quint8[0:127], weight qint8 scale>=0.000244140625, bias float32"
//!
//! [[pattern]]
//! pattern = "nn.Linear, nn.ReLU"   # calls one after another, or lines: "%l = nn.Linear %x; %s = torch.add %l, %y"
//! dtype_configs = ["narrow"]
//! observation_type = "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT"
//! fuser_method = "fuse_sequential"
//! fused_module = "nn.intrinsic.LinearReLU"
//! ```
//!
//! Further keys of a pattern: `root_module`, `qat_module`, `reference_quantized_module`, `root_node`, `extra_inputs`,
//! `num_tensor_args_to_observation_type` (`{ 1 = "…" }`), `input_type_to_index` (`{ weight = 1, bias = 2 }`).
//! Unknown keys and words are refused with their line and the nearest known word; all mistakes are reported at once.

use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;

use indexmap::IndexMap;
use quantir_ir::diag::{Diag, did_you_mean};
use toml::de::{DeTable, DeValue};

use super::{BackendConfig, BackendPatternConfig, DTypeConfig, ObservationType, Pattern};
use crate::Error;
use crate::call_type::canonical;
use crate::toml_reader::{Reader, Value, quoted};

const KEYS: &[&str] = &[
    "pattern",
    "dtype_configs",
    "observation_type",
    "root_module",
    "qat_module",
    "reference_quantized_module",
    "fused_module",
    "fuser_method",
    "root_node",
    "extra_inputs",
    "num_tensor_args_to_observation_type",
    "input_type_to_index",
];

impl BackendConfig {
    /// The back end that a text describes.
    ///
    /// # Errors
    /// `Error::Text` with all mistakes, each labelled with its place in `text`.
    pub fn from_toml(text: &str) -> Result<BackendConfig, Error> {
        let mut reader = Reader::new("backend");
        let backend = match DeTable::parse(text) {
            Ok(table) => reader.backend(table.get_ref()),
            Err(e) => {
                let d = Diag::error("backend", e.message());
                reader.diags.push(match e.span() {
                    Some(span) => d.label(span, "here"),
                    None => d,
                });
                BackendConfig::default()
            }
        };
        if reader.diags.is_empty() {
            return Ok(backend);
        }
        for d in &mut reader.diags {
            if let Some(l) = d.labels.first() {
                let line = text[..l.start.min(text.len())].matches('\n').count() + 1;
                d.notes.insert(0, format!("in line {line}"));
            }
        }
        Err(Error::Text(reader.diags))
    }

    /// The text that describes this back end, all patterns spelled out.
    pub fn to_toml(&self) -> String {
        let mut names: IndexMap<String, String> = IndexMap::new();
        for d in self.configs().flat_map(|c| &c.dtype_configs) {
            let next = format!("d{}", names.len());
            names.entry(d.to_string()).or_insert(next);
        }
        let mut s = format!("name = {}\n\n[dtype_configs]\n", quoted(&self.name));
        // Writing to a `String` cannot fail.
        for (text, name) in &names {
            let _ = writeln!(s, "{name} = {}", quoted(text));
        }
        for c in self.configs() {
            let _ = writeln!(s, "\n[[pattern]]\npattern = {}", quoted(&c.pattern.to_string()));
            let dtypes: Vec<&str> = c.dtype_configs.iter().map(|d| names[&d.to_string()].as_str()).collect();
            let _ = writeln!(s, "dtype_configs = {}", list(&dtypes));
            if c.observation_type != ObservationType::default() {
                let _ = writeln!(s, "observation_type = {}", quoted(c.observation_type.word()));
            }
            let method = c.fuser_method.map(|m| m.to_string());
            for (key, value) in [
                ("root_module", &c.root_module),
                ("qat_module", &c.qat_module),
                ("reference_quantized_module", &c.reference_quantized_module),
                ("fused_module", &c.fused_module),
                ("fuser_method", &method),
                ("root_node", &c.root_node),
            ] {
                if let Some(v) = value {
                    let _ = writeln!(s, "{key} = {}", quoted(v));
                }
            }
            if !c.extra_inputs.is_empty() {
                let names: Vec<&str> = c.extra_inputs.iter().map(String::as_str).collect();
                let _ = writeln!(s, "extra_inputs = {}", list(&names));
            }
            if !c.num_tensor_args_to_observation_type.is_empty() {
                let all = c.num_tensor_args_to_observation_type.iter();
                let all: Vec<String> = all.map(|(n, o)| format!("{n} = {}", quoted(o.word()))).collect();
                let _ = writeln!(s, "num_tensor_args_to_observation_type = {{ {} }}", all.join(", "));
            }
            if !c.input_type_to_index.is_empty() {
                let all: Vec<String> =
                    c.input_type_to_index.iter().map(|(k, i)| format!("{k} = {i}")).collect();
                let _ = writeln!(s, "input_type_to_index = {{ {} }}", all.join(", "));
            }
        }
        s
    }
}

fn list(all: &[&str]) -> String {
    format!("[{}]", all.iter().map(|s| quoted(s)).collect::<Vec<_>>().join(", "))
}

impl Reader {
    fn strings<'a>(&mut self, v: Option<&'a Value>) -> Vec<(&'a str, Range<usize>)> {
        let Some(v) = v else { return Vec::new() };
        let DeValue::Array(all) = v.get_ref() else {
            self.refuse(v.span(), "expected a list of strings", None);
            return Vec::new();
        };
        all.iter().filter_map(|s| Some((self.string(s)?, s.span()))).collect()
    }

    /// What the string at `key` says; a mistake in it is refused at its place.
    fn parsed<T: FromStr<Err = Error>>(&mut self, t: &DeTable, key: &str) -> Option<T> {
        let v = t.get(key)?;
        match self.string(v)?.parse() {
            Ok(x) => Some(x),
            Err(e) => {
                self.refuse(v.span(), e.to_string(), None);
                None
            }
        }
    }

    fn index(&mut self, v: &Value) -> Option<usize> {
        let n = match v.get_ref() {
            DeValue::Integer(n) => n.as_str().parse::<usize>().ok(),
            _ => None,
        };
        if n.is_none() {
            self.refuse(v.span(), "expected an index counted from 0", None);
        }
        n
    }

    fn table<'a, 'i>(&mut self, t: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
        let v = t.get(key)?;
        match v.get_ref() {
            DeValue::Table(t) => Some(t),
            _ => {
                self.refuse(v.span(), "expected a table", None);
                None
            }
        }
    }

    fn backend(&mut self, t: &DeTable) -> BackendConfig {
        self.known(t, &["name", "base", "remove", "dtype_configs", "pattern"]);
        let mut b = BackendConfig::default();
        if let Some(v) = t.get("base")
            && let Some(name) = self.string(v)
        {
            match BackendConfig::named(name) {
                Ok(base) => b = base,
                Err(e) => self.refuse(v.span(), e.to_string(), None),
            }
        }
        if let Some(v) = t.get("name")
            && let Some(name) = self.string(v)
        {
            b = b.set_name(name);
        }
        for (call, span) in self.strings(t.get("remove")) {
            let before = b.configs().len();
            b = b.remove_operator(&canonical(call));
            if b.configs().len() == before {
                let known: Vec<String> =
                    b.configs().flat_map(|c| c.pattern.ops()).map(String::from).collect();
                let near = did_you_mean(call, known.iter().map(String::as_str));
                let help = near.map(|n| format!("did you mean `{n}`?"));
                self.refuse(span, format!("no pattern calls `{call}`"), help);
            }
        }
        let mut dtypes: IndexMap<String, DTypeConfig> = IndexMap::new();
        if let Some(table) = self.table(t, "dtype_configs") {
            for key in table.keys() {
                if let Some(d) = self.parsed(table, key.get_ref()) {
                    dtypes.insert(key.get_ref().to_string(), d);
                }
            }
        }
        let Some(v) = t.get("pattern") else { return b };
        let DeValue::Array(all) = v.get_ref() else {
            self.refuse(v.span(), "expected `[[pattern]]` tables", None);
            return b;
        };
        for p in all.iter() {
            let DeValue::Table(table) = p.get_ref() else {
                self.refuse(p.span(), "expected a table", None);
                continue;
            };
            if let Some(c) = self.pattern(p.span(), table, &dtypes) {
                b = b.set_backend_pattern_config(c);
            }
        }
        b
    }

    fn pattern(
        &mut self,
        span: Range<usize>,
        t: &DeTable,
        dtypes: &IndexMap<String, DTypeConfig>,
    ) -> Option<BackendPatternConfig> {
        self.known(t, KEYS);
        if !t.contains_key("pattern") {
            self.refuse(span, "a pattern needs `pattern`, the calls that it is about", None);
            return None;
        }
        let mut c = BackendPatternConfig::new(self.parsed::<Pattern>(t, "pattern")?);
        for (name, span) in self.strings(t.get("dtype_configs")) {
            match dtypes.get(name) {
                Some(d) => c = c.add_dtype_config(d.clone()),
                None => {
                    let help = match did_you_mean(name, dtypes.keys().map(String::as_str)) {
                        Some(n) => format!("did you mean `{n}`?"),
                        None => "name it in table `[dtype_configs]`".into(),
                    };
                    self.refuse(span, format!("unknown combination of dtypes `{name}`"), Some(help));
                }
            }
        }
        c.observation_type = self.parsed(t, "observation_type").unwrap_or_default();
        c.fuser_method = self.parsed(t, "fuser_method");
        let text = |r: &mut Self, key: &str| t.get(key).and_then(|v| r.string(v)).map(canonical);
        c.root_module = text(self, "root_module");
        c.qat_module = text(self, "qat_module");
        c.reference_quantized_module = text(self, "reference_quantized_module");
        c.fused_module = text(self, "fused_module");
        c.root_node = text(self, "root_node");
        if let (Some(name), Some(v)) = (&c.root_node, t.get("root_node"))
            && c.pattern.line(name).is_none()
        {
            self.refuse(v.span(), format!("the pattern has no line %{name}"), None);
        }
        for (name, span) in self.strings(t.get("extra_inputs")) {
            if !c.pattern.has_free(name) {
                self.refuse(span, format!("the pattern has no free operand %{name}"), None);
            }
            c.extra_inputs.push(name.to_string());
        }
        if let Some(table) = self.table(t, "num_tensor_args_to_observation_type") {
            for key in table.keys() {
                let Ok(n) = key.get_ref().parse::<usize>() else {
                    self.refuse(key.span(), "expected a number of tensors", None);
                    continue;
                };
                if let Some(o) = self.parsed(table, key.get_ref()) {
                    c.num_tensor_args_to_observation_type.insert(n, o);
                }
            }
        }
        if let Some(table) = self.table(t, "input_type_to_index") {
            self.known(table, &["weight", "bias", "input"]);
            for (key, v) in table.iter() {
                if let Some(i) = self.index(v) {
                    c.input_type_to_index.insert(key.get_ref().to_string(), i);
                }
            }
        }
        Some(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T87: every field is stored and comes back.
    #[test]
    fn named_back_ends_round_trip() {
        for name in BackendConfig::NAMES {
            let b = BackendConfig::named(name).unwrap();
            let again = BackendConfig::from_toml(&b.to_toml()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(again.configs().len(), b.configs().len());
            for (ours, want) in again.configs().zip(b.configs()) {
                let by_key = |c: &BackendPatternConfig| {
                    let mut c = c.clone();
                    c.input_type_to_index.sort_keys();
                    c
                };
                assert_eq!(by_key(ours), by_key(want));
            }
            assert_eq!(again.name, b.name);
        }
    }

    #[test]
    fn a_base_is_changed() {
        let text = r#"
name = "mine"
base = "fbgemm"
remove = ["torch.nn.LSTM"]

[dtype_configs]
narrow = "input quint8[0:31], output quint8[0:31], weight qint8 scale>=0.5, bias float32"

[[pattern]]
pattern = "nn.Linear"
dtype_configs = ["narrow"]
"#;
        let b = BackendConfig::from_toml(text).unwrap();
        assert_eq!((b.name.as_str(), b.configs().len()), ("mine", 191));
        let linear = b.get(&"nn.Linear".into()).unwrap();
        assert_eq!(linear.dtype_configs[0].input_dtype.quant_max_upper_bound, Some(31));
        assert_eq!(linear.dtype_configs[0].weight_dtype.scale_min_lower_bound, Some(0.5));
    }

    #[test]
    fn mistakes_are_reported_together_with_lines() {
        let text = r#"
bse = "native"
[dtype_configs]
a = "input quint9"
b = "input quint8, outptu quint8"
[[pattern]]
pattern = "nn.Linear"
dtype_configs = ["c"]
fused_modul = "x"
root_node = "z"
[[pattern]]
observation_type = "SHARE"
"#;
        let Err(Error::Text(diags)) = BackendConfig::from_toml(text) else { panic!("refused") };
        let texts: Vec<String> = diags.iter().map(|d| d.to_string()).collect();
        for (i, (says, line)) in [
            ("unknown key `bse`", 2),
            ("unknown dtype `quint9`; did you mean `quint8`?", 4),
            ("did you mean `output`?", 5),
            ("did you mean `fused_module`?", 9),
            ("unknown combination of dtypes `c`", 8),
            ("no line %z", 10),
            ("needs `pattern`", 11),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(texts[i].contains(says) && texts[i].contains(&format!("line {line}")), "{}", texts[i]);
        }
        assert_eq!(texts.len(), 7, "{texts:#?}");
    }
}
