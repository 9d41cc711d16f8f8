//! Observers: what they accumulate, what follows from it, and what they refuse.

use quantir_ir::{ObserverSpec, QParams, Storage};
use quantir_quant::defaults::*;
use quantir_quant::observer::histogram::Histogram;
use quantir_quant::observer::{Accumulate, State, States};
use quantir_quant::{Error, Observer, ObserverTemplate};

fn shown(t: &ObserverTemplate, axis: u8, batches: &[(&[f32], &[usize])]) -> (Observer, ObserverSpec) {
    let spec = t.spec(axis);
    let mut o = Observer::new(&spec).unwrap();
    batches.iter().for_each(|(data, shape)| o.see(data, shape));
    (o, spec)
}

fn pair(t: &ObserverTemplate, batches: &[&[f32]]) -> (f32, i32) {
    let shapes: Vec<[usize; 1]> = batches.iter().map(|b| [b.len()]).collect();
    let batches: Vec<(&[f32], &[usize])> = batches.iter().zip(&shapes).map(|(b, s)| (*b, &s[..])).collect();
    let (o, spec) = shown(t, 0, &batches);
    o.params(&spec).unwrap().per_tensor().unwrap()
}

fn close(got: &[f32], want: &[f32]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-4 * w.abs().max(1e-3))
}

/// T41
#[test]
fn ranges_give_parameters_for_each_dtype_and_scheme() {
    // Averages by 0.5 of the ends of these batches are 1 and 8, and so are their extremes.
    let batches: [&[f32]; 2] = [&[2.0, 2.0, 3.0, 4.0, 8.0, 8.0], &[1.0, 8.0]];
    let average: [&[f32]; 2] = [&[1.0, 7.0], &[1.0, 9.0]];
    for (kind, data) in [("minmax", batches), ("moving_average", average)] {
        let new = |storage| {
            let t = ObserverTemplate::new(kind, storage);
            if kind == "minmax" { t } else { t.args(&[0.5]) }
        };
        let (u8, i8) = (new(Storage::U8), new(Storage::I8));
        assert_eq!(pair(&u8, &data), (8.0 / 255.0, 0));
        assert_eq!(pair(&i8, &data), (8.0 / 255.0, -128));
        assert_eq!(pair(&u8.clone().symmetric(), &data), (8.0 / 127.5, 128));
        assert_eq!(pair(&i8.clone().symmetric(), &data), (8.0 / 127.5, 0));
        assert_eq!(pair(&u8.reduce_range(), &data), (8.0 / 127.0, 0));
        assert_eq!(pair(&i8.clone().reduce_range(), &data), (8.0 / 127.0, -64));
        assert_eq!(pair(&i8.reduce_range().symmetric(), &data), (8.0 / 63.5, 0));
        let (o, spec) = shown(&new(Storage::U8), 0, &[(&[1.0, 8.0], &[2])]);
        let again = Observer::restore(&spec, &o.state()).unwrap();
        assert_eq!(again.params(&spec).unwrap(), o.params(&spec).unwrap());
        // Instead of a warning and scale 1.
        let nothing = Observer::new(&spec).unwrap().params(&spec);
        assert!(matches!(nothing, Err(Error::NoData)), "{nothing:?}");
    }
}

/// The 2×2×2×2 tensor of PyTorch's test, with its ends along each axis.
const CUBE: [f32; 16] = [4.0, -2.0, 5.0, 2.0, 1.0, 5.0, -2.0, 6.0, -4.0, 3.0, 7.0, 8.0, 5.0, -3.0, -1.0, 2.0];

