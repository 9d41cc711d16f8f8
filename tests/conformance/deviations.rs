//! The table of `docs/deviations.md`, and the tally of an area that is held to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Failing cases that are printed before the rest is only counted.
const SHOWN: usize = 60;

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The area, as the folder is called.
    pub area: String,
    /// Which cases: `*` for any characters but a colon, `?` for one.
    pub pattern: String,
    /// Why we differ.
    pub reason: String,
}

/// The lines of the table in `text`: rows of three cells below the head `| area | case | reason |`.
pub fn parse(text: &str) -> Result<Vec<Deviation>, String> {
    let rows = text.lines().enumerate().filter(|(_, l)| l.trim_start().starts_with('|'));
    let mut out: Vec<Deviation> = Vec::new();
    for (i, line) in rows {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [area, pattern, reason] = cells[..] else {
            return Err(format!("line {}: three cells are needed: area, case, reason", i + 1));
        };
        if (area, pattern) == ("area", "case") || cells.iter().all(|c| c.chars().all(|c| "-: ".contains(c))) {
            continue;
        }
        if reason.is_empty() {
            return Err(format!("line {}: a deviation needs a reason", i + 1));
        }
        let [area, pattern] = [area, pattern].map(|c| c.trim_matches('`').to_owned());
        out.push(Deviation { area, pattern, reason: reason.to_owned() });
    }
    Ok(out)
}

/// Whether `text` matches `pattern`; `*` does not reach over the colon before a part's name.
pub fn glob(pattern: &str, text: &str) -> bool {
    fn go(p: &[u8], t: &[u8]) -> bool {
        match (p.first(), t.first()) {
            (None, None) => true,
            (Some(b'*'), Some(b':')) => go(&p[1..], t),
            (Some(b'*'), _) => go(&p[1..], t) || (!t.is_empty() && go(p, &t[1..])),
            (Some(b'?'), Some(_)) => go(&p[1..], &t[1..]),
            (Some(a), Some(b)) => a == b && go(&p[1..], &t[1..]),
            _ => false,
        }
    }
    go(pattern.as_bytes(), text.as_bytes())
}

