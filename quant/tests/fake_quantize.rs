//! Fake quantizers: forward, backward, switches, states.

use quantir_ir::quant::fake;
use quantir_ir::{Storage, Tensor};
use quantir_quant::defaults;
use quantir_quant::{FakeQuantize, ObserverTemplate};

fn data(seed: usize) -> Tensor {
    Tensor::f32(&[2, 3, 4], (0..24).map(|i| ((i * 7 + seed * 5) % 23) as f32 / 4.0 - 2.5).collect())
}
fn average(c: f32) -> ObserverTemplate {
    ObserverTemplate::new("moving_average", Storage::U8).args(&[c])
}
fn floats(t: &Tensor) -> Vec<f32> {
    t.floats().unwrap().to_vec()
}

/// T33: the module does what the function does with the module's parameters, forward and backward.
#[test]
fn module_and_function_agree() {
    for template in [average(0.01), ObserverTemplate::new("minmax", Storage::I8).symmetric().per_channel()] {
        let mut f = FakeQuantize::new(&template, 1).unwrap();
        let (x, grad) = (data(1), data(2));
        let y = f.forward(&x).unwrap();
        let q = f.quant().unwrap().clone();
        assert_eq!(floats(&y), floats(&fake::fake_quantize(&x, &q).unwrap()));
        let want = fake::fake_quantize_backward(&x, &grad, &q).unwrap();
        assert_eq!(floats(&f.backward(&x, &grad).unwrap()), floats(&want));
    }
}

/// T34: data does not change parameters that are known beforehand.
#[test]
fn fixed_parameters_stay() {
    let mut f = FakeQuantize::new(&defaults::default_fixed_qparams_range_0to1_observer(), 0).unwrap();
    let before = f.quant().unwrap().clone();
    f.forward(&data(3)).unwrap();
    assert_eq!(before.per_tensor(), Some((1.0 / 256.0, 0)));
    assert_eq!(f.quant(), Some(&before));
}

/// T35: a saved state gives the same parameters and goes on alike, per tensor and per channel.
#[test]
fn states_are_saved() {
    for template in [average(0.5), average(0.5).per_channel(), ObserverTemplate::new("minmax", Storage::I8)] {
        let mut a = FakeQuantize::new(&template, 1).unwrap();
        a.forward(&data(1)).unwrap();
        let mut b = FakeQuantize::new(&template, 1).unwrap();
        b.load_state(&a.state().to_string().parse().unwrap()).unwrap();
        assert_eq!(a.quant(), b.quant());
        assert_eq!(floats(&a.forward(&data(2)).unwrap()), floats(&b.forward(&data(2)).unwrap()));
        assert_eq!(a.quant(), b.quant());
    }
}

/// T36: switches. Observing off freezes parameters; quantizing off passes values on while observing goes on.
#[test]
fn switches() {
    let mut f = FakeQuantize::new(&average(0.5), 0).unwrap();
    assert!(f.backward(&data(1), &data(1)).is_err(), "no parameters yet");
    f.forward(&data(1)).unwrap();
    let frozen = f.quant().unwrap().clone();
    f.set_observer_enabled(false);
    f.forward(&Tensor::f32(&[2], vec![-90.0, 90.0])).unwrap();
    assert_eq!(f.quant(), Some(&frozen));
    f.set_observer_enabled(true).set_fake_quant_enabled(false);
    let x = Tensor::f32(&[2], vec![-90.0, 90.3]);
    assert_eq!(floats(&f.forward(&x).unwrap()), [-90.0, 90.3]);
    assert_ne!(f.quant(), Some(&frozen));
}

/// T37: parameters of a tensor stay one pair, those of channels one for each.
#[test]
fn shapes_of_parameters_stay() {
    let mut f = FakeQuantize::new(&average(0.01), 0).unwrap();
    let mut c = FakeQuantize::new(&average(0.01).per_channel(), 1).unwrap();
    for seed in 0..3 {
        f.forward(&data(seed)).unwrap();
        c.forward(&data(seed)).unwrap();
        assert_eq!(f.quant().unwrap().count(), Some(1));
        assert_eq!(c.quant().unwrap().count(), Some(3));
    }
}

/// T39: observing and quantizing in one step is an observer and a fake quantizer one after the other, symmetric and affine, with switches.
#[test]
fn one_step_is_two_steps() {
    for symmetric in [false, true] {
        let mut template = average(0.25);
        template.symmetric = symmetric;
        template.storage = if symmetric { Storage::I8 } else { Storage::U8 };
        template.range = template.storage.int_range().unwrap();
        let mut fused = FakeQuantize::new(&template, 0).unwrap();
        let spec = template.spec(0);
        let mut observer = quantir_quant::Observer::new(&spec).unwrap();
        for seed in 0..6 {
            let (observing, quantizing) = (seed < 4, seed != 2);
            fused.set_observer_enabled(observing).set_fake_quant_enabled(quantizing);
            let x = data(seed);
            if observing {
                observer.see(&floats(&x), &x.shape);
            }
            let q = observer.params(&spec).unwrap();
            let want = if quantizing { floats(&fake::fake_quantize(&x, &q).unwrap()) } else { floats(&x) };
            assert_eq!(floats(&fused.forward(&x).unwrap()), want);
        }
        assert_eq!(fused.calculate_qparams().unwrap(), observer.params(&spec).unwrap());
    }
}

/// T40: gradients pass within the range only; all pass when quantizing is off.
#[test]
fn gradients_are_masked() {
    let mut f = FakeQuantize::new(&average(1.0), 0).unwrap();
    f.forward(&Tensor::f32(&[2], vec![-1.0, 1.0])).unwrap();
    let x = Tensor::f32(&[4], vec![-5.0, -0.5, 0.5, 5.0]);
    let grad = Tensor::f32(&[4], vec![1.0, 2.0, 3.0, 4.0]);
    assert_eq!(floats(&f.backward(&x, &grad).unwrap()), [0.0, 2.0, 3.0, 0.0]);
    f.set_fake_quant_enabled(false);
    assert_eq!(floats(&f.backward(&x, &grad).unwrap()), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn an_observer_without_parameters_is_refused() {
    let e = FakeQuantize::new(&defaults::default_placeholder_observer(), 0).unwrap_err().to_string();
    assert!(e.contains("gives no parameters"), "{e}");
}
