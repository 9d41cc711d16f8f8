//! `quantized::add` and `quantized::mul` with a number: the parameters change, the integers mostly stay.
//!
//! With `t = z − rint(c/s)` a sum keeps integers and scale and has the zero point `t`, unless that lies outside of the range, which
//! is then stretched. A product has the scale `s·|c|`; a negative number mirrors integers and zero point. All are tables.

use std::sync::Arc;

use quantir_ir::{QParams, Quant};

use super::{Call, calls, operand, with_relu};
use crate::fx::view::is_literal;
use crate::prelude::*;

pub(super) fn lower(g: &Graph, c: &Call) -> Option<Edit> {
    if !calls::is_binary(&c.call) {
        return None;
    }
    let node = g.node(c.node);
    let (a, b) = (node.ins.first().copied().flatten()?, node.ins.get(1).copied().flatten()?);
    let (slot, number) = match (is_literal(g, a), is_literal(g, b)) {
        (false, true) => (0, b),
        (true, false) => (1, a),
        _ => return None,
    };
    let x = operand(g, c.node, slot)?;
    let q = g.elem(x).quant()?.clone();
    let (scale, zero) = q.per_tensor()?;
    let number = f64::from(*g.constant(number)?.floats().ok()?.first()?);
    let (lo, hi) = q.storage.int_range().filter(|(lo, hi)| hi - lo == 255)?;
    let (scale, zero) = (f64::from(scale), i64::from(zero));
    let (name, (scale, zero, of)) = match &node.op {
        Op::Add(o) if o.act == Act::None => ("quantized.add", sum(scale, zero, number, (lo, hi))),
        Op::Mul(o) if o.act == Act::None => ("quantized.mul", product(scale, zero, number, (lo, hi))),
        _ => return None,
    };
    let least = if c.relu { zero } else { lo };
    let table: Vec<i64> = (lo..=hi).map(|q| of(q).clamp(lo, hi).max(least)).collect();
    let params = QParams::Tensor { scale: scale as f32, zero: i32::try_from(zero).ok()? };
    let to = Arc::new(Quant { params, range: (lo, hi), ..(*q).clone() });
    let mut e = c.editor(g, &with_relu(name, c.relu));
    let table = e.constant(Tensor::from_ints(Elem::Quant(to), &[256], &table).ok()?, "table");
    e.name(table, &format!("{}.table", g.name_of(node.outs[0])));
    let new = e.op(Qlut {}, [x, table]).ok()?;
    c.finish(g, e, new)
}

type Changed = (f64, i64, Box<dyn Fn(i64) -> i64>);

fn sum(s: f64, z: i64, c: f64, (lo, hi): (i64, i64)) -> Changed {
    let t = z - (c / s).round_ties_even() as i64;
    let requantized = |s2: f64, z2: i64| -> Changed {
        let m = (s / s2) as f32;
        (s2, z2, Box::new(move |q| ((q - t) as f32 * m).round_ties_even() as i64 + z2))
    };
    if t < lo {
        requantized((hi - t) as f64 / (hi - lo) as f64 * s, lo)
    } else if t > hi {
        requantized((t - lo) as f64 / (hi - lo) as f64 * s, hi)
    } else {
        (s, t, Box::new(|q| q))
    }
}

fn product(s: f64, z: i64, c: f64, (lo, hi): (i64, i64)) -> Changed {
    if c > 0.0 {
        (s * c, z, Box::new(|q| q))
    } else if c < 0.0 {
        (-s * c, hi - (z - lo), Box::new(move |q| hi - (q - lo)))
    } else {
        (1.0, 0, Box::new(|_| 0))
    }
}
