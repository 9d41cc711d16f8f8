//! Values of attributes: numbers, words, strings, lists, dimensions, calls.

use crate::attr::AttrValue;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::text::decl::{bad_number, to_float};
use crate::text::lex::{Tok, Token};
use crate::text::parse::{MAX_DEPTH, Parser};
use crate::text::types::dim_error;

impl Parser<'_, '_> {
    /// An attribute's value.
    pub fn attr_value(&mut self, depth: u32) -> Result<AttrValue, Diag> {
        if depth > MAX_DEPTH {
            let d = Diag::error("syntax", format!("values are nested too deeply (limit {MAX_DEPTH})"));
            return Err(d.label(self.cur.range(), "here"));
        }
        let t = self.cur;
        match t.kind {
            Tok::Str => {
                self.bump();
                Ok(AttrValue::Str(self.lex.content(t)?.into_owned()))
            }
            Tok::Observer => {
                self.bump();
                Ok(AttrValue::Observer(self.lex.content(t)?.into_owned()))
            }
            Tok::Punct(b'[') => Ok(AttrValue::List(self.values(b']', depth)?)),
            Tok::Punct(b'(') => self.dim_value(t),
            Tok::Punct(b'-') => {
                self.bump();
                match self.cur.kind {
                    Tok::Number if !self.operator_follows() => self.number("-", t.start),
                    Tok::Word if matches!(self.slice(self.cur), "inf" | "nan") => {
                        let nan = self.slice(self.cur) == "nan";
                        self.bump();
                        Ok(AttrValue::Float(if nan { f32::NAN } else { f32::NEG_INFINITY }))
                    }
                    _ => self.dim_value(t),
                }
            }
            Tok::Number if self.operator_follows() => self.dim_value(t),
            Tok::Number => self.number("", t.start),
            Tok::Word => self.word(t, depth),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, t: Token, depth: u32) -> Result<AttrValue, Diag> {
        let word = self.slice(t);
        let call = self.lex.text.as_bytes().get(t.end) == Some(&b'(');
        if (call && matches!(word, "max" | "min" | "bcast")) || self.operator_follows() {
            return self.dim_value(t);
        }
        self.bump();
        if call {
            return Ok(AttrValue::Call(word.into(), self.values(b')', depth)?));
        }
        Ok(match word {
            "true" => AttrValue::Bool(true),
            "false" => AttrValue::Bool(false),
            "inf" => AttrValue::Float(f32::INFINITY),
            "nan" => AttrValue::Float(f32::NAN),
            _ => AttrValue::Word(word.into()),
        })
    }

    /// The values from an opening bracket up to `close`.
    fn values(&mut self, close: u8, depth: u32) -> Result<Vec<AttrValue>, Diag> {
        self.bump();
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(self.attr_value(depth + 1)?);
            if !self.eat(b',') {
                break;
            }
        }
        self.punct(close)?;
        Ok(items)
    }

    /// The number at the current token, whose sign stands at `start`.
    fn number(&mut self, sign: &str, start: usize) -> Result<AttrValue, Diag> {
        let t = Token { start, ..self.cur };
        let digits = self.slice(self.cur);
        self.bump();
        let text = format!("{sign}{digits}");
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(AttrValue::Int).map_err(|_| bad_number(&text, t, "a 64-bit integer"));
        }
        to_float(&text).map(AttrValue::Float).ok_or_else(|| bad_number(&text, t, "a 32-bit float"))
    }

    /// Whether an operator of dimensions follows the current token.
    fn operator_follows(&self) -> bool {
        let rest = self.lex.text[self.cur.end..].trim_start_matches([' ', '\t']);
        rest.starts_with(['+', '-', '*', '/']) && !rest.starts_with("//")
    }

    /// A dimension from token `first` to the comma or bracket that ends it.
    fn dim_value(&mut self, first: Token) -> Result<AttrValue, Diag> {
        let text = &self.lex.text[first.start..];
        let mut depth = 0u32;
        let end = text
            .find(|c: char| match c {
                '(' => {
                    depth += 1;
                    false
                }
                ')' if depth > 0 => {
                    depth -= 1;
                    false
                }
                ',' => depth == 0,
                '+' | '-' | '*' | '/' | '_' | '.' | ' ' => false,
                c => !c.is_alphanumeric(),
            })
            .unwrap_or(text.len());
        let part = text[..end].trim_end();
        self.go(first.start + end);
        match part.parse::<Dim>() {
            Ok(d) => Ok(d.as_lit().map_or_else(|| AttrValue::Dim(d.clone()), AttrValue::Int)),
            Err(e) => Err(dim_error(part, e, first.start..first.start + part.len())),
        }
    }
}
