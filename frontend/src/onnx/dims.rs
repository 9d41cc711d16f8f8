//! Shape arithmetic: integer tensors whose contents are expressions over the graph's symbols.
//!
//! Exporters compute shapes by chains of `Shape`, `Gather`, `Concat` and arithmetic. Following the contents gives
//! `Reshape`, `Expand` and `Resize` exact result types.

use quantir_ir::Dim;

/// The contents of an integer tensor of rank 0 or 1; truth values are 0 and 1.
#[derive(Clone, PartialEq, Debug)]
pub struct Dims {
    /// The elements.
    pub items: Vec<Dim>,
    /// Whether the rank is 0.
    pub scalar: bool,
}

impl Dims {
    /// A vector.
    pub fn vector(items: Vec<Dim>) -> Dims {
        Dims { items, scalar: false }
    }

    /// A scalar.
    pub fn scalar(item: Dim) -> Dims {
        Dims { items: vec![item], scalar: true }
    }

    /// The elements as numbers, if all are known.
    pub fn literals(&self) -> Option<Vec<i64>> {
        self.items.iter().map(Dim::as_lit).collect()
    }

    /// `f` on the elements of both, broadcast; `None` if `f` has no answer for some.
    pub fn zip(&self, other: &Dims, f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Option<Dims> {
        let len = match (self.items.len(), other.items.len()) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return None,
        };
        let pick = |d: &'_ Dims, i: usize| d.items[if d.items.len() == 1 { 0 } else { i }].clone();
        let items =
            (0..len).map(|i| f(&pick(self, i), &pick(other, i)).filter(is_short)).collect::<Option<_>>()?;
        Some(Dims { items, scalar: self.scalar && other.scalar })
    }
}

/// Whether an expression is of a length that real models have. Products of sums double with each step, so without a
/// bound a short file could ask for expressions that fill the memory.
fn is_short(d: &Dim) -> bool {
    const MOST: usize = 256;
    let mut symbols = 0;
    d.symbols(&mut |_| symbols += 1);
    symbols <= MOST
}

/// An elementwise op on known integers.
pub type Arithmetic = fn(&Dim, &Dim) -> Option<Dim>;

/// `a + b`.
pub fn add(a: &Dim, b: &Dim) -> Option<Dim> {
    Some(a.add(b))
}
/// `a − b`.
pub fn sub(a: &Dim, b: &Dim) -> Option<Dim> {
    Some(a.sub(b))
}
/// `a × b`.
pub fn mul(a: &Dim, b: &Dim) -> Option<Dim> {
    Some(a.mul(b))
}
/// `a / b`, truncated. An expression over symbols counts as not negative, as sizes are.
pub fn div(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a.as_lit(), b.as_lit()) {
        (_, Some(0)) => None,
        (Some(a), Some(b)) => a.checked_div(b).map(Dim::lit),
        (None, Some(b)) if b > 0 => Some(a.div_floor(b)),
        _ => a.div_exact(b),
    }
}
/// The remainder with the sign of `b`, as for `fmod=0`.
pub fn modulo(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a.as_lit(), b.as_lit()) {
        (Some(a), Some(b)) if b > 0 => Some(Dim::lit(a.rem_euclid(b))),
        (None, Some(b)) if b > 0 => Some(a.sub(&a.div_floor(b).mul_lit(b))),
        _ => None,
    }
}
/// The larger one.
pub fn max(a: &Dim, b: &Dim) -> Option<Dim> {
    Some(a.larger(b))
}
/// The smaller one.
pub fn min(a: &Dim, b: &Dim) -> Option<Dim> {
    Some(a.smaller(b))
}
/// 1 if both are equal, 0 if they differ for all values of the symbols.
pub fn equal(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a.as_lit(), b.as_lit()) {
        (Some(a), Some(b)) => Some(Dim::lit((a == b).into())),
        _ if a == b => Some(Dim::lit(1)),
        // Sizes are not negative.
        (Some(n), None) | (None, Some(n)) if n < 0 => Some(Dim::lit(0)),
        _ => None,
    }
}

