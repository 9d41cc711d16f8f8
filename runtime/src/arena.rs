//! The bytes that a run works in, and disjoint views of them.

use std::ops::Range;

use smallvec::SmallVec;

/// Alignment of the arena and of every buffer in it: a cache line and the widest vector.
pub(crate) const ALIGN: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; ALIGN]);

/// Bytes that start at a cache line.
pub(crate) struct Arena(Vec<Line>);

impl Arena {
    /// At least `bytes` zeros.
    pub(crate) fn new(bytes: usize) -> Arena {
        Arena(vec![Line([0; ALIGN]); bytes.div_ceil(ALIGN)])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `Line` is 64 initialised bytes without padding, and `u8` has no alignment.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * ALIGN) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `Line` is 64 initialised bytes without padding, and `u8` has no alignment.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * ALIGN) }
    }

    /// Mutable views of `writes` and shared views of `reads`.
    ///
    /// # Panics
    ///
    /// If a range ends outside the arena or a write overlaps any other range.
    pub(crate) fn views(&mut self, writes: &[Range<usize>], reads: &[Range<usize>]) -> Views<'_> {
        let bytes = self.bytes_mut();
        let inside = |r: &Range<usize>| r.start <= r.end && r.end <= bytes.len();
        assert!(writes.iter().chain(reads).all(inside), "a view ends outside the arena");
        for (i, w) in writes.iter().enumerate() {
            let apart =
                |r: &Range<usize>| w.end <= r.start || r.end <= w.start || w.is_empty() || r.is_empty();
            assert!(writes[i + 1..].iter().chain(reads).all(apart), "a written view overlaps another one");
        }
        let base = bytes.as_mut_ptr();
        // SAFETY: every range lies inside the borrowed bytes, and the written ones overlap nothing.
        unsafe {
            let write = |r: &Range<usize>| std::slice::from_raw_parts_mut(base.add(r.start), r.len());
            let read = |r: &Range<usize>| std::slice::from_raw_parts(base.add(r.start).cast_const(), r.len());
            Views { writes: writes.iter().map(write).collect(), reads: reads.iter().map(read).collect() }
        }
    }
}

/// Disjoint views of an arena.
pub(crate) struct Views<'a> {
    pub writes: SmallVec<[&'a mut [u8]; 4]>,
    pub reads: SmallVec<[&'a [u8]; 4]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_disjoint() {
        let mut arena = Arena::new(100);
        let views = arena.views(&[0..8, 8..16], &[16..32, 20..40]);
        assert_eq!(views.writes.len() + views.reads.len(), 4);
        let overlap = std::panic::catch_unwind(|| {
            let (read, write) = (0..8, 7..9);
            Arena::new(64).views(std::slice::from_ref(&read), std::slice::from_ref(&write));
        });
        assert!(overlap.is_err());
    }
}
