//! Quantized tensors as values; the numbers of PyTorch's test cases stand in the comments.

// A region of one axis is one range.
#![allow(clippy::single_range_in_vec_init)]

use std::sync::Arc;

use pretty_assertions::assert_eq;
use quantir_ir::qtensor::{load, save};
use quantir_ir::{QParams, QScheme, QTensor, Quant, Storage, Tensor, Zeros};

/// Numbers that hit ties, both ends and what lies between.
fn floats(shape: &[usize]) -> Tensor {
    let n = shape.iter().product();
    Tensor::f32(
        shape,
        (0..n).map(|i| (i as f32 * 0.37 - 2.0) * if i % 3 == 0 { -1.0 } else { 1.0 }).collect(),
    )
}

fn per_tensor(shape: &[usize]) -> QTensor {
    QTensor::quantize_per_tensor(&floats(shape), 0.05, 100, Storage::U8).unwrap()
}

fn per_channel(shape: &[usize], axis: usize) -> QTensor {
    let n = shape[axis];
    let scales: Vec<f64> = (0..n).map(|i| 0.02 + 0.01 * i as f64).collect();
    let zeros: Vec<i64> = (0..n as i64).map(|i| 3 * i - 4).collect();
    QTensor::quantize_per_channel(&floats(shape), &scales, &zeros, axis, Storage::I8).unwrap()
}

fn ints(q: &QTensor) -> Vec<i64> {
    q.int_repr().ints().unwrap()
}

/// T1: integers, scale and zero point read back, also of empty tensors.
#[test]
fn a_tensor_gives_back_what_it_was_made_of() {
    for (storage, zero) in [(Storage::U8, 10), (Storage::I8, -3), (Storage::I32, 7), (Storage::U4, 3)] {
        let q = QTensor::quantize_per_tensor(&Tensor::f32(&[2], vec![0.0, 1.0]), 0.5, zero, storage).unwrap();
        assert_eq!(ints(&q), [zero, zero + 2]);
        assert_eq!((q.q_scale().unwrap(), q.q_zero_point().unwrap()), (0.5, zero as i32));
        assert_eq!((q.qscheme(), q.storage()), (QScheme::PerTensorAffine, storage));
        assert_eq!(QTensor::from_ints(q.quant(), &[2], &ints(&q)).unwrap(), q);
    }
    let empty = QTensor::quantize_per_tensor(&Tensor::f32(&[0, 3], vec![]), 0.5, 0, Storage::U8).unwrap();
    assert_eq!((empty.shape(), empty.dequantize().numel()), (&[0, 3][..], 0));
    let e = empty.q_per_channel_scales().unwrap_err();
    assert!(e.message.contains("per_tensor_affine"), "{e}");
}

/// T2: dequantizing gives the nearest multiples of the scale, in any number of dimensions.
#[test]
fn dequantized_numbers_are_within_half_a_step() {
    for shape in [&[24][..], &[4, 6], &[2, 3, 4], &[1, 2, 3, 4], &[2, 1, 2, 2, 3]] {
        let x = floats(shape);
        let q = QTensor::quantize_per_tensor(&x, 0.1, 100, Storage::U8).unwrap();
        assert_eq!(q.shape(), shape);
        for (a, b) in x.floats().unwrap().iter().zip(q.dequantize().floats().unwrap().iter()) {
            assert!((a - b).abs() <= 0.0501, "{a} {b}");
        }
    }
}

/// T3: the same integers under another scale, zero point, storage or scheme are another tensor.
#[test]
fn equality_is_of_integers_and_parameters() {
    let q = |scale, zero, storage| {
        QTensor::from_ints(&Arc::new(Quant::tensor(storage, scale, zero)), &[3], &[1, 2, 3]).unwrap()
    };
    let a = q(0.5, 0, Storage::U8);
    assert_eq!(a, q(0.5, 0, Storage::U8));
    for other in [q(0.25, 0, Storage::U8), q(0.5, 1, Storage::U8), q(0.5, 0, Storage::I8)] {
        assert!(a != other);
    }
    let params = QParams::Axis { axis: 0, scale: vec![0.5; 3].into(), zero: Zeros::All(0) };
    let channels = Arc::new(Quant { storage: Storage::U8, range: (0, 255), params });
    assert!(a != QTensor::from_ints(&channels, &[3], &[1, 2, 3]).unwrap());
}

