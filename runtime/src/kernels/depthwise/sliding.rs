//! 512-bit depthwise rows for square kernels: each input column is interleaved once and stays in
//! registers while the outputs that read it go by.

use std::arch::x86_64::*;

use super::PackedDepthwise;
use super::avx512::{Finish, HALF, HIGH, LOW, PART, Part, load, mask_of, pair, quad, zero_of};
use super::pack::Block;

/// Outputs whose words of [`LOW`] channels wait on the stack for those of [`HIGH`] channels.
const STRIP: usize = 32;

/// # Safety
///
/// The machine must have the features, `x` must hold the image, `row` must be a row of the
/// geometry and `out` must hold it. The weights must be packed for this kernel and stride.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn row<const K: usize, const S: usize>(
    packed: &PackedDepthwise,
    x: &[u8],
    row: usize,
    out: &mut [u8],
) {
    let g = &packed.geometry;
    let (channels, [_, height, width]) = (g.channels_in, g.output());
    let plane = (row / height * g.stride[0]).wrapping_sub(g.pad_begin[0]);
    let lines: [*const u8; K] = std::array::from_fn(|tap| {
        let line = (row % height * g.stride[1] + tap).wrapping_sub(g.pad_begin[1]);
        if plane < g.input[0] && line < g.input[1] {
            x[(plane * g.input[1] + line) * g.input[2] * channels..].as_ptr()
        } else {
            packed.outside.as_ptr()
        }
    });
    let mut words = [_mm512_setzero_si512(); STRIP];
    for block in &packed.weights.blocks {
        for first in (0..width).step_by(STRIP) {
            let words = &mut words[..STRIP.min(width - first)];
            // SAFETY: lines hold `input[2]` pixels of all channels, and the outputs
            // `first..first + words.len()` lie within the row.
            unsafe {
                let strip = Strip { packed, lines: &lines, block, first };
                let out = out.as_mut_ptr().add(first * channels + block.channel);
                match (block.vectors, block.channels) {
                    (2, 32) => strip.run::<K, S, HALF>(words, out),
                    (2, _) => strip.run::<K, S, PART>(words, out),
                    _ => {
                        strip.run::<K, S, LOW>(words, out);
                        strip.run::<K, S, HIGH>(words, out);
                    }
                }
            }
        }
    }
}

/// A run of outputs of one row and one block of channels.
struct Strip<'a> {
    packed: &'a PackedDepthwise,
    lines: &'a [*const u8],
    block: &'a Block,
    /// First output.
    first: usize,
}

