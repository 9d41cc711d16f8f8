//! `QConfigMapping`: which op gets which qconfig.

mod dict;
mod multi;

use std::fmt;

use indexmap::IndexMap;
use quantir_ir::diag::{Diag, did_you_mean};
use quantir_ir::{Op, Storage};
use regex::Regex;

use crate::{Error, ObserverTemplate, QConfig, call_type};

pub use dict::{Group, QConfigDict};
pub use multi::QConfigMultiMapping;

/// Rules from general to particular; the most particular one that applies decides. `None` leaves ops float.
///
/// Order of precedence, as in PyTorch: module name with op and index, then module name (the nearest enclosing
/// module), then the first regex in order of insertion that matches the module path from its start, then op name,
/// then the global rule. A later call with the same key replaces the earlier one and keeps its place.
///
/// A type is what the model's author called, in any spelling of PyTorch's (`torch.nn.Conv2d`, `F.relu`, `torch.add`, `method:reshape`, a class
/// of the user's own), or the op's name in the text (`conv2d`, `add`); `conv`, `conv_transpose` and `pool` stand for
/// their families. What was called beats the op's name, and that its family. A rule for the class of the module around a function beats
/// the rule for the function.
#[derive(Clone, Debug, Default)]
pub struct QConfigMapping {
    global: Option<Option<QConfig>>,
    object_type: IndexMap<String, Option<QConfig>>,
    regex: IndexMap<String, (Regex, Option<QConfig>)>,
    module: IndexMap<String, Option<QConfig>>,
    order: IndexMap<(String, String, usize), Option<QConfig>>,
}

/// A rule of a mapping, as reasons and recipes name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Everything.
    Global,
    /// Ops of one name or family.
    ObjectType(String),
    /// Modules whose path matches from its start.
    Regex(String),
    /// A module with all inside it.
    Module(String),
    /// The op number `index` of one name in a module.
    Order(String, String, usize),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Global => f.write_str("the global rule"),
            Rule::ObjectType(t) => write!(f, "the rule for op `{t}`"),
            Rule::Regex(r) => write!(f, "the rule for modules matching `{r}`"),
            Rule::Module(m) => write!(f, "the rule for module `{m}`"),
            Rule::Order(m, t, i) => write!(f, "the rule for `{t}` number {i} in module `{m}`"),
        }
    }
}

/// What a mapping says about one op.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolution {
    /// The qconfig; `None` leaves the op float.
    pub qconfig: Option<QConfig>,
    /// The rule that decided; `None` if no rule applies, which leaves the op float.
    pub rule: Option<Rule>,
}

/// One op of a model as rules see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpRef<'a> {
    /// The op's name in the text (`conv2d`, `add`).
    pub op: &'a str,
    /// The called module's path, or that of the module whose code calls a function; empty at top level.
    pub path: &'a str,
    /// What the model's author called, in its canonical spelling (`nn.Conv2d`, `F.relu`, `.reshape`), if known.
    pub call: Option<&'a str>,
    /// The class of the module that `path` names; `None` at top level or if unknown.
    pub scope: Option<&'a str>,
}

impl<'a> OpRef<'a> {
    /// An op of which only its name and module path are known.
    pub fn new(op: &'a str, path: &'a str) -> OpRef<'a> {
        OpRef { op, path, call: None, scope: None }
    }
    /// The call of the module at `path`, an instance of `class`.
    pub fn module(op: &'a str, path: &'a str, class: &'a str) -> OpRef<'a> {
        OpRef { op, path, call: Some(class), scope: Some(class) }
    }
    /// The call of a function or method in the code of the module at `path`, an instance of `scope`.
    pub fn function(op: &'a str, path: &'a str, call: &'a str, scope: Option<&'a str>) -> OpRef<'a> {
        OpRef { op, path, call: Some(call), scope }
    }

    /// Whether the op is the call of a module.
    fn is_module(&self) -> bool {
        self.call.is_some_and(call_type::is_module)
    }
    /// Whether its own type is `t`: a call type, an op name or a family of ops.
    fn is_a(&self, t: &str) -> bool {
        self.call == Some(t) || is_a(self.op, t)
    }
    /// The module that a rule with an index counts it in.
    fn counted_in(&self) -> &'a str {
        if self.is_module() { parent(self.path).unwrap_or("") } else { self.path }
    }
}

