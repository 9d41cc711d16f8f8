//! Every tier against the scalar one, and the scalar one against the formulas, bit for bit.

mod kernels_common;

use kernels_common::{Random, requant, vector_tiers};
use quantir_runtime::isa::Isa;
use quantir_runtime::kernels::{
    ConvGeometry, KernelError, OutputRange, PackedConv, PackedGemm, Requant, quantize::flip_sign,
};

/// `clamp(round_ties_even((acc + offset) · mult) + zero)` of a channel in steps that cannot overflow.
fn finish(acc: i64, requant: &Requant, channel: usize) -> u8 {
    let offset = requant.offset.get(channel).copied().unwrap_or(0.0);
    let value = ((acc as i32 as f32 + offset) * requant.mult[channel]) as f64;
    let out = &requant.out;
    let rounded = value.clamp(-1e6, 1e6).round_ties_even() as i64 + i64::from(out.zero);
    rounded.clamp(i64::from(out.lo), i64::from(out.hi)) as u8
}

#[test]
fn scalar_gemm_is_the_formula() {
    let mut random = Random::new(1);
    for (m, n, k) in [(1, 1, 1), (3, 5, 7), (4, 17, 33), (2, 3, 300)] {
        for signed in [false, true] {
            let weights = random.weights(n * k);
            let requant = requant(&mut random, n, k, signed);
            let x_zero = random.below(256) as i32;
            let w_zero: Vec<i32> = (0..n).map(|_| random.below(256) as i32 - 128).collect();
            let lda = k + 3;
            let a = random.bytes((m - 1) * lda + k);
            let gemm = PackedGemm::new(Isa::Scalar, &weights, n, k, x_zero, &w_zero, &requant).unwrap();
            let mut out = vec![0; m * n];
            gemm.run(&a, lda, m, &mut out, n);
            for i in 0..m {
                for j in 0..n {
                    let products = (0..k).map(|p| {
                        (i64::from(a[i * lda + p]) - i64::from(x_zero))
                            * (i64::from(weights[j * k + p]) - i64::from(w_zero[j]))
                    });
                    let acc = i64::from(requant.bias[j]) + products.sum::<i64>();
                    assert_eq!(out[i * n + j], finish(acc, &requant, j));
                }
            }
        }
    }
}

#[test]
fn vector_gemm_equals_scalar() {
    let mut random = Random::new(2);
    let mut case = |m: usize, n: usize, k: usize| {
        let weights = random.weights(n * k);
        let signed = random.below(2) == 1;
        let requant = requant(&mut random, n, k, signed);
        let x_zero = random.below(256) as i32;
        let (lda, ldc) = (k + random.below(3), n + random.below(3));
        let a = random.bytes((m - 1) * lda + k);
        let pack = |isa| PackedGemm::new(isa, &weights, n, k, x_zero, &[], &requant).unwrap();
        let mut expected = vec![9; (m - 1) * ldc + n];
        pack(Isa::Scalar).run(&a, lda, m, &mut expected, ldc);
        for isa in vector_tiers() {
            let gemm = pack(isa);
            assert_eq!(gemm.isa(), isa);
            let mut out = vec![9; expected.len()];
            gemm.run(&a, lda, m, &mut out, ldc);
            assert_eq!(out, expected, "{isa} m={m} n={n} k={k} lda={lda} ldc={ldc}");
        }
    };
    for n in [1, 7, 16, 17, 24, 33, 48, 50, 64, 65, 96, 112, 320, 1000] {
        for k in [1, 2, 3, 4, 5, 8, 17, 64, 67] {
            let m = 1 + (n * 7 + k * 13) % 31;
            case(m, n, k);
        }
    }
    for m in 1..=32 {
        case(m, 16, 32);
        case(m, 24, 9);
        case(m, 40, 6);
        case(m, 64, 20);
    }
    case(49, 320, 1152);
    case(300, 70, 64);
}

#[test]
fn extreme_values_do_not_saturate_early() {
    let (n, k) = (70, 512);
    for weight in [-128i8, 127] {
        let weights = vec![weight; n * k];
        let full = 255.0 * f32::from(weight) * k as f32;
        let requant =
            Requant { bias: vec![], offset: vec![], mult: vec![200.0 / full; n], out: OutputRange::u8(20) };
        let a = vec![255; 3 * k];
        for isa in Isa::available() {
            let gemm = PackedGemm::new(isa, &weights, n, k, 0, &[], &requant).unwrap();
            let mut out = vec![0; 3 * n];
            gemm.run(&a, k, 3, &mut out, n);
            assert!(out.iter().all(|&q| q == 220), "{isa} {weight}: {:?}", &out[..4]);
        }
    }
}

