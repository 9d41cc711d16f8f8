//! Dimensions: literal or an expression over declared symbols.
//!
//! Expressions are kept in one normal form (a polynomial with integer coefficients over symbols, floor
//! divisions, `max`, `min` and broadcasts), so that equal arithmetic mostly has equal content: `N+N` is
//! `2*N`, and a floor division of a floor division is one division.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

/// One dimension of a shape, or the value of an integer in shape arithmetic (which may be negative).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// A known number.
    Lit(i64),
    /// An expression that holds at least one symbol.
    Expr(Arc<Poly>),
}

/// A polynomial in normal form: terms sorted by their factors, no zero coefficient, not a bare constant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Poly(Vec<(Vec<Atom>, i64)>);

/// An indivisible factor of a term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A declared symbol.
    Sym(Arc<str>),
    /// Floor division by a positive constant.
    Div(Dim, i64),
    /// The larger of two.
    Max(Dim, Dim),
    /// The smaller of two.
    Min(Dim, Dim),
    /// Both must agree at run time, or one of them be 1.
    Broadcast(Dim, Dim),
}

/// The range of a symbol: smallest and, if bounded, largest value.
pub type Range = (i64, Option<i64>);

/// Declared symbols with their ranges, in order of declaration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DimScope(pub IndexMap<Arc<str>, Range>);

/// Values of symbols for one run.
pub type Binding = IndexMap<Arc<str>, i64>;

impl Dim {
    /// A literal.
    pub fn lit(n: i64) -> Dim {
        Dim::Lit(n)
    }
    /// A symbol.
    pub fn sym(name: &str) -> Dim {
        Dim::atom(Atom::Sym(name.into()))
    }
    /// The number, if it is a literal.
    pub fn as_lit(&self) -> Option<i64> {
        match self {
            Dim::Lit(n) => Some(*n),
            Dim::Expr(_) => None,
        }
    }
    /// Whether it is the literal `n`.
    pub fn is(&self, n: i64) -> bool {
        self.as_lit() == Some(n)
    }

    fn atom(a: Atom) -> Dim {
        Dim::Expr(Arc::new(Poly(vec![(vec![a], 1)])))
    }

    fn terms(&self) -> Vec<(Vec<Atom>, i64)> {
        match self {
            Dim::Lit(0) => vec![],
            Dim::Lit(n) => vec![(vec![], *n)],
            Dim::Expr(p) => p.0.clone(),
        }
    }

    /// Number of terms.
    fn len(&self) -> usize {
        match self {
            Dim::Lit(_) => 1,
            Dim::Expr(p) => p.0.len(),
        }
    }

    fn from_terms(mut terms: Vec<(Vec<Atom>, i64)>) -> Dim {
        terms.sort();
        let mut out: Vec<(Vec<Atom>, i64)> = Vec::with_capacity(terms.len());
        for (mono, c) in terms {
            match out.last_mut() {
                Some((m, k)) if *m == mono => *k = k.saturating_add(c),
                _ => out.push((mono, c)),
            }
        }
        out.retain(|(_, c)| *c != 0);
        match out.as_slice() {
            [] => Dim::Lit(0),
            [(m, c)] if m.is_empty() => Dim::Lit(*c),
            _ => Dim::Expr(Arc::new(Poly(out))),
        }
    }

    /// `self + other`, saturating at the range of `i64`.
    pub fn add(&self, other: &Dim) -> Dim {
        if let (Dim::Lit(a), Dim::Lit(b)) = (self, other) {
            return Dim::Lit(a.saturating_add(*b));
        }
        let mut t = self.terms();
        t.extend(other.terms());
        Dim::from_terms(t)
    }
    /// `self - other`.
    pub fn sub(&self, other: &Dim) -> Dim {
        self.add(&other.mul(&Dim::Lit(-1)))
    }
    /// `self + n`.
    pub fn add_lit(&self, n: i64) -> Dim {
        self.add(&Dim::Lit(n))
    }
    /// `self × other`, saturating.
    pub fn mul(&self, other: &Dim) -> Dim {
        if let (Dim::Lit(a), Dim::Lit(b)) = (self, other) {
            return Dim::Lit(a.saturating_mul(*b));
        }
        let (a, b) = (self.terms(), other.terms());
        let mut out = Vec::with_capacity(a.len() * b.len());
        for (ma, ca) in &a {
            for (mb, cb) in &b {
                let mut m = [ma.as_slice(), mb.as_slice()].concat();
                m.sort();
                out.push((m, ca.saturating_mul(*cb)));
            }
        }
        Dim::from_terms(out)
    }
    /// `self × n`.
    pub fn mul_lit(&self, n: i64) -> Dim {
        self.mul(&Dim::Lit(n))
    }

