//! `f32` matrix product with packed weights, bias and clamp.

use super::simd::{Job, Lanes, Width, dispatch};

/// Lower and upper bound of results; infinite where open.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Clamp {
    pub lo: f32,
    pub hi: f32,
}

impl Clamp {
    /// No bound.
    pub(crate) const OPEN: Clamp = Clamp { lo: f32::NEG_INFINITY, hi: f32::INFINITY };

    pub(crate) fn is_open(self) -> bool {
        self == Clamp::OPEN
    }
}

/// A weight matrix in panels of columns, `[n / width][k][width]`.
pub(crate) struct PackedF32 {
    width: Width,
    /// Whether products and sums are rounded once; otherwise each operation is, as in the interpreter.
    fused: bool,
    n: usize,
    k: usize,
    panels: Vec<f32>,
    /// One for each column, in whole panels; empty for none.
    bias: Vec<f32>,
    clamp: Clamp,
}

/// Packs the row-major `[k][n]` matrix `b` into `panels`, which has [`panels_len`] numbers.
pub(crate) fn pack_rows(width: Width, (n, k): (usize, usize), b: &[f32], panels: &mut [f32]) {
    let step = panel(width);
    for (p, panel) in panels.chunks_exact_mut((k * step).max(1)).enumerate().take(n.div_ceil(step)) {
        let columns = (n - p * step).min(step);
        for (row, line) in panel.chunks_exact_mut(step).enumerate() {
            let (head, tail) = line.split_at_mut(columns);
            head.copy_from_slice(&b[row * n + p * step..][..columns]);
            tail.fill(0.0);
        }
    }
}

/// Numbers in the panels of a `[k][n]` matrix.
pub(crate) fn panels_len(width: Width, (n, k): (usize, usize)) -> usize {
    n.div_ceil(panel(width)) * panel(width) * k
}

/// Computes `m` rows with panels from [`pack_rows`], without bias and bounds; see [`PackedF32::run`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn product(
    width: Width,
    fused: bool,
    (n, k): (usize, usize),
    panels: &[f32],
    a: &[f32],
    m: usize,
    out: &mut [f32],
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.len() >= m * k && out.len() >= m * n, "an operand is too short for {m} rows");
    assert!(panels.len() >= panels_len(width, (n, k)), "the panels are too short");
    let weights = Weights { fused, n, k, panels, bias: &[], clamp: Clamp::OPEN };
    let (a, out) = (a.as_ptr(), out.as_mut_ptr());
    let job = Product { weights, a, lda: k, m, out, ldc: n, panels: 0..n.div_ceil(panel(width)) };
    // SAFETY: the lengths were checked.
    unsafe { dispatch(width, job) }
}

/// Columns of a panel: two vectors.
fn panel(width: Width) -> usize {
    2 * width.lanes()
}

/// Rows whose activations stay in the second-level cache while all panels pass.
const BLOCK_BYTES: usize = 192 << 10;

impl PackedF32 {
    /// Packs `[n][k]` with `weight(column, row)`.
    ///
    /// Results are `clamp(Σₖ a·w + bias)`, summed in the order of `k` from zero.
    pub(crate) fn new(
        width: Width,
        fused: bool,
        (n, k): (usize, usize),
        weight: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
        clamp: Clamp,
    ) -> PackedF32 {
        let step = panel(width);
        let count = n.div_ceil(step);
        let mut panels = vec![0.0; count * k * step];
        for (p, panel) in panels.chunks_exact_mut((k * step).max(1)).enumerate() {
            for (row, line) in panel.chunks_exact_mut(step).enumerate() {
                for (i, to) in line.iter_mut().enumerate().take(n - p * step) {
                    *to = weight(p * step + i, row);
                }
            }
        }
        let bias = bias.map_or(Vec::new(), |b| {
            let mut all = vec![0.0; count * step];
            all[..n].copy_from_slice(b);
            all
        });
        PackedF32 { width, fused, n, k, panels, bias, clamp }
    }