/// T4, T8, T25: codes of 4 and 2 bits, the earlier one in the lower bits, over rows of even and odd length.
#[test]
fn small_codes_are_packed_low_bits_first() {
    let four = |n: i64| {
        let q = Arc::new(Quant::tensor(Storage::U4, 0.5, 0));
        QTensor::from_ints(&q, &[n as usize], &(0..n).map(|i| (i * 7 + 1) % 16).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(four(4).packed().unwrap(), [0x81, 0x6f]);
    assert_eq!(four(3).packed().unwrap(), [0x81, 0x0f]);
    let two = Arc::new(Quant { range: (0, 3), ..Quant::tensor(Storage::U4, 0.5, 0) });
    let t = QTensor::from_ints(&two, &[5], &[1, 2, 3, 0, 2]).unwrap();
    assert_eq!(t.packed().unwrap(), [0b00_11_10_01, 0b10]);
    assert_eq!(QTensor::from_packed(&two, &[5], &[0b00_11_10_01, 0b10]).unwrap(), t);
    let signed = Arc::new(Quant::tensor(Storage::I4, 0.5, 0));
    let t = QTensor::from_ints(&signed, &[3], &[-8, 7, -1]).unwrap();
    assert_eq!(t.packed().unwrap(), [0x78, 0x0f]);
    assert_eq!(QTensor::from_packed(&signed, &[3], &t.packed().unwrap()).unwrap(), t);
    assert!(QTensor::from_packed(&signed, &[5], &[0; 2]).unwrap_err().message.contains("2 bytes"));
    assert!(per_tensor(&[2]).packed().unwrap_err().message.contains("not packed"));

    let x = Tensor::f32(&[2, 3], vec![0.0, 0.5, 1.5, -1.0, 0.0, 1.0]);
    let q = QTensor::quantize_float_qparams(&x, &[0.1, 0.2], &[0.0, 5.0], 0, Storage::U4).unwrap();
    assert_eq!(ints(&q), [0, 5, 15, 0, 5, 10]);
    assert_eq!(q.packed().unwrap(), [0x50, 0x0f, 0xa5]);
}

/// T5: floats assigned into a slice are quantized with the parameters that hold there.
#[test]
fn assigned_floats_take_the_parameters_of_the_place() {
    let mut q = per_tensor(&[3, 4]);
    let before = ints(&q);
    q.assign(&[1..2, 1..3], &Tensor::f32(&[1, 2], vec![0.5, -0.5])).unwrap();
    assert_eq!(ints(&q)[5..7], [110, 90]);
    assert_eq!(
        (ints(&q)[..5].to_vec(), ints(&q)[7..].to_vec()),
        (before[..5].to_vec(), before[7..].to_vec())
    );

    let mut q = per_channel(&[2, 2], 0);
    q.assign(&[0..2], &Tensor::f32(&[], vec![0.6])).unwrap();
    assert_eq!(ints(&q), [26, 26, 19, 19]);
    assert!(q.assign(&[0..3], &Tensor::f32(&[], vec![0.0])).unwrap_err().message.contains("no region"));
    assert!(
        q.assign(&[0..1], &Tensor::f32(&[2], vec![0.0; 2])).unwrap_err().message.contains("fill the region")
    );
}

/// T6: each channel is what quantizing it alone gives, along any axis.
#[test]
fn channels_are_quantized_each_by_its_own_parameters() {
    let x = floats(&[3, 4, 2]);
    let whole = QTensor::new(x.quantize(&Arc::new(Quant::tensor(Storage::U8, 1.0, 0))).unwrap()).unwrap();
    for axis in 0..3 {
        let q = per_channel(&[3, 4, 2], axis);
        assert_eq!((q.qscheme(), q.q_per_channel_axis().unwrap()), (QScheme::PerChannelAffine, axis));
        let (scales, zeros) = (q.q_per_channel_scales().unwrap(), q.q_per_channel_zero_points().unwrap());
        for c in 0..x.shape[axis] {
            let scale = f64::from(scales.floats().unwrap()[c]);
            let zero = zeros.ints().unwrap()[c];
            let all = QTensor::quantize_per_tensor(&x, scale, zero, Storage::I8).unwrap();
            assert_eq!(q.select(axis, c).unwrap(), all.select(axis, c).unwrap());
        }
        assert_eq!(q.shape(), whole.shape());
    }
    let e = QTensor::quantize_per_channel(&x, &[1.0; 3], &[0; 3], 3, Storage::I8).unwrap_err();
    assert!(e.message.contains("no axis 3"), "{e}");
}

/// T7: a real zero point is added before rounding.
#[test]
fn real_zero_points_are_added_before_rounding() {
    let x = Tensor::f32(&[2, 2], vec![0.3, 0.5, 1.0, -1.0]);
    let q = QTensor::quantize_float_qparams(&x, &[1.0, 0.5], &[0.25, 2.5], 0, Storage::U8).unwrap();
    assert_eq!(ints(&q), [1, 1, 4, 0]);
    assert_eq!(q.dequantize().floats().unwrap().to_vec(), [0.75, 0.75, 0.75, -1.25]);
    assert_eq!(q.qscheme(), QScheme::PerChannelAffineFloatQParams);
    assert_eq!(q.q_per_channel_zero_points().unwrap().floats().unwrap().to_vec(), [0.25, 2.5]);
    assert!(q.select(0, 1).unwrap_err().message.contains("integer zero point"));
}

/// T9: channels move with their axis, and the inverse order restores the tensor.
#[test]
fn permuting_moves_the_axis_of_the_channels() {
    let q = per_channel(&[3, 4, 2], 1);
    let p = q.permute(&[2, 0, 1]).unwrap();
    assert_eq!((p.shape(), p.q_per_channel_axis().unwrap()), (&[2, 3, 4][..], 2));
    assert_eq!(p.permute(&[1, 2, 0]).unwrap(), q);
    let x = q.dequantize().array::<f32>().unwrap().permuted_axes(vec![2, 0, 1]).to_owned();
    assert_eq!(p.dequantize(), Tensor::from_array(x));
    assert_eq!(per_tensor(&[2, 3]).transpose(0, 1).unwrap().transpose(0, 1).unwrap(), per_tensor(&[2, 3]));
    assert!(q.permute(&[0, 0, 1]).unwrap_err().message.contains("does not order"));
}

/// T10: views keep the parameters; one that cuts across the channels is refused; resizing keeps them too.
#[test]
fn views_keep_parameters_or_are_refused() {
    let q = per_tensor(&[2, 3, 4]);
    assert_eq!(q.reshape(&[6, 4]).unwrap().quant(), q.quant());
    assert_eq!(q.flatten(1, 2).unwrap().shape(), [2, 12]);
    assert_eq!(q.unsqueeze(1).unwrap().squeeze(1).unwrap(), q);
    assert!(q.reshape(&[5]).unwrap_err().message.contains("24 elements"));
    let mut small = q.clone();
    small.resize(&[2, 2]).unwrap();
    assert_eq!((ints(&small), small.quant()), (ints(&q)[..4].to_vec(), q.quant()));
    small.resize(&[5]).unwrap();
    assert_eq!(ints(&small)[4], 100);

    let c = per_channel(&[2, 3, 4], 1);
    let view = c.reshape(&[1, 2, 3, 2, 2]).unwrap();
    assert_eq!((view.q_per_channel_axis().unwrap(), ints(&view)), (2, ints(&c)));
    assert_eq!(c.unsqueeze(0).unwrap().q_per_channel_axis().unwrap(), 2);
    assert_eq!(c.unsqueeze(3).unwrap().q_per_channel_axis().unwrap(), 1);
    let e = c.flatten(0, 1).unwrap_err();
    assert!(e.message.contains("cuts across axis 1"), "{e}");
    assert!(per_channel(&[1, 3], 0).squeeze(0).is_err());
}

/// T11: copies, clones and repetitions.
#[test]
fn copies_are_independent_and_need_the_same_scheme() {
    let q = per_tensor(&[2, 3]);
    let mut copy = q.clone();
    copy.fill(0.0).unwrap();
    assert!(copy != q);
    copy.copy_from(&q).unwrap();
    assert_eq!(copy, q);
    let e = copy.copy_from(&per_channel(&[2, 3], 0)).unwrap_err();
    assert!(e.message.contains("per_channel_affine"), "{e}");
    copy.copy_from_float(&q.dequantize()).unwrap();
    assert_eq!(copy, q);

    let twice = q.repeat(&[2, 1, 2]).unwrap();
    assert_eq!((twice.shape(), twice.quant()), (&[2, 2, 6][..], q.quant()));
    assert_eq!(ints(&twice)[..6], [&ints(&q)[..3], &ints(&q)[..3]].concat());
    let c = per_channel(&[2, 3], 1).repeat(&[1, 2]).unwrap();
    assert_eq!(c.q_per_channel_scales().unwrap().numel(), 6);
}

/// T12: scalars are quantized with the parameters of the place they go to.
#[test]
fn fills_use_the_parameters_of_the_destination() {
    let mut q = per_tensor(&[2, 2]);
    q.fill(0.5).unwrap();
    assert_eq!(ints(&q), [110; 4]);
    q.masked_fill(&Tensor::bools(&[2, 2], vec![true, false, false, true]), -1.0).unwrap();
    assert_eq!(ints(&q), [80, 110, 110, 80]);
    q.index_put(&[vec![0, 1], vec![1, 0]], &[1.0, 100.0]).unwrap();
    assert_eq!(ints(&q), [80, 120, 255, 80]);
    assert_eq!(ints(&q.index_select(1, &[1, 1, 0]).unwrap()), [120, 120, 80, 80, 80, 255]);

    let mut c = per_channel(&[2, 2], 1);
    c.fill(0.3).unwrap();
    assert_eq!(ints(&c), [11, 9, 11, 9]);
    let picked = c.index_select(1, &[1]).unwrap();
    assert_eq!((picked.q_per_channel_scales().unwrap().numel(), ints(&picked)), (1, vec![9, 9]));
    assert!(c.index_put(&[vec![0, 0]], &[1.0]).unwrap_err().message.contains("index_put"));
    assert!(q.masked_fill(&Tensor::bools(&[2], vec![true; 2]), 0.0).is_err());
}

/// T13: files give back equal tensors of every scheme, and equal tensors equal files.
#[test]
fn files_give_back_equal_tensors() {
    let x = floats(&[3, 5]);
    let nibbles =
        QTensor::quantize_float_qparams(&x, &[0.1, 0.2, 0.3], &[1.5, 2.0, 3.0], 0, Storage::U4).unwrap();
    let (a, b) = (per_tensor(&[3, 5]), per_channel(&[2, 3], 1));
    let scalar = QTensor::quantize_per_tensor(&Tensor::f32(&[], vec![1.0]), 0.1, 0, Storage::I32).unwrap();
    let all = [("act", &a), ("layer.weight", &b), ("table", &nibbles), ("x", &scalar)];
    let bytes = save(all).unwrap();
    assert_eq!(bytes, save(all.into_iter().rev()).unwrap());
    let back = load(&bytes).unwrap();
    assert_eq!(back.len(), 4);
    for (name, t) in all {
        assert_eq!(&back[name], t, "{name}");
        assert_eq!(back[name].qscheme().to_string(), t.qscheme().to_string());
    }
    assert!(load(b"no file").unwrap_err().message.contains("no safetensors file"));
    assert!(save([("a", &a), ("a", &a)]).unwrap_err().message.contains("two tensors"));
}

/// T24: the range of the quantization is honoured, not only that of the storage.
#[test]
fn weights_are_clamped_to_the_range_of_their_observer() {
    let q = |params| Arc::new(Quant { storage: Storage::I8, range: (-10, 10), params });
    let w = Tensor::f32(&[2, 2], vec![1200.0, -1200.0, 100.0, -1000.0]);
    let one = q(QParams::Tensor { scale: 100.0, zero: 0 });
    assert_eq!(ints(&QTensor::from_float(&w, &one).unwrap()), [10, -10, 1, -10]);
    let each = q(QParams::Axis { axis: 0, scale: vec![100.0; 2].into(), zero: Zeros::All(0) });
    assert_eq!(ints(&QTensor::from_float(&w, &each).unwrap()), [10, -10, 1, -10]);
    assert!(QTensor::from_ints(&one, &[1], &[11]).unwrap_err().message.contains("outside the range"));
}

/// Concatenation names the parameters of the result; inputs of others are quantized anew.
#[test]
fn concatenation_requantizes_to_given_parameters() {
    let a = QTensor::quantize_per_tensor(&Tensor::f32(&[2, 1], vec![0.5, 1.0]), 0.5, 0, Storage::U8).unwrap();
    let b =
        QTensor::quantize_per_tensor(&Tensor::f32(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]), 0.25, 3, Storage::U8)
            .unwrap();
    let both = QTensor::cat(&[&a, &b], 1, a.quant()).unwrap();
    assert_eq!((both.shape(), ints(&both)), (&[2, 3][..], vec![1, 2, 4, 2, 6, 8]));
    assert!(QTensor::cat(&[&a, &b], 0, a.quant()).unwrap_err().message.contains("more than axis 0"));
    assert!(QTensor::cat(&[], 0, a.quant()).is_err());
}

/// What is no quantized tensor is refused with a reason.
#[test]
fn refusals_say_what_to_do() {
    let e = QTensor::new(floats(&[2])).unwrap_err();
    assert!(e.message.contains("not quantized") && e.help.is_some());
    let x = floats(&[2]);
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-50] {
        assert!(QTensor::quantize_per_tensor(&x, scale, 0, Storage::U8).is_err(), "{scale}");
    }
    assert!(QTensor::quantize_per_tensor(&x, 1.0, 300, Storage::U8).is_err());
    assert!(QTensor::quantize_per_tensor(&x, 1.0, 0, Storage::F32).is_err());
    assert!(per_tensor(&[2]).slice(0, 1, 3).is_err());
    assert!(per_tensor(&[2]).select(1, 0).is_err());
}

/// Codes are ordered as the numbers they stand for; equal ones keep their order.
#[test]
fn order_is_that_of_the_codes() {
    let q = Arc::new(Quant::tensor(Storage::U8, 0.5, 3));
    let t = QTensor::from_ints(&q, &[2, 3], &[5, 1, 5, 2, 9, 4]).unwrap();
    let (sorted, indices) = t.sort(1, false).unwrap();
    assert_eq!((ints(&sorted), indices), (vec![1, 5, 5, 2, 4, 9], vec![1, 0, 2, 0, 2, 1]));
    let (top, indices) = t.topk(1, 0, true).unwrap();
    assert_eq!((top.shape(), ints(&top), indices), (&[1, 3][..], vec![5, 9, 5], vec![0, 1, 0]));
    assert_eq!(ints(&t.max(&[1]).unwrap()), [5, 9]);
    assert_eq!((ints(&t.min(&[0, 1]).unwrap()), t.min(&[0]).unwrap().shape()), (vec![1], &[3][..]));
    assert!(t.topk(4, 1, true).unwrap_err().message.contains("no 4 elements"));
    assert!(per_channel(&[2, 2], 0).max(&[1]).unwrap_err().message.contains("no common order"));
}