/// T42
#[test]
fn each_channel_has_its_own_range() {
    let (u8, i8) =
        (ObserverTemplate::new("minmax", Storage::U8), ObserverTemplate::new("minmax", Storage::I8));
    for axis in 0..4u8 {
        let (o, _) = shown(&u8.clone().per_channel(), axis, &[(&CUBE, &[2, 2, 2, 2])]);
        let (mut min, mut max) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for (i, &x) in CUBE.iter().enumerate() {
            let c = i >> (3 - axis) & 1;
            (min[c], max[c]) = (min[c].min(x.into()), max[c].max(x.into()));
        }
        assert_eq!((o.state().list("min"), o.state().list("max")), (&min[..], &max[..]));
    }
    // With channels of ranges 1..6 and -4..8, as along the first axis of PyTorch's test.
    let rows = [1.0, 6.0, -4.0, 8.0];
    let params = |t: ObserverTemplate| {
        let (o, spec) = shown(&t.per_channel(), 0, &[(&rows, &[2, 2])]);
        o.params(&spec).unwrap()
    };
    let scales = |t: ObserverTemplate| (0..2).map(|i| params(t.clone()).scale(i)).collect::<Vec<f32>>();
    assert!(close(&scales(i8.clone().symmetric()), &[0.04705882, 0.06274509]));
    assert!(close(&scales(u8.clone()), &[6.0 / 255.0, 12.0 / 255.0]));
    assert!(close(&scales(i8.clone().symmetric().reduce_range()), &[6.0 / 63.5, 8.0 / 63.5]));
    let q = params(u8);
    assert_eq!((q.zero(0), q.zero(1)), (0, 85));
    let q = params(i8);
    assert_eq!((q.zero(0), q.zero(1)), (-128, -43));
    let refused = shown(&default_per_channel_weight_observer(), 0, &[(&rows, &[2, 2]), (&rows, &[4, 1])]);
    assert!(matches!(refused.0.params(&refused.1), Err(Error::AxisLength { had: 2, has: 4 })));
}

fn histogram(bins: f32) -> Histogram {
    let t = ObserverTemplate::new("histogram", Storage::U8).args(&[bins, 256.0]);
    Histogram::new(&t.spec(0)).unwrap()
}

/// T43
#[test]
fn two_batches_share_a_histogram_and_its_parameters() {
    let data: [&[f32]; 2] = [&[2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0]];
    let mut h = histogram(3.0);
    data.iter().for_each(|d| h.see(d, &[4]));
    assert_eq!((h.stats().min, h.stats().max, h.counts()), (2.0, 8.0, &[2.0, 3.0, 3.0][..]));
    let t = ObserverTemplate::new("histogram", Storage::U8).args(&[3.0, 256.0]);
    for (t, scale) in [
        (t.clone(), 0.023529412),
        (t.clone().symmetric(), 0.047058824),
        (t.reduce_range(), 0.023529412 * 255.0 / 127.0),
    ] {
        let got = pair(&t, &data).0;
        assert!((got - scale).abs() < scale * 0.03, "{got} {scale}");
    }
    let spec = ObserverTemplate::new("histogram", Storage::U8).args(&[3.0, 256.0]).spec(0);
    let text = h.state().to_string();
    let again = Histogram::restore(&spec, &text.parse().unwrap()).unwrap();
    assert_eq!(again.counts(), h.counts());
}

/// T44
#[test]
fn data_without_negative_numbers_has_zero_point_0() {
    let data: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
    let t = histogram_observer(Storage::U8).reduce_range();
    assert_eq!(pair(&t, &[&data]).1, 0);
}

/// T45
#[test]
fn a_range_that_widens_twice_gives_pytorchs_counts() {
    let mut h = histogram(3.0);
    for batch in [[1.0f32; 4], [0.0; 4], [0.0; 4], [2.0, 3.0, 4.0, 5.0], [5.0, 6.0, 7.0, 8.0]] {
        h.see(&batch, &[4]);
    }
    assert_eq!((h.stats().min, h.stats().max), (0.0, 8.0));
    assert_eq!(h.counts(), [13.25, 3.75, 3.0]);
}

/// Numbers between −1 and 1 that repeat in every run.
fn noise(seed: u32, n: usize) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2654435761).max(1);
    let mut next = move || {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| (next() + next() + next()) / 3.0).collect()
}

