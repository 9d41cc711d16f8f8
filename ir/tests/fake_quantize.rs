//! Fake quantization and the arithmetic of exported graphs; the numbers of PyTorch's test cases stand in the comments.

use half::{bf16, f16};
use pretty_assertions::assert_eq;
use quantir_ir::quant::choose::{Scheme, choose_float_qparams, choose_qparams};
use quantir_ir::quant::decomposed::{self, Grid};
use quantir_ir::quant::dynamic::{
    Dynamic, choose_qparams_per_tensor, choose_quantization_params, quantize_per_tensor_dynamic,
};
use quantir_ir::quant::fake::{fake_quantize, fake_quantize_backward, fake_quantize_mask, storage_for};
use quantir_ir::quant::learnable::{Learnable, grad_factor};
use quantir_ir::quant::search::{Search, choose_qparams_optimized};
use quantir_ir::quant::{affine, group, half as cast, token};
use quantir_ir::{QParams, QTensor, Quant, Storage, Tensor, Zeros};

fn quant(range: (i64, i64), params: QParams) -> Quant {
    Quant { storage: storage_for(range).unwrap(), range, params }
}

fn one(range: (i64, i64), scale: f32, zero: i32) -> Quant {
    quant(range, QParams::Tensor { scale, zero })
}

fn each(range: (i64, i64), axis: u8, scale: &[f32], zero: Zeros) -> Quant {
    quant(range, QParams::Axis { axis, scale: scale.into(), zero })
}

fn vector(data: &[f32]) -> Tensor {
    Tensor::f32(&[data.len()], data.to_vec())
}

fn spread(n: usize) -> Tensor {
    vector(&(0..n).map(|i| ((i * 7919) % 1000) as f32 * 0.013 - 6.0).collect::<Vec<_>>())
}

fn floats(t: &Tensor) -> Vec<f32> {
    t.floats().unwrap().into_owned()
}

/// T27, T38: fake quantization is quantizing and dequantizing, for every range and scale.
#[test]
fn forward_is_quantize_then_dequantize() {
    let x = spread(200);
    for (range, zero) in [((0, 255), 100), ((0, 127), 3), ((-128, 127), -7), ((-127, 127), 0), ((0, 15), 7)] {
        for scale in [1e-6, 0.013, 0.1, 3.0, 1e6] {
            let q = one(range, scale, zero);
            let y = fake_quantize(&x, &q).unwrap();
            assert_eq!(y, QTensor::from_float(&x, &q.clone().into()).unwrap().dequantize());
            let inv = 1.0 / scale;
            for (x, y) in floats(&x).into_iter().zip(floats(&y)) {
                let n = ((x * inv).round_ties_even() as i64 + i64::from(zero)).clamp(range.0, range.1);
                assert_eq!(y, (n - i64::from(zero)) as f32 * scale);
            }
        }
    }
}

