//! `QConfigMultiMapping`: several mappings that are compared in one run.

use std::fmt;

use crate::mapping::Rule;
use crate::{Error, QConfig, QConfigMapping};

/// Mappings side by side: each setter takes a qconfig for each of them.
///
/// Every key that one mapping has all have, with a qconfig or `None` (float): a shorter list is filled up with `None`, and a longer one makes
/// new mappings in which all keys so far are `None`. Equal qconfigs and `None` are taken out of a list before, so the
/// same qconfig is never compared with itself.
///
/// ```
/// use quantir_quant::{QConfigMultiMapping, defaults::*};
///
/// let mut m = QConfigMultiMapping::new();
/// m.set_global(vec![Some(default_qconfig()), Some(default_dynamic_qconfig())]);
/// m.set_object_type("nn.Linear", vec![Some(default_per_channel_qconfig())]);
/// assert_eq!(m.mappings().len(), 2);
/// assert_eq!(m.mappings()[1].to_dict().object_type[0].1, None);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct QConfigMultiMapping {
    mappings: Vec<QConfigMapping>,
}

impl Default for QConfigMultiMapping {
    fn default() -> Self {
        Self::new()
    }
}

impl QConfigMultiMapping {
    /// One mapping without rules.
    pub fn new() -> Self {
        QConfigMultiMapping { mappings: vec![QConfigMapping::new()] }
    }

    /// The mappings, at least one.
    pub fn mappings(&self) -> &[QConfigMapping] {
        &self.mappings
    }

    /// Plain mappings side by side; their keys are filled up as the setters do.
    pub fn from_list_qconfig_mapping(list: &[QConfigMapping]) -> Result<Self, Error> {
        let mut all = Self::new();
        all.mappings.resize(list.len().max(1), QConfigMapping::new());
        for (to, from) in all.mappings.iter_mut().zip(list) {
            if let Some(q) = from.global() {
                to.set_global(q.clone());
            }
        }
        let mut keys: Vec<Rule> = Vec::new();
        for (rule, _) in list.iter().flat_map(QConfigMapping::rules) {
            if rule != Rule::Global && !keys.contains(&rule) {
                keys.push(rule);
            }
        }
        for key in keys {
            let of =
                |m: &QConfigMapping| m.rules().into_iter().find(|(r, _)| *r == key).map(|(_, q)| q.clone());
            // Position is meaning here: each mapping keeps its own qconfig, and the others leave float.
            for (to, from) in all.mappings.iter_mut().zip(list) {
                to.set(&key, of(from).flatten())?;
            }
        }
        Ok(all)
    }

    /// Sets the rules for everything.
    pub fn set_global(&mut self, qconfigs: Vec<Option<QConfig>>) -> &mut Self {
        self.insert(qconfigs, |m, q| {
            m.set_global(q);
        })
    }
    /// Sets the rules for a type.
    pub fn set_object_type(&mut self, t: &str, qconfigs: Vec<Option<QConfig>>) -> &mut Self {
        self.insert(qconfigs, |m, q| {
            m.set_object_type(t, q);
        })
    }
    /// Sets the rules for modules whose path matches from its start. Fails if `pattern` is no regular expression.
    pub fn set_module_name_regex(
        &mut self,
        pattern: &str,
        qconfigs: Vec<Option<QConfig>>,
    ) -> Result<&mut Self, Error> {
        QConfigMapping::new().set_module_name_regex(pattern, None)?;
        Ok(self.insert(qconfigs, |m, q| {
            // It was compiled above.
            let _ = m.set_module_name_regex(pattern, q);
        }))
    }
    /// Sets the rules for a module with all inside it.
    pub fn set_module_name(&mut self, path: &str, qconfigs: Vec<Option<QConfig>>) -> &mut Self {
        self.insert(qconfigs, |m, q| {
            m.set_module_name(path, q);
        })
    }
    /// Sets the rules for the use number `index` of a type in a module.
    pub fn set_module_name_object_type_order(
        &mut self,
        path: &str,
        t: &str,
        index: usize,
        qconfigs: Vec<Option<QConfig>>,
    ) -> &mut Self {
        self.insert(qconfigs, |m, q| {
            m.set_module_name_object_type_order(path, t, index, q);
        })
    }

