//! Products spelled out: the factors of nested `mul` and `div`, whatever their order and nesting.

use smallvec::SmallVec;

use crate::constant::number;
use crate::prelude::*;

/// Products of more nodes are not looked into, so that a long chain costs little at each of its nodes.
const MOST: usize = 8;

/// A constant times some values.
pub(crate) struct Product {
    /// The product of all constants.
    pub constant: f32,
    /// The other factors.
    pub factors: SmallVec<[ValueId; 4]>,
}

impl Product {
    /// The product whose last node is `at`: a `mul`, or a `div` by a constant. Inner products that have another
    /// use are factors of their own.
    pub fn of(g: &Graph, at: NodeId) -> Option<Product> {
        let mut p = Product { constant: 1.0, factors: SmallVec::new() };
        let mut open: SmallVec<[NodeId; 4]> = SmallVec::from_slice(&[at]);
        let mut nodes = 0;
        while let Some(n) = open.pop() {
            nodes += 1;
            let (a, b) = sides(g, n).filter(|_| nodes <= MOST)?;
            if let Side::Divisor(c) = b {
                p.constant /= c;
            }
            for v in [Some(a), b.factor()].into_iter().flatten() {
                match number(g, v) {
                    Some(c) => p.constant *= c,
                    None => match g.def_node(v).filter(|&d| g.one_use(v) && sides(g, d).is_some()) {
                        Some(inner) => open.push(inner),
                        None => p.factors.push(v),
                    },
                }
            }
        }
        Some(p)
    }

    /// As [`Product::of`] for the node that defines `v`; a value that is no product of its own is the only factor.
    pub fn value(g: &Graph, v: ValueId) -> Product {
        let inner = g.def_node(v).filter(|_| g.one_use(v)).and_then(|n| Product::of(g, n));
        inner.unwrap_or_else(|| Product { constant: 1.0, factors: SmallVec::from_slice(&[v]) })
    }

    /// How often `x` is a factor, if there is no other.
    pub fn power_of(&self, x: ValueId) -> Option<usize> {
        self.factors.iter().all(|&f| f == x).then_some(self.factors.len())
    }
}

/// The right side of a `mul` or `div`.
enum Side {
    Factor(ValueId),
    Divisor(f32),
}

impl Side {
    fn factor(&self) -> Option<ValueId> {
        match self {
            Side::Factor(v) => Some(*v),
            Side::Divisor(_) => None,
        }
    }
}

fn sides(g: &Graph, n: NodeId) -> Option<(ValueId, Side)> {
    if let Some(m) = g.get::<Mul>(n) {
        return (m.op.act == Act::None).then_some((m.a, Side::Factor(m.b)));
    }
    let d = g.get::<Div>(n)?;
    Some((d.a, Side::Divisor(number(g, d.b)?)))
}

/// Whether two numbers are the same up to the rounding of a constant in a model file.
pub(crate) fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}