impl QConfigMapping {
    /// No rules: everything stays float.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same qconfig everywhere, with known output ranges for `sigmoid`, `hard_sigmoid`, `softmax` (0..1) and `tanh` (−1..1), and
    /// a weight scale per tensor for transposed convolution, as PyTorch's default mappings have it.
    pub fn with_defaults(qconfig: QConfig) -> Self {
        let per_tensor = QConfig {
            weight: ObserverTemplate { per_channel: false, ..qconfig.weight.clone() },
            ..qconfig.clone()
        };
        let fixed = |scale: f32, zero: f32| QConfig {
            activation: ObserverTemplate::new("fixed", Storage::U8).args(&[scale, zero]),
            weight: per_tensor.weight.clone(),
        };
        let (bounded, tanh) = (fixed(1.0 / 256.0, 0.0), fixed(2.0 / 256.0, 128.0));
        let mut m = Self::new();
        m.set_global(Some(qconfig)).set_object_type("conv_transpose", Some(per_tensor));
        for op in ["hard_sigmoid", "sigmoid", "softmax"] {
            m.set_object_type(op, Some(bounded.clone()));
        }
        m.set_object_type("tanh", Some(tanh));
        m
    }
    /// PyTorch's default mapping for x86: activations in 0..127.
    pub fn x86() -> Self {
        Self::with_defaults(QConfig::x86())
    }
    /// The default mapping here: activations in 0..255.
    ///
    /// Sums keep their whole range: a residual stream carries its rare large values through many layers, so cutting
    /// them costs more than coarser steps.
    pub fn native() -> Self {
        let mut m = Self::with_defaults(QConfig::native());
        m.set_object_type("add", Some(QConfig::minmax()));
        m
    }
    /// [`QConfig::minmax`] with the same defaults.
    pub fn minmax() -> Self {
        Self::with_defaults(QConfig::minmax())
    }
    /// The named mapping: one of [`QConfigMapping::NAMES`].
    ///
    /// `pytorch_…` are PyTorch's default mappings of a back end, with its rules by class and function.
    pub fn named(name: &str) -> Option<Self> {
        use crate::defaults as d;
        match name {
            "native" => Some(Self::native()),
            "x86" => Some(Self::x86()),
            "minmax" => Some(Self::minmax()),
            "pytorch_symmetric_qnnpack" => Some(d::get_default_symmetric_qnnpack_qconfig_mapping()),
            "pytorch_symmetric_qnnpack_qat" => Some(d::get_default_symmetric_qnnpack_qat_qconfig_mapping()),
            _ => {
                let backend = name.strip_prefix("pytorch_")?;
                match backend.strip_suffix("_qat") {
                    Some(backend) => d::get_default_qat_qconfig_mapping(backend).ok(),
                    None => d::get_default_qconfig_mapping(backend).ok(),
                }
            }
        }
    }

