//! Weight layouts: panels of columns with everything the epilogue needs beside them.

use crate::isa::Isa;
use crate::kernels::epilogue::{Requant, max_depth};
use crate::kernels::error::KernelError;
use crate::kernels::round::Store;

/// A run of contiguous activation bytes that one output consumes, relative to the output's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Bytes from the base of the output.
    pub offset: usize,
    /// Bytes that have weights.
    pub len: usize,
}

impl Segment {
    /// Groups of four bytes that the vector kernels read; the excess meets zero weights.
    pub(crate) fn groups(&self) -> usize {
        self.len.div_ceil(4)
    }
}

/// Columns that share one pass over the activations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// First output column.
    pub column: usize,
    /// Columns with outputs; the rest of the panel is padding.
    pub columns: usize,
    /// Vectors per row of the tile.
    pub vectors: usize,
    /// Whether the last vector has outputs in its lower half only. Two such vectors hold their
    /// columns in sequence.
    pub half: bool,
    /// First weight, in bytes.
    pub weights: usize,
    /// First entry of the bias and multiplier tables.
    pub params: usize,
}

/// 64 bytes at a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([i8; 64]);

/// Bytes that start at a cache line.
#[derive(Clone)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) fn zeroed(bytes: usize) -> Lines {
        Lines(vec![Line([0; 64]); bytes.div_ceil(64)])
    }

    pub(crate) fn as_slice(&self) -> &[i8] {
        // SAFETY: `Line` is 64 initialised bytes without padding, and `i8` has no alignment.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 64) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [i8] {
        // SAFETY: `Line` is 64 initialised bytes without padding, and `i8` has no alignment.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 64) }
    }
}

/// A weight matrix laid out for one tier.
#[derive(Clone)]
pub(crate) struct Panels {
    pub isa: Isa,
    /// Output columns.
    pub n: usize,
    /// What a row of activations is read from.
    pub segments: Vec<Segment>,
    /// Groups of four over all segments.
    pub groups: usize,
    /// Column blocks; empty for the scalar tier.
    pub panels: Vec<Panel>,
    /// Vector tiers: weights panel by panel.
    pub weights: Lines,
    /// Scalar tier: `[n][Σ len]`, zero points subtracted.
    pub plain: Vec<i16>,
    /// Bias with the activation zero point folded in, in panel order.
    pub bias: Vec<i32>,
    /// Float offsets in panel order; empty if there are none.
    pub offset: Vec<f32>,
    /// Multipliers in panel order.
    pub mult: Vec<f32>,
    pub store: Store,
    /// Bounds in the unsigned domain.
    pub lo: u8,
    pub hi: u8,
}

/// Checks shared by every kernel with weights, and the tier to pack for.
///
/// The vector epilogues convert to `i32` before they clamp, so they need every product below
/// 2^30, and their weights must be bytes after the zero point is subtracted. Layers outside these
/// bounds run on the scalar tier.
pub(crate) fn choose_isa(
    isa: Isa,
    weights: &[i8],
    depth: usize,
    x_zero: i32,
    w_zero: &[i32],
    requant: &Requant,
) -> Result<Isa, KernelError> {
    if !isa.is_available() {
        return Err(KernelError::Isa(isa));
    }
    let n = requant.mult.len();
    requant.check(n)?;
    if weights.len() != n * depth {
        return Err(KernelError::Length { what: "weights", expected: n * depth, found: weights.len() });
    }
    if !(0..=255).contains(&x_zero) {
        return Err(KernelError::Range { what: "input zero point", value: x_zero, lo: 0, hi: 255 });
    }
    if !w_zero.is_empty() && w_zero.len() != n {
        return Err(KernelError::Length { what: "weight zero points", expected: n, found: w_zero.len() });
    }
    let mut vectors = true;
    let mut magnitude = 128;
    for channel in 0..n {
        let zero = w_zero.get(channel).copied().unwrap_or(0);
        if !(-128..=127).contains(&zero) {
            return Err(KernelError::Range { what: "weight zero point", value: zero, lo: -128, hi: 127 });
        }
        let row = &weights[channel * depth..][..depth];
        let (mut negative, mut positive) = (0i64, 0i64);
        for &w in row {
            let w = w as i32 - zero;
            vectors &= (-128..=127).contains(&w);
            magnitude = magnitude.max(w.unsigned_abs());
            *(if w < 0 { &mut negative } else { &mut positive }) += i64::from(w);
        }
        let bias = i64::from(requant.bias_of(channel)) - i64::from(x_zero) * (negative + positive);
        let (low, high) = (bias + 255 * negative, bias + 255 * positive);
        let bound = if low < i64::from(i32::MIN) || high > i64::from(i32::MAX) {
            1 << 31
        } else {
            low.abs().max(high.abs())
        };
        let bound = bound as f64 + f64::from(requant.offset_of(channel).abs());
        let largest = bound * f64::from(requant.mult[channel].abs());
        // A hard swish does not enlarge.
        let steps = largest * f64::from(requant.out.hard_swish.unwrap_or(1.0));
        vectors &= largest.max(steps) < (1u64 << 30) as f64;
    }
    if depth > max_depth(magnitude) {
        return Err(KernelError::Depth { depth, limit: max_depth(magnitude) });
    }
    Ok(if vectors { isa } else { Isa::Scalar })
}

/// The bias of a channel with `−z_x · Σ (w − z_w)` folded in.
pub(crate) fn folded_bias(bias: i32, x_zero: i32, w_zero: i32, row: &[i8]) -> i32 {
    let sum = row.iter().fold(0i32, |sum, &w| sum.wrapping_add(w as i32 - w_zero));
    bias.wrapping_sub(x_zero.wrapping_mul(sum))
}