    fn insert(
        &mut self,
        qconfigs: Vec<Option<QConfig>>,
        set: impl Fn(&mut QConfigMapping, Option<QConfig>),
    ) -> &mut Self {
        let mut list: Vec<QConfig> = Vec::new();
        for q in qconfigs.into_iter().flatten() {
            if !list.contains(&q) {
                list.push(q);
            }
        }
        while self.mappings.len() < list.len() {
            let empty = self.mappings.first().map_or_else(QConfigMapping::new, QConfigMapping::all_float);
            self.mappings.push(empty);
        }
        let mut list = list.into_iter();
        for m in &mut self.mappings {
            set(m, list.next());
        }
        self
    }
}

impl QConfigMapping {
    /// The same keys but the global one, each leaving float.
    fn all_float(&self) -> QConfigMapping {
        let mut m = self.clone();
        m.global = None;
        let groups = m.object_type.values_mut().chain(m.module.values_mut()).chain(m.order.values_mut());
        groups.chain(m.regex.values_mut().map(|(_, q)| q)).for_each(|q| *q = None);
        m
    }
}

impl fmt::Display for QConfigMultiMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, m) in self.mappings.iter().enumerate() {
            writeln!(f, "mapping {i}:")?;
            m.to_string().lines().try_for_each(|l| writeln!(f, "  {l}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::*;

    fn some(q: fn() -> QConfig) -> Option<QConfig> {
        Some(q())
    }
    fn object_types(m: &QConfigMultiMapping, key: &str) -> Vec<Option<QConfig>> {
        let of = |m: &QConfigMapping| m.to_dict().object_type.into_iter().find(|(k, _)| k == key);
        m.mappings().iter().map(|m| of(m).expect("every mapping has every key").1).collect()
    }

    /// T89
    #[test]
    fn lists_are_filled_up_forwards_and_backwards() {
        let mut m = QConfigMultiMapping::new();
        m.set_global(vec![some(default_qconfig), some(default_dynamic_qconfig)]);
        m.set_object_type("nn.Linear", vec![some(default_per_channel_qconfig)]);
        assert_eq!(object_types(&m, "nn.Linear"), [some(default_per_channel_qconfig), None]);
        let three = vec![some(default_qconfig), some(default_dynamic_qconfig), some(default_qat_qconfig)];
        m.set_object_type("nn.Conv2d", three.clone());
        assert_eq!(object_types(&m, "nn.Conv2d"), three);
        assert_eq!(object_types(&m, "nn.Linear"), [some(default_per_channel_qconfig), None, None]);
        assert_eq!(m.mappings()[2].global(), None);
        assert!(m.to_string().contains("mapping 2:\n  global: none\n  object_type:\n    nn.Linear: float"));
    }

    /// T89
    #[test]
    fn equal_qconfigs_and_float_are_taken_out() {
        let mut m = QConfigMultiMapping::new();
        let list =
            vec![None, some(default_qconfig), None, some(default_qconfig), some(default_dynamic_qconfig)];
        m.set_module_name("head", list);
        let got: Vec<_> = m.mappings().iter().map(|m| m.to_dict().module_name[0].1.clone()).collect();
        assert_eq!(got, [some(default_qconfig), some(default_dynamic_qconfig)]);
    }

    /// T89
    #[test]
    fn plain_mappings_keep_their_places() {
        let (mut a, mut b) = (QConfigMapping::new(), QConfigMapping::new());
        a.set_global(some(default_qconfig)).set_object_type("nn.Linear", some(default_qconfig));
        b.set_global(some(default_dynamic_qconfig)).set_module_name("head", some(default_qconfig));
        let m = QConfigMultiMapping::from_list_qconfig_mapping(&[a, b]).unwrap();
        assert_eq!(object_types(&m, "nn.Linear"), [some(default_qconfig), None]);
        assert_eq!(m.mappings()[0].to_dict().module_name, [("head".to_owned(), None)]);
        assert_eq!(m.mappings()[1].to_dict().module_name, [("head".to_owned(), some(default_qconfig))]);
    }
}
