//! Joins a Gaussian error linear unit that is spelled out.
//!
//! ```qir
//! input %x: f32[1,8]
//! %root_of_two = const {data=[1.4142135]} : f32[]
//! %one = const {data=[1.0]} : f32[]
//! %half = const {data=[0.5]} : f32[]
//! %d = div %x, %root_of_two : f32[1,8]
//! %e = erf %d : f32[1,8]
//! %a = add %e, %one : f32[1,8]
//! %m = mul %x, %a : f32[1,8]
//! %y = mul %m, %half : f32[1,8]
//! =>
//! %y = gelu %x : f32[1,8]
//! ```
//!
//! Forms: the product of `x`, `0.5` and `1 + erf(x/√2)` or `1 + tanh(√(2/π) · (x + 0.044715 · x³))`, in any order and
//! nesting; the cube as `pow` or as products. Inner results must have no other use.

use crate::constant::is_number;
use crate::fuse::hard_swish::replace;
use crate::fuse::product::{Product, near};
use crate::prelude::*;

/// The pass `fuse-gelu`.
pub struct FuseGelu;

/// `√(2/π)`.
const ROOT: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;

impl Rewrite for FuseGelu {
    const INFO: PassInfo =
        PassInfo::new("fuse-gelu", "Join a Gaussian error linear unit that is spelled out").rounding(5e-6);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let p = Product::of(g, at)?;
        let &[a, b] = p.factors.as_slice() else { return None };
        if p.constant != 0.5 {
            return None;
        }
        let (x, tanh) = match (gate(g, a, b), gate(g, b, a)) {
            (Some(tanh), _) => (b, tanh),
            (None, Some(tanh)) => (a, tanh),
            (None, None) => return None,
        };
        replace(g, at, Gelu { tanh }, x)
    }
}

/// Whether `v` is `1 + erf(x/√2)` (false) or its approximation by tanh (true).
fn gate(g: &Graph, v: ValueId, x: ValueId) -> Option<bool> {
    let curve = plus(g, v, |c| is_number(g, c, 1.0))?;
    if !g.one_use(curve) {
        return None;
    }
    if let Some(erf) = g.def::<Erf>(curve) {
        let p = Product::value(g, erf.x);
        let fits = p.power_of(x) == Some(1) && near(p.constant, std::f32::consts::FRAC_1_SQRT_2);
        return fits.then_some(false);
    }
    let p = Product::value(g, g.def::<Tanh>(curve)?.x);
    let &[inner] = p.factors.as_slice() else { return None };
    let cube = plus(g, inner, |c| c == x)?;
    (near(p.constant, ROOT) && cubic(g, cube, x)).then_some(true)
}

/// The other operand of the sum `v` that has no other use and one operand that `is` the given one.
fn plus(g: &Graph, v: ValueId, is: impl Fn(ValueId) -> bool) -> Option<ValueId> {
    let sum = g.def::<Add>(v).filter(|s| g.one_use(v) && s.op.act == Act::None)?;
    if is(sum.b) {
        return Some(sum.a);
    }
    is(sum.a).then_some(sum.b)
}

/// Whether `v` is `0.044715 · x³`.
fn cubic(g: &Graph, v: ValueId, x: ValueId) -> bool {
    let p = Product::value(g, v);
    let power = match p.factors.as_slice() {
        &[f] if f != x => g.def::<Pow>(f).is_some_and(|w| w.a == x && is_number(g, w.b, 3.0) && g.one_use(f)),
        _ => p.power_of(x) == Some(3),
    };
    power && near(p.constant, 0.044715)
}