/// The search written down as PyTorch has it: walking, no shortcuts.
fn plain_search(h: &Histogram, bins: usize) -> (f32, f32) {
    let (min, max) = (f64::from(h.stats().min), f64::from(h.stats().max));
    let width = (max - min) / bins as f64;
    let counts = h.counts();
    let total: f64 = counts.iter().sum();
    let sums: Vec<f64> = (0..bins).map(|i| counts[..=i].iter().sum()).collect();
    let error = |start: usize, end: usize| -> f64 {
        let step = width * (end - start + 1) as f64 / 256.0;
        let g = |density: f64, u: f64, v: f64| density * (v.powi(3) - u.powi(3)) / 3.0;
        let mut sum = 0.0;
        for (i, &count) in counts.iter().enumerate() {
            let (b, density) = ((i as f64 - start as f64) * width, count / width);
            let e = b + width;
            let at = |x: f64| (x / step).floor().clamp(0.0, 255.0);
            let (db, de) = (at(b), at(e));
            let (cb, ce) = ((db + 0.5) * step, (de + 0.5) * step);
            sum += if db == de {
                g(density, b - cb, e - cb)
            } else {
                g(density, b - cb, step / 2.0)
                    + (de - db - 1.0) * g(density, -step / 2.0, step / 2.0)
                    + g(density, -step / 2.0, e - ce)
            };
        }
        sum
    };
    let (mut alpha, mut beta, mut start, mut end, mut least) = (0.0, 1.0, 0, bins - 1, f64::INFINITY);
    while alpha < beta {
        let (next_alpha, next_beta) = (alpha + 1e-5, beta - 1e-5);
        let (mut l, mut r) = (start, end);
        while l < end && sums[l] < next_alpha * total {
            l += 1;
        }
        while r > start && sums[r] > next_beta * total {
            r -= 1;
        }
        let (mut s, mut e) = (start, end);
        if l - start > end - r {
            (s, alpha) = (l, next_alpha);
        } else {
            (e, beta) = (r, next_beta);
        }
        if (s, e) == (start, end) {
            continue;
        }
        let now = error(s, e);
        if now > least {
            break;
        }
        (least, start, end) = (now, s, e);
    }
    let width = (h.stats().max - h.stats().min) / bins as f32;
    (h.stats().min + width * start as f32, h.stats().min + width * (end + 1) as f32)
}

/// T46
#[test]
fn the_search_is_that_of_a_plain_computation() {
    for (n, bins) in [(10, 256), (1000, 256), (1000, 2048)] {
        let mut h = histogram(bins as f32);
        for seed in 0..10 {
            let batch: Vec<f32> = noise(seed + 1, n).iter().map(|x| x * (1.0 + seed as f32)).collect();
            h.see(&batch, &[n]);
        }
        assert_eq!(h.clipped(256), plain_search(&h, bins), "{n} {bins}");
    }
}

/// T47
#[test]
fn tiny_ranges_are_counted() {
    let mut h = histogram(2048.0);
    for _ in 0..2 {
        h.see(&[0.0, 4.58e-41], &[2]);
    }
    let t = histogram_observer(Storage::U8);
    assert!(h.params(&t.spec(0)).unwrap().check(|_| None).is_ok());
}

/// T48
#[test]
fn every_number_is_counted_once() {
    for n in 1..10usize {
        let mut h = histogram(2048.0);
        h.see(&noise(n as u32, n * n), &[n, n]);
        assert_eq!(h.counts().iter().sum::<f64>(), (n * n) as f64);
    }
}

/// T49
#[test]
fn single_numbers_are_counted() {
    let mut h = histogram(2048.0);
    for x in [1.0f32, 3.0, 2.0, 4.0] {
        h.see(&[x], &[1]);
    }
    assert_eq!((h.stats().min, h.stats().max, h.counts().iter().sum::<f64>()), (1.0, 4.0, 4.0));
}

/// T50
#[test]
fn a_batch_within_the_range_is_counted_too() {
    let mut h = histogram(8.0);
    h.see(&[0.0, 8.0], &[2]);
    let before = h.counts().to_vec();
    h.see(&[3.0, 4.5], &[2]);
    assert_ne!(h.counts(), before);
    assert_eq!((h.stats().min, h.stats().max), (0.0, 8.0));
}