/// Parts of a case that a deviation line can excuse without excusing the rest.
#[derive(Default)]
pub struct Parts(Vec<(&'static str, Result<(), String>)>);

impl Parts {
    /// Adds the outcome of a part; `id:name` is what deviation lines match.
    pub fn add(&mut self, name: &'static str, outcome: Result<(), String>) {
        self.0.push((name, outcome));
    }

    /// The names of the parts that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| *name).collect()
    }

    /// Why parts failed, in one line.
    pub fn reasons(&self) -> String {
        self.0
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err().cloned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Adds the parts of `other` under one name.
    pub fn extend(&mut self, name: &'static str, other: Parts) {
        self.0.extend(other.0.into_iter().map(|(_, outcome)| (name, outcome)));
    }
}

/// Counts of one area.
pub struct Area {
    name: String,
    lines: Vec<Deviation>,
    used: Vec<bool>,
    passed: usize,
    deviations: usize,
    problems: Vec<String>,
}

impl Area {
    /// The tally of an area under the lines of `docs/deviations.md`.
    pub fn new(name: &str) -> Area {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deviations.md");
        let text = std::fs::read_to_string(path).expect("docs/deviations.md is part of the repository");
        Area::with(name, parse(&text).unwrap_or_else(|e| panic!("docs/deviations.md, {e}")))
    }

    /// The tally of an area under given lines; those of other areas are ignored.
    pub fn with(name: &str, lines: Vec<Deviation>) -> Area {
        let lines: Vec<Deviation> = lines.into_iter().filter(|l| l.area == name).collect();
        let used = vec![false; lines.len()];
        Area { name: name.into(), lines, used, passed: 0, deviations: 0, problems: Vec::new() }
    }

    /// Runs a case; a panic in `body` is a failure of the case.
    pub fn case(&mut self, id: &str, body: impl FnOnce(&mut Parts) -> Result<(), String>) {
        let mut parts = Parts::default();
        let whole = catch_unwind(AssertUnwindSafe(|| body(&mut parts))).unwrap_or_else(|e| {
            let said = e.downcast_ref::<String>().map(String::as_str);
            Err(said.or(e.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned())
        });
        let mut all = vec![(id.to_owned(), whole)];
        all.extend(parts.0.into_iter().map(|(name, outcome)| (format!("{id}:{name}"), outcome)));
        let (mut bad, mut excused) = (false, false);
        for (id, outcome) in all {
            let line = self.lines.iter().position(|l| glob(&l.pattern, &id));
            match (outcome, line) {
                (Ok(()), None) => {}
                (Ok(()), Some(i)) => {
                    bad = true;
                    self.used[i] = true;
                    self.problems.push(format!(
                        "{id}: agrees with PyTorch, but `{}` lists it as a deviation",
                        self.lines[i].pattern
                    ));
                }
                (Err(_), Some(i)) => {
                    self.used[i] = true;
                    excused = true;
                }
                (Err(why), None) => {
                    bad = true;
                    self.problems.push(format!("{id}: {why}"));
                }
            }
        }
        match (bad, excused) {
            (true, _) => {}
            (false, true) => self.deviations += 1,
            (false, false) => self.passed += 1,
        }
    }

    /// What `finish` prints: the counts, and the problems if there are any.
    pub fn report(&self) -> Result<String, String> {
        let counts = format!("{}: {} passed, {} deviations", self.name, self.passed, self.deviations);
        let stale = self.lines.iter().zip(&self.used).filter(|(_, used)| !**used);
        let stale: Vec<String> =
            stale.map(|(l, _)| format!("stale line `{}`: it matches no case", l.pattern)).collect();
        let problems: Vec<&String> = self.problems.iter().chain(&stale).collect();
        if problems.is_empty() {
            return Ok(counts);
        }
        let mut text = format!("{counts}, {} failures", problems.len());
        for p in problems.iter().take(SHOWN) {
            text += &format!("\n  {p}");
        }
        if problems.len() > SHOWN {
            text += &format!("\n  and {} more", problems.len() - SHOWN);
        }
        Err(text)
    }

    /// Prints the counts; panics with the failing cases and the stale lines, if there are any.
    pub fn finish(self) {
        match self.report() {
            Ok(text) => println!("{text}"),
            Err(text) => panic!("{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "text\n\n| area | case | reason |\n|---|---|---|\n| a | `x.*:odd` | B1 |\n| b | y | B2 |\n";

    #[test]
    fn lines_excuse_what_they_name_and_nothing_else() {
        let mut a = Area::with("a", parse(TABLE).unwrap());
        a.case("x.1", |p| {
            p.add("odd", Err("differs".into()));
            Ok(())
        });
        assert_eq!(a.report().unwrap(), "a: 0 passed, 1 deviations");
        a.case("x.2", |_| Err("wrong".into()));
        a.case("x.3", |_| panic!("lost"));
        assert_eq!(
            a.report().unwrap_err(),
            "a: 0 passed, 1 deviations, 2 failures\n  x.2: wrong\n  x.3: lost"
        );
    }

    #[test]
    fn a_pattern_of_cases_excuses_no_parts() {
        assert!(glob("x.*", "x.1.2") && glob("x.?.*:odd", "x.1.2:odd"));
        assert!(!glob("x.*", "x.1:odd") && !glob("x.*:odd", "x.1"));
    }

    #[test]
    fn stale_lines_are_errors() {
        let mut a = Area::with("a", parse(TABLE).unwrap());
        assert!(a.report().unwrap_err().contains("stale line `x.*:odd`"));
        a.case("x.1", |p| {
            p.add("odd", Ok(()));
            Ok(())
        });
        assert!(a.report().unwrap_err().contains("agrees with PyTorch"));
    }
}
