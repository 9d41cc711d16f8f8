//! 512-bit tiles: `vpdpbusd` on four activations broadcast to all lanes and four weights per lane.

use std::arch::x86_64::*;

use super::pack::{Panel, Panels};
use super::tile::{Destination, Rows, load_tail, unrolled};

/// Bytes of activations that stay in the second-level cache while the panels go by.
const BLOCK_BYTES: usize = 192 << 10;

/// What all tiles of a call share.
struct Call<'a> {
    panels: &'a Panels,
    src: *const u8,
    rows: Rows<'a>,
    /// Bytes of a last group that must not be read whole.
    tail: usize,
    out: *mut u8,
    stride: usize,
}

/// # Safety
///
/// The machine must have the features, `panels` must be packed for them, every row of `rows`
/// below `m` must be readable from `src` as [`Rows`] says, and `out` must hold `m` rows of
/// `panels.n` columns.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn run(
    panels: &Panels,
    src: *const u8,
    rows: Rows<'_>,
    m: usize,
    mut out: Destination<'_>,
) {
    let tail = rows.tail(panels);
    let call = Call { panels, src, rows, tail, stride: out.stride(), out: out.as_mut_ptr() };
    let block = (BLOCK_BYTES / (4 * panels.groups).max(1)).next_multiple_of(48);
    let mut first = 0;
    while first < m {
        let last = (first + block).min(m);
        for panel in &panels.panels {
            // SAFETY: the caller's promises, for the rows `first..last` of one panel. The heights
            // keep accumulators, weights and activations within 32 registers.
            unsafe {
                match (panel.vectors, panel.half) {
                    (1, false) => rows_of::<16, 1, false>(&call, panel, first, last),
                    (1, true) => rows_of::<16, 1, true>(&call, panel, first, last),
                    (2, false) => rows_of::<12, 2, false>(&call, panel, first, last),
                    (2, true) => rows_of::<10, 2, true>(&call, panel, first, last),
                    (3, false) => rows_of::<8, 3, false>(&call, panel, first, last),
                    (3, true) => rows_of::<8, 3, true>(&call, panel, first, last),
                    (_, _) => rows_of::<6, 4, false>(&call, panel, first, last),
                }
            }
        }
        first = last;
    }
}

/// # Safety
///
/// As [`run`], for rows `first..last` of `panel`, which has `NV` vectors, the last of which is
/// `HALF` used.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn rows_of<const MR: usize, const NV: usize, const HALF: bool>(
    call: &Call<'_>,
    panel: &Panel,
    first: usize,
    last: usize,
) {
    let mut row = first;
    // SAFETY: every tile stays within `first..last`.
    unsafe {
        while row + MR <= last {
            tile::<MR, NV, HALF, true>(call, panel, row, MR);
            row += MR;
        }
        match (last - row, NV) {
            (0, _) => {}
            (1, _) => tile::<1, NV, HALF, true>(call, panel, row, 1),
            (n @ 2..=4, _) => tile::<4, NV, HALF, false>(call, panel, row, n),
            (n @ 5..=8, 1 | 2) => tile::<8, NV, HALF, false>(call, panel, row, n),
            (n, _) => tile::<MR, NV, HALF, false>(call, panel, row, n),
        }
    }
}

