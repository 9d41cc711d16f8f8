//! Ops that join, repeat and surround.

use quantir_ir::Dim;
use quantir_ir::ops::pad::PadMode;
use quantir_ir::ops::{Concat, Expand, Pad};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, axes, axis};

pub(super) const OPS: Table = &[("Concat", concat), ("Tile", tile), ("Pad", pad)];

fn concat<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let at = node.int_or("axis", 1)?;
    let mut parts = Vec::with_capacity(node.inputs());
    for i in 0..node.inputs() {
        parts.push(cx.value(node, i)?);
    }
    match parts.as_slice() {
        [] => Err(Fail::invalid("it has no operands")),
        [_] => cx.forward(node, 0),
        [first, ..] => {
            let axis = axis(at, cx.rank(*first))? as u32;
            cx.finish(node, Concat { axis }, parts)
        }
    }
}

fn tile<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    const MOST: i64 = 256;
    let mut x = cx.value(node, 0)?;
    let rank = cx.rank(x);
    let Some(repeats) = cx.dims(node, 1)? else {
        return Err(Fail::unsupported("its repeats are computed from data"));
    };
    if repeats.len() != rank {
        return Err(Fail::invalid(format!("it has {} repeats for {rank} dimensions", repeats.len())));
    }
    // Axes of length 1 are repeated at once.
    let old = cx.shape(x);
    let grown: Vec<Dim> =
        old.iter().zip(&repeats).map(|(d, n)| if d.is(1) { n.clone() } else { d.clone() }).collect();
    if grown != old {
        x = cx.helper(node, Expand { shape: grown }, [x], "expand")?;
    }
    for (i, n) in repeats.iter().enumerate() {
        if old[i].is(1) || n.is(1) {
            continue;
        }
        let Some(n) = n.as_lit().filter(|n| (1..=MOST).contains(n)) else {
            return Err(Fail::unsupported(format!(
                "it repeats axis {i} {n} times; 1 to {MOST} are supported"
            )));
        };
        let parts = vec![x; n as usize];
        x = cx.helper(node, Concat { axis: i as u32 }, parts, &format!("tile{i}"))?;
    }
    cx.bind(node, x);
    Ok(())
}

fn pad<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let rank = cx.rank(x);
    let mode = match node.str_or("mode", "constant")? {
        "constant" => PadMode::Constant,
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        other => return Err(Fail::unsupported(format!("padding of mode `{}`", other.escape_default()))),
    };
    let (list, value, on) = if node.opset < 11 {
        let Some(pads) = node.ints("pads")? else { return Err(Fail::invalid("attribute `pads` is missing")) };
        (pads.to_vec(), node.float_or("value", 0.0)?, None)
    } else {
        let pads = cx.ints(node, 1, "pads")?;
        let value = cx.opt_number(node, 2, "constant_value")?.unwrap_or(0.0);
        (pads, value, cx.opt_ints(node, 3, "axes")?)
    };
    let on = match on {
        Some(list) => axes(&list, rank)?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * on.len() {
        return Err(Fail::invalid(format!("`pads` has {} numbers for {} axes", list.len(), on.len())));
    }
    const MOST: i64 = 1 << 31;
    if let Some(n) = list.iter().find(|n| !(-MOST..MOST).contains(*n)) {
        return Err(Fail::invalid(format!("padding {n} is too large")));
    }
    let mut pads = vec![vec![0, 0]; rank];
    for (i, axis) in on.iter().enumerate() {
        pads[*axis] = vec![list[i], list[i + on.len()]];
    }
    if list.iter().all(|n| *n == 0) {
        return cx.forward(node, 0);
    }
    cx.finish(node, Pad { pads, value: value.into(), mode }, [x])
}
