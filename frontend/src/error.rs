//! What can go wrong while a model is read: one enum for all importers.

use std::fmt;
use std::path::PathBuf;

/// Why a model could not be read. Every message says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("cannot access `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error(
        "not an ONNX model: {reason}, at byte {offset}\nhelp: check that the file is complete and was written by an ONNX exporter"
    )]
    NotOnnx {
        /// Where the reader noticed it.
        offset: u64,
        /// What it noticed.
        reason: String,
    },
    /// A limit of [`crate::Limits`] was exceeded.
    #[error("{what}: found {found}, the limit is {limit}\nhelp: {cure}")]
    Limit {
        /// What was counted, and where.
        what: String,
        /// The limit.
        limit: u64,
        /// What the file asks for.
        found: u64,
        /// What to do.
        cure: String,
    },
    /// External data that is not where it may be, or not what the model says.
    #[error("external data of tensor `{tensor}`: {reason}\nhelp: {help}")]
    External {
        /// The tensor that refers to the data.
        tensor: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        help: String,
    },
    /// Ops without a counterpart, all of them at once.
    #[error("{}", Report(.0))]
    Unsupported(Vec<Unsupported>),
    /// A graph that does not parse or verify.
    #[error("{place}:\n{}", lines(.diags))]
    Graph {
        /// The file.
        place: String,
        /// What is wrong with it.
        diags: Vec<quantir_ir::Diag>,
    },
    /// The model contradicts itself or the standard.
    #[error("{place}: {reason}\nhelp: {help}")]
    Invalid {
        /// The node, tensor or input.
        place: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        help: String,
    },
}

impl Error {
    /// An [`Error::Invalid`] from its parts.
    pub fn invalid(place: impl Into<String>, reason: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Invalid { place: place.into(), reason: reason.into(), help: help.into() }
    }
}

/// One kind of op that cannot be imported, with its first place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The op's name.
    pub op: String,
    /// Its domain; empty for standard ONNX.
    pub domain: String,
    /// How many nodes of the model have this problem.
    pub count: usize,
    /// The name of the first such node.
    pub first_node: String,
    /// The module path of the first such node, if known.
    pub first_path: Option<String>,
    /// What is not supported about it.
    pub why: String,
}

/// Rows that are printed before the rest is summed up, so that the report fits one screen.
const ROWS: usize = 20;

/// Diagnostics one after the other, not more than a screen of them.
fn lines(diags: &[quantir_ir::Diag]) -> String {
    let mut out: Vec<String> = diags.iter().take(ROWS).map(|d| d.to_string()).collect();
    if diags.len() > ROWS {
        out.push(format!("… and {} more", diags.len() - ROWS));
    }
    out.join("\n")
}

struct Report<'a>(&'a [Unsupported]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: usize = self.0.iter().map(|u| u.count).sum();
        let kinds = self.0.len();
        write!(f, "{nodes} node{} of {kinds} kind{} cannot be imported", plural(nodes), plural(kinds))?;
        for u in self.0.iter().take(ROWS) {
            let domain = if u.domain.is_empty() { String::new() } else { format!("{}.", u.domain) };
            write!(
                f,
                "\n  {:>5} × `{domain}{}`: {}; first at {}",
                u.count,
                u.op,
                u.why,
                printable(&u.first_node)
            )?;
            if let Some(p) = &u.first_path {
                write!(f, " in module {}", printable(p))?;
            }
        }
        if kinds > ROWS {
            write!(f, "\n  … and {} more kinds", kinds - ROWS)?;
        }
        write!(f, "\nhelp: rewrite these parts of the model before export, or run them outside of quantir")
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// A name from a file in backticks, cut to a readable length, with control characters escaped: names are untrusted text.
pub(crate) fn printable(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut out = String::from("`");
    for (i, c) in name.chars().enumerate() {
        if i == LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: &str, count: usize) -> Unsupported {
        Unsupported {
            op: op.into(),
            domain: String::new(),
            count,
            first_node: "/a/b".into(),
            first_path: Some("a".into()),
            why: "no such op".into(),
        }
    }

    #[test]
    fn report_counts_nodes_and_names_the_first_place() {
        let text = Error::Unsupported(vec![row("If", 12), row("Loop", 1)]).to_string();
        assert!(text.starts_with("13 nodes of 2 kinds cannot be imported"), "{text}");
        assert!(text.contains("12 × `If`: no such op; first at `/a/b` in module `a`"), "{text}");
    }

    #[test]
    fn report_fits_one_screen() {
        let rows: Vec<_> = (0..300).map(|i| row(&format!("Op{i}"), 1)).collect();
        let text = Error::Unsupported(rows).to_string();
        assert!(text.lines().count() <= ROWS + 3, "{text}");
        assert!(text.contains("and 280 more kinds"), "{text}");
    }

    #[test]
    fn names_from_files_cannot_send_terminal_escapes() {
        assert_eq!(printable("a\u{1b}[31m"), "`a\\u{1b}[31m`");
    }
}
