//! Types: `f32[N,3,8,8]`, `u8!act0[N,8]`.

use std::ops::Range;

use crate::TypeId;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::text::lex::{Lexer, Tok, Token};
use crate::text::parse::{Parser, shorten, suggest, within};
use crate::types::{Elem, Shape, Storage, Type};

impl<'t> Parser<'t, '_> {
    /// Steps over a type; returns where it stands.
    pub fn type_syntax(&mut self) -> Result<Token, Diag> {
        let t = self.expect(Tok::Word, "a type such as `f32[1,3]`")?;
        if self.cur.kind == Tok::Quant {
            self.bump();
        }
        if !self.is(b'[') {
            return Err(self.expected("`[` and the dimensions"));
        }
        let open = self.cur.start;
        let rest = &self.lex.text[open..];
        match rest.find([']', '\n']) {
            Some(n) if rest.as_bytes()[n] == b']' => {
                self.go(open + n + 1);
                Ok(Token { end: open + n + 1, ..t })
            }
            n => {
                let end = n.map_or(self.lex.text.len(), |n| open + n);
                Err(Diag::error("syntax", "the dimensions are not closed").label(open..end, "expected `]`"))
            }
        }
    }

    /// The type at a place that [`Parser::type_syntax`] returned.
    pub fn type_at(&mut self, at: Token) -> Result<TypeId, Diag> {
        let text = &self.lex.text[at.range()];
        if let Some(ty) = self.types.get(text) {
            return Ok(*ty);
        }
        let mut lex = Lexer::at(self.lex.text, at.start, at.line);
        let word = lex.next();
        let storage = self.storage(word)?;
        let mut open = lex.next();
        let elem = if open.kind == Tok::Quant {
            let name = self.slice(open);
            match self.quant_named(open)? {
                Some(q) if q.storage != storage => {
                    let message = format!("`{name}` is a quantization of `{}`", q.storage);
                    return Err(Diag::error("quant", message)
                        .label(word.range(), format!("but the storage here is `{storage}`"))
                        .help(format!("write `{}{name}`", q.storage)));
                }
                Some(q) => {
                    open = lex.next();
                    Elem::Quant(q)
                }
                // The graph is not returned, so what stands for the broken declaration does not matter.
                None => {
                    open = lex.next();
                    Elem::Plain(storage)
                }
            }
        } else {
            Elem::Plain(storage)
        };
        let shape = self.shape(open.end..at.end - 1)?;
        let ty = self.g.types.intern(Type::new(elem, shape));
        self.types.insert(text, ty);
        Ok(ty)
    }

    /// The storage that a word names.
    pub fn storage(&self, t: Token) -> Result<Storage, Diag> {
        let word = self.slice(t);
        Storage::from_word(word).ok_or_else(|| {
            let d = Diag::error("storage", format!("unknown element type `{word}`"));
            let d = d.label(t.range(), "no element type");
            match suggest(word, Storage::ALL.iter().map(|s| s.word())) {
                Some(k) => d.help(format!("did you mean `{k}`?")),
                None => d.help(format!("known are: {}", Storage::ALL.map(Storage::word).join(", "))),
            }
        })
    }

    /// The dimensions between the brackets.
    fn shape(&self, range: Range<usize>) -> Result<Shape, Diag> {
        let text = &self.lex.text[range.clone()];
        let mut dims = Vec::new();
        if text.trim().is_empty() {
            return Ok(Shape(dims));
        }
        let (mut depth, mut from) = (0u32, 0);
        for (i, b) in text.bytes().chain([b',']).enumerate() {
            match b {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                b',' if depth == 0 || i == text.len() => {
                    let part = text[from..i].trim();
                    from = i + 1;
                    let at = within(text, part, range.start);
                    dims.push(part.parse::<Dim>().map_err(|e| dim_error(part, e, at))?);
                }
                _ => {}
            }
        }
        Ok(Shape(dims))
    }
}

/// The error that `text` is no dimension.
pub(crate) fn dim_error(text: &str, why: String, at: Range<usize>) -> Diag {
    Diag::error("dim", format!("`{}` is no dimension: {}", shorten(text), shorten(&why))).label(at, "here")
}