#[test]
fn huge_multipliers_and_wide_zero_points_fall_back() {
    let out = OutputRange::u8(128);
    for isa in Isa::available() {
        let requant = Requant { bias: vec![], offset: vec![], mult: vec![1e30, -1e30], out };
        let gemm = PackedGemm::new(isa, &[1, 1], 2, 1, 0, &[], &requant).unwrap();
        assert_eq!(gemm.isa(), Isa::Scalar);
        let mut q = [0; 2];
        gemm.run(&[7], 1, 1, &mut q, 2);
        assert_eq!(q, [255, 0]);

        let requant = Requant { bias: vec![], offset: vec![], mult: vec![0.5], out };
        let gemm = PackedGemm::new(isa, &[127], 1, 1, 0, &[-100], &requant).unwrap();
        assert_eq!(gemm.isa(), Isa::Scalar);
        gemm.run(&[1], 1, 1, &mut q, 1);
        assert_eq!(q[0], 242);

        let gemm = PackedGemm::new(isa, &[100], 1, 1, 0, &[-20], &requant).unwrap();
        assert_eq!(gemm.isa(), isa);
        gemm.run(&[1], 1, 1, &mut q, 1);
        assert_eq!(q[0], 188);
    }
}

#[test]
fn too_deep_a_reduction_is_an_error() {
    let k = 65_794;
    let requant = Requant { bias: vec![], offset: vec![], mult: vec![1e-6], out: OutputRange::u8(0) };
    let error = PackedGemm::new(Isa::Scalar, &vec![1; k], 1, k, 0, &[], &requant).err();
    assert_eq!(error, Some(KernelError::Depth { depth: k, limit: 65_793 }));
}

/// Direct convolution in `i64`, over one image.
fn naive_conv(g: &ConvGeometry, x: &[u8], w: &[i8], x_zero: i32, w_zero: &[i32], r: &Requant) -> Vec<u8> {
    let [od, oh, ow] = g.output();
    let (ci, co) = (g.channels_in / g.groups, g.channels_out / g.groups);
    let mut out = Vec::new();
    for position in 0..od * oh * ow {
        let at = [position / (oh * ow), position / ow % oh, position % ow];
        for o in 0..g.channels_out {
            let mut acc = i64::from(r.bias[o]);
            for c in 0..ci {
                for tap in 0..g.kernel.iter().product::<usize>() {
                    let t = [
                        tap / (g.kernel[1] * g.kernel[2]),
                        tap / g.kernel[2] % g.kernel[1],
                        tap % g.kernel[2],
                    ];
                    let p: [usize; 3] = std::array::from_fn(|i| {
                        (at[i] * g.stride[i] + t[i] * g.dilation[i]).wrapping_sub(g.pad_begin[i])
                    });
                    if (0..3).all(|i| p[i] < g.input[i]) {
                        let pixel = (p[0] * g.input[1] + p[1]) * g.input[2] + p[2];
                        let x = i64::from(x[pixel * g.channels_in + o / co * ci + c]) - i64::from(x_zero);
                        let w = i64::from(w[o * g.depth() + c * t_len(g) + tap])
                            - i64::from(w_zero.get(o).copied().unwrap_or(0));
                        acc += x * w;
                    }
                }
            }
            out.push(finish(acc, r, o));
        }
    }
    out
}

fn t_len(g: &ConvGeometry) -> usize {
    g.kernel.iter().product()
}

