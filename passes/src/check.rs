//! Evaluation before and after: seeded inputs and comparison within an [`Effect`].

use quantir_ir::dim::Binding;
use quantir_ir::interp;
use quantir_ir::ops::constant::splitmix64;
use quantir_ir::{Diag, Elem, Graph, Shape, Tensor, Type};

use crate::constant::float_tensor;
use crate::pass::Effect;

/// Values for the symbols of `g`: small, different from each other, within their declared ranges.
///
/// `round` varies them, so that a pass that is right for one size only is found out.
pub fn bind_symbols(g: &Graph, round: u64) -> Binding {
    let mut binding = Binding::new();
    for (i, (name, (lo, hi))) in g.dims.0.iter().enumerate() {
        // A symbol's own smallest value, then values that differ between symbols.
        let want = if round == 0 { lo + 1 + i as i64 } else { *lo };
        binding.insert(name.clone(), hi.map_or(want, |hi| want.min(hi)));
    }
    binding
}

/// The input tensors of `g` for these symbols: floats uniform in [-4, 4), small integers, truth values,
/// quantized elements over their range. Fails if a dimension has no value or is negative.
pub fn seeded_inputs(g: &Graph, binding: &Binding, seed: u64) -> Result<Vec<Tensor>, Diag> {
    let mut state = seed;
    let mut inputs = Vec::new();
    for &v in g.inputs() {
        let fail = |e: String| Diag::error("eval", format!("input `%{}`: {e}", g.name_of(v)));
        let ty = g.ty(v);
        let mut shape = Vec::new();
        for d in &ty.shape.0 {
            let n = d.eval(binding).map_err(fail)?;
            shape.push(usize::try_from(n).map_err(|_| fail(format!("dimension {d} would be {n}")))?);
        }
        inputs.push(seeded(ty, &shape, &mut state).map_err(|r| fail(r.message))?);
    }
    Ok(inputs)
}

fn seeded(ty: &Type, shape: &[usize], state: &mut u64) -> Result<Tensor, quantir_ir::Reason> {
    let n: usize = shape.iter().product();
    let storage = ty.elem.storage();
    if storage.is_float() {
        let data: Vec<f32> =
            (0..n).map(|_| (splitmix64(state) >> 40) as f32 / (1u64 << 24) as f32 * 8.0 - 4.0).collect();
        return float_tensor(storage, shape, data);
    }
    let (lo, hi) = match &ty.elem {
        Elem::Quant(q) => q.range,
        // Plain integers are often indices, so they stay small.
        Elem::Plain(_) => (0, 1),
    };
    let width = (hi - lo) as u64 + 1;
    let data: Vec<i64> = (0..n).map(|_| lo + (splitmix64(state) % width) as i64).collect();
    Tensor::from_ints(ty.elem.clone(), shape, &data)
}

/// Evaluates both graphs on the same seeded inputs, for two choices of symbols, and compares within `effect`.
///
/// Fails with a `meaning` diagnostic that names the output and its worst element, or with the diagnostic of
/// the interpreter. If the first graph cannot be evaluated there is nothing to compare: `Ok(false)`.
pub fn same_meaning(before: &Graph, after: &Graph, effect: Effect, seed: u64) -> Result<bool, Diag> {
    let mut compared = false;
    for round in 0..2 {
        let binding = bind_symbols(before, round);
        if round > 0 && binding == bind_symbols(before, 0) {
            break;
        }
        let inputs = seeded_inputs(before, &binding, seed.wrapping_add(round))?;
        let Ok(want) = interp::run(before, &inputs, &mut ()) else { continue };
        let got = interp::run(after, &inputs, &mut ()).map_err(|e| {
            e.diag().clone().note("the graph could be evaluated before the pass, but not after it")
        })?;
        compare(before, &want, &got, effect)?;
        compared = true;
    }
    Ok(compared)
}