impl Strip<'_> {
    /// Computes `words.len()` outputs of the channels of `KIND`. [`LOW`] leaves them in `words`,
    /// [`HIGH`] stores them together with those of `words`, the others store them alone.
    ///
    /// # Safety
    ///
    /// The `K` lines must hold the pixels of the input's width, and `out` must be the first
    /// output's first channel in a row that holds all outputs.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn run<const K: usize, const S: usize, const KIND: u8>(
        &self,
        words: &mut [__m512i],
        out: *mut u8,
    ) {
        let (packed, block, count) = (self.packed, self.block, words.len());
        let weights = &packed.weights;
        let (width, channels) = (packed.geometry.input[2], packed.geometry.channels_in);
        let mask = mask_of(block.channels);
        let part = Part::new::<KIND>(weights, block);
        let finish = Finish::new(weights, block.channels);
        let zero = zero_of(weights);
        let outside = _mm512_set1_epi8(packed.x_zero as i8);
        let lines: [*const u8; K] = std::array::from_fn(|i| self.lines[i].wrapping_add(block.channel));

        // SAFETY: columns are compared with the width before they are read, weights are indexed
        // below their groups, and the caller vouches for the rest.
        unsafe {
            let raw = |line: usize, column: usize| {
                if column < width { load::<KIND>(lines[line].add(column * channels), mask) } else { outside }
            };
            let column = |column: usize| {
                if column < width {
                    let x = |line: usize| load::<KIND>(lines[line].add(column * channels), mask);
                    let third = x(2);
                    let fourth = if K > 3 { x(3 % K) } else { third };
                    quad(pair::<KIND>(x(0), x(1)), pair::<KIND>(third, fourth))
                } else {
                    [outside; 2]
                }
            };
            // Columns in front of the image wrap around to large numbers, which are outside too.
            let mut left = (self.first * S).wrapping_sub(packed.geometry.pad_begin[2]);
            let w: [[__m512i; 2]; K] = std::array::from_fn(|c| std::array::from_fn(|j| part.weight(c, j)));
            let mut window = [[outside; 2]; K];
            for (at, entry) in window.iter_mut().enumerate().skip(S) {
                *entry = column(left.wrapping_add(at - S));
            }
            let mut fifth =
                Fifth::<S>::new::<KIND>(
                    |at| {
                        if K == 5 { raw(4 % K, left.wrapping_add(at)) } else { outside }
                    },
                );
            let mut emit = |index: usize, acc: [__m512i; 2]| {
                let result = part.words(acc, zero);
                let out = out.add(index * channels);
                match KIND {
                    LOW => words[index] = result,
                    HIGH => finish.store_full(words[index], result, out),
                    HALF => finish.store_half(result, out),
                    _ => finish.store_part(result, out),
                }
            };
            // With a kernel of three, sums are requantized one output later, so that instructions
            // seldom wait in the scheduler; a kernel of five has no registers left for that.
            let mut previous = None;
            for index in 0..count {
                for c in 0..K - S {
                    window[c] = window[c + S];
                }
                for (c, entry) in window.iter_mut().enumerate().skip(K - S) {
                    *entry = column(left.wrapping_add(c));
                }
                let mut acc = part.bias;
                for c in 0..K {
                    for j in 0..2 {
                        acc[j] = _mm512_dpbusd_epi32(acc[j], window[c][j], w[c][j]);
                    }
                }
                if K == 5 {
                    let here = fifth.group;
                    fifth.advance::<KIND>(|at| raw(4 % K, left.wrapping_add(at)));
                    for j in 0..2 {
                        acc[j] = _mm512_dpbusd_epi32(acc[j], here[j], part.weight(5, j));
                        acc[j] = _mm512_dpbusd_epi32(acc[j], fifth.group[j], part.weight(6, j));
                    }
                }
                left = left.wrapping_add(S);
                if K == 5 {
                    emit(index, acc);
                } else if let Some(sums) = previous.replace(acc) {
                    emit(index - 1, sums);
                }
            }
            if let Some(sums) = previous {
                emit(count - 1, sums);
            }
        }
    }
}

/// The fifth line of a kernel of five, interleaved along the width.
///
/// The group of an output holds its columns 0 to 3. Its column 4 is element `4 - S` of the group
/// of the next output, so that no group is built for one tap.
struct Fifth<const S: usize> {
    /// Columns 0 to 3 of the output at hand.
    group: [__m512i; 2],
    /// Pairs that start at columns 1 and 2 (`S` = 1) or at column 2 in the first place (`S` = 2).
    pairs: [__m512i; 2],
    /// Column 3, for `S` = 1.
    last: __m512i,
}

impl<const S: usize> Fifth<S> {
    /// The state at the output whose column `i` is `raw(i)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn new<const KIND: u8>(raw: impl Fn(usize) -> __m512i) -> Self {
        let x: [__m512i; 4] = [raw(0), raw(1), raw(2), raw(3)];
        let (first, third) = (pair::<KIND>(x[0], x[1]), pair::<KIND>(x[2], x[3]));
        let pairs = if S == 1 { [pair::<KIND>(x[1], x[2]), third] } else { [third, third] };
        Fifth { group: quad(first, third), pairs, last: x[3] }
    }

    /// Moves to the next output, given the columns of the present one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn advance<const KIND: u8>(&mut self, raw: impl Fn(usize) -> __m512i) {
        let fresh = raw(4);
        if S == 1 {
            let pair = pair::<KIND>(self.last, fresh);
            self.group = quad(self.pairs[0], pair);
            self.pairs = [self.pairs[1], pair];
            self.last = fresh;
        } else {
            let pair = pair::<KIND>(fresh, raw(5));
            self.group = quad(self.pairs[0], pair);
            self.pairs[0] = pair;
        }
    }
}
