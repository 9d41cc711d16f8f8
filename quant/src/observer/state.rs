//! What observers have accumulated, as text: `min [-1] max [2.5] batches [3]`.
//!
//! A calibration that was cut short goes on from saved states, and states of consecutive shards can be merged later:
//!
//! ```text
//! $act0 : min [-2.1] max [2.64] batches [32] nonfinite [0]
//! $act1 : …
//! ```

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use quantir_ir::diag::Diag;
use quantir_ir::{Name, ObserverSpec};

use crate::Error;

/// Named lists of numbers, as many as a kind needs. Numbers are printed so that they read back exactly.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct State(pub IndexMap<String, Vec<f64>>);

impl State {
    /// With a list of this name.
    pub fn with(mut self, name: &str, numbers: impl IntoIterator<Item = f64>) -> State {
        self.0.insert(name.into(), numbers.into_iter().collect());
        self
    }
    /// The list of this name; empty if there is none.
    pub fn list(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
    /// The list of this name as `f32`.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.list(name).iter().map(|&x| x as f32).collect()
    }
    /// The only number of the list of this name, or `default` if there is no such list.
    pub fn number(&self, name: &str, default: f64) -> f64 {
        self.list(name).first().copied().unwrap_or(default)
    }
    /// A count; 0 if there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.number(name, 0.0) as u64
    }

    /// That the state does not fit `spec`.
    pub(crate) fn unfit(&self, spec: &ObserverSpec, why: &str) -> Error {
        Error::Declaration(format!("the saved state does not fit an observer of kind `{}`: {why}", spec.kind))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, numbers)) in self.0.iter().enumerate() {
            write!(f, "{}{name} [", if i > 0 { " " } else { "" })?;
            for (i, x) in numbers.iter().enumerate() {
                // Shortest text that reads back as the same number; whole numbers without a point.
                write!(f, "{}{x}", if i > 0 { "," } else { "" })?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<State, Error> {
        let bad = |why: String| Error::Declaration(format!("{why} in the state of an observer"));
        let mut state = State::default();
        let mut words = text.split_whitespace();
        while let Some(name) = words.next() {
            let list = words.next().and_then(|w| w.strip_prefix('[')?.strip_suffix(']'));
            let list = list.ok_or_else(|| bad(format!("`{name}` is not followed by `[…]`")))?;
            let numbers = list
                .split(',')
                .filter(|x| !x.is_empty())
                .map(|x| x.parse::<f64>().map_err(|_| bad(format!("`{x}` is no number"))));
            let numbers = numbers.collect::<Result<Vec<f64>, Error>>()?;
            if state.0.insert(name.into(), numbers).is_some() {
                return Err(bad(format!("`{name}` stands twice")));
            }
        }
        Ok(state)
    }
}

/// The states of a graph's observers by name (without `$`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct States {
    /// The states in the order of the observers' declarations.
    pub entries: IndexMap<Name, State>,
}

impl States {
    /// Reads the text form. All lines that do not fit are reported at once.
    pub fn parse(text: &str) -> Result<States, Error> {
        let mut states = States::default();
        let mut diags = Vec::new();
        let mut at = 0;
        for (number, line) in text.split('\n').enumerate() {
            let range = at..at + line.len();
            at += line.len() + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = line
                .split_once(':')
                .and_then(|(name, state)| Some((name.trim().strip_prefix('$')?, state)))
                .ok_or_else(|| "a line looks like `$act0 : min [0] max [1]`".to_owned())
                .and_then(|(name, state)| Ok((name, state.parse::<State>().map_err(|e| e.to_string())?)));
            let refused = match parsed {
                Ok((name, state)) => match states.entries.insert(name.into(), state) {
                    None => continue,
                    Some(_) => format!("`${name}` has two lines"),
                },
                Err(e) => e,
            };
            let d = Diag::error("calibration", refused).label(range, "here");
            diags.push(d.note(format!("in line {}", number + 1)));
        }
        if diags.is_empty() { Ok(states) } else { Err(Error::Text(diags)) }
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|(name, state)| writeln!(f, "${name} : {state}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_and_parsing_are_inverse() {
        let s = State::default().with("min", [f64::INFINITY, -0.1]).with("counts", []).with("n", [3.0]);
        let text = s.to_string();
        assert_eq!(text, "min [inf,-0.1] counts [] n [3]");
        assert_eq!(text.parse::<State>().unwrap(), s);
        let mut all = States::default();
        all.entries.insert("act0".into(), s);
        assert_eq!(States::parse(&format!("# saved\n\n{all}")).unwrap(), all);
        let Err(Error::Text(d)) = States::parse("act0 : min [1]\n$a : min 1\n$b : min [x]") else {
            panic!("refused")
        };
        assert_eq!(d.len(), 3);
    }
}