/// Compares the outputs of a graph within `effect`; fails with a `meaning` diagnostic.
pub fn compare(g: &Graph, want: &[Tensor], got: &[Tensor], effect: Effect) -> Result<(), Diag> {
    if want.len() != got.len() {
        return Err(Diag::error("meaning", format!("{} outputs became {}", want.len(), got.len())));
    }
    for (i, (a, b)) in want.iter().zip(got).enumerate() {
        let name = g.outputs().get(i).map_or("", |o| &o.name);
        if a.elem != b.elem || a.shape != b.shape {
            return Err(Diag::error("meaning", format!("output `{name}` was {} and is {}", a.ty(), b.ty())));
        }
        compare_tensor(a, b, effect)
            .map_err(|e| Diag::error("meaning", format!("output `{name}` changed: {e}")))?;
    }
    Ok(())
}

/// The first violation of `effect` between two tensors of one type.
fn compare_tensor(a: &Tensor, b: &Tensor, effect: Effect) -> Result<(), String> {
    if !a.storage().is_float() {
        let step = match effect {
            Effect::Approximate => return Ok(()),
            Effect::Rounding { .. } if a.quant().is_some() => 1,
            _ => 0,
        };
        let (x, y) = (a.ints().map_err(|r| r.message)?, b.ints().map_err(|r| r.message)?);
        return match x.iter().zip(&y).position(|(x, y)| x.abs_diff(*y) > step) {
            Some(i) => Err(format!("{} was {} and is {}", element(&a.shape, i), x[i], y[i])),
            None => Ok(()),
        };
    }
    let (x, y) = (a.floats().map_err(|r| r.message)?, b.floats().map_err(|r| r.message)?);
    let largest = x.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
    let differs = |x: f32, y: f32| match effect {
        _ if x == y || (x.is_nan() && y.is_nan()) => false,
        Effect::Exact => true,
        Effect::Rounding { rel } => !y.is_finite() || !x.is_finite() || (x - y).abs() > rel * largest,
        Effect::Approximate => x.is_finite() && !y.is_finite(),
    };
    let worst = (0..x.len())
        .filter(|&i| differs(x[i], y[i]))
        .max_by(|&i, &j| (x[i] - y[i]).abs().total_cmp(&(x[j] - y[j]).abs()));
    match worst {
        Some(i) => Err(format!(
            "{} was {:?} and is {:?}; the pass promises {}",
            element(&a.shape, i),
            x[i],
            y[i],
            promise(effect, largest)
        )),
        None => Ok(()),
    }
}

fn promise(effect: Effect, largest: f32) -> String {
    match effect {
        Effect::Exact => "equal bits".into(),
        Effect::Rounding { rel } => format!("a difference of at most {:e}", rel * largest),
        Effect::Approximate => "finite results".into(),
    }
}

/// `element [0,3]` for a flat row-major index.
fn element(shape: &[usize], mut flat: usize) -> String {
    let mut index = vec![0i64; shape.len()];
    for (slot, &d) in index.iter_mut().zip(shape).rev() {
        *slot = (flat % d.max(1)) as i64;
        flat /= d.max(1);
    }
    format!("element {}", Shape(index.into_iter().map(Into::into).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::Phase;

    #[test]
    fn effects_bound_the_difference() {
        let t = |v: &[f32]| Tensor::f32(&[v.len()], v.to_vec());
        let (a, b) = (t(&[10.0, 0.0, f32::NAN]), t(&[10.0, -0.0, f32::NAN]));
        assert_eq!(compare_tensor(&a, &b, Effect::Exact), Ok(()));
        let c = t(&[10.00001, 0.0, f32::NAN]);
        assert!(compare_tensor(&a, &c, Effect::Exact).unwrap_err().contains("element [0] was 10.0 and is"));
        assert_eq!(compare_tensor(&a, &c, Effect::Rounding { rel: 1e-5 }), Ok(()));
        assert!(compare_tensor(&a, &c, Effect::Rounding { rel: 1e-8 }).is_err());
        let lost = t(&[f32::INFINITY, 0.0, f32::NAN]);
        assert!(compare_tensor(&a, &lost, Effect::Approximate).is_err());
        assert!(compare_tensor(&a, &lost, Effect::Rounding { rel: 1.0 }).is_err());
    }

    #[test]
    fn symbols_stay_within_their_ranges() {
        let mut g = Graph::new("main", Phase::Float);
        g.declare_dim("N", (1, None));
        g.declare_dim("H", (32, Some(32)));
        let b = bind_symbols(&g, 0);
        assert_eq!((b["N"], b["H"]), (2, 32));
        assert_eq!(bind_symbols(&g, 1)["N"], 1);
    }
}
