//! The line of a node: `%a, %b = op %x, _, %y {attribute=value} : type, type @path by "call"`.

use smallvec::SmallVec;

use crate::TypeId;
use crate::attr::AttrList;
use crate::diag::{Diag, Reason};
use crate::graph::{Name, Operands};
use crate::loc::{Loc, Path};
use crate::ops::Op;
use crate::text::lex::{Tok, Token};
use crate::text::parse::{Blobs, Parser, suggest};

/// The parts of a node's line; kept between lines so that its vectors are allocated once.
#[derive(Default)]
pub(crate) struct NodeSyntax {
    pub results: Vec<Token>,
    pub op: Option<Token>,
    pub operands: Vec<Option<Token>>,
    pub attrs: AttrList,
    /// The attributes' names in the text.
    pub attr_names: Vec<Token>,
    pub types: Vec<Token>,
    pub path: Option<Token>,
    pub call: Option<Token>,
}

impl NodeSyntax {
    fn clear(&mut self) {
        self.results.clear();
        self.op = None;
        self.operands.clear();
        self.attrs.clear();
        self.attr_names.clear();
        self.types.clear();
        self.path = None;
        self.call = None;
    }
}

impl<'t> Parser<'t, '_> {
    /// Parses the line of a node and adds the node; reports what is wrong with it.
    pub fn node(&mut self, s: &mut NodeSyntax) {
        let r = self.node_syntax(s);
        let broken = r.is_err();
        self.recover(r);
        if !broken {
            match self.build(s) {
                Ok(true) => return,
                Ok(false) => {}
                Err(d) => self.report(d),
            }
        }
        // The results are known even so, so that their uses are no errors of their own.
        for t in &s.results {
            if let Ok(name) = self.lex.content(*t)
                && !self.names.contains_key(name.as_ref())
            {
                let _ = self.define(&name.as_ref().into(), *t, None);
            }
        }
    }

    /// The line of a node, up to and with its end.
    pub fn node_syntax(&mut self, s: &mut NodeSyntax) -> Result<(), Diag> {
        s.clear();
        if self.cur.kind == Tok::Value {
            s.results.push(self.bump());
            while self.eat(b',') {
                let t = self.expect(Tok::Value, "a further result such as `%y`")?;
                s.results.push(t);
            }
            self.punct(b'=')?;
        }
        s.op = Some(self.expect(Tok::Word, "an op such as `conv2d`")?);
        while self.cur.kind == Tok::Value || self.is_word("_") {
            let t = self.bump();
            s.operands.push((t.kind == Tok::Value).then_some(t));
            if !self.is(b',') {
                break;
            }
            self.bump();
            if self.cur.kind != Tok::Value && !self.is_word("_") {
                return Err(self.expected("an operand such as `%x` or `_`"));
            }
        }
        if self.eat(b'{') {
            self.attributes(s)?;
        }
        if self.eat(b':') {
            loop {
                let t = self.type_syntax()?;
                s.types.push(t);
                if !self.eat(b',') {
                    break;
                }
            }
        } else if !s.results.is_empty() {
            return Err(self.expected("`:` and the type of the result"));
        }
        if self.cur.kind == Tok::Path {
            s.path = Some(self.bump());
        }
        if self.is_word("by") {
            self.bump();
            s.call = Some(self.expect(Tok::Str, "what was called, such as `\"nn.Conv2d\"`")?);
        }
        self.end_of_line()
    }

    fn attributes(&mut self, s: &mut NodeSyntax) -> Result<(), Diag> {
        while !self.is(b'}') {
            let t = self.expect(Tok::Word, "an attribute's name")?;
            let name = self.slice(t);
            if s.attrs.iter().any(|(n, _)| n == name) {
                let d = Diag::error("attribute", format!("attribute `{name}` is given twice"));
                return Err(d.label(t.range(), "given again"));
            }
            self.punct(b'=')?;
            let value = self.attr_value(0)?;
            s.attrs.push((name.into(), value));
            s.attr_names.push(t);
            if !self.eat(b',') {
                break;
            }
        }
        self.punct(b'}')?;
        Ok(())
    }

    /// Adds the node; false if an operand is not known, which was reported where it broke.
    fn build(&mut self, s: &mut NodeSyntax) -> Result<bool, Diag> {
        let mut ins = Operands::new();
        let mut whole = true;
        for t in &s.operands {
            let v = match t {
                None => None,
                Some(t) => {
                    let v = self.value_named(*t)?;
                    whole &= v.is_some();
                    v
                }
            };
            ins.push(v);
        }
        while ins.last() == Some(&None) {
            ins.pop();
        }
        let Some(op_token) = s.op else { return Ok(false) };
        let mut op = self.op(op_token, s)?;
        let types: SmallVec<[TypeId; 1]> =
            s.types.iter().map(|t| self.type_at(*t)).collect::<Result<_, _>>()?;
        if types.len() != s.results.len() {
            let (r, t) = (s.results.len(), types.len());
            let range = match (s.types.first(), s.types.last()) {
                (Some(a), Some(b)) => a.start..b.end,
                _ => op_token.range(),
            };
            let d = Diag::error("results", format!("{} but {}", count(r, "result"), count(t, "type")));
            return Err(d.label(range, "one type for each result"));
        }
        if let (Op::Const(c), Some(ty)) = (&mut op, types.first()) {
            let ty = &self.g.types[*ty];
            let resolved = match self.options.blobs {
                Blobs::Keep if c.data.is_blob() => Ok(()),
                Blobs::Find(find) => c.data.resolve(ty, find),
                Blobs::Keep | Blobs::None => c.data.resolve(ty, &|_| None),
            };
            resolved.map_err(|r| {
                let at = s.attr_names.first().copied().unwrap_or(op_token);
                r.diag("const").label(at.range(), "the contents of this constant")
            })?;
        }
        if !whole {
            return Ok(false);
        }
        let mut names: SmallVec<[Name; 1]> = SmallVec::new();
        for t in &s.results {
            names.push(self.lex.content(*t)?.as_ref().into());
        }
        let loc = Loc {
            path: s.path.map(|t| self.shared(t)).transpose()?,
            call: s.call.map(|t| self.shared(t)).transpose()?,
            span: Some(self.span_on(op_token.start, op_token.line)),
            ..Loc::default()
        };
        let (_, outs) = self.g.insert_typed(op, ins, &types, names.clone(), loc, None);
        let start = s.results.first().unwrap_or(&op_token);
        self.source.nodes.push((start.start, start.line));
        for ((name, t), v) in names.iter().zip(&s.results).zip(outs) {
            self.define(name, *t, Some(v))?;
        }
        Ok(true)
    }

    fn op(&mut self, t: Token, s: &mut NodeSyntax) -> Result<Op, Diag> {
        let name = self.slice(t);
        match Op::parse(name, std::mem::take(&mut s.attrs)) {
            Some(Ok(op)) => Ok(op),
            Some(Err(reason)) => Err(self.bad_attribute(t, s, reason)),
            None => {
                let d = Diag::error("unknown-op", format!("unknown op `{name}`"));
                let d = d.label(t.range(), "no op has this name");
                Err(match suggest(name, Op::all_names()) {
                    Some(k) => d.help(format!("did you mean `{k}`?")),
                    None => d,
                })
            }
        }
    }

    /// The error that the op's attributes do not fit, at the attribute that the reason names.
    fn bad_attribute(&self, op: Token, s: &NodeSyntax, reason: Reason) -> Diag {
        let named = |t: &&Token| {
            let name = self.slice(**t);
            let at = reason.message.split_once("attribute `").map(|(_, rest)| rest);
            at.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with(['=', '`']))
        };
        match s.attr_names.iter().find(named) {
            Some(t) => {
                let label = format!("in this attribute of `{}`", self.slice(op));
                reason.diag("attribute").label(t.range(), label)
            }
            None => reason.diag("attribute").label(op.range(), "in the attributes of this op"),
        }
    }

    /// A module path or a call; equal ones are shared.
    pub fn shared(&mut self, t: Token) -> Result<Path, Diag> {
        let text = self.slice(t);
        if let Some(p) = self.paths.get(text) {
            return Ok(p.clone());
        }
        let path: Path = self.lex.content(t)?.as_ref().into();
        self.paths.insert(text, path.clone());
        Ok(path)
    }
}

/// `1 result`, `2 results`
pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