    /// `⌊self / c⌋` for `c ≥ 1`.
    ///
    /// Terms divisible by `c` leave the division, and a division of a division becomes one:
    /// `⌊(⌊x/a⌋ + k) / c⌋ = ⌊(x + k·a) / (a·c)⌋`.
    pub fn div_floor(&self, c: i64) -> Dim {
        assert!(c >= 1, "floor division by a positive constant");
        if c == 1 {
            return self.clone();
        }
        if let Dim::Lit(n) = self {
            return Dim::Lit(n.div_euclid(c));
        }
        let (mut whole, mut rest) = (Vec::new(), Vec::new());
        for (m, k) in self.terms() {
            if m.is_empty() {
                whole.push((vec![], k.div_euclid(c)));
                rest.push((vec![], k.rem_euclid(c)));
            } else if k % c == 0 {
                whole.push((m, k / c));
            } else {
                rest.push((m, k));
            }
        }
        rest.retain(|(_, k)| *k != 0);
        let quotient = match Dim::from_terms(rest) {
            Dim::Lit(n) => Dim::Lit(n.div_euclid(c)),
            rest => {
                let merged = rest
                    .single_division()
                    .and_then(|(x, a, k)| Some((x.add_lit(k.checked_mul(a)?), a.checked_mul(c)?)));
                match merged {
                    Some((x, ac)) => Dim::atom(Atom::Div(x, ac)),
                    None => Dim::atom(Atom::Div(rest, c)),
                }
            }
        };
        quotient.add(&Dim::from_terms(whole))
    }

    /// `(x, a, k)` if this is `⌊x/a⌋ + k`.
    fn single_division(&self) -> Option<(Dim, i64, i64)> {
        let Dim::Expr(p) = self else { return None };
        let (k, term) = match p.0.as_slice() {
            [t] => (0, t),
            [(m, k), t] if m.is_empty() => (*k, t),
            _ => return None,
        };
        match term {
            (m, 1) => match m.as_slice() {
                [Atom::Div(x, a)] => Some((x.clone(), *a, k)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `⌈self / c⌉` for `c ≥ 1`.
    pub fn div_ceil(&self, c: i64) -> Dim {
        self.add_lit(c - 1).div_floor(c)
    }

    /// `self / other` if `other` has one term that divides every term of `self`.
    pub fn div_exact(&self, other: &Dim) -> Option<Dim> {
        if other == self && !other.is(0) {
            return Some(Dim::Lit(1));
        }
        let divisor = other.terms();
        let [(dm, dc)] = divisor.as_slice() else {
            return None;
        };
        let mut out = Vec::new();
        for (mut m, k) in self.terms() {
            if k.checked_rem(*dc) != Some(0) {
                return None;
            }
            for a in dm {
                let at = m.iter().position(|x| x == a)?;
                m.remove(at);
            }
            out.push((m, k / dc));
        }
        Some(Dim::from_terms(out))
    }

    /// The larger of both.
    pub fn larger(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Lit(a), Dim::Lit(b)) => Dim::Lit(*a.max(b)),
            _ if self == other => self.clone(),
            _ => Dim::atom(Atom::Max(self.clone(), other.clone())),
        }
    }
    /// The smaller of both.
    pub fn smaller(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Lit(a), Dim::Lit(b)) => Dim::Lit(*a.min(b)),
            _ if self == other => self.clone(),
            _ => Dim::atom(Atom::Min(self.clone(), other.clone())),
        }
    }