/// Computes rows `row..row + count` of a panel. A tile that is not `FULL` may have more than
/// `count` rows; it repeats the last of them.
///
/// # Safety
///
/// As [`run`], for these rows; `1 <= count <= MR`, and `count == MR` if `FULL`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const MR: usize, const NV: usize, const HALF: bool, const FULL: bool>(
    call: &Call<'_>,
    panel: &Panel,
    row: usize,
    count: usize,
) {
    // SAFETY: bases, segments and tables are within the caller's promises; weights, bias and
    // multipliers of the panel have `NV` vectors for each of their entries.
    unsafe {
        let panels = call.panels;
        let mut bases = [call.src; MR];
        match call.rows {
            Rows::Strided { stride } => {
                let mut base = call.src.add(row * stride);
                unrolled!(i < MR, {
                    bases[i] = base;
                    base = base.wrapping_add(if FULL || i + 1 < count { stride } else { 0 });
                });
            }
            Rows::Table(table) => {
                let table = table.as_ptr().add(row);
                let last = if FULL { MR } else { count } - 1;
                for (i, base) in bases.iter_mut().enumerate() {
                    *base = call.src.add(*table.add(i.min(last)) as usize);
                }
            }
        }
        let bias = panels.bias.as_ptr().add(panel.params);
        let start: [__m512i; NV] = std::array::from_fn(|j| _mm512_loadu_si512(bias.add(16 * j).cast()));
        let mut acc = [start; MR];

        let mut weights = panels.weights.as_slice().as_ptr().add(panel.weights);
        for segment in &panels.segments {
            let mut at = segment.offset;
            let end = at + if call.tail == 0 { segment.groups() * 4 } else { segment.len - call.tail };
            while at < end {
                let w: [__m512i; NV] = std::array::from_fn(|j| _mm512_load_si512(weights.add(64 * j).cast()));
                unrolled!(i < MR, {
                    let x = _mm512_set1_epi32(bases[i].add(at).cast::<i32>().read_unaligned());
                    acc[i] = dots::<NV, HALF>(acc[i], x, w);
                });
                weights = weights.add(64 * NV);
                at += 4;
            }
        }
        if call.tail > 0 {
            let len = panels.segments[0].len;
            let w: [__m512i; NV] = std::array::from_fn(|j| _mm512_load_si512(weights.add(64 * j).cast()));
            unrolled!(i < MR, {
                let x = _mm512_set1_epi32(load_tail(bases[i], len, call.tail));
                acc[i] = dots::<NV, HALF>(acc[i], x, w);
            });
        }

        let scale = panels.mult.as_ptr().add(panel.params);
        let mut scale: [__m512; NV] = std::array::from_fn(|j| _mm512_loadu_ps(scale.add(16 * j)));
        if panels.store.hard_swish.is_some() || !panels.offset.is_empty() {
            // Rounding the steps again changes nothing: what no float holds exactly lies beyond every bound.
            let offset: [__m512; NV] = match panels.offset.get(panel.params..panel.params + 16 * NV) {
                Some(offset) => std::array::from_fn(|j| _mm512_loadu_ps(offset.as_ptr().add(16 * j))),
                None => [_mm512_setzero_ps(); NV],
            };
            unrolled!(i < MR, {
                acc[i] = std::array::from_fn(|j| {
                    let x = _mm512_mul_ps(_mm512_add_ps(_mm512_cvtepi32_ps(acc[i][j]), offset[j]), scale[j]);
                    match panels.store.hard_swish {
                        None => _mm512_cvtps_epi32(x),
                        Some(inv) => curved(x, inv),
                    }
                });
            });
            scale = [_mm512_set1_ps(1.0); NV];
        }
        let finish = Finish::new(panels, panel, call.stride);
        let out = call.out.add(row * call.stride + panel.column);
        // As many rows at a time as fill a vector of bytes.
        unrolled!(i < MR, {
            let left = if FULL { MR - i } else { count.saturating_sub(i) };
            if i.is_multiple_of(4 / NV) && left > 0 {
                let v = |row: usize, j: usize| rounded(acc[(i + row) % MR][j % NV], scale[j % NV]);
                let out = out.add(i * call.stride);
                match NV {
                    1 => {
                        let rows = left.min(4).min(MR - i);
                        let (a, b) = (finish.words(v(0, 0), v(1, 0)), finish.words(v(2, 0), v(3, 0)));
                        finish.store_quads(finish.bytes(a, b), out, rows);
                    }
                    2 => {
                        let rows = left.min(2).min(MR - i);
                        let (a, b) = (finish.words(v(0, 0), v(0, 1)), finish.words(v(1, 0), v(1, 1)));
                        finish.store_pair::<HALF>(finish.bytes(a, b), out, rows);
                    }
                    3 => {
                        let third = v(0, 2);
                        let (a, b) = (finish.words(v(0, 0), v(0, 1)), finish.words(third, third));
                        finish.store_three(finish.bytes(a, b), out);
                    }
                    _ => {
                        let (a, b) = (finish.words(v(0, 0), v(0, 1)), finish.words(v(0, 2), v(0, 3)));
                        finish.store(finish.bytes(a, b), out);
                    }
                }
            }
        });
    }
}

/// Adds the products of four broadcast activations. A `HALF` used last vector takes a 256-bit
/// instruction, which costs half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dots<const NV: usize, const HALF: bool>(
    mut acc: [__m512i; NV],
    x: __m512i,
    w: [__m512i; NV],
) -> [__m512i; NV] {
    for j in 0..NV {
        acc[j] = if HALF && j + 1 == NV {
            let low = |v| _mm512_castsi512_si256(v);
            _mm512_zextsi256_si512(_mm256_dpbusd_epi32(low(acc[j]), low(x), low(w[j])))
        } else {
            _mm512_dpbusd_epi32(acc[j], x, w[j])
        };
    }
    acc
}

/// The product of accumulators and multipliers, rounded to nearest even.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn rounded(acc: __m512i, scale: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale))
}

/// The hard swish of real numbers, in output steps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn curved(x: __m512, inv: f32) -> __m512i {
    let (three, six) = (_mm512_set1_ps(3.0), _mm512_set1_ps(6.0));
    let gate = _mm512_min_ps(six, _mm512_max_ps(_mm512_setzero_ps(), _mm512_add_ps(x, three)));
    let y = _mm512_div_ps(_mm512_mul_ps(x, gate), six);
    _mm512_cvtps_epi32(_mm512_mul_ps(y, _mm512_set1_ps(inv)))
}

