//! Splitting a step over the threads of the pool that the run has entered.

use std::ops::Range;

/// How many threads a step may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Par {
    /// 1 means that no step touches the pool.
    pub threads: usize,
}

/// Work of about this many simple operations is not worth a further split.
pub(crate) const GRAIN: usize = 1 << 15;

impl Par {
    /// Leaves that [`Par::rows`] may run at the same time; each needs scratch of its own.
    pub(crate) fn leaves(threads: usize) -> usize {
        if threads <= 1 { 1 } else { threads * 2 }
    }

    /// Calls `f(rows, out, scratch)` for ranges that cover `0..rows`.
    ///
    /// `out` is cut at multiples of `row_len` and `scratch` into equal parts of at least
    /// `scratch_len`. A row costs about `cost` operations. The ranges depend on nothing but the
    /// arguments; no result may depend on them.
    pub(crate) fn rows<T: Send, S: Send>(
        self,
        rows: usize,
        row_len: usize,
        cost: usize,
        out: &mut [T],
        scratch: (&mut [S], usize),
        f: &(impl Fn(Range<usize>, &mut [T], &mut [S]) + Sync),
    ) {
        let worth = (rows.saturating_mul(cost.max(1)) / GRAIN).max(1);
        let leaves = Par::leaves(self.threads).min(worth).min(rows.max(1));
        split(0..rows, row_len, leaves, out, scratch.0, scratch.1, f);
    }

    /// As [`Par::rows`] without scratch.
    pub(crate) fn rows_of<T: Send>(
        self,
        rows: usize,
        row_len: usize,
        cost: usize,
        out: &mut [T],
        f: &(impl Fn(Range<usize>, &mut [T]) + Sync),
    ) {
        let mut none: [u8; 0] = [];
        self.rows(rows, row_len, cost, out, (&mut none, 0), &|rows, out, _| f(rows, out));
    }
}

fn split<T: Send, S: Send>(
    rows: Range<usize>,
    row_len: usize,
    leaves: usize,
    out: &mut [T],
    scratch: &mut [S],
    each: usize,
    f: &(impl Fn(Range<usize>, &mut [T], &mut [S]) + Sync),
) {
    if leaves <= 1 {
        return f(rows, out, scratch);
    }
    let left = leaves / 2;
    let middle = rows.start + rows.len() * left / leaves;
    let (out_a, out_b) = out.split_at_mut((middle - rows.start) * row_len);
    let (scratch_a, scratch_b) = scratch.split_at_mut(left * each);
    rayon::join(
        || split(rows.start..middle, row_len, left, out_a, scratch_a, each, f),
        || split(middle..rows.end, row_len, leaves - left, out_b, scratch_b, each, f),
    );
}