impl Panels {
    /// Packs the row-major `[n][Σ len]` matrix for `isa`, which [`choose_isa`] returned.
    pub(crate) fn new(
        isa: Isa,
        weights: &[i8],
        segments: Vec<Segment>,
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Panels {
        let n = requant.mult.len();
        let depth: usize = segments.iter().map(|s| s.len).sum();
        let zero_of = |channel: usize| w_zero.get(channel).copied().unwrap_or(0);
        let bias_of = |channel: usize| {
            let row = &weights[channel * depth..][..depth];
            folded_bias(requant.bias_of(channel), x_zero, zero_of(channel), row)
        };
        let store = Store::new(&requant.out);
        let shift = if requant.out.signed { 128 } else { 0 };
        let mut packed = Panels {
            isa,
            n,
            groups: segments.iter().map(Segment::groups).sum(),
            segments,
            panels: Vec::new(),
            weights: Lines::zeroed(0),
            plain: Vec::new(),
            bias: Vec::new(),
            offset: Vec::new(),
            mult: Vec::new(),
            store,
            lo: (requant.out.lo + shift) as u8,
            hi: (requant.out.hi + shift) as u8,
        };
        let Some(layout) = Layout::of(isa) else {
            packed.plain =
                (0..n * depth).map(|i| i16::from(weights[i]) - zero_of(i / depth) as i16).collect();
            packed.bias = (0..n).map(bias_of).collect();
            packed.offset = requant.offset.clone();
            packed.mult = requant.mult.clone();
            return packed;
        };

        let mut column = 0;
        let (mut bytes, mut params) = (0, 0);
        while column < n {
            let columns = (n - column).min(layout.widest * layout.lanes);
            let vectors = columns.div_ceil(layout.lanes);
            let half = layout.halves && vectors < 4 && columns + layout.lanes / 2 <= vectors * layout.lanes;
            packed.panels.push(Panel { column, columns, vectors, half, weights: bytes, params });
            bytes += packed.groups * vectors * layout.lanes * 4;
            params += vectors * layout.lanes;
            column += columns;
        }
        packed.weights = Lines::zeroed(bytes);
        packed.bias = vec![0; params];
        packed.offset = if requant.offset.is_empty() { Vec::new() } else { vec![0.0; params] };
        packed.mult = vec![0.0; params];
        for panel in &packed.panels {
            for vector in 0..panel.vectors {
                for lane in 0..layout.lanes {
                    let local = layout.column(panel, vector, lane);
                    if local >= panel.columns {
                        continue;
                    }
                    let channel = panel.column + local;
                    let param = panel.params + vector * layout.lanes + lane;
                    packed.bias[param] = bias_of(channel);
                    packed.mult[param] = requant.mult[channel];
                    if let Some(offset) = packed.offset.get_mut(param) {
                        *offset = requant.offset[channel];
                    }
                    let row = &weights[channel * depth..][..depth];
                    let (mut group, mut k) = (0, 0);
                    for segment in &packed.segments {
                        for tap in 0..segment.len {
                            let at = panel.weights
                                + (group + tap / 4) * panel.vectors * layout.lanes * 4
                                + vector * layout.lanes * 4
                                + layout.byte(lane, tap % 4);
                            packed.weights.as_mut_slice()[at] = (row[k] as i32 - zero_of(channel)) as i8;
                            k += 1;
                        }
                        group += segment.groups();
                    }
                }
            }
        }
        packed
    }

    /// Bytes after an output's base that a vector kernel may read.
    pub(crate) fn reach(&self) -> usize {
        self.segments.iter().map(|s| s.offset + s.groups() * 4).max().unwrap_or(0)
    }
}

/// How a tier orders the columns and bytes of a panel.
struct Layout {
    isa: Isa,
    /// `i32` lanes of a vector.
    lanes: usize,
    /// Vectors of the widest panel.
    widest: usize,
    /// Whether half vectors are cheaper.
    halves: bool,
}

impl Layout {
    fn of(isa: Isa) -> Option<Layout> {
        match isa {
            Isa::Scalar => None,
            Isa::Avx2 => Some(Layout { isa, lanes: 8, widest: 2, halves: false }),
            Isa::Avx512Vnni => Some(Layout { isa, lanes: 16, widest: 4, halves: true }),
        }
    }

    /// The column that lane `lane` of vector `vector` accumulates.
    ///
    /// Saturating packs work inside 128-bit blocks. Two vectors that hold columns `8b + 4v + e`
    /// at block `b`, element `e`, or four that hold `16b + 4v + e`, come out in column order.
    fn column(&self, panel: &Panel, vector: usize, lane: usize) -> usize {
        let (block, element) = (lane / 4, lane % 4);
        let interleaved = match (panel.vectors, panel.half) {
            (4, _) => 4,
            (2, false) => 2,
            (3, _) if vector < 2 => 2,
            _ => return vector * self.lanes + lane,
        };
        block * 4 * interleaved + vector * 4 + element
    }

    /// Where weight `tap` of a group of four lies inside the bytes of its vector.
    ///
    /// The 256-bit tier multiplies even and odd activations apart, so it keeps weights 0 and 2
    /// of all lanes in front of weights 1 and 3.
    fn byte(&self, lane: usize, tap: usize) -> usize {
        match self.isa {
            Isa::Avx2 => (tap % 2) * self.lanes * 2 + lane * 2 + tap / 2,
            _ => lane * 4 + tap,
        }
    }
}