/// T51
#[test]
fn infinities_and_extreme_ranges_do_no_harm() {
    let t = histogram_observer(Storage::U8);
    let infinite: [&[f32]; 2] = [&[1.0, f32::INFINITY, 2.0], &[f32::NEG_INFINITY, 0.5]];
    let (o, spec) = shown(&t, 0, &[(infinite[0], &[3]), (infinite[1], &[2])]);
    assert_eq!((o.stats().min, o.stats().max, o.stats().nonfinite), (0.5, 2.0, 2));
    assert!(o.params(&spec).is_ok());
    for data in [[f32::MIN, f32::MAX], [1.0, 1.0 + f32::EPSILON], [3.0e38, 3.0e38]] {
        let (mut o, spec) = shown(&t, 0, &[(&data, &[2])]);
        o.see(&[0.0, 1.0], &[2]);
        assert!(o.params(&spec).unwrap().check(|_| None).is_ok(), "{data:?}");
        // A histogram keeps its bounded size whatever it sees.
        assert_eq!(o.state().list("histogram").len(), 2048);
        assert_eq!(Observer::restore(&spec, &o.state()).unwrap().state(), o.state());
    }
    let mut other = o.state();
    other.0.insert("histogram".into(), vec![1.0; 7]);
    assert!(Observer::restore(&spec, &other).is_err());
}

/// T52
#[test]
fn empty_tensors_change_nothing() {
    for (name, make) in OBSERVERS.iter().chain(FAKE_QUANTS) {
        let spec = make().spec(0);
        let mut o = Observer::new(&spec).unwrap();
        if o.kind() == "recording" {
            continue;
        }
        o.see(&[1.0, 2.0], &[2, 1]);
        let before = o.state();
        o.see(&[], &[0, 1]);
        assert_eq!(o.state(), before, "{name}");
    }
}

/// T53
#[test]
fn a_dynamic_observer_forgets_all_but_the_last_batch() {
    let t = default_dynamic_fake_quant();
    let spec = t.spec(0);
    let mut o = Observer::new(&spec).unwrap();
    for i in 0..20u32 {
        let batch = noise(i + 1, 50);
        o.see(&batch, &[50]);
        let mut fresh = Observer::new(&spec).unwrap();
        fresh.see(&batch, &[50]);
        let (a, b) = (o.params(&spec).unwrap(), fresh.params(&spec).unwrap());
        assert!((a.scale(0) - b.scale(0)).abs() <= a.scale(0) * 1e-6 && a.zero(0) == b.zero(0));
    }
}

/// T54
#[test]
fn a_saved_state_has_as_many_channels_as_it_has() {
    let t = default_per_channel_weight_observer();
    let (o, spec) = shown(&t, 0, &[(&noise(1, 12), &[6, 2])]);
    let (mut other, _) = shown(&t, 0, &[(&noise(2, 4), &[2, 2])]);
    assert_eq!(other.state().list("min").len(), 2);
    other = Observer::restore(&spec, &o.state()).unwrap();
    assert_eq!(other.state().list("min").len(), 6);
    let mut uneven = o.state();
    uneven.0.insert("max".into(), vec![1.0]);
    assert!(Observer::restore(&spec, &uneven).is_err());
}

/// T55
#[test]
fn a_recording_keeps_the_tensors_in_order() {
    for storage in [Storage::U8, Storage::I8] {
        let t = ObserverTemplate::new("recording", storage).no_range();
        let (o, spec) = shown(&t, 0, &[(&[1.0, 2.0], &[2]), (&[3.0], &[1, 1])]);
        let Observer::Recording(r) = &o else { panic!("a recording") };
        assert_eq!(r.tensors().len(), 2);
        assert_eq!(
            (r.tensors()[1].shape.as_slice(), &*r.tensors()[1].floats().unwrap()),
            (&[1, 1][..], &[3.0][..])
        );
        assert!(matches!(o.params(&spec), Err(Error::Passive { kind: "recording", .. })));
    }
}