    /// The dimension that results from broadcasting both (numpy's rule); `None` if two literals disagree.
    ///
    /// A symbol against a literal other than 1 yields the literal; two different expressions yield an
    /// expression that is checked when the symbols are known.
    pub fn broadcast(&self, other: &Dim) -> Option<Dim> {
        if self == other || other.is(1) {
            return Some(self.clone());
        }
        if self.is(1) {
            return Some(other.clone());
        }
        match (self, other) {
            (Dim::Lit(_), Dim::Lit(_)) => None,
            (Dim::Lit(_), _) => Some(self.clone()),
            (_, Dim::Lit(_)) => Some(other.clone()),
            _ => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                Some(Dim::atom(Atom::Broadcast(a.clone(), b.clone())))
            }
        }
    }

    /// The number for these values of the symbols.
    pub fn eval(&self, binding: &Binding) -> Result<i64, String> {
        let p = match self {
            Dim::Lit(n) => return Ok(*n),
            Dim::Expr(p) => p,
        };
        let mut sum = 0i64;
        for (mono, c) in &p.0 {
            let mut product = *c;
            for a in mono {
                product = product.checked_mul(a.eval(binding)?).ok_or_else(|| overflow(self))?;
            }
            sum = sum.checked_add(product).ok_or_else(|| overflow(self))?;
        }
        Ok(sum)
    }

    /// This expression with `f` applied to each symbol.
    pub fn substitute(&self, f: &impl Fn(&str) -> Option<Dim>) -> Dim {
        let Dim::Expr(p) = self else { return self.clone() };
        p.0.iter().fold(Dim::Lit(0), |sum, (mono, c)| {
            let product = mono.iter().fold(Dim::Lit(*c), |x, a| {
                let factor = match a {
                    Atom::Sym(s) => f(s).unwrap_or_else(|| Dim::sym(s)),
                    Atom::Div(x, c) => x.substitute(f).div_floor(*c),
                    Atom::Max(x, y) => x.substitute(f).larger(&y.substitute(f)),
                    Atom::Min(x, y) => x.substitute(f).smaller(&y.substitute(f)),
                    Atom::Broadcast(x, y) => {
                        let (x, y) = (x.substitute(f), y.substitute(f));
                        x.broadcast(&y).unwrap_or_else(|| Dim::atom(Atom::Broadcast(x, y)))
                    }
                };
                x.mul(&factor)
            });
            sum.add(&product)
        })
    }

    /// Calls `see` for each symbol that occurs.
    pub fn symbols(&self, see: &mut impl FnMut(&Arc<str>)) {
        let Dim::Expr(p) = self else { return };
        for a in p.0.iter().flat_map(|(m, _)| m) {
            match a {
                Atom::Sym(s) => see(s),
                Atom::Div(x, _) => x.symbols(see),
                Atom::Max(x, y) | Atom::Min(x, y) | Atom::Broadcast(x, y) => {
                    x.symbols(see);
                    y.symbols(see);
                }
            }
        }
    }

    /// Numbers that the value cannot go below and above, for symbols within their ranges; `None` where unknown.
    pub fn bounds(&self, scope: &DimScope) -> (Option<i64>, Option<i64>) {
        let p = match self {
            Dim::Lit(n) => return (Some(*n), Some(*n)),
            Dim::Expr(p) => p,
        };
        let plus = |a: Option<i64>, b: Option<i64>| a?.checked_add(b?);
        p.0.iter().fold((Some(0), Some(0)), |(lo, hi), (mono, c)| {
            // A product of factors that are not negative lies between the products of their bounds.
            let term = mono.iter().try_fold((1i64, Some(1i64)), |(lo, hi), a| {
                let (l, h) = a.bounds(scope);
                let l = l.filter(|&l| l >= 0)?;
                Some((lo.checked_mul(l)?, hi.zip(h).and_then(|(x, y)| x.checked_mul(y))))
            });
            let Some((l, h)) = term else { return (None, None) };
            let (l, h) = (l.checked_mul(*c), h.and_then(|h| h.checked_mul(*c)));
            if *c > 0 { (plus(lo, l), plus(hi, h)) } else { (plus(lo, h), plus(hi, l)) }
        })
    }

    /// The symbol, if the expression is nothing but one symbol.
    pub fn as_sym(&self) -> Option<&Arc<str>> {
        match self {
            Dim::Expr(p) => match p.0.as_slice() {
                [(m, 1)] => match m.as_slice() {
                    [Atom::Sym(s)] => Some(s),
                    _ => None,
                },
                _ => None,
            },
            Dim::Lit(_) => None,
        }
    }
}

