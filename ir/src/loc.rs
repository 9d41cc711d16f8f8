//! Where a node comes from: module path and source span.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

/// A module path such as `features.0.conv`; rules for modules (`QConfigMapping`) match on it.
pub type Path = Arc<str>;

/// A place in a source text: a file of the user's, or the text of a graph.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// The file's name as the user would know it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 if only the line is known.
    pub col: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if self.col > 0 {
            write!(f, ":{}", self.col)?;
        }
        Ok(())
    }
}

/// What the model's author called, in one spelling for all sources: a module's class (`nn.Conv2d`), a function
/// (`F.relu`, `torch.add`, `operator.add`) or a method (`.reshape`).
pub type Call = Arc<str>;

/// Where a node comes from. Path and call are meaning (always printed and parsed); the span serves diagnostics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loc {
    /// The module that the node belongs to: the called one, or the one whose code calls a function.
    pub path: Option<Path>,
    /// What was called, if the source tells.
    pub call: Option<Call>,
    /// The source line, if known.
    pub span: Option<Span>,
    /// Paths of further modules whose ops were fused into this node.
    pub fused_from: SmallVec<[Path; 2]>,
}

impl Loc {
    /// A location with only a module path.
    pub fn at(path: impl Into<Path>) -> Loc {
        Loc { path: Some(path.into()), ..Loc::default() }
    }

    /// This location with what was called there.
    pub fn by(mut self, call: impl Into<Call>) -> Loc {
        self.call = Some(call.into());
        self
    }

    /// This location after a node at `other` was fused into it: missing parts are taken over, another path is recorded.
    pub fn fuse(&mut self, other: &Loc) {
        if self.call.is_none() && (self.path.is_none() || self.path == other.path) {
            self.call = other.call.clone();
        }
        if self.span.is_none() {
            self.span = other.span.clone();
        }
        for p in other.path.iter().chain(&other.fused_from) {
            if self.path.is_none() {
                self.path = Some(p.clone());
            } else if self.path.as_ref() != Some(p) && !self.fused_from.contains(p) {
                self.fused_from.push(p.clone());
            }
        }
    }
}