/// T60
#[test]
fn every_named_observer_and_fake_quantizer_computes_on_random_data() {
    for (name, make) in OBSERVERS.iter().chain(FAKE_QUANTS) {
        let t = make();
        t.check().unwrap();
        let (o, spec) = shown(&t, 0, &[(&noise(3, 60), &[6, 10])]);
        match o.params(&spec) {
            Ok(q) => assert!(q.check(|_| None).is_ok() || t.float_zero, "{name}: {q}"),
            Err(e) => assert!(o.is_passive(), "{name}: {e}"),
        }
    }
}

/// T62
#[test]
fn states_of_pytorch_give_equal_parameters() {
    // What a state dict of PyTorch holds: ends, and nothing of batches.
    let spec = default_weight_observer().spec(0);
    let state: State = "min [-1] max [0.5]".parse().unwrap();
    let q = Observer::restore(&spec, &state).unwrap().params(&spec).unwrap();
    assert_eq!(q.per_tensor(), Some((1.0 / 127.5, 0)));
    let per_channel = default_per_channel_weight_observer().spec(0);
    let state: State = "min [-1,0] max [0.5,2]".parse().unwrap();
    let q = Observer::restore(&per_channel, &state).unwrap().params(&per_channel).unwrap();
    let QParams::Axis { scale, .. } = &q.params else { panic!("along an axis") };
    assert_eq!(scale[..], [1.0 / 127.5, 2.0 / 127.5]);
    let mut all = States::default();
    all.entries.insert("act0".into(), state);
    assert_eq!(States::parse(&all.to_string()).unwrap(), all);
}

#[test]
fn shards_of_consecutive_batches_merge() {
    for kind in ["minmax", "moving_average", "histogram", "percentile", "entropy", "mse", "fixed"] {
        let t = ObserverTemplate::new(kind, Storage::U8);
        let t = if kind == "fixed" { t.args(&[0.5, 3.0]) } else { t };
        let spec = t.spec(0);
        let (mut whole, mut left) = (Observer::new(&spec).unwrap(), Observer::new(&spec).unwrap());
        let mut right = left.clone();
        for i in 0..8u32 {
            let batch = noise(i + 1, 100);
            whole.see(&batch, &[100]);
            if i < 5 { left.see(&batch, &[100]) } else { right.see(&batch, &[100]) }
        }
        left.merge(right).unwrap();
        let (a, b) = (whole.params(&spec).unwrap(), left.params(&spec).unwrap());
        assert!((a.scale(0) - b.scale(0)).abs() <= a.scale(0) * 0.02, "{kind}: {a} {b}");
        assert_eq!(whole.stats().batches, left.stats().batches, "{kind}");
    }
}

#[test]
fn nan_is_refused_and_says_how_many() {
    for kind in ["minmax", "moving_average", "histogram", "percentile", "entropy", "mse"] {
        let t = ObserverTemplate::new(kind, Storage::U8);
        let (o, spec) = shown(&t, 0, &[(&[1.0, f32::NAN, f32::NAN], &[3]), (&[0.0], &[1])]);
        let e = o.params(&spec).unwrap_err();
        assert!(matches!(e, Error::Nan { count: 2 }), "{kind}: {e}");
    }
}

/// T57: a fused fake quantizer has the parameters of the one made of parts, and half the range if asked for.
#[test]
fn fused_and_composed_fake_quantizers_have_one_formula() {
    use quantir_quant::FakeQuant::{FakeQuantize, FusedMovingAvgObsFakeQuantize};
    for (t, axis) in [
        (moving_average_observer(Storage::U8).reduce_range(), 0),
        (default_per_channel_weight_fake_quant(), 0),
    ] {
        let params = |t: ObserverTemplate| {
            t.check().unwrap();
            let (o, spec) = shown(&t, axis, &[(&noise(1, 60), &[6, 10]), (&noise(2, 60), &[6, 10])]);
            (o.params(&spec).unwrap(), spec.range)
        };
        let (fused, range) = params(t.clone().fake(FusedMovingAvgObsFakeQuantize));
        assert_eq!((fused, range), params(t.clone().fake(FakeQuantize)));
        assert_eq!(range, if t.reduce_range { (0, 127) } else { (-128, 127) });
    }
}
