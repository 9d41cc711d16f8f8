//! The parser: a text to a graph, or all that is wrong with the text.
//!
//! Result types are taken as declared; whether they are right is the verifier's question. An error ends its
//! line only, so one run reports many.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diag::{Diag, did_you_mean};
use crate::graph::{Graph, Name, Phase};
use crate::loc::{Path, Span};
use crate::quant::Quant;
use crate::tensor::Tensor;
use crate::text::lex::{Lexer, Tok, Token};
use crate::text::node::NodeSyntax;
use crate::text::quote::sigil;
use crate::text::source::SourceMap;
use crate::{TypeId, ValueId};

/// After this many errors the rest of the text is not looked at.
pub const MAX_ERRORS: usize = 50;
/// Deepest nesting of lists and calls in attributes.
pub(crate) const MAX_DEPTH: u32 = 32;
/// So many of the last definitions are searched for a name that was meant.
const MAX_CANDIDATES: usize = 10_000;

/// Where `blob("hash")` constants come from.
#[derive(Clone, Copy)]
pub enum Blobs<'a> {
    /// There are none: a blob is an error.
    None,
    /// Blobs stay unresolved: for tools that print and compare, not run.
    Keep,
    /// The tensor with this hash, if there is one.
    Find(&'a dyn Fn(&str) -> Option<Tensor>),
}

/// How to parse.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The file's name for spans and messages.
    pub file: &'a str,
    /// Where constants come from.
    pub blobs: Blobs<'a>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { file: "text", blobs: Blobs::None }
    }
}

/// A graph and where its parts stand in the text.
pub struct Parsed {
    /// The graph, not verified.
    pub graph: Graph,
    /// Places for diagnostics.
    pub source: SourceMap,
}

/// Parses a text whose constants are all written in it.
///
/// The graph is not verified: types are as declared. Errors are in the order of the text, at most [`MAX_ERRORS`].
pub fn parse(text: &str) -> Result<Graph, Vec<Diag>> {
    Ok(parse_source(text, &Options::default())?.graph)
}

/// As [`parse`], with `blob` to find constants and the file's name for messages.
pub fn parse_with(text: &str, blob: &dyn Fn(&str) -> Option<Tensor>, file: &str) -> Result<Graph, Vec<Diag>> {
    Ok(parse_source(text, &Options { file, blobs: Blobs::Find(blob) })?.graph)
}

/// As [`parse`] for tools that only print or compare: `blob("hash")` stays what it is.
pub fn parse_keeping_blobs(text: &str, file: &str) -> Result<Graph, Vec<Diag>> {
    Ok(parse_source(text, &Options { file, blobs: Blobs::Keep })?.graph)
}

/// As [`parse`], with the places of nodes in the text for later diagnostics.
pub fn parse_source(text: &str, options: &Options) -> Result<Parsed, Vec<Diag>> {
    let mut p = Parser::new(text, options);
    p.file();
    p.finish()
}

/// What the parser knows of a value name.
pub(crate) struct Known {
    /// `None` if the node could not be built; uses of it are no errors of their own.
    pub value: Option<ValueId>,
    pub at: Token,
}

pub(crate) struct Parser<'t, 'o> {
    pub lex: Lexer<'t>,
    /// The token that is looked at.
    pub cur: Token,
    pub options: &'o Options<'o>,
    pub diags: Vec<Diag>,
    pub g: Graph,
    pub names: HashMap<Name, Known>,
    /// All defined names in order, for suggestions.
    pub defined: Vec<Name>,
    /// Names that were unknown where they were used, with the number of their diagnostic.
    pub unknown: Vec<(Name, usize)>,
    pub quants: HashMap<Name, Option<Arc<Quant>>>,
    /// Types by how they are written, which means the same throughout one text.
    pub types: HashMap<&'t str, TypeId>,
    pub paths: HashMap<&'t str, Path>,
    pub file: Arc<str>,
    pub source: SourceMap,
}