    /// The names that [`QConfigMapping::named`] knows.
    pub const NAMES: &'static [&'static str] = &[
        "native",
        "x86",
        "minmax",
        "pytorch_x86",
        "pytorch_fbgemm",
        "pytorch_qnnpack",
        "pytorch_onednn",
        "pytorch_symmetric_qnnpack",
        "pytorch_x86_qat",
        "pytorch_fbgemm_qat",
        "pytorch_qnnpack_qat",
        "pytorch_onednn_qat",
        "pytorch_symmetric_qnnpack_qat",
    ];

    /// Sets the rule for everything that no other rule decides.
    pub fn set_global(&mut self, qconfig: Option<QConfig>) -> &mut Self {
        self.global = Some(qconfig);
        self
    }
    /// Sets the rule for ops of this name or family.
    pub fn set_object_type(&mut self, op: &str, qconfig: Option<QConfig>) -> &mut Self {
        self.object_type.insert(call_type::canonical(op), qconfig);
        self
    }
    /// Sets the rule for modules whose path matches `pattern` from its start. Fails if it is no regular expression.
    pub fn set_module_name_regex(
        &mut self,
        pattern: &str,
        qconfig: Option<QConfig>,
    ) -> Result<&mut Self, Error> {
        let regex = Regex::new(&format!("^(?:{pattern})"))
            .map_err(|e| Error::Declaration(format!("`{pattern}` is no regular expression: {e}")))?;
        self.regex.insert(pattern.into(), (regex, qconfig));
        Ok(self)
    }
    /// Sets the rule for a module with all inside it. The empty name never applies.
    pub fn set_module_name(&mut self, path: &str, qconfig: Option<QConfig>) -> &mut Self {
        self.module.insert(path.into(), qconfig);
        self
    }
    /// Sets the rule for the op number `index` (from 0, in graph order) of name `op` in module `path`.
    ///
    /// Ops count that belong to the module itself; if it has none of that name, those of the modules directly inside it.
    pub fn set_module_name_object_type_order(
        &mut self,
        path: &str,
        op: &str,
        index: usize,
        qconfig: Option<QConfig>,
    ) -> &mut Self {
        self.order.insert((path.into(), call_type::canonical(op), index), qconfig);
        self
    }

    /// The global rule.
    pub fn global(&self) -> Option<&Option<QConfig>> {
        self.global.as_ref()
    }

    /// All rules with their qconfigs, general ones first, each kind in order of insertion.
    pub fn rules(&self) -> Vec<(Rule, &Option<QConfig>)> {
        let mut all: Vec<(Rule, &Option<QConfig>)> = Vec::new();
        all.extend(self.global.iter().map(|q| (Rule::Global, q)));
        all.extend(self.object_type.iter().map(|(t, q)| (Rule::ObjectType(t.clone()), q)));
        all.extend(self.regex.iter().map(|(r, (_, q))| (Rule::Regex(r.clone()), q)));
        all.extend(self.module.iter().map(|(m, q)| (Rule::Module(m.clone()), q)));
        all.extend(self.order.iter().map(|((m, t, i), q)| (Rule::Order(m.clone(), t.clone(), *i), q)));
        all
    }

    /// Whether every qconfig can be used; fails with all that cannot, each with its rule.
    pub fn check(&self) -> Result<(), Error> {
        let refused = |(rule, q): (Rule, &Option<QConfig>)| {
            let e = q.as_ref()?.check().err()?;
            Some(Diag::error("qconfig", e.to_string()).note(format!("in {rule}")))
        };
        let diags: Vec<Diag> = self.rules().into_iter().filter_map(refused).collect();
        if diags.is_empty() { Ok(()) } else { Err(Error::Text(diags)) }
    }

    /// Whether this mapping may be given to convert after `prepared` was given to prepare: it has all keys of `prepared`, each
    /// with the same qconfig or `None`, which leaves float what was observed.
    pub fn check_convert(&self, prepared: &QConfigMapping) -> Result<(), Error> {
        let own = self.rules();
        let mut diags = Vec::new();
        for (rule, before) in prepared.rules() {
            let why = match own.iter().find(|(r, _)| *r == rule) {
                None => format!("{rule} was given to prepare and is missing for convert"),
                Some((_, None)) => continue,
                Some((_, now)) if *now == before => continue,
                Some(_) => {
                    format!("{rule} has another qconfig than at prepare; convert can only leave it float")
                }
            };
            diags.push(Diag::error("qconfig", why));
        }
        if diags.is_empty() { Ok(()) } else { Err(Error::Text(diags)) }
    }

    /// Adds a rule; `Rule::Regex` fails if it is no regular expression.
    pub fn set(&mut self, rule: &Rule, qconfig: Option<QConfig>) -> Result<&mut Self, Error> {
        Ok(match rule {
            Rule::Global => self.set_global(qconfig),
            Rule::ObjectType(t) => self.set_object_type(t, qconfig),
            Rule::Regex(r) => self.set_module_name_regex(r, qconfig)?,
            Rule::Module(m) => self.set_module_name(m, qconfig),
            Rule::Order(m, t, i) => self.set_module_name_object_type_order(m, t, *i, qconfig),
        })
    }

    /// What the rules say about each op of a model, given in graph order.
    pub fn resolve(&self, ops: &[OpRef]) -> Vec<Resolution> {
        let places = self.order_places(ops);
        ops.iter()
            .enumerate()
            .map(|(i, op)| {
                let found = places
                    .get(&i)
                    .map(|&key| {
                        let rule = Rule::Order(key.0.clone(), key.1.clone(), key.2);
                        (rule, &self.order[key])
                    })
                    .or_else(|| self.by_module(op.path))
                    .or_else(|| self.by_regex(op.path))
                    .or_else(|| self.by_type(op))
                    .or_else(|| self.global.as_ref().map(|q| (Rule::Global, q)));
                match found {
                    Some((rule, q)) => Resolution { qconfig: q.clone(), rule: Some(rule) },
                    None => Resolution { qconfig: None, rule: None },
                }
            })
            .collect()
    }

    /// For ops that a rule with an index names: position in `ops` → key. Of two rules for one op the later wins.
    fn order_places(&self, ops: &[OpRef]) -> IndexMap<usize, &(String, String, usize)> {
        let mut places = IndexMap::new();
        for key in self.order.keys() {
            let (module, op, index) = key;
            // Methods are never counted.
            let of = |inside: &dyn Fn(&OpRef) -> bool| -> Vec<usize> {
                let counts = |o: &OpRef| o.is_a(op) && !o.call.is_some_and(call_type::is_method) && inside(o);
                (0..ops.len()).filter(|&i| counts(&ops[i])).collect()
            };
            let mut places_of = of(&|o| o.counted_in() == module);
            if places_of.is_empty() {
                // Without knowing what was called, an op may be a module of its own.
                let own = |o: &OpRef| o.call.is_none() && !o.path.is_empty();
                places_of = of(&|o| own(o) && parent(o.path).unwrap_or("") == module);
            }
            if let Some(&i) = places_of.get(*index) {
                places.insert(i, key);
            }
        }
        places
    }

    fn by_module(&self, path: &str) -> Option<(Rule, &Option<QConfig>)> {
        std::iter::successors(Some(path), |p| parent(p))
            .filter(|p| !p.is_empty())
            .find_map(|p| self.module.get(p).map(|q| (Rule::Module(p.into()), q)))
    }

    fn by_regex(&self, path: &str) -> Option<(Rule, &Option<QConfig>)> {
        let (name, (_, q)) = self.regex.iter().find(|(_, (r, _))| r.is_match(path))?;
        Some((Rule::Regex(name.clone()), q))
    }

    /// The rule for the class of the module around a function beats the one for the function itself. Of an op's own names what was
    /// called beats the op, and that its family.
    fn by_type(&self, op: &OpRef) -> Option<(Rule, &Option<QConfig>)> {
        let key = |t: &str| self.object_type.get_key_value(t);
        let family = || self.object_type.iter().find(|(t, _)| is_a(op.op, t));
        let found = op.scope.and_then(key).or_else(|| op.call.and_then(key)).or_else(|| key(op.op));
        let (t, q) = found.or_else(family)?;
        Some((Rule::ObjectType(t.clone()), q))
    }

    /// Warnings for rules that no op of the model answers to, with the nearest name that would.
    pub fn unmatched(&self, ops: &[OpRef]) -> Vec<Diag> {
        let mut modules: Vec<&str> = Vec::new();
        for OpRef { path, .. } in ops {
            modules.extend(std::iter::successors(Some(*path), |p| parent(p)).filter(|p| !p.is_empty()));
        }
        modules.sort_unstable();
        modules.dedup();
        let warn = |message: String, help: Option<String>| {
            let mut d = Diag::error("unmatched-rule", message);
            d.severity = quantir_ir::Severity::Warning;
            d.help = help;
            d
        };
        let near =
            |name: &str| did_you_mean(name, modules.iter().copied()).map(|m| format!("did you mean `{m}`?"));
        let mut all = Vec::new();
        let calls = || ops.iter().flat_map(|o| [o.call, o.scope]).flatten();
        for t in
            self.object_type.keys().filter(|t| t.contains('.') && !call_type::KNOWN.contains(&t.as_str()))
        {
            // Default mappings speak of many types that a model has not; a name close to one that it has is a slip.
            if !calls().any(|c| c == t)
                && let Some(k) = did_you_mean(t, calls())
            {
                all.push(warn(
                    format!("nothing in the model is a `{t}`"),
                    Some(format!("did you mean `{k}`?")),
                ));
            }
        }
        for m in self.module.keys().filter(|m| !modules.contains(&m.as_str())) {
            all.push(warn(format!("no module is called `{m}`"), near(m)));
        }
        for (name, (r, _)) in &self.regex {
            if !modules.iter().any(|m| r.is_match(m)) && !r.is_match("") {
                let help = modules
                    .first()
                    .map(|m| format!("module paths look like `{m}`; the match starts at the path's start"));
                all.push(warn(format!("no module path matches `{name}`"), help));
            }
        }
        let found = self.order_places(ops);
        for key @ (m, t, i) in self.order.keys() {
            if !found.values().any(|k| *k == key) {
                let known = m.is_empty() || modules.contains(&m.as_str());
                let message = match known {
                    true => format!("module `{m}` has no `{t}` number {i} (counted from 0)"),
                    false => format!("no module is called `{m}`"),
                };
                all.push(warn(message, if known { None } else { near(m) }));
            }
        }
        all
    }
}