    /// Output columns.
    pub(crate) fn n(&self) -> usize {
        self.n
    }
    /// Input columns.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Computes `m` rows: row `i` of the input starts at `a[i * lda]` and has `k` numbers, row `i` of the output
    /// starts at `out[i * ldc]` and has `n`.
    ///
    /// # Panics
    ///
    /// If a slice is too short for its rows.
    pub(crate) fn run(&self, a: &[f32], lda: usize, m: usize, out: &mut [f32], ldc: usize) {
        if m == 0 || self.n == 0 {
            return;
        }
        assert!(a.len() >= (m - 1) * lda + self.k, "the input is too short for {m} rows");
        assert!(out.len() >= (m - 1) * ldc + self.n && (m == 1 || ldc >= self.n), "the output is too short");
        let job = Product {
            weights: self.weights(),
            a: a.as_ptr(),
            lda,
            m,
            out: out.as_mut_ptr(),
            ldc,
            panels: 0..self.count(),
        };
        // SAFETY: the lengths were checked, and panels hold `k` lines of two vectors each.
        unsafe { dispatch(self.width, job) }
    }

    fn weights(&self) -> Weights<'_> {
        let PackedF32 { fused, n, k, clamp, .. } = *self;
        Weights { fused, n, k, panels: &self.panels, bias: &self.bias, clamp }
    }

    /// Panels of columns.
    pub(crate) fn count(&self) -> usize {
        self.n.div_ceil(panel(self.width))
    }

    /// Columns of a whole panel.
    pub(crate) fn panel(&self) -> usize {
        panel(self.width)
    }

    /// Computes one row for a range of panels into `out`, which holds their columns only.
    ///
    /// # Panics
    ///
    /// If a slice is too short.
    pub(crate) fn run_panels(&self, a: &[f32], panels: std::ops::Range<usize>, out: &mut [f32]) {
        let first = panels.start * self.panel();
        assert!(a.len() >= self.k && panels.end <= self.count(), "the input is too short");
        assert!(out.len() >= (panels.end * self.panel()).min(self.n) - first, "the output is too short");
        let out = out.as_mut_ptr().wrapping_sub(first);
        let job =
            Product { weights: self.weights(), a: a.as_ptr(), lda: self.k, m: 1, out, ldc: self.n, panels };
        // SAFETY: the lengths were checked; only the columns of the panels are written.
        unsafe { dispatch(self.width, job) }
    }
}

/// Panels with what the epilogue needs.
#[derive(Clone, Copy)]
struct Weights<'a> {
    fused: bool,
    n: usize,
    k: usize,
    panels: &'a [f32],
    bias: &'a [f32],
    clamp: Clamp,
}

struct Product<'a> {
    weights: Weights<'a>,
    a: *const f32,
    lda: usize,
    m: usize,
    out: *mut f32,
    ldc: usize,
    panels: std::ops::Range<usize>,
}