/// Runs every tier over the whole image and over split ranges, and compares with the formula.
fn check_conv(random: &mut Random, g: &ConvGeometry) {
    let weights = random.weights(g.channels_out * g.depth());
    let signed = random.below(2) == 1;
    let requant = requant(random, g.channels_out, g.depth(), signed);
    let x_zero = random.below(256) as i32;
    let x = random.bytes(g.input_len());
    let expected = naive_conv(g, &x, &weights, x_zero, &[], &requant);
    for isa in Isa::available() {
        let conv = PackedConv::new(isa, g.clone(), &weights, x_zero, &[], &requant).unwrap();
        assert_eq!(conv.isa(), isa);
        let mut scratch = vec![0xAA; conv.scratch_bytes()];
        let mut out = vec![0; expected.len()];
        conv.run(&x, &mut out, &mut scratch, 0..conv.rows());
        assert_eq!(first_difference(&out, &expected), None, "{isa} {g:?}");
        let middle = random.below(conv.rows() + 1);
        let mut out = vec![0; expected.len()];
        let (top, bottom) = out.split_at_mut(middle * conv.row_len());
        scratch.fill(0x55);
        conv.run(&x, bottom, &mut scratch, middle..conv.rows());
        conv.run(&x, top, &mut scratch, 0..middle);
        assert_eq!(first_difference(&out, &expected), None, "{isa} split at {middle} {g:?}");
    }
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<(usize, u8, u8)> {
    assert_eq!(a.len(), b.len());
    (0..a.len()).find(|&i| a[i] != b[i]).map(|i| (i, a[i], b[i]))
}

#[allow(clippy::too_many_arguments)]
fn conv_2d(
    ci: usize,
    co: usize,
    groups: usize,
    hw: [usize; 2],
    k: [usize; 2],
    s: usize,
    d: usize,
    p: usize,
) -> ConvGeometry {
    let mut g = ConvGeometry::new_2d(ci, co, hw, k);
    g.groups = groups;
    g.stride = [1, s, s];
    g.dilation = [1, d, d];
    g.pad_begin = [0, p, p];
    g.pad_end = [0, p, p];
    g
}

#[test]
fn convolutions_are_the_formula() {
    let mut random = Random::new(3);
    for g in [
        conv_2d(3, 32, 1, [11, 13], [3, 3], 2, 1, 1),
        conv_2d(3, 8, 1, [9, 9], [3, 3], 1, 1, 0),
        conv_2d(4, 17, 1, [9, 6], [3, 3], 1, 1, 1),
        conv_2d(16, 16, 1, [7, 7], [3, 3], 1, 2, 2),
        conv_2d(5, 9, 1, [8, 8], [2, 4], 3, 1, 0),
        conv_2d(8, 24, 1, [6, 6], [1, 1], 1, 1, 0),
        conv_2d(7, 24, 1, [6, 6], [1, 1], 1, 1, 0),
        conv_2d(8, 24, 1, [7, 7], [1, 1], 2, 1, 0),
        conv_2d(8, 12, 2, [6, 6], [3, 3], 1, 1, 1),
        conv_2d(6, 12, 3, [6, 5], [3, 3], 2, 1, 1),
        conv_2d(12, 24, 12, [6, 5], [3, 3], 1, 1, 1),
        conv_2d(1, 6, 1, [12, 12], [5, 5], 1, 1, 2),
        conv_2d(32, 70, 1, [5, 5], [3, 3], 1, 1, 1),
        conv_2d(64, 33, 1, [40, 4], [3, 1], 1, 1, 0),
    ] {
        check_conv(&mut random, &g);
    }
    let mut asymmetric = conv_2d(3, 5, 1, [8, 8], [3, 3], 2, 1, 0);
    asymmetric.pad_end = [0, 1, 1];
    check_conv(&mut random, &asymmetric);
    let mut one = ConvGeometry::new_2d(10, 20, [30, 1], [5, 1]);
    one.pad_begin[1] = 2;
    one.pad_end[1] = 2;
    check_conv(&mut random, &one);
    let mut three = ConvGeometry::new_2d(3, 9, [6, 7], [3, 2]);
    (three.input[0], three.kernel[0], three.stride) = (5, 2, [2, 1, 2]);
    (three.pad_begin, three.pad_end) = ([1, 0, 1], [0, 1, 1]);
    check_conv(&mut random, &three);
    let mut deep = ConvGeometry::new_2d(4, 4, [5, 6], [3, 3]);
    (deep.input[0], deep.kernel[0], deep.dilation[0]) = (7, 3, 2);
    check_conv(&mut random, &deep);
}

#[test]
fn depthwise_convolutions_are_the_formula() {
    let mut random = Random::new(4);
    for c in [2, 8, 16, 17, 24, 32, 40, 64, 96, 130, 144] {
        for (k, s) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            check_conv(&mut random, &conv_2d(c, c, c, [7, 9], [k, k], s, 1, k / 2));
        }
    }
    for g in [
        conv_2d(48, 48, 48, [9, 9], [3, 3], 1, 2, 2),
        conv_2d(20, 20, 20, [9, 9], [7, 7], 1, 1, 3),
        conv_2d(33, 33, 33, [9, 5], [3, 1], 1, 1, 1),
        conv_2d(64, 64, 64, [5, 5], [5, 5], 1, 1, 0),
        conv_2d(64, 64, 64, [2, 2], [5, 5], 1, 1, 2),
        conv_2d(16, 16, 16, [4, 150], [3, 3], 1, 1, 1),
        conv_2d(80, 80, 80, [4, 150], [5, 5], 1, 1, 2),
        conv_2d(80, 80, 80, [11, 11], [3, 3], 3, 1, 1),
        conv_2d(80, 80, 80, [11, 11], [2, 2], 2, 1, 0),
    ] {
        check_conv(&mut random, &g);
    }
    let mut asymmetric = conv_2d(40, 40, 40, [8, 8], [3, 3], 2, 1, 0);
    asymmetric.pad_end = [0, 1, 1];
    check_conv(&mut random, &asymmetric);
    let mut three = conv_2d(18, 18, 18, [6, 6], [3, 3], 1, 1, 1);
    (three.input[0], three.kernel[0], three.pad_begin[0]) = (4, 3, 1);
    check_conv(&mut random, &three);
}

#[test]
fn bad_geometries_are_errors() {
    let requant = Requant { bias: vec![], offset: vec![], mult: vec![1.0; 4], out: OutputRange::i8(0) };
    let mut g = ConvGeometry::new_2d(3, 4, [2, 2], [3, 3]);
    let error = PackedConv::new(Isa::Scalar, g.clone(), &[0; 108], 0, &[], &requant).err().unwrap();
    assert!(error.to_string().contains("kernel spans 3"), "{error}");
    g.groups = 2;
    assert!(matches!(g.check(), Err(KernelError::Geometry(_))));
}

#[test]
fn signed_inputs_are_shifted_unsigned_inputs() {
    let x: Vec<u8> = (0..=255).collect();
    let mut flipped = vec![0; 256];
    for isa in Isa::available() {
        flip_sign(isa, &x, &mut flipped);
        for (&x, &y) in x.iter().zip(&flipped) {
            assert_eq!(i32::from(x as i8) + 128, i32::from(y));
        }
    }
}