impl<'t, 'o> Parser<'t, 'o> {
    pub fn new(text: &'t str, options: &'o Options<'o>) -> Self {
        let mut lex = Lexer::new(text);
        let cur = lex.next();
        let file: Arc<str> = options.file.into();
        Parser {
            lex,
            cur,
            options,
            diags: Vec::new(),
            g: Graph::new("main", Phase::Float),
            names: HashMap::new(),
            defined: Vec::new(),
            unknown: Vec::new(),
            quants: HashMap::new(),
            types: HashMap::new(),
            paths: HashMap::new(),
            source: SourceMap::new(file.clone()),
            file,
        }
    }

    /// A parser that looks at byte `start` on line `line`.
    pub fn starting_at(text: &'t str, options: &'o Options<'o>, start: usize, line: u32) -> Self {
        let mut p = Parser::new(text, options);
        p.lex.go(start, line);
        p.cur = p.lex.next();
        p
    }

    pub fn finish(mut self) -> Result<Parsed, Vec<Diag>> {
        for (name, i) in std::mem::take(&mut self.unknown) {
            if let Some(known) = self.names.get(&name)
                && let Some(d) = self.diags.get_mut(i)
            {
                let at = d.labels.first().map_or(0..0, |l| l.start..l.end);
                let message = format!("`{}` is used before its definition", sigil('%', &name));
                *d = Diag { span: d.span.take(), ..Diag::error("order", message) }
                    .label(at, "used here")
                    .label(known.at.range(), format!("defined on line {}", known.at.line))
                    .help("move the definition above the use");
            }
        }
        if self.diags.is_empty() {
            Ok(Parsed { graph: self.g, source: self.source })
        } else {
            self.diags.sort_by_key(|d| d.labels.first().map_or(0, |l| l.start));
            Err(self.diags)
        }
    }

    // ---- tokens

