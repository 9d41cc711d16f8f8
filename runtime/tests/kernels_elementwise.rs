//! Element-wise and pooling kernels: every tier against the formulas, bit for bit.

mod kernels_common;

use kernels_common::Random;
use quantir_runtime::isa::Isa;
use quantir_runtime::kernels::OutputRange;
use quantir_runtime::kernels::add::Add;
use quantir_runtime::kernels::lut::{lookup, lookup_in_place};
use quantir_runtime::kernels::mul::Mul;
use quantir_runtime::kernels::pool::{Average, PoolGeometry, max_pool};
use quantir_runtime::kernels::quantize::{dequantize, dequantize_signed, quantize};

const LENGTHS: [usize; 8] = [0, 1, 15, 16, 31, 64, 100, 1027];

/// Clamp, round to even, add the zero point, by way of `f64`.
fn finish(value: f32, out: &OutputRange) -> u8 {
    let value = f64::from(value).clamp(-1e6, 1e6).round_ties_even() as i32 + out.zero;
    value.clamp(out.lo, out.hi) as u8
}

fn ranges() -> [OutputRange; 4] {
    [
        OutputRange::u8(0),
        OutputRange::u8(131),
        OutputRange::i8(-7),
        OutputRange { lo: 12, hi: 200, ..OutputRange::u8(12) },
    ]
}

#[test]
fn add_is_the_formula() {
    let mut random = Random::new(10);
    for len in LENGTHS {
        for out in ranges() {
            let (a, b) = (random.bytes(len), random.bytes(len));
            let add = Add {
                a_zero: random.below(256) as i32,
                a_scale: random.unit() * 0.1,
                b_zero: random.below(256) as i32,
                b_scale: random.unit() * 0.1,
                inv: 1.0 / (0.05 + random.unit() * 0.05),
                out,
            };
            let expected: Vec<u8> = (0..len)
                .map(|i| {
                    let x = (i32::from(a[i]) - add.a_zero) as f32 * add.a_scale;
                    let y = (i32::from(b[i]) - add.b_zero) as f32 * add.b_scale;
                    finish((x + y) * add.inv, &out)
                })
                .collect();
            for isa in Isa::available() {
                let mut q = vec![0; len];
                add.run(isa, &a, &b, &mut q);
                assert_eq!(q, expected, "{isa} {len}");
                let mut q = a.clone();
                add.run_in_place(isa, &mut q, &b);
                assert_eq!(q, expected, "{isa} {len} in place");
            }
        }
    }
}

#[test]
fn mul_is_the_formula() {
    let mut random = Random::new(11);
    for len in LENGTHS {
        for out in ranges() {
            let (a, b) = (random.bytes(3 * len), random.bytes(3 * len));
            let mul = Mul {
                a_zero: random.below(256) as i32,
                b_zero: random.below(256) as i32,
                mult: random.unit() * 0.02,
                out,
            };
            let one = |a: u8, b: u8| {
                let product = (i32::from(a) - mul.a_zero) * (i32::from(b) - mul.b_zero);
                finish(product as f32 * mul.mult, &out)
            };
            for isa in Isa::available() {
                let mut q = vec![0; 3 * len];
                mul.run(isa, &a, &b, &mut q);
                assert!((0..3 * len).all(|i| q[i] == one(a[i], b[i])), "{isa} {len}");
                mul.run_channels(isa, &a, &b[..len], &mut q);
                assert!((0..3 * len).all(|i| q[i] == one(a[i], b[i % len])), "{isa} {len} channels");
            }
        }
    }
}

#[test]
fn conversions_are_the_formulas() {
    let mut random = Random::new(12);
    for len in LENGTHS {
        let mut x: Vec<f32> = (0..len).map(|_| (random.unit() - 0.5) * 40.0).collect();
        // Ties, both infinities, not-a-number and values far outside.
        let special = [0.05, 0.15, -0.25, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30, -1e30, 0.0];
        for (x, special) in x.iter_mut().zip(special) {
            *x = special;
        }
        let q = random.bytes(len);
        let signed: Vec<i8> = q.iter().map(|&q| q as i8).collect();
        for out in ranges() {
            let inv = 1.0f32 / 0.1;
            let expected: Vec<u8> = x
                .iter()
                .map(|&x| if x.is_nan() { finish(0.0, &out) } else { finish(x * inv, &out) })
                .collect();
            let zero = random.below(256) as i32;
            for isa in Isa::available() {
                let mut result = vec![0; len];
                quantize(isa, &x, inv, &out, &mut result);
                assert_eq!(result, expected, "{isa} {out:?}");
                let mut floats = vec![0.0; len];
                dequantize(isa, &q, 0.37, zero, &mut floats);
                assert!(floats.iter().zip(&q).all(|(&f, &q)| f == 0.37 * (i32::from(q) - zero) as f32));
                dequantize_signed(isa, &signed, 0.37, -3, &mut floats);
                assert!(floats.iter().zip(&signed).all(|(&f, &q)| f == 0.37 * (i32::from(q) + 3) as f32));
            }
        }
    }
}

