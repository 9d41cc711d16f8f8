//! Windows over concrete sizes: the loops that convolutions and pools evaluate with.
//!
//! All loops run kernel position by kernel position over whole planes, so that the innermost one is long. Each
//! output still sees its kernel positions in row-major order, which is what the ops promise.

use std::ops::Range;

use crate::ops::window::Windows;

/// One spatial axis.
#[derive(Clone, Copy)]
struct Line {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
}

impl Line {
    const ONE: Line = Line { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

    /// Whether output `i` is input `i` and nothing else.
    fn is_copy(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.input == self.output && self.before == 0
    }

    /// The outputs that see an element of the input (or of its padding) at kernel position `k`.
    fn outputs(&self, k: usize, padded: bool) -> Range<usize> {
        let (first, end) = match padded {
            true => (0, self.before + self.input + self.after),
            false => (self.before, self.before + self.input),
        };
        // Output `o` sees position `o·stride + k·dilation` of the padded input.
        let lo = first.saturating_sub(k * self.dilation).div_ceil(self.stride);
        let hi = end.saturating_sub(k * self.dilation).div_ceil(self.stride).min(self.output);
        lo.min(hi)..hi
    }

    /// For each output, how many kernel positions see an element of the input (or of its padding).
    fn counts(&self, padded: bool) -> Vec<usize> {
        let mut n = vec![0; self.output];
        for k in 0..self.kernel {
            n[self.outputs(k, padded)].iter_mut().for_each(|n| *n += 1);
        }
        n
    }
}

/// Three spatial axes; fewer are filled up with axes of length 1.
pub(crate) struct Grid([Line; 3]);

impl Grid {
    /// The windows over `input` that give `output`, as `infer` found them.
    pub fn new(input: &[usize], output: &[usize], kernel: &[usize], by: &Windows) -> Grid {
        let mut lines = [Line::ONE; 3];
        let skip = 3 - input.len().min(3);
        for (i, line) in lines[skip..].iter_mut().enumerate() {
            *line = Line {
                input: input[i],
                output: output[i],
                kernel: kernel[i],
                stride: by.stride.at(i),
                dilation: by.dilation.at(i),
                before: by.pad.at(i).0,
                after: by.pad.at(i).1,
            };
        }
        let [a, b, c] = lines;
        if b.is_copy() && c.is_copy() {
            let n = b.input * c.input;
            return Grid([a, Line::ONE, Line { input: n, output: n, ..Line::ONE }]);
        }
        Grid(lines)
    }

    /// Elements of one input plane.
    pub fn inputs(&self) -> usize {
        self.0.iter().map(|l| l.input).product()
    }
    /// Elements of one output plane.
    pub fn outputs(&self) -> usize {
        self.0.iter().map(|l| l.output).product()
    }
    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.0.iter().map(|l| l.kernel).product()
    }

    /// Calls `run(outputs, first input, step)` for each row of outputs that sees the input at kernel position
    /// `tap` (row-major): the first output sees the first input, the next one the input `step` further.
    #[inline]
    pub fn rows(&self, tap: usize, mut run: impl FnMut(Range<usize>, usize, usize)) {
        let [a, b, c] = &self.0;
        let (ka, kb, kc) = (tap / (b.kernel * c.kernel), tap / c.kernel % b.kernel, tap % c.kernel);
        let columns = c.outputs(kc, false);
        if columns.is_empty() {
            return;
        }
        let ic = columns.start * c.stride + kc * c.dilation - c.before;
        for oa in a.outputs(ka, false) {
            let ia = oa * a.stride + ka * a.dilation - a.before;
            for ob in b.outputs(kb, false) {
                let ib = ob * b.stride + kb * b.dilation - b.before;
                let row = (oa * b.output + ob) * c.output;
                run(row + columns.start..row + columns.end, (ia * b.input + ib) * c.input + ic, c.stride);
            }
        }
    }