    pub fn bump(&mut self) -> Token {
        let t = self.cur;
        self.cur = self.lex.next();
        t
    }
    pub fn slice(&self, t: Token) -> &'t str {
        &self.lex.text[t.range()]
    }
    pub fn is(&self, punct: u8) -> bool {
        self.cur.kind == Tok::Punct(punct)
    }
    pub fn is_word(&self, word: &str) -> bool {
        self.cur.kind == Tok::Word && self.slice(self.cur) == word
    }
    pub fn eat(&mut self, punct: u8) -> bool {
        let yes = self.is(punct);
        if yes {
            self.bump();
        }
        yes
    }
    /// Goes on at byte `pos` of the current line.
    pub fn go(&mut self, pos: usize) {
        self.lex.go(pos, self.cur.line);
        self.cur = self.lex.next();
    }

    /// The error that something else than `what` stands here.
    pub fn expected(&mut self, what: &str) -> Diag {
        if self.cur.kind == Tok::Bad
            && let Some(d) = self.lex.error.take()
        {
            return d;
        }
        let found = match self.cur.kind {
            Tok::Newline => "the end of the line".into(),
            Tok::End => "the end of the text".into(),
            _ => format!("`{}`", shorten(self.slice(self.cur))),
        };
        let range = match self.cur.kind {
            // A newline has no width of its own that could be underlined.
            Tok::Newline | Tok::End => self.cur.start..self.cur.start,
            _ => self.cur.range(),
        };
        Diag::error("syntax", format!("expected {what}, found {found}"))
            .label(range, format!("expected {what}"))
    }
    pub fn expect(&mut self, kind: Tok, what: &str) -> Result<Token, Diag> {
        if self.cur.kind == kind { Ok(self.bump()) } else { Err(self.expected(what)) }
    }
    pub fn punct(&mut self, punct: u8) -> Result<Token, Diag> {
        if self.is(punct) { Ok(self.bump()) } else { Err(self.expected(&format!("`{}`", punct as char))) }
    }
    /// The word of a line that is laid down: `scale`, `zp`.
    pub fn keyword(&mut self, word: &str) -> Result<Token, Diag> {
        if self.is_word(word) { Ok(self.bump()) } else { Err(self.expected(&format!("`{word}`"))) }
    }
    /// A name behind its sigil.
    pub fn name(&mut self, kind: Tok, what: &str) -> Result<(Token, Name), Diag> {
        let t = self.expect(kind, what)?;
        Ok((t, self.lex.content(t)?.as_ref().into()))
    }

    // ---- lines and errors

    pub fn skip_empty(&mut self) {
        while self.cur.kind == Tok::Newline {
            self.bump();
        }
    }
    pub fn end_of_line(&mut self) -> Result<(), Diag> {
        match self.cur.kind {
            Tok::Newline => {
                self.bump();
                Ok(())
            }
            Tok::End => Ok(()),
            _ => Err(self.expected("the end of the line")),
        }
    }
    /// Goes to the start of the next line after the line of the current token.
    pub fn next_line(&mut self) {
        if self.cur.kind != Tok::Newline && self.cur.kind != Tok::End {
            let rest = &self.lex.text[self.cur.start..];
            let end = rest.find('\n').map_or(self.lex.text.len(), |n| self.cur.start + n);
            self.go(end);
        }
        self.bump();
    }
    pub fn report(&mut self, mut d: Diag) {
        if d.span.is_none()
            && let Some(l) = d.labels.first()
        {
            d.span = Some(self.span(l.start));
        }
        self.diags.push(d);
    }
    /// Whether there were so many errors that looking on serves nobody.
    pub fn gave_up(&self) -> bool {
        self.diags.len() >= MAX_ERRORS
    }
    /// Reports an error and goes on at the next line.
    pub fn recover(&mut self, r: Result<(), Diag>) {
        if let Err(d) = r {
            self.report(d);
            self.next_line();
        }
    }
    /// File, line and column of a byte on or before the current line.
    fn span(&self, at: usize) -> Span {
        let before = &self.lex.text[..at];
        let line = before.bytes().filter(|b| *b == b'\n').count() as u32 + 1;
        self.span_on(at, line)
    }
    /// As [`Parser::span`] for a byte on a known line.
    pub fn span_on(&self, at: usize, line: u32) -> Span {
        let before = &self.lex.text[..at];
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        Span { file: self.file.clone(), line, col: before[start..].chars().count() as u32 + 1 }
    }

    // ---- values

    /// Makes `name` known; an error if it is so already.
    pub fn define(&mut self, name: &Name, at: Token, value: Option<ValueId>) -> Result<(), Diag> {
        if let Some(old) = self.names.get(name) {
            let message = format!("`{}` is defined twice", sigil('%', name));
            return Err(Diag::error("name", message)
                .label(at.range(), "defined again")
                .label(old.at.range(), "first definition"));
        }
        self.names.insert(name.clone(), Known { value, at });
        self.defined.push(name.clone());
        Ok(())
    }

    /// The value that a token names; `None`, reported or known to be broken, if there is none.
    pub fn value_named(&mut self, t: Token) -> Result<Option<ValueId>, Diag> {
        let name = self.lex.content(t)?;
        if let Some(known) = self.names.get(name.as_ref()) {
            return Ok(known.value);
        }
        let mut d = Diag::error("unknown-value", format!("unknown value `{}`", sigil('%', &name)))
            .label(t.range(), "not defined above");
        let from = self.defined.len().saturating_sub(MAX_CANDIDATES);
        if let Some(k) = suggest(&name, self.defined[from..].iter().map(|n| &**n)) {
            d = d.help(format!("did you mean `{}`?", sigil('%', k)));
        }
        self.unknown.push((name.as_ref().into(), self.diags.len()));
        self.report(d);
        Ok(None)
    }

    // ---- the whole text

    pub fn file(&mut self) {
        self.skip_empty();
        let r = self.header();
        self.recover(r);
        let mut seen = false;
        while !self.gave_up() {
            self.skip_empty();
            if self.cur.kind == Tok::End {
                break;
            }
            let r = match (self.cur.kind, self.slice(self.cur)) {
                (Tok::Word, "graph") if seen => Err(self.second_graph()),
                (Tok::Word, "graph") => {
                    seen = true;
                    self.graph()
                }
                (Tok::Word, "dim" | "quant" | "module" | "observer") if !seen => self.declaration(),
                _ if seen => Err(self.expected("nothing after the graph")),
                _ => Err(self.expected("`dim`, `quant`, `module`, `observer` or `graph`")),
            };
            if r.is_err() && seen {
                // What follows a broken graph would only repeat the complaint.
                self.recover(r);
                return;
            }
            self.recover(r);
        }
        if !seen && self.diags.is_empty() {
            let d = self.expected("`graph @name(…) {`");
            self.report(d);
        }
    }

    fn second_graph(&mut self) -> Diag {
        Diag::error("syntax", "a text holds one graph").label(self.cur.range(), "a second graph")
    }

    fn graph(&mut self) -> Result<(), Diag> {
        self.bump();
        let (_, name) = self.name(Tok::Path, "the graph's name such as `@main`")?;
        self.g.name = name;
        let head = self.inputs();
        if let Err(d) = head {
            self.report(d);
            self.next_line();
        }
        let mut syntax = NodeSyntax::default();
        while !self.gave_up() {
            self.skip_empty();
            match self.cur.kind {
                Tok::Punct(b'}') => return Err(self.expected("`return` before the end of the graph")),
                Tok::End => return Err(self.expected("`return` and `}`")),
                _ if self.is_word("return") => break,
                _ => self.node(&mut syntax),
            }
        }
        if self.gave_up() {
            return Ok(());
        }
        let r = self.outputs();
        self.recover(r);
        self.skip_empty();
        self.punct(b'}')?;
        self.end_of_line()
    }

    fn inputs(&mut self) -> Result<(), Diag> {
        self.punct(b'(')?;
        while !self.is(b')') {
            let (t, name) = self.name(Tok::Value, "an input such as `%x: f32[1,3]`")?;
            self.punct(b':')?;
            let ty = self.type_syntax()?;
            let ty = self.type_at(ty)?;
            let ty = self.g.types[ty].clone();
            let value = self.g.input(&name, ty);
            self.source.inputs.push(t.range());
            self.define(&name, t, Some(value))?;
            if !self.eat(b',') {
                break;
            }
        }
        self.punct(b')')?;
        self.punct(b'{')?;
        self.end_of_line()
    }

    pub fn outputs(&mut self) -> Result<(), Diag> {
        self.bump();
        while self.cur.kind == Tok::Value {
            let t = self.bump();
            let mut name = self.lex.content(t)?;
            let value = self.value_named(t)?;
            let mut at = t.range();
            if self.is_word("as") {
                self.bump();
                let s = self.expect(Tok::Str, "the output's name in quotes")?;
                name = self.lex.content(s)?;
                at.end = s.end;
            }
            if let Some(value) = value {
                self.g.output(&name, value);
                self.source.outputs.push(at);
            }
            if !self.is(b',') {
                break;
            }
            self.bump();
            if self.cur.kind != Tok::Value {
                return Err(self.expected("a value such as `%x`"));
            }
        }
        self.end_of_line()
    }
}

/// The known word that was probably meant.
pub(crate) fn suggest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let n = word.chars().count();
    // Edit distance costs the product of the lengths.
    if n > 100 {
        return None;
    }
    let slack = (n / 3).max(1);
    did_you_mean(word, known.filter(|k| k.len() <= 400 && k.chars().count().abs_diff(n) <= slack))
}

/// Text for a message, cut to a length that fits a line.
pub(crate) fn shorten(s: &str) -> String {
    match s.char_indices().nth(60) {
        Some((i, _)) => format!("{}…", &s[..i]),
        None => s.into(),
    }
}

/// The range of `part`, a slice of `whole`, which starts at byte `from` of the text.
pub(crate) fn within(whole: &str, part: &str, from: usize) -> Range<usize> {
    let at = part.as_ptr() as usize - whole.as_ptr() as usize;
    from + at..from + at + part.len()
}