impl Atom {
    fn bounds(&self, scope: &DimScope) -> (Option<i64>, Option<i64>) {
        match self {
            Atom::Sym(s) => scope.0.get(s).map_or((None, None), |&(lo, hi)| (Some(lo), hi)),
            Atom::Div(x, c) => {
                let (lo, hi) = x.bounds(scope);
                (lo.map(|n| n.div_euclid(*c)), hi.map(|n| n.div_euclid(*c)))
            }
            Atom::Max(x, y) => {
                let ((a, b), (c, d)) = (x.bounds(scope), y.bounds(scope));
                (a.max(c), b.zip(d).map(|(b, d)| b.max(d)))
            }
            Atom::Min(x, y) => {
                let ((a, b), (c, d)) = (x.bounds(scope), y.bounds(scope));
                (a.zip(c).map(|(a, c)| a.min(c)), [b, d].into_iter().flatten().min())
            }
            // The value is one of both.
            Atom::Broadcast(x, y) => {
                let ((a, b), (c, d)) = (x.bounds(scope), y.bounds(scope));
                (a.zip(c).map(|(a, c)| a.min(c)), b.zip(d).map(|(b, d)| b.max(d)))
            }
        }
    }
    fn eval(&self, b: &Binding) -> Result<i64, String> {
        Ok(match self {
            Atom::Sym(s) => *b.get(s).ok_or_else(|| format!("symbol `{s}` has no value"))?,
            Atom::Div(x, c) => x.eval(b)?.div_euclid(*c),
            Atom::Max(x, y) => x.eval(b)?.max(y.eval(b)?),
            Atom::Min(x, y) => x.eval(b)?.min(y.eval(b)?),
            Atom::Broadcast(x, y) => match (x.eval(b)?, y.eval(b)?) {
                (m, n) if m == n || n == 1 => m,
                (1, n) => n,
                (m, n) => return Err(format!("dimensions {x} = {m} and {y} = {n} must agree")),
            },
        })
    }
}

fn overflow(d: &Dim) -> String {
    format!("dimension {d} is too large")
}

impl From<i64> for Dim {
    fn from(n: i64) -> Dim {
        Dim::Lit(n)
    }
}
impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Lit(n as i64)
    }
}

