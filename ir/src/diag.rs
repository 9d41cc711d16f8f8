//! The diagnostic: one type from the lexer to the planner.
//!
//! Messages follow the house style: what, where, what to do; no full stop; backticks around code.

use std::fmt;

use crate::loc::Span;

/// How grave a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// For information.
    Note,
    /// Suspicious, work goes on.
    Warning,
    /// Work cannot go on.
    Error,
}

/// A marked stretch of a text with a remark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// First byte of the stretch in the text that is rendered with the diagnostic.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// The remark.
    pub text: String,
}

/// A diagnostic without a renderer: data for terminals, JSON and Python alike.
#[derive(Clone, PartialEq, Debug)]
pub struct Diag {
    /// A word that names the kind of problem, such as `type` or `unknown-op`; filetests refer to it.
    pub code: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The place in the text; the first label is the primary one.
    pub labels: Vec<Label>,
    /// The source line of the model (Rust or Python), if known.
    pub span: Option<Span>,
    /// The module path of the node, if known.
    pub path: Option<String>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diag {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diag {
        Diag {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            span: None,
            path: None,
            notes: Vec::new(),
            help: None,
        }
    }
    /// Adds a marked stretch of the text.
    pub fn label(mut self, range: std::ops::Range<usize>, text: impl Into<String>) -> Diag {
        self.labels.push(Label { start: range.start, end: range.end, text: text.into() });
        self
    }
    /// Adds a fact.
    pub fn note(mut self, text: impl Into<String>) -> Diag {
        self.notes.push(text.into());
        self
    }
    /// Says what to do.
    pub fn help(mut self, text: impl Into<String>) -> Diag {
        self.help = Some(text.into());
        self
    }
    /// Names the module and the source line that the node comes from.
    pub fn at(mut self, loc: &crate::loc::Loc) -> Diag {
        self.span = self.span.or_else(|| loc.span.clone());
        self.path = self.path.or_else(|| loc.path.as_ref().map(|p| p.to_string()));
        self
    }
}

/// One line for each part, without the source text.
impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{s}[{}]: {}", self.code, self.message)?;
        if let Some(p) = &self.path {
            write!(f, "\n  = in module {p}")?;
        }
        if let Some(s) = &self.span {
            write!(f, "\n  = from {s}")?;
        }
        for n in &self.notes {
            write!(f, "\n  = note: {n}")?;
        }
        if let Some(h) = &self.help {
            write!(f, "\n  = help: {h}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diag {}

/// Why an op's operands or attributes do not fit, in the user's words; becomes a [`Diag`] where the place is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Reason {
    /// A reason without advice.
    pub fn new(message: impl Into<String>) -> Reason {
        Reason { message: message.into(), help: None }
    }
    /// Adds advice.
    pub fn help(mut self, text: impl Into<String>) -> Reason {
        self.help = Some(text.into());
        self
    }
    /// The diagnostic of kind `code` that states this reason.
    pub fn diag(self, code: &'static str) -> Diag {
        Diag { help: self.help, ..Diag::error(code, self.message) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl From<String> for Reason {
    fn from(s: String) -> Reason {
        Reason::new(s)
    }
}
impl From<&str> for Reason {
    fn from(s: &str) -> Reason {
        Reason::new(s)
    }
}
impl std::error::Error for Reason {}

/// The entry of `known` that is nearest to `word` in edit distance, if it is near enough to be meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known.into_iter().map(|k| (edit_distance(word, k), k)).filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
}

/// Levenshtein's distance over characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_suggested_only_if_near() {
        assert_eq!(did_you_mean("conv2", ["conv1d", "conv2d", "relu"]), Some("conv2d"));
        assert_eq!(did_you_mean("xyzzy", ["conv1d", "relu"]), None);
    }
}