#[test]
fn tables_are_looked_up() {
    let mut random = Random::new(13);
    let table: [u8; 256] = random.bytes(256).try_into().unwrap();
    for len in LENGTHS {
        let x = random.bytes(len);
        let expected: Vec<u8> = x.iter().map(|&x| table[usize::from(x)]).collect();
        for isa in Isa::available() {
            let mut out = vec![0; len];
            lookup(isa, &table, &x, &mut out);
            assert_eq!(out, expected, "{isa} {len}");
            let mut out = x.clone();
            lookup_in_place(isa, &table, &mut out);
            assert_eq!(out, expected, "{isa} {len} in place");
        }
    }
}

/// Values of the window of `at` that lie inside the image, and its size within the padding.
fn window(g: &PoolGeometry, x: &[u8], at: [usize; 3], channel: usize) -> (Vec<u8>, usize) {
    let (mut values, mut padded) = (Vec::new(), 0);
    for tap in 0..g.kernel.iter().product::<usize>() {
        let t = [tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1], tap % g.kernel[2]];
        let p: [usize; 3] = std::array::from_fn(|i| at[i] * g.stride[i] + t[i] * g.dilation[i]);
        padded += usize::from((0..3).all(|i| p[i] < g.input[i] + g.pad_begin[i] + g.pad_end[i]));
        let p: [usize; 3] = std::array::from_fn(|i| p[i].wrapping_sub(g.pad_begin[i]));
        if (0..3).all(|i| p[i] < g.input[i]) {
            values.push(x[((p[0] * g.input[1] + p[1]) * g.input[2] + p[2]) * g.channels + channel]);
        }
    }
    (values, padded)
}

fn pool_2d(channels: usize, hw: [usize; 2], k: usize, s: usize, p: usize, out: [usize; 2]) -> PoolGeometry {
    PoolGeometry {
        channels,
        input: [1, hw[0], hw[1]],
        output: [1, out[0], out[1]],
        kernel: [1, k, k],
        stride: [1, s, s],
        dilation: [1; 3],
        pad_begin: [0, p, p],
        pad_end: [0, p, p],
    }
}

#[test]
fn pools_are_the_formulas() {
    let mut random = Random::new(14);
    let mut dilated = pool_2d(5, [9, 9], 3, 1, 1, [7, 7]);
    dilated.dilation = [1, 2, 2];
    let mut three = pool_2d(4, [5, 6], 2, 2, 0, [2, 3]);
    (three.input[0], three.kernel[0], three.output[0], three.stride[0]) = (4, 2, 3, 1);
    for g in [
        pool_2d(3, [6, 7], 3, 2, 1, [3, 4]),
        pool_2d(200, [8, 8], 2, 2, 0, [4, 4]),
        // Rounded up: the last windows reach behind the padding.
        pool_2d(17, [6, 6], 3, 2, 0, [3, 3]),
        PoolGeometry::global(130, [1, 7, 7]),
        PoolGeometry::global(16, [2, 3, 3]),
        dilated,
        three,
    ] {
        let x = random.bytes(g.input_len());
        let average = Average {
            x_zero: random.below(256) as i32,
            x_scale: 0.031,
            y_scale: 0.023,
            count_padding: random.below(2) == 1,
            zero_inside: random.below(2) == 1,
            out: ranges()[random.below(4)],
        };
        let (mut maxima, mut averages) = (Vec::new(), Vec::new());
        for row in 0..g.rows() {
            for column in 0..g.output[2] {
                for channel in 0..g.channels {
                    let at = [row / g.output[1], row % g.output[1], column];
                    let (values, padded) = window(&g, &x, at, channel);
                    maxima.push(*values.iter().max().unwrap());
                    let count = if average.count_padding { padded } else { values.len() };
                    let sum: i32 = values.iter().map(|&v| i32::from(v) - average.x_zero).sum();
                    let divisor = f64::from(average.y_scale) * count as f64;
                    let mult = (f64::from(average.x_scale) / divisor) as f32;
                    averages.push(match average.zero_inside {
                        false => finish(sum as f32 * mult, &average.out),
                        true => finish(
                            sum as f32 * mult + average.out.zero as f32,
                            &OutputRange { zero: 0, ..average.out },
                        ),
                    });
                }
            }
        }
        let middle = g.rows() / 2;
        for isa in Isa::available() {
            let mut out = vec![0; maxima.len()];
            let (top, bottom) = out.split_at_mut(middle * g.row_len());
            max_pool(isa, &g, &x, top, 0..middle);
            max_pool(isa, &g, &x, bottom, middle..g.rows());
            assert_eq!(out, maxima, "{isa} {g:?}");
            let (top, bottom) = out.split_at_mut(middle * g.row_len());
            average.run(isa, &g, &x, top, 0..middle);
            average.run(isa, &g, &x, bottom, middle..g.rows());
            assert_eq!(out, averages, "{isa} {average:?} {g:?}");
        }
    }
}
