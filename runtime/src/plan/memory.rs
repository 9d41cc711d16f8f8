//! Offsets for buffers that live at different times.
//!
//! Two strategies: greedy by size into the best gap, which packs tightest and compares all pairs, and best fit
//! in order of time, which is near-linear. Small plans take the better of both, large ones the second.

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::ALIGN;

/// A buffer that is needed in every step from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Size.
    pub bytes: usize,
    /// First step.
    pub first: usize,
    /// Last step, at least `first`.
    pub last: usize,
}

/// Where buffers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Offset of each buffer, a multiple of the alignment.
    pub offsets: Vec<usize>,
    /// Bytes from the start to the end of the last buffer.
    pub bytes: usize,
    /// The largest sum of buffers that live at the same time: no placement needs less.
    pub lower_bound: usize,
}

/// Plans of at most this many buffers compare all pairs.
const PAIRS_LIMIT: usize = 2048;

/// Places buffers so that no two that live at the same time overlap; `None` if offsets overflow.
pub fn place(items: &[Lifetime]) -> Option<Placement> {
    let mut sizes = Vec::with_capacity(items.len());
    for item in items {
        sizes.push(item.bytes.checked_next_multiple_of(ALIGN)?);
    }
    let lower_bound = lower_bound(items, &sizes)?;
    let mut best = by_time(items, &sizes)?;
    if items.len() <= PAIRS_LIMIT && best.1 > lower_bound {
        let other = by_size(items, &sizes)?;
        if other.1 < best.1 {
            best = other;
        }
    }
    Some(Placement { offsets: best.0, bytes: best.1, lower_bound })
}

fn lower_bound(items: &[Lifetime], sizes: &[usize]) -> Option<usize> {
    let mut events: Vec<(usize, bool, usize)> = Vec::with_capacity(2 * items.len());
    for (item, &size) in items.iter().zip(sizes) {
        events.push((item.first, true, size));
        events.push((item.last + 1, false, size));
    }
    // Ends sort before starts of the same step.
    events.sort_unstable();
    let (mut live, mut peak) = (0usize, 0);
    for (_, starts, size) in events {
        live = if starts { live.checked_add(size)? } else { live - size };
        peak = peak.max(live);
    }
    Some(peak)
}

/// Largest first, each into the smallest gap between the placed buffers that live at the same time.
fn by_size(items: &[Lifetime], sizes: &[usize]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), items[i].first, i));
    let mut offsets = vec![0; items.len()];
    // Placed buffers by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(items.len());
    let mut total = 0;
    for i in order {
        let size = sizes[i];
        let (mut end, mut best) = (0usize, None::<(usize, usize)>);
        for &j in &placed {
            if items[j].last < items[i].first || items[i].last < items[j].first {
                continue;
            }
            if offsets[j] > end {
                let gap = offsets[j] - end;
                if gap >= size && best.is_none_or(|(g, _)| gap < g) {
                    best = Some((gap, end));
                }
            }
            end = end.max(offsets[j] + sizes[j]);
        }
        offsets[i] = best.map_or(end, |(_, at)| at);
        total = total.max(offsets[i].checked_add(size)?);
        let at = placed.partition_point(|&j| offsets[j] <= offsets[i]);
        placed.insert(at, i);
    }
    Some((offsets, total))
}

/// In order of time, each into the smallest free block that holds it.
fn by_time(items: &[Lifetime], sizes: &[usize]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..items.len()).filter(|&i| sizes[i] > 0).collect();
    order.sort_by_key(|&i| (items[i].first, std::cmp::Reverse(sizes[i]), i));
    let mut ends: Vec<usize> = order.clone();
    ends.sort_by_key(|&i| (items[i].last, i));
    let mut ends = ends.into_iter().peekable();
    let mut offsets = vec![0; items.len()];
    let mut free = Free::default();
    for i in order {
        while let Some(&j) = ends.peek() {
            if items[j].last >= items[i].first {
                break;
            }
            free.give(offsets[j], sizes[j]);
            ends.next();
        }
        offsets[i] = free.take(sizes[i])?;
    }
    Some((offsets, free.end))
}

/// Free blocks below `end`, by offset and by length.
#[derive(Default)]
struct Free {
    end: usize,
    by_offset: BTreeMap<usize, usize>,
    by_len: BTreeSet<(usize, usize)>,
}

impl Free {
    fn remove(&mut self, offset: usize, len: usize) {
        self.by_offset.remove(&offset);
        self.by_len.remove(&(len, offset));
    }
    fn add(&mut self, offset: usize, len: usize) {
        if len > 0 {
            self.by_offset.insert(offset, len);
            self.by_len.insert((len, offset));
        }
    }
    fn take(&mut self, size: usize) -> Option<usize> {
        if let Some(&(len, offset)) = self.by_len.range((size, 0)..).next() {
            self.remove(offset, len);
            self.add(offset + size, len - size);
            return Some(offset);
        }
        // The last block may be extended beyond the end.
        let mut offset = self.end;
        if let Some((&at, &len)) = self.by_offset.last_key_value()
            && at + len == self.end
        {
            self.remove(at, len);
            offset = at;
        }
        self.end = offset.checked_add(size)?;
        Some(offset)
    }
    fn give(&mut self, mut offset: usize, mut len: usize) {
        if let Some((&at, &before)) = self.by_offset.range(..offset).next_back()
            && at + before == offset
        {
            self.remove(at, before);
            offset = at;
            len += before;
        }
        if let Some(&after) = self.by_offset.get(&(offset + len)) {
            self.remove(offset + len, after);
            len += after;
        }
        self.add(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[Lifetime]) -> Placement {
        let p = place(items).unwrap();
        for (i, a) in items.iter().enumerate() {
            assert!(p.offsets[i].is_multiple_of(ALIGN) && p.offsets[i] + a.bytes <= p.bytes);
            for (j, b) in items.iter().enumerate().skip(i + 1) {
                let same_time = a.first <= b.last && b.first <= a.last;
                let apart = p.offsets[i] + a.bytes <= p.offsets[j] || p.offsets[j] + b.bytes <= p.offsets[i];
                assert!(!same_time || apart || a.bytes == 0 || b.bytes == 0, "{i} {j}");
            }
        }
        p
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let items: Vec<Lifetime> = (0..50).map(|i| Lifetime { bytes: 640, first: i, last: i + 1 }).collect();
        assert_eq!(check(&items).bytes, 1280);
    }

    #[test]
    fn random_lifetimes_do_not_overlap() {
        let mut state = 7;
        let mut next = |n: u64| quantir_ir::ops::constant::splitmix64(&mut state) % n;
        for _ in 0..20 {
            let items: Vec<Lifetime> = (0..120)
                .map(|_| {
                    let first = next(60) as usize;
                    Lifetime { bytes: next(3000) as usize, first, last: first + next(9) as usize }
                })
                .collect();
            let p = check(&items);
            assert!(
                p.bytes >= p.lower_bound && p.bytes < p.lower_bound * 3 / 2,
                "{} {}",
                p.bytes,
                p.lower_bound
            );
        }
    }

    #[test]
    fn a_million_buffers_are_placed_at_once() {
        let items: Vec<Lifetime> =
            (0..1_000_000).map(|i| Lifetime { bytes: 64 + i % 7 * 64, first: i, last: i + 1 }).collect();
        let p = place(&items).unwrap();
        assert!(p.bytes < 4096);
    }
}
