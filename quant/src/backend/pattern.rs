//! [`Pattern`]: what a back end recognizes, as data in the syntax of the IR.
//!
//! `%c = nn.Conv2d %x; %r = nn.ReLU %c`: one line for each call, the last line is the result. In the place of the op
//! stands what the author called (`nn.Conv2d`, `F.relu`, `operator.add`, `.reshape`) or the name of an op of the IR (`conv2d`). Operands:
//!
//! | written | matches |
//! |---|---|
//! | `%c` of a line above | the result of that call, which nobody else uses |
//! | another name | any value; the name lets [`BackendPatternConfig`](super::BackendPatternConfig) speak of it |
//! | `_` | any value |
//! | anything else | this literal (`0`, `True`) |
//!
//! A line whose operands are all free names asks for the call alone, with any number of operands (so `F.conv2d %x` is found with and
//! without a bias); any other line fixes the number of operands.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::Error;
use crate::call_type::canonical;

/// An operand of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operand {
    /// The result of the line with this index.
    Line(usize),
    /// Any value, under this name.
    Free(String),
    /// Any value.
    Any,
    /// This constant, as Python writes it.
    Literal(String),
}

/// One call of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Name of its result.
    pub name: String,
    /// What is called.
    pub op: String,
    /// Its operands.
    pub operands: Vec<Operand>,
}

impl Line {
    /// Whether the number and kind of operands matter.
    pub fn fixes_operands(&self) -> bool {
        self.operands.iter().any(|o| !matches!(o, Operand::Free(_)))
    }
}

/// A tree of calls, see the module's text. Equality ignores names.
#[derive(Clone, Debug)]
pub struct Pattern {
    lines: Vec<Line>,
}

impl Pattern {
    /// One call.
    pub fn single(op: &str) -> Pattern {
        Pattern::chain(&[op])
    }

    /// Calls one after another, first the one that is computed first: `["nn.Conv2d", "nn.ReLU"]`.
    ///
    /// An empty list yields the pattern of a call named `_`, which matches nothing.
    pub fn chain(ops: &[&str]) -> Pattern {
        let ops = if ops.is_empty() { &["_"] } else { ops };
        let line = |(i, op): (usize, &&str)| Line {
            name: letter(i),
            op: canonical(op),
            operands: vec![i.checked_sub(1).map_or(Operand::Free("x".into()), Operand::Line)],
        };
        Pattern { lines: ops.iter().enumerate().map(line).collect() }
    }

    /// A pattern from its lines.
    ///
    /// # Errors
    /// No line; a line that refers to one not above it; two results of one name; a line that is used more or less than
    /// once, except the last, which is not used.
    pub fn from_lines(lines: Vec<Line>) -> Result<Pattern, Error> {
        let bad = |what: String| Err(Error::Declaration(what));
        if lines.is_empty() {
            return bad(
                "a pattern needs a line; write for example `%c = nn.Conv2d %x; %r = nn.ReLU %c`".into()
            );
        }
        let mut uses = vec![0usize; lines.len()];
        for (i, line) in lines.iter().enumerate() {
            if lines[..i].iter().any(|l| l.name == line.name) {
                return bad(format!("two lines of the pattern define %{}", line.name));
            }
            for o in &line.operands {
                match o {
                    Operand::Line(j) if *j < i => uses[*j] += 1,
                    Operand::Line(_) => {
                        return bad(format!("%{} uses a line that does not stand above it", line.name));
                    }
                    _ => {}
                }
            }
        }
        let last = lines.len() - 1;
        for (i, line) in lines.iter().enumerate() {
            if i != last && uses[i] != 1 {
                return bad(format!(
                    "%{} is used {} times in the pattern; a pattern is a tree, so each line but the last is used once",
                    line.name, uses[i]
                ));
            }
        }
        Ok(Pattern { lines })
    }

    /// The calls, operands before users.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
    /// The call that yields the result.
    pub fn last(&self) -> &Line {
        &self.lines[self.lines.len() - 1]
    }
    /// What is called, in order.
    pub fn ops(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|l| l.op.as_str())
    }
    /// Number of calls.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    /// The line with this name.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|l| l.name == name)
    }
    /// Whether the pattern has a free operand of this name.
    pub fn has_free(&self, name: &str) -> bool {
        let named = |o: &Operand| matches!(o, Operand::Free(n) if n == name);
        self.lines.iter().any(|l| l.operands.iter().any(named))
    }

    /// How soon it is tried: PyTorch tries patterns of more entries first, and among equals those registered first.
    /// Operands that match anything count as entries where they are fixed.
    pub fn weight(&self) -> usize {
        let entries = |l: &Line| {
            let free = l.operands.iter().filter(|o| !matches!(o, Operand::Line(_))).count();
            1 + if l.fixes_operands() { free } else { 0 }
        };
        self.lines.iter().map(entries).sum()
    }

    /// The line that holds the weights unless a `root` is named: PyTorch walks from the result to the last operand, again and again.
    pub fn default_root(&self) -> usize {
        let mut at = self.lines.len() - 1;
        while let Some(Operand::Line(i)) = self.lines[at].operands.last() {
            at = *i;
        }
        at
    }

    /// Text that is the same for patterns that differ in names only.
    pub fn key(&self) -> String {
        self.write(letter_of_index, |_| "_".to_string())
    }

    fn write(&self, name: impl Fn(&Pattern, usize) -> String, free: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (i, line) in self.lines.iter().enumerate() {
            if i > 0 {
                text.push_str("; ");
            }
            text.push_str(&format!("%{} = {}", name(self, i), line.op));
            for (k, o) in line.operands.iter().enumerate() {
                text.push_str(if k == 0 { " " } else { ", " });
                match o {
                    Operand::Line(j) => text.push_str(&format!("%{}", name(self, *j))),
                    Operand::Free(n) if line.fixes_operands() => text.push_str(&free(n)),
                    Operand::Free(n) => text.push_str(&format!("%{}", if free(n) == "_" { "x" } else { n })),
                    Operand::Any => text.push('_'),
                    Operand::Literal(l) => text.push_str(l),
                }
            }
        }
        text
    }
}

