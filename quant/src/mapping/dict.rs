//! A mapping as its five groups: `from_dict`, `to_dict` and the printed form.

use std::fmt;

use crate::mapping::Rule;
use crate::{Error, QConfig, QConfigMapping};

/// A qconfig for each key, in order of insertion; `None` leaves float.
pub type Group<K> = Vec<(K, Option<QConfig>)>;

/// The five groups of a mapping (`QConfigMapping.to_dict` of PyTorch), general ones first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct QConfigDict {
    /// The key `""`: for everything; the outer `None` if nothing is said.
    pub global: Option<Option<QConfig>>,
    /// By call type, op or family.
    pub object_type: Group<String>,
    /// By regular expression on module paths.
    pub module_name_regex: Group<String>,
    /// By module path.
    pub module_name: Group<String>,
    /// By module path, type and index.
    pub module_name_object_type_order: Group<(String, String, usize)>,
}

impl QConfigMapping {
    /// The rules in groups.
    pub fn to_dict(&self) -> QConfigDict {
        let mut d = QConfigDict { global: self.global().cloned(), ..QConfigDict::default() };
        for (rule, q) in self.rules() {
            let q = q.clone();
            match rule {
                Rule::Global => {}
                Rule::ObjectType(t) => d.object_type.push((t, q)),
                Rule::Regex(r) => d.module_name_regex.push((r, q)),
                Rule::Module(m) => d.module_name.push((m, q)),
                Rule::Order(m, t, i) => d.module_name_object_type_order.push(((m, t, i), q)),
            }
        }
        d
    }

    /// The mapping with these rules. Fails if a regular expression is none.
    pub fn from_dict(d: QConfigDict) -> Result<QConfigMapping, Error> {
        let mut m = QConfigMapping::new();
        if let Some(q) = d.global {
            m.set_global(q);
        }
        for (t, q) in d.object_type {
            m.set_object_type(&t, q);
        }
        for (r, q) in d.module_name_regex {
            m.set_module_name_regex(&r, q)?;
        }
        for (p, q) in d.module_name {
            m.set_module_name(&p, q);
        }
        for ((p, t, i), q) in d.module_name_object_type_order {
            m.set_module_name_object_type_order(&p, &t, i, q);
        }
        Ok(m)
    }
}

impl PartialEq for QConfigMapping {
    /// The same rules in the same order.
    fn eq(&self, other: &QConfigMapping) -> bool {
        self.rules() == other.rules()
    }
}

impl fmt::Display for QConfigMapping {
    /// All five groups, a rule in each line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.to_dict();
        let show = |q: &Option<QConfig>| match q {
            None => "float".to_owned(),
            Some(q) => q.name().map_or_else(|| q.to_string(), str::to_owned),
        };
        match &d.global {
            Some(q) => writeln!(f, "global: {}", show(q))?,
            None => writeln!(f, "global: none")?,
        }
        let mut group = |name: &str, lines: Vec<(String, &Option<QConfig>)>| {
            writeln!(f, "{name}:{}", if lines.is_empty() { " none" } else { "" })?;
            lines.iter().try_for_each(|(key, q)| writeln!(f, "  {key}: {}", show(q)))
        };
        let plain = |g: &'_ Group<String>| -> Vec<(String, Option<QConfig>)> { g.clone() };
        for (name, g) in [
            ("object_type", plain(&d.object_type)),
            ("module_name_regex", plain(&d.module_name_regex)),
            ("module_name", plain(&d.module_name)),
        ] {
            group(name, g.iter().map(|(k, q)| (k.clone(), q)).collect())?;
        }
        let order = d.module_name_object_type_order.iter();
        group(
            "module_name_object_type_order",
            order.map(|((m, t, i), q)| (format!("{m:?} {t} {i}"), q)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    #[test]
    fn groups_round_trip_and_print() {
        let mut m = QConfigMapping::new();
        m.set_global(Some(QConfig::native())).set_object_type("torch.nn.Linear", None);
        m.set_module_name_regex("block.*", Some(defaults::default_qconfig())).unwrap();
        m.set_module_name("head", None).set_module_name_object_type_order("", "F.conv2d", 1, None);
        assert_eq!(QConfigMapping::from_dict(m.to_dict()).unwrap(), m);
        assert_eq!(
            m.to_string(),
            "global: native\nobject_type:\n  nn.Linear: float\nmodule_name_regex:\n  block.*: default_qconfig\n\
             module_name:\n  head: float\nmodule_name_object_type_order:\n  \"\" F.conv2d 1: float\n"
        );
    }
}
