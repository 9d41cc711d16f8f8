//! How names, strings and numbers are written.

use std::borrow::Cow;
use std::fmt;

/// Whether a name stands without quotes: letters, digits, `_` and `.` of ASCII, at least one.
pub fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

/// Whether a word can name a dimension: a letter or `_` first, then letters, digits, `_` and `.`; words that
/// mean a number or a truth value are taken.
pub fn is_symbol(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '.')
        && !matches!(word, "inf" | "nan" | "true" | "false" | "_")
}

/// A name behind its sigil, in quotes if it needs them: `%conv1`, `%"a/b:0"`.
pub fn sigil(mark: char, name: &str) -> impl fmt::Display + '_ {
    Sigil(mark, name)
}

/// A string in quotes. Control characters and those that reorder or break lines are escaped.
pub fn quoted(text: &str) -> impl fmt::Display + '_ {
    Quoted(text)
}

struct Sigil<'a>(char, &'a str);
impl fmt::Display for Sigil<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mark = [0; 4];
        f.write_str(self.0.encode_utf8(&mut mark))?;
        if is_bare(self.1) { f.write_str(self.1) } else { Quoted(self.1).fmt(f) }
    }
}

struct Quoted<'a>(&'a str);
impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut plain = 0;
        for (i, c) in self.0.char_indices() {
            let hidden = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            if c != '"' && c != '\\' && !hidden {
                continue;
            }
            f.write_str(&self.0[plain..i])?;
            plain = i + c.len_utf8();
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c => write!(f, "\\u{{{:x}}}", c as u32)?,
            }
        }
        f.write_str(&self.0[plain..])?;
        f.write_str("\"")
    }
}

/// The text between the quotes without escapes; the error says which escape is wrong.
pub(crate) fn unescape(inner: &str) -> Result<Cow<'_, str>, String> {
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return Err("`\\` ends the string".into()) };
        rest = &rest[c.len_utf8()..];
        out.push(match c {
            '"' | '\\' | '\'' => c,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => {
                let (hex, tail) = rest
                    .strip_prefix('{')
                    .and_then(|r| r.split_once('}'))
                    .ok_or("`\\u` needs digits in braces, such as `\\u{e9}`")?;
                rest = tail;
                let digits = (1..=6).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
                let code = u32::from_str_radix(hex, 16).ok().filter(|_| digits);
                code.and_then(char::from_u32).ok_or_else(|| format!("`\\u{{{hex}}}` is no character"))?
            }
            c => return Err(format!("unknown escape `\\{c}`")),
        });
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// A float in shortest round-trip form, whole numbers without a point: scales and arguments of observers.
pub fn number(x: f32) -> impl fmt::Display {
    Number(x)
}

struct Number(f32);
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            return f.write_str("nan");
        }
        let text = format!("{:?}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_string_survives_quoting() {
        for s in ["", "a/b:0", "q\"u\\o", "näme 名", "\n\r\t\0\u{7f}\u{202e}\u{2028}", "🙂", "\\u{41}"] {
            let q = quoted(s).to_string();
            assert!(!q.contains('\n'));
            assert_eq!(unescape(&q[1..q.len() - 1]).unwrap(), s, "{q}");
        }
    }

    #[test]
    fn wrong_escapes_are_refused() {
        for s in ["\\", "\\x", "\\u41", "\\u{}", "\\u{d800}", "\\u{110000}", "\\u{+41}", "\\u{1234567}"] {
            assert!(unescape(s).is_err(), "{s}");
        }
    }

    #[test]
    fn numbers_round_trip() {
        for x in [0.0, -0.0, 1.0, 0.0014, 1e-10, 3.4e38, f32::MIN_POSITIVE, f32::INFINITY, 16777216.0, 1e16] {
            assert_eq!(number(x).to_string().parse::<f32>().unwrap().to_bits(), x.to_bits());
        }
    }
}