/// The target of an ONNX `Reshape` of `from`: 0 copies a dimension unless `allow_zero`, −1 takes what is left.
///
/// `None` in a place where the division has no closed form.
pub fn reshape_target(from: &[Dim], target: &[Dim], allow_zero: bool) -> Result<Vec<Option<Dim>>, String> {
    let mut out: Vec<Option<Dim>> = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, d) in target.iter().enumerate() {
        match d.as_lit() {
            Some(0) if !allow_zero => match from.get(i) {
                Some(d) => out.push(Some(d.clone())),
                None => return Err(format!("0 at position {i} copies a dimension that the operand lacks")),
            },
            Some(-1) if open.is_some() => return Err("two dimensions are -1".into()),
            Some(-1) => {
                open = Some(i);
                out.push(None);
            }
            Some(n) if n < 0 => return Err(format!("dimension {n} is negative")),
            _ => out.push(Some(d.clone())),
        }
    }
    if let Some(i) = open {
        // Dimensions that stay are left out of the division, since only one-term products divide exactly.
        let mut above: Vec<&Dim> = from.iter().collect();
        let mut below: Vec<&Dim> = Vec::new();
        for d in out.iter().flatten() {
            match above.iter().position(|a| *a == d && !a.is(0)) {
                Some(at) => drop(above.remove(at)),
                None => below.push(d),
            }
        }
        let product = |dims: &[&Dim]| dims.iter().fold(Dim::lit(1), |p, d| p.mul(d));
        let (above, below) = (product(&above), product(&below));
        out[i] = match (above.as_lit(), below.as_lit()) {
            (_, Some(0)) => return Err("a dimension is -1 beside a dimension 0".into()),
            (Some(a), Some(b)) if a % b != 0 => {
                return Err(format!("{a} elements do not split into rows of {b}"));
            }
            (_, Some(b)) if b > 0 => Some(above.div_exact(&below).unwrap_or_else(|| above.div_floor(b))),
            _ => above.div_exact(&below),
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lits(v: &[i64]) -> Vec<Dim> {
        v.iter().map(|n| Dim::lit(*n)).collect()
    }

    #[test]
    fn reshape_targets_follow_the_standard() {
        let get = |from: &[Dim], to: &[Dim]| reshape_target(from, to, false);
        let some = |v: Vec<Dim>| Ok(v.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!(get(&lits(&[2, 3, 4]), &lits(&[0, -1])), some(lits(&[2, 12])));
        assert_eq!(get(&lits(&[2, 3, 4]), &lits(&[4, 6])), some(lits(&[4, 6])));
        let (n, h) = (Dim::sym("N"), Dim::sym("H").add_lit(1));
        let from = [n.clone(), Dim::lit(6), h.clone()];
        assert_eq!(
            get(&from, &[n.clone(), h.clone(), Dim::lit(-1)]),
            some(vec![n.clone(), h.clone(), Dim::lit(6)])
        );
        assert_eq!(get(&from, &[Dim::lit(-1), Dim::lit(3)]), some(vec![n.mul(&h).mul_lit(2), Dim::lit(3)]));
        assert!(get(&lits(&[2]), &lits(&[-1, -1])).is_err());
        assert!(get(&lits(&[5]), &lits(&[-1, 2])).is_err());
        assert!(get(&lits(&[5]), &lits(&[1, 0])).is_err());
        assert_eq!(reshape_target(&lits(&[0, 2]), &lits(&[2, 0]), true), some(lits(&[2, 0])));
    }

    #[test]
    fn expressions_stay_short() {
        let mut d = Dims::scalar(Dim::sym("N").add_lit(1));
        let steps = (0..40).take_while(|_| match d.zip(&d, mul) {
            Some(next) => {
                d = next;
                true
            }
            None => false,
        });
        assert!(steps.count() < 10);
    }

    #[test]
    fn arithmetic_knows_what_it_does_not_know() {
        let (n, m) = (Dim::sym("N"), Dim::sym("M"));
        assert_eq!(equal(&n, &Dim::lit(-1)), Some(Dim::lit(0)));
        assert_eq!(equal(&n, &n), Some(Dim::lit(1)));
        assert_eq!(equal(&n, &m), None);
        assert_eq!(div(&Dim::lit(-7), &Dim::lit(2)), Some(Dim::lit(-3)));
        assert_eq!(div(&n, &Dim::lit(0)), None);
        assert_eq!(div(&n.mul(&m), &m), Some(n));
    }
}
