//! Tokens of the text format, one at a time.

use std::borrow::Cow;
use std::ops::Range;

use crate::diag::Diag;
use crate::text::quote;

/// The kind of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tok {
    /// The end of a line.
    Newline,
    /// The end of the text.
    End,
    /// `conv2d`, `N`, `true`
    Word,
    /// `12`, `0.5`, `1e-3`; a sign is a token of its own
    Number,
    /// `"text"`
    Str,
    /// `%name`
    Value,
    /// `!name`
    Quant,
    /// `$name`
    Observer,
    /// `@name`
    Path,
    /// `..`
    Dots,
    /// One character such as `(`.
    Punct(u8),
    /// Something that is no token; [`Lexer::error`] says why.
    Bad,
}

/// A token: a stretch of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Tok,
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: u32,
}

impl Token {
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Cuts a text into tokens. Strings and numbers end at the end of their line at the latest, so a parser can
/// always go on at the next line.
pub(crate) struct Lexer<'t> {
    pub text: &'t str,
    pos: usize,
    line: u32,
    /// Why the last token is [`Tok::Bad`].
    pub error: Option<Diag>,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, pos: 0, line: 1, error: None }
    }

    /// A lexer that starts at `pos`, which lies on line `line`.
    pub fn at(text: &'t str, pos: usize, line: u32) -> Lexer<'t> {
        Lexer { text, pos, line, error: None }
    }

    /// Goes on at `pos`, which lies on line `line`.
    pub fn go(&mut self, pos: usize, line: u32) {
        (self.pos, self.line) = (pos, line);
    }

    pub fn next(&mut self) -> Token {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'/') if bytes.get(self.pos + 1) == Some(&b'/') => {
                    self.pos = self.text[self.pos..].find('\n').map_or(self.text.len(), |n| self.pos + n);
                }
                _ => break,
            }
        }
        let (start, line) = (self.pos, self.line);
        let Some(&b) = bytes.get(start) else {
            return Token { kind: Tok::End, start, end: start, line };
        };
        let kind = match b {
            b'\n' => {
                self.pos += 1;
                self.line += 1;
                Tok::Newline
            }
            b'%' => self.name(Tok::Value),
            b'!' => self.name(Tok::Quant),
            b'$' => self.name(Tok::Observer),
            b'@' => self.name(Tok::Path),
            b'"' => self.string(Tok::Str),
            b'0'..=b'9' => self.number(),
            b'.' if bytes.get(start + 1) == Some(&b'.') => {
                self.pos += 2;
                Tok::Dots
            }
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b':' | b'=' | b'+' | b'-' | b'*' | b'/' => {
                self.pos += 1;
                Tok::Punct(b)
            }
            _ => self.word(),
        };
        Token { kind, start, end: self.pos, line }
    }

    fn bad(&mut self, range: Range<usize>, message: String, label: &str) -> Tok {
        self.error = Some(Diag::error("syntax", message).label(range, label));
        Tok::Bad
    }

    /// A sigil and its name.
    fn name(&mut self, kind: Tok) -> Tok {
        let start = self.pos;
        self.pos += 1;
        if self.text.as_bytes().get(self.pos) == Some(&b'"') {
            return self.string(kind);
        }
        let bare = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'.';
        self.pos += self.text.as_bytes()[self.pos..].iter().take_while(|b| bare(b)).count();
        if self.pos == start + 1 {
            let mark = &self.text[start..start + 1];
            let message = format!("expected a name after `{mark}`");
            return self.bad(start..self.pos, message, "no name follows");
        }
        kind
    }

    /// A string from its opening quote on.
    fn string(&mut self, kind: Tok) -> Tok {
        let start = self.pos;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return kind;
                }
                Some(b'\\') if !matches!(bytes.get(at + 1), None | Some(b'\n')) => at += 2,
                None | Some(b'\n') => {
                    self.pos = at;
                    return self.bad(start..at, "the string is not closed".into(), "expected `\"`");
                }
                Some(_) => at += 1,
            }
        }
    }

    fn number(&mut self) -> Tok {
        let start = self.pos;
        let bytes = self.text.as_bytes();
        let digits = |at: usize| bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut at = start + digits(start);
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at += 1 + digits(at + 1);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let n = digits((at + 1 + sign).min(bytes.len()));
            if n > 0 {
                at += 1 + sign + n;
            }
        }
        let letters = self.text[at..]
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.text.len() - at);
        self.pos = at + letters;
        if letters == 0 {
            return Tok::Number;
        }
        let d = Diag::error("syntax", format!("number runs into letters: `{}`", &self.text[start..self.pos]))
            .label(start..self.pos, "neither a number nor a word")
            .help("put a hash or another text in quotes");
        self.error = Some(d);
        Tok::Bad
    }

    fn word(&mut self) -> Tok {
        let start = self.pos;
        let rest = &self.text[start..];
        let first = rest.chars().next().unwrap_or(' ');
        if !(first.is_alphabetic() || first == '_') {
            self.pos += first.len_utf8();
            let message = format!("unexpected character `{}`", first.escape_debug());
            return self.bad(start..self.pos, message, "not part of the text format");
        }
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        self.pos += rest.find(|c| !part(c)).unwrap_or(rest.len());
        Tok::Word
    }

    /// The name or string that a token holds, without sigil, quotes and escapes.
    pub fn content(&self, t: Token) -> Result<Cow<'t, str>, Diag> {
        let mut s = &self.text[t.range()];
        if t.kind != Tok::Str {
            s = &s[1..];
        }
        match s.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
            None => Ok(Cow::Borrowed(s)),
            Some(inner) => quote::unescape(inner)
                .map_err(|e| Diag::error("syntax", e).label(t.range(), "in this string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Tok> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| Some(lexer.next().kind)).take_while(|k| *k != Tok::End).collect()
    }

    #[test]
    fn a_number_that_runs_into_letters_is_no_number() {
        assert_eq!(
            kinds("0e51 77a2 1.. 1.5 2e 3_"),
            [Tok::Number, Tok::Bad, Tok::Number, Tok::Dots, Tok::Number, Tok::Bad, Tok::Bad]
        );
    }

    #[test]
    fn strings_end_with_their_line() {
        assert_eq!(kinds("%\"a\\\"b\" \"open\\\n@x"), [Tok::Value, Tok::Bad, Tok::Newline, Tok::Path]);
    }
}