impl Job for Product<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller of `dispatch` checked the lengths.
        unsafe {
            match self.weights.fused {
                true => self.blocks::<V, true>(),
                false => self.blocks::<V, false>(),
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    unsafe fn blocks<V: Lanes, const FUSED: bool>(&self) {
        let Weights { n, k, .. } = self.weights;
        let step = 2 * V::N;
        let tall = if V::N == 16 { 12 } else { 6 };
        let block = (BLOCK_BYTES / 4 / k.max(1)).max(tall).next_multiple_of(tall);
        let mut first = 0;
        while first < self.m {
            let last = (first + block).min(self.m);
            for panel in self.panels.clone() {
                let columns = (n - panel * step).min(step);
                let mut row = first;
                while row < last {
                    let rows = last - row;
                    // SAFETY: rows and columns lie inside the checked slices.
                    unsafe {
                        row += match (V::N == 16, columns > V::N) {
                            (true, true) if rows >= 12 => self.tile::<V, 12, 2, FUSED>(row, panel),
                            (true, false) if rows >= 12 => self.tile::<V, 12, 1, FUSED>(row, panel),
                            (_, true) if rows >= 6 => self.tile::<V, 6, 2, FUSED>(row, panel),
                            (_, false) if rows >= 6 => self.tile::<V, 6, 1, FUSED>(row, panel),
                            (_, true) if rows >= 3 => self.tile::<V, 3, 2, FUSED>(row, panel),
                            (_, false) if rows >= 3 => self.tile::<V, 3, 1, FUSED>(row, panel),
                            (_, true) => self.tile::<V, 1, 2, FUSED>(row, panel),
                            (_, false) => self.tile::<V, 1, 1, FUSED>(row, panel),
                        };
                    }
                }
            }
            first = last;
        }
    }

    /// Computes `MR` rows of the first `NV` vectors of a panel and returns `MR`.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const MR: usize, const NV: usize, const FUSED: bool>(
        &self,
        row: usize,
        panel: usize,
    ) -> usize {
        let Weights { n, k, .. } = self.weights;
        let step = 2 * V::N;
        let columns = n - panel * step;
        // SAFETY: `row + MR` rows exist, the panel has `k` lines of `step` weights, and stores beyond the
        // columns are masked.
        unsafe {
            let a = self.a.add(row * self.lda);
            let b = self.weights.panels.as_ptr().add(panel * k * step);
            let mut acc = [[V::splat(0.0); NV]; MR];
            for p in 0..k {
                let mut w = [V::splat(0.0); NV];
                for v in 0..NV {
                    w[v] = V::load(b.add(p * step + v * V::N));
                }
                for r in 0..MR {
                    let x = V::splat(*a.add(r * self.lda + p));
                    for v in 0..NV {
                        acc[r][v] = match FUSED {
                            true => x.mul_add(w[v], acc[r][v]),
                            false => acc[r][v].add(x.mul(w[v])),
                        };
                    }
                }
            }
            let bias = self.weights.bias;
            let clamp = self.weights.clamp;
            let (lo, hi) = (V::splat(clamp.lo), V::splat(clamp.hi));
            for r in 0..MR {
                let out = self.out.add((row + r) * self.ldc + panel * step);
                for v in 0..NV {
                    let mut y = acc[r][v];
                    if !bias.is_empty() {
                        y = y.add(V::load(bias.as_ptr().add(panel * step + v * V::N)));
                    }
                    if !clamp.is_open() {
                        // In this order of operands a result that is not a number stays as it is.
                        y = hi.min(lo.max(y));
                    }
                    let left = columns - v * V::N;
                    if left >= V::N {
                        y.store(out.add(v * V::N));
                    } else {
                        y.store_first(out.add(v * V::N), left);
                    }
                }
            }
        }
        MR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn products_equal_the_sums_in_order() {
        for isa in Isa::available() {
            for (m, n, k) in [(1, 1, 1), (2, 17, 5), (13, 40, 7), (25, 33, 64), (7, 8, 3), (12, 100, 0)] {
                let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.71).sin()).collect();
                let w: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.31).cos()).collect();
                let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.01).collect();
                let clamp = Clamp { lo: -0.5, hi: 3.0 };
                let pack = |fused| {
                    PackedF32::new(Width::of(isa), fused, (n, k), |c, r| w[c * k + r], Some(&bias), clamp)
                };
                let exact = pack(false);
                let mut out = vec![7.0; m * (n + 1)];
                exact.run(&a, k, m, &mut out, n + 1);
                let mut one = vec![0.0; n];
                exact.run_panels(&a, 0..exact.count(), &mut one);
                let mut near = vec![0.0; m * n];
                pack(true).run(&a, k, m, &mut near, n);
                for i in 0..m {
                    for j in 0..n {
                        let sum = (0..k).fold(0.0, |s, p| s + a[i * k + p] * w[j * k + p]);
                        let want = (sum + bias[j]).clamp(-0.5, 3.0);
                        assert_eq!(out[i * (n + 1) + j], want, "{isa} {m} {n} {k}");
                        assert!((near[i * n + j] - want).abs() < 1e-4);
                        assert!(i > 0 || one[j] == want);
                    }
                    assert!(i + 1 == m || out[i * (n + 1) + n] == 7.0);
                }
            }
        }
    }
}