/// T28: the gradient passes where the integer before clamping lies in the range.
#[test]
fn gradients_pass_within_the_range() {
    let q = one((0, 15), 0.1, 5);
    let x =
        vector(&[-2.0, -0.55, -0.5, 0.0, 1.0, 1.05, 1.06, 3.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let mask = fake_quantize_mask(&x, &q).unwrap();
    assert_eq!(mask[..8], [false, false, true, true, true, true, false, false]);
    assert_eq!(mask[8..], [false; 3]);
    let grad = fake_quantize_backward(&x, &vector(&[2.0; 11]), &q).unwrap();
    let want: Vec<f32> = mask.iter().map(|&on| if on { 2.0 } else { 0.0 }).collect();
    assert_eq!(floats(&grad), want);
    assert!(fake_quantize_backward(&x, &vector(&[1.0]), &q).unwrap_err().message.contains("gradient"));
}

/// T29: half-precision inputs are computed in `f32`, so that they saturate instead of overflowing, and stay half.
#[test]
fn half_precision_saturates() {
    let big = Tensor::new(&[1], vec![f16::from_f32(32768.0)]).unwrap();
    let y = fake_quantize(&big, &one((0, 255), 0.1, 0)).unwrap();
    assert_eq!((y.storage(), floats(&y)), (Storage::F16, vec![f16::from_f32(25.5).to_f32()]));
    let small = Tensor::new(&[1], vec![f16::from_f32(2f32.powi(-24))]).unwrap();
    assert_eq!(floats(&fake_quantize(&small, &one((0, 255), 10.0, 0)).unwrap()), [0.0]);
    let b = Tensor::new(&[1], vec![bf16::from_f32(1.0)]).unwrap();
    assert_eq!(fake_quantize(&b, &one((0, 255), 0.5, 0)).unwrap().storage(), Storage::BF16);
}

/// T30: channels have parameters of their own; an integer zero point out of range is refused, a real one is not.
#[test]
fn channels_and_their_zero_points() {
    let x = Tensor::f32(&[2, 2], vec![0.3, 9.0, 0.3, -9.0]);
    let q = each((-8, 7), 0, &[0.5, 0.1], Zeros::Each(vec![0, 2].into()));
    assert_eq!(floats(&fake_quantize(&x, &q).unwrap()), [0.5, 3.5, 0.3, -1.0]);
    assert_eq!(fake_quantize_mask(&x, &q).unwrap(), [true, false, true, false]);
    let along = each((-8, 7), 1, &[0.5, 0.1], Zeros::All(0));
    assert_eq!(floats(&fake_quantize(&x, &along).unwrap()), [0.5, 0.7, 0.5, -0.8]);

    let e = fake_quantize(&x, &each((0, 15), 0, &[0.5, 0.1], Zeros::All(16))).unwrap_err();
    assert!(e.message.contains("zero point 16 lies outside the range [0:15]"), "{e}");
    let real = each((0, 15), 0, &[0.5, 0.1], Zeros::Float(vec![-1.5, 20.0].into()));
    assert_eq!(floats(&fake_quantize(&x, &real).unwrap()), [0.75, 8.25, -0.5, -2.0]);
    assert!(fake_quantize(&x, &each((0, 15), 2, &[0.5], Zeros::All(0))).is_err());
    assert!(fake_quantize(&Tensor::i64(&[1], vec![1]), &one((0, 15), 1.0, 0)).is_err());
}

/// T32: learned parameters: the forward pass is plain fake quantization, the gradients are those of LSQ.
#[test]
fn learned_parameters_have_gradients() {
    let l = Learnable { scale: vec![0.1], zero: vec![5.0], axis: None, range: (0, 15) };
    let x = vector(&[-2.0, -1.0, -0.3, 0.0, 0.26, 0.7, 1.4, 3.0]);
    assert_eq!(l.forward(&x).unwrap(), fake_quantize(&x, &one((0, 15), 0.1, 5)).unwrap());
    let g = l.backward(&x, &vector(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), 1.0).unwrap();
    assert_eq!(floats(&g.x), [0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    assert!((g.scale[0] - 137.0).abs() < 1e-3 && (g.zero[0] + 1.8).abs() < 1e-5, "{g:?}");
    assert_eq!(grad_factor(4, 100), 0.05);

    let channels = Learnable { scale: vec![0.1, 0.2], zero: vec![4.6, 3.0], axis: Some(0), range: (0, 15) };
    let x = Tensor::f32(&[2, 1], vec![9.0, -9.0]);
    let g = channels.backward(&x, &Tensor::f32(&[2, 1], vec![1.0; 2]), 0.5).unwrap();
    assert_eq!((g.scale, g.zero), (vec![5.0, -1.5], vec![-0.05, -0.1]));
    let bad = Learnable { scale: vec![0.1; 2], zero: vec![0.0; 2], axis: None, range: (0, 15) };
    assert!(bad.forward(&x).unwrap_err().message.contains("axis"));
}

/// T14: parameters of dynamic quantization.
#[test]
fn dynamic_parameters_come_from_the_data() {
    let reduced = Dynamic { reduce_range: true, ..Dynamic::default() };
    let full = Dynamic::default();
    assert_eq!(choose_quantization_params((-1.0, 3.0), (0, 255), full), (4.0 / 255.0, 64));
    assert_eq!(choose_quantization_params((-1.0, 3.0), (0, 255), reduced), (4.0 / 127.0, 32));
    assert_eq!(choose_quantization_params((0.0, 0.0), (0, 255), full), (0.1, 0));
    assert_eq!(choose_quantization_params((0.0, 1e-7), (0, 255), full), (f64::from(6.1e-5f32), 0));
    let sparse = Dynamic { preserve_sparsity: true, ..full };
    let (scale, zero) = choose_quantization_params((-1.0, 0.9), (-128, 127), sparse);
    assert_eq!((scale as f32, zero), (0.0078125, 0));
    let x = spread(50);
    let (scale, zero) = choose_qparams_per_tensor(&x, false).unwrap();
    let q = QTensor::new(quantize_per_tensor_dynamic(&x, Storage::U8, false).unwrap()).unwrap();
    assert_eq!((q.q_scale().unwrap(), q.q_zero_point().unwrap()), (scale as f32, zero));
    assert!(choose_qparams_per_tensor(&vector(&[f32::NAN]), false).is_err());
    assert!(quantize_per_tensor_dynamic(&x, Storage::I32, false).is_err());
}

/// T15: the greedy search cuts an outlier, never loses more than the full range, and keeps 84 % of it.
#[test]
fn searched_ranges_lose_less() {
    let outlier = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0];
    assert_eq!(choose_qparams_optimized(&outlier, Search::bits(4)).unwrap(), (0.0, 99.5));
    let x = floats(&spread(64));
    for bits in [2, 4] {
        let (lo, hi) = choose_qparams_optimized(&x, Search::bits(bits)).unwrap();
        let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        assert!(lo >= min && hi <= max && hi - lo >= 0.83 * (max - min));
    }
    assert!(choose_qparams_optimized(&[], Search::bits(4)).is_err());
}

/// T16: weights beyond what `f16` holds become its ends.
#[test]
fn weights_saturate_to_half_precision() {
    let x = vector(&[65532.0, -65532.0, 1.0, f32::INFINITY]);
    assert_eq!(floats(&cast::saturate_to_f16(&x).unwrap()), [65504.0, -65504.0, 1.0, 65504.0]);
    assert!(cast::saturate_to_f16(&vector(&[f32::NAN])).unwrap().floats().unwrap()[0].is_nan());
}

/// T17: quantizing `bf16` numbers is quantizing what they are in `f32`.
#[test]
fn bf16_is_quantized_as_its_f32() {
    let b = cast::to_bf16(&spread(40)).unwrap();
    let up = vector(&floats(&b));
    let grid = Grid::new(0, 255, Storage::U8).unwrap();
    let q = |x: &Tensor| decomposed::quantize_per_tensor(x, 0.05, 128, grid).unwrap();
    assert_eq!(q(&b), q(&up));
    assert_eq!(cast::to_f16(&b).unwrap().storage(), Storage::F16);
}

/// T18: the operators of exported graphs give the integers of quantized tensors.
#[test]
fn decomposed_per_tensor_equals_quantized_tensors() {
    let x = spread(100);
    for (storage, min, max, zero) in [(Storage::U8, 0, 255, 120), (Storage::I8, -128, 127, -3)] {
        let grid = Grid::new(min, max, storage).unwrap();
        let ints = decomposed::quantize_per_tensor(&x, 0.05, zero, grid).unwrap();
        let q = QTensor::quantize_per_tensor(&x, 0.05, zero, storage).unwrap();
        assert_eq!(ints, q.int_repr());
        assert_eq!(decomposed::dequantize_per_tensor(&ints, 0.05, zero).unwrap(), q.dequantize());
    }
    let narrow = Grid::new(0, 100, Storage::U8).unwrap();
    let ints = decomposed::quantize_per_tensor(&vector(&[9.0, -9.0]), 0.05, 50, narrow).unwrap();
    assert_eq!(ints.ints().unwrap(), [100, 0]);
    assert!(Grid::new(0, 300, Storage::U8).unwrap_err().message.contains("[0:255]"));
    assert!(decomposed::quantize_per_tensor(&x, 0.0, 0, narrow).is_err());
}

/// T19: choosing parameters, quantizing and dequantizing is near to dynamic quantization.
#[test]
fn decomposed_parameters_make_dynamic_quantization() {
    let x = spread(60);
    let grid = Grid::new(0, 255, Storage::U8).unwrap();
    let (scale, zero) = decomposed::choose(&x, grid, Scheme::Affine, f32::EPSILON).unwrap();
    let y = decomposed::quantize_per_tensor(&x, scale, zero, grid).unwrap();
    let dynamic = QTensor::new(quantize_per_tensor_dynamic(&x, Storage::U8, false).unwrap()).unwrap();
    assert_eq!(
        (zero, y.ints().unwrap()),
        (dynamic.q_zero_point().unwrap().into(), dynamic.int_repr().ints().unwrap())
    );
    let (scale, zero) =
        decomposed::choose(&x, grid, Scheme::Symmetric { custom_range: false }, 1e-7).unwrap();
    assert!(scale > 0.0 && zero == 128);
    assert!(decomposed::choose(&vector(&[]), grid, Scheme::Affine, 1e-7).is_err());
}

/// T20: the same for each channel, along any axis.
#[test]
fn decomposed_per_channel_equals_quantized_tensors() {
    let x = Tensor::f32(&[4, 5], floats(&spread(20)));
    let grid = Grid::new(-128, 127, Storage::I8).unwrap();
    for (axis, n) in [(0, 4), (1, 5)] {
        let scales: Vec<f64> = (1..=n).map(|i| 0.125 / f64::from(1 << i)).collect();
        let zeros: Vec<i64> = (0..i64::from(n)).map(|i| i - 2).collect();
        let ints = decomposed::quantize_per_channel(&x, &scales, &zeros, axis, grid).unwrap();
        let q = QTensor::quantize_per_channel(&x, &scales, &zeros, axis, Storage::I8).unwrap();
        assert_eq!(ints, q.int_repr());
        assert_eq!(decomposed::dequantize_per_channel(&ints, &scales, &zeros, axis).unwrap(), q.dequantize());
    }
    assert!(decomposed::quantize_per_channel(&x, &[1.0], &[0], 0, grid).is_err());
    assert!(decomposed::quantize_per_channel(&x, &[1.0], &[0], 2, grid).is_err());
}

/// T21: groups of a row have parameters of their own; the error is within half a step.
#[test]
fn groups_have_parameters_of_their_own() {
    let w = Tensor::f32(&[2, 8], floats(&spread(16)));
    let grid = Grid::new(-8, 7, Storage::I8).unwrap();
    let q = QTensor::new(group::int4_symmetric(&w, 4).unwrap()).unwrap();
    let QParams::Group { scale, .. } = &q.quant().params else { panic!("groups") };
    assert_eq!(scale.len(), 4);
    let ints = group::quantize_per_channel_group(&w, scale, &[0.0; 4], 4, grid).unwrap();
    assert_eq!(ints.ints().unwrap(), q.int_repr().ints().unwrap());
    let back = group::dequantize_per_channel_group(&ints, scale, &[0.0; 4], 4).unwrap();
    assert_eq!(back, q.dequantize());
    for (i, (a, b)) in floats(&w).into_iter().zip(floats(&back)).enumerate() {
        // The largest number of a group may be half a step above the largest code.
        assert!((a - b).abs() <= 0.501 * scale[i / 4], "{a} {b}");
    }
    assert!(group::int4_affine(&w, 3).unwrap_err().message.contains("groups of 3"));
    assert!(group::quantize_per_channel_group(&w, &[1.0], &[0.0], 4, grid).is_err());
}

/// T22, T23: each row has parameters of its own, also rows of zeros.
#[test]
fn rows_have_parameters_of_their_own() {
    let x = Tensor::f32(&[2, 1, 3], vec![-1.0, 0.5, 1.0, 0.0, 0.0, 0.0]);
    for p in [token::choose_per_token(&x).unwrap(), token::choose_per_token_asymmetric(&x).unwrap()] {
        assert_eq!(p.shape, [2, 1, 1]);
        let q = token::quantize_per_token(&x, &p, token::grid()).unwrap();
        let back = floats(&token::dequantize_per_token(&q, &p).unwrap());
        for (a, b) in floats(&x).into_iter().zip(back) {
            assert!((a - b).abs() <= 0.01, "{a} {b}");
        }
    }
    assert!(token::choose_per_token(&Tensor::f32(&[], vec![1.0])).is_err());
}

/// The parameters of observers, whose rows the reference verified.
#[test]
fn observer_parameters() {
    let affine = |ends| choose_qparams(ends, (0, 255), Storage::U8, Scheme::Affine, f32::EPSILON);
    assert_eq!(affine((1.0, 2.0)), (2.0 / 255.0, 0));
    assert_eq!(affine((-2.0, -1.0)), (2.0 / 255.0, 255));
    assert_eq!(affine((0.0, 0.0)), (f32::EPSILON, 0));
    let symmetric = |range, custom_range| {
        choose_qparams((-1.0, 0.9), range, Storage::U8, Scheme::Symmetric { custom_range }, f32::EPSILON)
    };
    assert_eq!(symmetric((0, 255), false), (1.0 / 127.5, 128));
    assert_eq!(symmetric((0, 127), true), (1.0 / 63.5, 63));
    assert_eq!(choose_float_qparams((1.0, 2.5), (0, 15), f32::EPSILON), (0.1, -10.0));
    assert_eq!(choose_float_qparams((1.0, 1.0), (0, 15), f32::EPSILON), (1.0, -1.0));
    assert!(affine::scale(1e39).unwrap_err().message.contains("32-bit float"));
}