/// Families of ops that one rule may name.
const FAMILIES: &[(&str, &[&str])] = &[
    ("conv", &["conv1d", "conv2d", "conv3d"]),
    ("conv_transpose", &["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]),
    ("pool", &["max_pool", "avg_pool"]),
];

/// Whether an op of name `op` is of type `t`: that name or a family it belongs to.
pub fn is_a(op: &str, t: &str) -> bool {
    op == t || FAMILIES.iter().any(|(family, members)| *family == t && members.contains(&op))
}

/// Why `t` names neither an op nor a family, if so.
pub fn check_type(t: &str) -> Result<(), Option<String>> {
    // Classes, functions and methods are named with a dot; a user's own are as good as PyTorch's. Only the case of letters tells
    // a slip for sure.
    if t.contains('.') || t.contains(':') {
        let t = call_type::canonical(t);
        let same = |k: &&&str| k.eq_ignore_ascii_case(&t);
        return match call_type::KNOWN.iter().find(same) {
            Some(k) if !call_type::KNOWN.contains(&t.as_str()) => Err(Some(format!("did you mean `{k}`?"))),
            _ => Ok(()),
        };
    }
    let known = || Op::all_names().chain(FAMILIES.iter().map(|f| f.0));
    if known().any(|k| k == t) {
        return Ok(());
    }
    Err(did_you_mean(t, known()).map(|k| format!("did you mean `{k}`?")))
}

/// The enclosing module's path; `None` at top level.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(p, _)| p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float() -> Option<QConfig> {
        None
    }
    fn some() -> Option<QConfig> {
        Some(QConfig::native())
    }

    #[test]
    fn the_most_particular_rule_wins() {
        let mut m = QConfigMapping::new();
        m.set_global(some()).set_object_type("conv", float()).set_object_type("conv2d", some());
        m.set_module_name_regex("block.*", float()).unwrap();
        m.set_module_name("block1.conv", some());
        m.set_module_name_object_type_order("block1", "add", 1, some());
        let ops = [
            ("conv2d", "stem"),
            ("conv1d", "stem"),
            ("conv2d", "block1.conv.inner"),
            ("add", "block1"),
            ("add", "block1"),
            ("linear", ""),
        ]
        .map(|(op, path)| OpRef::new(op, path));
        let rules: Vec<String> = m
            .resolve(&ops)
            .iter()
            .map(|r| r.rule.as_ref().map(|r| r.to_string()).unwrap_or_default())
            .collect();
        assert_eq!(
            rules,
            [
                "the rule for op `conv2d`",
                "the rule for op `conv`",
                "the rule for module `block1.conv`",
                "the rule for modules matching `block.*`",
                "the rule for `add` number 1 in module `block1`",
                "the global rule",
            ]
        );
    }

    #[test]
    fn rules_that_match_nothing_are_reported() {
        let mut m = QConfigMapping::new();
        m.set_module_name("featurs.0", None);
        m.set_module_name_object_type_order("features.0", "add", 0, None);
        let w = m.unmatched(&[OpRef::new("conv2d", "features.0")]);
        assert_eq!(w.len(), 2);
        assert_eq!(w[0].help.as_deref(), Some("did you mean `features.0`?"));
        assert!(w[1].message.contains("has no `add` number 0"));
    }
}