/// Highest powers first, the constant last: `2*N+1`, `(H-1)/2+1`, `max(A,B)`.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = match self {
            Dim::Lit(n) => return write!(f, "{n}"),
            Dim::Expr(p) => p,
        };
        let (constant, rest): (Vec<_>, Vec<_>) = p.0.iter().partition(|(m, _)| m.is_empty());
        for (i, (mono, c)) in rest.into_iter().chain(constant).enumerate() {
            match (i, *c < 0) {
                (_, true) => f.write_str("-")?,
                (0, false) => {}
                (_, false) => f.write_str("+")?,
            }
            let magnitude = c.unsigned_abs();
            if mono.is_empty() {
                write!(f, "{magnitude}")?;
                continue;
            }
            if magnitude != 1 {
                write!(f, "{magnitude}*")?;
            }
            for (j, a) in mono.iter().enumerate() {
                if j > 0 {
                    f.write_str("*")?;
                }
                // A quotient that is not the first factor needs parentheses: `2*(H/2)` is not `2*H/2`.
                let wrap = matches!(a, Atom::Div(..)) && (j > 0 || magnitude != 1 || mono.len() > 1);
                if wrap {
                    write!(f, "({a})")?;
                } else {
                    write!(f, "{a}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Sym(s) => f.write_str(s),
            Atom::Div(x, c) if x.as_sym().is_some() => write!(f, "{x}/{c}"),
            Atom::Div(x, c) => write!(f, "({x})/{c}"),
            Atom::Max(x, y) => write!(f, "max({x},{y})"),
            Atom::Min(x, y) => write!(f, "min({x},{y})"),
            Atom::Broadcast(x, y) => write!(f, "bcast({x},{y})"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Dim::Expr(Arc::new(self.clone())))
    }
}
impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Dim {
    type Err = String;
    fn from_str(s: &str) -> Result<Dim, String> {
        let mut p = DimParser { rest: s.trim_start(), depth: 0 };
        let d = p.sum()?;
        if p.rest.is_empty() { Ok(d) } else { Err(format!("`{}` is left over in dimension `{s}`", p.rest)) }
    }
}

/// Refuses expressions of very many terms: a short product of sums would fill the memory.
fn small(terms: usize) -> Result<(), String> {
    if terms <= 256 { Ok(()) } else { Err("dimension expression has too many terms (limit 256)".into()) }
}

/// Recursive descent over the grammar that `Display` prints.
struct DimParser<'a> {
    rest: &'a str,
    depth: u32,
}

impl DimParser<'_> {
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(r) => {
                self.rest = r.trim_start();
                true
            }
            None => false,
        }
    }
    fn sum(&mut self) -> Result<Dim, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("dimension expression is nested too deeply (limit 64)".into());
        }
        let mut d = if self.eat('-') { self.product()?.mul_lit(-1) } else { self.product()? };
        loop {
            if self.eat('+') {
                d = d.add(&self.product()?);
            } else if self.eat('-') {
                d = d.sub(&self.product()?);
            } else {
                self.depth -= 1;
                return Ok(d);
            }
            small(d.len())?;
        }
    }
    fn product(&mut self) -> Result<Dim, String> {
        let mut d = self.factor()?;
        loop {
            if self.eat('*') {
                let f = self.factor()?;
                small(d.len() * f.len())?;
                d = d.mul(&f);
            } else if self.eat('/') {
                match self.factor()?.as_lit() {
                    Some(c) if c >= 1 => d = d.div_floor(c),
                    _ => return Err("a dimension is divided by a positive number only".into()),
                }
            } else {
                return Ok(d);
            }
        }
    }
    fn factor(&mut self) -> Result<Dim, String> {
        if self.eat('(') {
            let d = self.sum()?;
            return if self.eat(')') { Ok(d) } else { Err("expected `)` in a dimension".into()) };
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() {
            return Err("expected a number or a symbol in a dimension".into());
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().map(Dim::Lit).map_err(|_| format!("`{word}` is no number"));
        }
        if !self.eat('(') {
            return Ok(Dim::sym(word));
        }
        let a = self.sum()?;
        if !self.eat(',') {
            return Err(format!("`{word}` takes two dimensions"));
        }
        let b = self.sum()?;
        if !self.eat(')') {
            return Err("expected `)` in a dimension".into());
        }
        match word {
            "max" => Ok(a.larger(&b)),
            "min" => Ok(a.smaller(&b)),
            "bcast" => a.broadcast(&b).ok_or_else(|| format!("{a} and {b} do not broadcast")),
            _ => Err(format!("unknown function `{word}` in a dimension; known are `max`, `min`, `bcast`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arithmetic_has_equal_content() {
        let h = Dim::sym("H");
        assert_eq!(h.add(&h), h.mul_lit(2));
        assert_eq!(h.mul_lit(4).add_lit(6).div_floor(2), h.mul_lit(2).add_lit(3));
        // Two stride-2 convolutions in a row: ⌊(⌊(H-1)/2⌋+1-1)/2⌋+1.
        let once = h.add_lit(-1).div_floor(2).add_lit(1);
        let twice = once.add_lit(-1).div_floor(2).add_lit(1);
        assert_eq!(twice, h.add_lit(-1).div_floor(4).add_lit(1));
        assert_eq!(Dim::sym("N").mul(&h).mul_lit(6).div_exact(&h.mul_lit(3)), Some(Dim::sym("N").mul_lit(2)));
    }

    #[test]
    fn bounds_follow_the_ranges_of_symbols() {
        let mut scope = DimScope::default();
        scope.0.insert("H".into(), (8, Some(100)));
        scope.0.insert("N".into(), (1, None));
        let bounds = |s: &str| s.parse::<Dim>().unwrap().bounds(&scope);
        assert_eq!(bounds("(H-7)/2+1"), (Some(1), Some(47)));
        assert_eq!(bounds("2*N*H-3"), (Some(13), None));
        assert_eq!(bounds("5-H"), (Some(-95), Some(-3)));
        assert_eq!(bounds("min(N,H)"), (Some(1), Some(100)));
        assert_eq!(bounds("max(N,H)"), (Some(8), None));
        assert_eq!(bounds("K"), (None, None));
    }

    #[test]
    fn printed_dims_parse_back() {
        let (h, w) = (Dim::sym("H"), Dim::sym("W"));
        let cases = [
            h.clone(),
            h.add_lit(-1).div_floor(2).add_lit(1),
            h.div_floor(2).mul_lit(2),
            h.div_floor(2).mul(&w.div_floor(2)).mul_lit(-3).add_lit(5),
            h.larger(&w.smaller(&Dim::lit(3))),
            h.broadcast(&w).unwrap().add_lit(2),
            Dim::lit(-4),
        ];
        for d in cases {
            assert_eq!(d.to_string().parse::<Dim>().as_ref(), Ok(&d), "{d}");
        }
    }
}