    /// For each output, how many kernel positions see an element of the input, or also of its padding.
    pub fn counts(&self, padded: bool) -> Vec<usize> {
        let [a, b, c] = &self.0;
        let (a, b, c) = (a.counts(padded), b.counts(padded), c.counts(padded));
        let mut all = Vec::with_capacity(self.outputs());
        for x in &a {
            for y in &b {
                all.extend(c.iter().map(|z| x * y * z));
            }
        }
        all
    }

    /// One pooled plane: `step(acc, x)` for each input that an output sees, in row-major order of the kernel.
    pub fn fold<T: Copy>(&self, x: &[T], init: T, step: impl Fn(T, T) -> T) -> Vec<T> {
        let mut acc = vec![init; self.outputs()];
        for tap in 0..self.taps() {
            self.rows(tap, |out, i, by| {
                for (a, &x) in acc[out].iter_mut().zip(x[i..].iter().step_by(by)) {
                    *a = step(*a, x);
                }
            });
        }
        acc
    }

    /// Adds the products of one input plane with its kernel to the accumulators of an output plane.
    #[inline]
    pub fn convolve<T: Copy>(&self, acc: &mut [T], x: &[T], w: &[T], madd: impl Fn(T, T, T) -> T) {
        for (tap, &w) in w.iter().enumerate() {
            self.rows(tap, |out, i, by| {
                let acc = &mut acc[out];
                if by == 1 {
                    let x = &x[i..i + acc.len()];
                    acc.iter_mut().zip(x).for_each(|(a, &x)| *a = madd(*a, x, w));
                } else {
                    acc.iter_mut().zip(x[i..].iter().step_by(by)).for_each(|(a, &x)| *a = madd(*a, x, w));
                }
            });
        }
    }

    /// The reverse of [`Grid::convolve`]: products of one *output* plane are added where its windows lie in the input.
    pub fn scatter<T: Copy>(&self, acc: &mut [T], x: &[T], w: &[T], madd: impl Fn(T, T, T) -> T) {
        for (tap, &w) in w.iter().enumerate() {
            self.rows(tap, |out, i, by| {
                acc[i..].iter_mut().step_by(by).zip(&x[out]).for_each(|(a, &x)| *a = madd(*a, x, w));
            });
        }
    }
}

/// Accumulators of a convolution, `[N,O,*S]`: for each output, input channels in order, within each the kernel
/// positions in row-major order, starting from `T::default()`.
pub(crate) fn conv_sums<T: Copy + Default>(
    grid: &Grid,
    (n, channels): (usize, usize),
    (outputs, groups): (usize, usize),
    x: &[T],
    w: &[T],
    madd: impl Fn(T, T, T) -> T + Copy,
) -> Vec<T> {
    let (plane, area, taps) = (grid.inputs(), grid.outputs(), grid.taps());
    let (depth, width) = (channels / groups, outputs / groups);
    let mut acc = vec![T::default(); n * outputs * area];
    if area == 0 || plane == 0 {
        return acc;
    }
    for (at, acc) in acc.chunks_exact_mut(area).enumerate() {
        let (sample, o) = (at / outputs, at % outputs);
        let first = sample * channels + o / width * depth;
        for c in 0..depth {
            let x = &x[(first + c) * plane..][..plane];
            grid.convolve(acc, x, &w[(o * depth + c) * taps..][..taps], madd);
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_whose_window_hits_the_input() {
        for stride in 1..4 {
            for dilation in 1..3 {
                for before in 0..4 {
                    let line = Line { input: 5, output: 4, kernel: 3, stride, dilation, before, after: 2 };
                    for k in 0..3 {
                        for o in 0..4 {
                            let at = (o * stride + k * dilation) as i64 - before as i64;
                            assert_eq!(line.outputs(k, false).contains(&o), (0..5).contains(&at));
                            assert_eq!(line.outputs(k, true).contains(&o), at < 7);
                        }
                    }
                }
            }
        }
    }
}
