//! Broadcasting: which element of an operand belongs to which element of the result.

/// An operand of rank at most that of the result, as strides over the result's dimensions; 0 repeats.
pub(crate) fn strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; to.len()];
    let mut step = 1;
    for (s, &d) in strides.iter_mut().rev().zip(from.iter().rev()) {
        *s = if d == 1 { 0 } else { step };
        step *= d;
    }
    strides
}

/// For each element of `to` in row-major order, the element of an operand of dimensions `from`.
pub(crate) fn places(from: &[usize], to: &[usize]) -> Vec<usize> {
    let strides = strides(from, to);
    let mut all = vec![0];
    for (&d, &s) in to.iter().zip(&strides) {
        all = all.iter().flat_map(|&at| (0..d).map(move |i| at + i * s)).collect();
    }
    all
}

/// Dimensions of an elementwise op with strides of its operands, neighbours merged where all strides allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loops {
    /// Outermost first; never empty.
    pub dims: Vec<usize>,
    /// Strides of each operand.
    pub strides: Vec<Vec<usize>>,
}

impl Loops {
    /// Loops over `to` for operands of these dimensions.
    pub(crate) fn new(operands: &[&[usize]], to: &[usize]) -> Loops {
        let all: Vec<Vec<usize>> = operands.iter().map(|d| strides(d, to)).collect();
        let mut dims: Vec<usize> = Vec::new();
        let mut merged: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
        // From the innermost out; a dimension joins the one inside it if every operand steps on evenly.
        for i in (0..to.len()).rev() {
            if to[i] == 1 {
                continue;
            }
            let joins = dims.last().is_some_and(|&inner| {
                all.iter().zip(&merged).all(|(s, m)| m.last().is_some_and(|&m| s[i] == m * inner))
            });
            match dims.last_mut() {
                Some(inner) if joins => *inner *= to[i],
                _ => {
                    dims.push(to[i]);
                    merged.iter_mut().zip(&all).for_each(|(m, s)| m.push(s[i]));
                }
            }
        }
        if dims.is_empty() {
            dims.push(1);
            merged.iter_mut().for_each(|m| m.push(0));
        }
        dims.reverse();
        merged.iter_mut().for_each(|m| m.reverse());
        Loops { dims, strides: merged }
    }

    /// Elements of the innermost loop.
    pub(crate) fn inner(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    /// Innermost loops.
    pub(crate) fn outer(&self) -> usize {
        self.dims[..self.dims.len() - 1].iter().product()
    }

    /// Step of operand `i` within the innermost loop.
    pub(crate) fn step(&self, i: usize) -> usize {
        self.strides[i].last().copied().unwrap_or(0)
    }

    /// The first element of operand `i` in innermost loop number `n`.
    pub(crate) fn start(&self, i: usize, mut n: usize) -> usize {
        let mut at = 0;
        for (&d, &s) in self.dims.iter().zip(&self.strides[i]).rev().skip(1) {
            at += n % d * s;
            n /= d;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_operands_are_one_loop() {
        let loops = Loops::new(&[&[2, 3, 4], &[2, 3, 4]], &[2, 3, 4]);
        assert_eq!((loops.outer(), loops.inner()), (1, 24));
        let scalar = Loops::new(&[&[2, 3], &[]], &[2, 3]);
        assert_eq!((scalar.outer(), scalar.inner(), scalar.step(1)), (1, 6, 0));
    }

    #[test]
    fn starts_are_places() {
        for (a, b, to) in [
            (&[2, 3, 4][..], &[3, 1][..], &[2, 3, 4][..]),
            (&[2, 1, 1, 4], &[1, 5, 6, 4], &[2, 5, 6, 4]),
            (&[1], &[2, 2], &[2, 2]),
        ] {
            let loops = Loops::new(&[a, b], to);
            for (i, from) in [a, b].into_iter().enumerate() {
                let inner = loops.inner();
                let got: Vec<usize> = (0..loops.outer() * inner)
                    .map(|n| loops.start(i, n / inner) + n % inner * loops.step(i))
                    .collect();
                assert_eq!(got, places(from, to));
            }
        }
    }
}