/// Adds the zero point, clamps and stores the columns of a panel.
///
/// Saturating to 16 bits, adding with saturation, saturating to 8 bits and clamping there equals
/// clamping the rounded float, because the zero point and the bounds lie within 0..=255.
struct Finish {
    zero: __m512i,
    lo: __m512i,
    hi: __m512i,
    flip: __m512i,
    /// Whether there is a zero point to add; after a rectifier there mostly is none.
    shift: bool,
    /// Whether the saturation of the packs is not all there is to do.
    clamp: bool,
    /// Columns of the panel as a mask of bytes.
    mask: u64,
    columns: usize,
    /// Bytes between output rows.
    stride: usize,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn new(panels: &Panels, panel: &Panel, stride: usize) -> Finish {
        Finish {
            zero: _mm512_set1_epi16(panels.store.zero as i16),
            lo: _mm512_set1_epi8(panels.lo as i8),
            hi: _mm512_set1_epi8(panels.hi as i8),
            flip: _mm512_set1_epi8(panels.store.flip as i8),
            shift: panels.store.zero != 0,
            clamp: (panels.lo, panels.hi, panels.store.flip) != (0, 255, 0),
            mask: !0 >> (64 - panel.columns),
            columns: panel.columns,
            stride,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn words(&self, a: __m512i, b: __m512i) -> __m512i {
        let words = _mm512_packs_epi32(a, b);
        if self.shift { _mm512_adds_epi16(words, self.zero) } else { words }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn bytes(&self, a: __m512i, b: __m512i) -> __m512i {
        let bytes = _mm512_packus_epi16(a, b);
        if self.clamp {
            _mm512_xor_si512(_mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi), self.flip)
        } else {
            bytes
        }
    }

    /// Stores 64 columns, which the packing order made come out in sequence.
    ///
    /// # Safety
    ///
    /// The columns of the panel must be writable from `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn store(&self, bytes: __m512i, out: *mut u8) {
        // SAFETY: masked columns are not accessed.
        unsafe {
            if self.columns == 64 {
                _mm512_storeu_si512(out.cast(), bytes);
            } else {
                _mm512_mask_storeu_epi8(out.cast(), self.mask, bytes);
            }
        }
    }

    /// Stores 48 columns: 8 in each 128-bit block, then 4 in each.
    ///
    /// # Safety
    ///
    /// As [`store`](Self::store).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn store_three(&self, bytes: __m512i, out: *mut u8) {
        let order = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 6, 10, 14, 0, 0, 0, 0);
        // SAFETY: masked columns are not accessed.
        unsafe {
            _mm512_mask_storeu_epi8(out.cast(), self.mask, _mm512_permutexvar_epi32(order, bytes));
        }
    }

    /// Stores 32 columns of up to two rows: 8 of either in each 128-bit block, or, if the second
    /// vector is `HALF` used, 4 of either vector and row.
    ///
    /// # Safety
    ///
    /// As [`store`](Self::store), for `rows` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn store_pair<const HALF: bool>(&self, bytes: __m512i, out: *mut u8, rows: usize) {
        let order = if HALF {
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
        } else {
            _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)
        };
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        // SAFETY: masked columns and rows behind `rows` are not accessed.
        unsafe {
            if self.columns == 32 && self.stride == 32 && rows == 2 {
                _mm512_storeu_si512(out.cast(), bytes);
                return;
            }
            let halves = [_mm512_castsi512_si256(bytes), _mm512_extracti64x4_epi64::<1>(bytes)];
            for (row, half) in halves.into_iter().enumerate() {
                if row < rows {
                    let out = out.add(row * self.stride);
                    if self.columns == 32 {
                        _mm256_storeu_si256(out.cast(), half);
                    } else {
                        _mm256_mask_storeu_epi8(out.cast(), self.mask as u32, half);
                    }
                }
            }
        }
    }

    /// Stores 16 columns of up to four rows: 4 of each in each 128-bit block.
    ///
    /// # Safety
    ///
    /// As [`store`](Self::store), for `rows` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn store_quads(&self, bytes: __m512i, out: *mut u8, rows: usize) {
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        // SAFETY: masked columns and rows behind `rows` are not accessed.
        unsafe {
            if self.columns == 16 && self.stride == 16 && rows == 4 {
                _mm512_storeu_si512(out.cast(), bytes);
                return;
            }
            let quarters = [
                _mm512_castsi512_si128(bytes),
                _mm512_extracti32x4_epi32::<1>(bytes),
                _mm512_extracti32x4_epi32::<2>(bytes),
                _mm512_extracti32x4_epi32::<3>(bytes),
            ];
            for (row, quarter) in quarters.into_iter().enumerate() {
                if row < rows {
                    let out = out.add(row * self.stride);
                    if self.columns == 16 {
                        _mm_storeu_si128(out.cast(), quarter);
                    } else {
                        _mm_mask_storeu_epi8(out.cast(), self.mask as u16, quarter);
                    }
                }
            }
        }
    }
}