fn letter_of_index(_: &Pattern, i: usize) -> String {
    letter(i)
}

/// `a`, `b`, ... `w`, then `v23`, ...: `x` is kept for what comes in.
fn letter(i: usize) -> String {
    match u8::try_from(i) {
        Ok(k) if k < 23 => char::from(b'a' + k).to_string(),
        _ => format!("v{i}"),
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Pattern {}
impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl From<&str> for Pattern {
    /// What the text says as a pattern; a text that is none is taken for the name of one call.
    fn from(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|_| Pattern::single(text))
    }
}
impl<const N: usize> From<[&str; N]> for Pattern {
    fn from(ops: [&str; N]) -> Pattern {
        Pattern::chain(&ops)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(|p, i| p.lines[i].name.clone(), |n| format!("%{n}")))
    }
}

impl FromStr for Pattern {
    type Err = Error;

    /// Lines separated by `;` or line ends. Without `=`, a list of calls one after another: `nn.Conv2d, nn.ReLU`.
    fn from_str(text: &str) -> Result<Pattern, Error> {
        let bad = |what: String| Error::Declaration(format!("{what} in pattern `{text}`"));
        let parts: Vec<&str> = text.split([';', '\n']).map(str::trim).filter(|p| !p.is_empty()).collect();
        if let [one] = parts[..]
            && !one.contains('=')
        {
            let ops: Vec<&str> = one.split(',').map(str::trim).collect();
            if let Some(o) = ops.iter().find(|o| o.is_empty() || o.contains(char::is_whitespace)) {
                return Err(bad(format!("`{o}` is no call")));
            }
            return Ok(Pattern::chain(&ops));
        }
        let mut lines: Vec<Line> = Vec::new();
        for part in parts {
            let (name, rest) = part.split_once('=').ok_or_else(|| bad(format!("no `=` in line `{part}`")))?;
            let name = name.trim().strip_prefix('%').filter(|n| is_name(n));
            let name = name.ok_or_else(|| bad(format!("line `{part}` does not begin with `%name =`")))?;
            let rest = rest.trim();
            let (op, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if op.is_empty() || op.starts_with('%') {
                return Err(bad(format!("no call in line `{part}`")));
            }
            let mut all = Vec::new();
            for o in operands.split(',').map(str::trim).filter(|_| !operands.trim().is_empty()) {
                all.push(match o.strip_prefix('%') {
                    _ if o == "_" => Operand::Any,
                    _ if o.is_empty() => return Err(bad(format!("a missing operand in line `{part}`"))),
                    None => Operand::Literal(o.to_string()),
                    Some(n) if !is_name(n) => return Err(bad(format!("`{o}` is no name"))),
                    Some(n) => match lines.iter().position(|l| l.name == n) {
                        Some(i) => Operand::Line(i),
                        None => Operand::Free(n.to_string()),
                    },
                });
            }
            lines.push(Line { name: name.to_string(), op: canonical(op), operands: all });
        }
        Pattern::from_lines(lines)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn texts_read_back() {
        for text in [
            "%a = nn.Conv2d %x",
            "%c = nn.Conv2d %x; %r = nn.ReLU %c",
            "%c = nn.Conv2d %x; %s = torch.add %y, %c; %r = nn.ReLU %s",
            "%p = aten.max_pool2d_with_indices.default %x; %g = operator.getitem %p, 0",
            "%c = nn.Conv2d %x; %s = operator.add _, %c",
        ] {
            assert_eq!(p(text).to_string(), text);
        }
        assert_eq!(p("nn.Conv2d, nn.ReLU"), p("%c = nn.Conv2d %x; %r = nn.ReLU %c"));
        assert_eq!(Pattern::from("torch.nn.Conv2d, nn.ReLU"), Pattern::from(["nn.Conv2d", "nn.ReLU"]));
    }

    #[test]
    fn equality_ignores_names_and_weight_counts_entries() {
        let left = p("%c = nn.Conv2d %x; %s = torch.add %c, %y");
        assert_eq!(left, p("%k = nn.Conv2d %in; %t = torch.add %k, _"));
        assert_ne!(left, p("%c = nn.Conv2d %x; %s = torch.add %y, %c"));
        assert_eq!(left.weight(), 3);
        assert_eq!(Pattern::chain(&["nn.Conv2d", "nn.BatchNorm2d", "nn.ReLU"]).weight(), 3);
        assert_eq!(p("%c = nn.Conv2d %x; %s = torch.add %y, %c").default_root(), 0);
        assert_eq!(left.default_root(), 1);
    }

    #[test]
    fn wrong_texts_say_what_is_wrong() {
        let e = |t: &str| t.parse::<Pattern>().unwrap_err().to_string();
        assert!(e("").contains("needs a line"));
        assert!(e("%a = nn.Conv2d %x; %b = nn.ReLU %y").contains("used 0 times"));
        assert!(e("%a = nn.Conv2d %x; %a = nn.ReLU %a").contains("define %a"));
        assert!(e("a = nn.Conv2d %x").contains("does not begin with"));
        assert!(e("%a = nn.Conv2d %x,").contains("missing operand"));
    }
}
