//! Ops that take parts: slices, splits, lookups.

use quantir_ir::Dim;
use quantir_ir::ops::{Gather, Slice, Split};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, axes, axis};

pub(super) const OPS: Table = &[("Slice", slice), ("Split", split), ("Gather", gather)];

/// One axis of a slice.
struct Cut {
    axis: usize,
    start: Dim,
    end: Dim,
    step: i64,
}

fn slice<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let mut x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let cuts = cuts(cx, node, &shape)?;
    for (i, cut) in cuts.iter().enumerate() {
        let op =
            Slice { axis: cut.axis as u32, start: cut.start.clone(), end: cut.end.clone(), step: cut.step };
        if i + 1 == cuts.len() {
            return cx.finish(node, op, [x]);
        }
        x = cx.helper(node, op, [x], &format!("axis{}", cut.axis))?;
    }
    cx.forward(node, 0)
}

/// The axes that are cut: from attributes before version 10, from operands since.
fn cuts<'m>(cx: &mut Import<'m>, node: &Node<'m>, shape: &[Dim]) -> Result<Vec<Cut>, Fail> {
    let by_attribute = node.opset < 10;
    let attribute = |name| {
        let list = node.ints(name)?;
        Ok::<_, Fail>(list.map(|l| l.iter().copied().map(Dim::lit).collect::<Vec<_>>()))
    };
    let (starts, ends) = if by_attribute {
        (attribute("starts")?, attribute("ends")?)
    } else {
        (cx.dims(node, 1)?, cx.dims(node, 2)?)
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(Fail::unsupported("its bounds are computed from data"));
    };
    let list =
        if by_attribute { node.ints("axes")?.map(<[i64]>::to_vec) } else { cx.opt_ints(node, 3, "axes")? };
    let steps = if by_attribute { None } else { cx.opt_ints(node, 4, "steps")? };
    let list = match list {
        Some(list) => axes(&list, shape.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if starts.len() != ends.len() || starts.len() != list.len() || starts.len() != steps.len() {
        return Err(Fail::invalid("its bounds, axes and steps differ in number"));
    }
    let mut cuts = Vec::new();
    for (i, axis) in list.into_iter().enumerate() {
        let Some(size) = shape.get(axis) else {
            return Err(Fail::invalid(format!("axis {axis} does not exist")));
        };
        let cut = Cut::new(axis, size, &starts[i], &ends[i], steps[i])?;
        if !(cut.step == 1 && cut.start.is(0) && cut.end == *size) {
            cuts.push(cut);
        }
    }
    Ok(cuts)
}

impl Cut {
    /// Bounds counted from the end are resolved, and bounds beyond the ends are clamped.
    ///
    /// Of an axis with an unknown size the bounds are taken to lie within it; only an `end` that a file gives to mean
    /// "all" is more.
    fn new(axis: usize, size: &Dim, start: &Dim, end: &Dim, step: i64) -> Result<Cut, Fail> {
        /// No axis is this long, so an end from here on means "all".
        const ALL: i64 = 1_000_000_000;
        if step == 0 {
            return Err(Fail::invalid("a step is 0"));
        }
        let known = size.as_lit();
        let (least, most) = if step > 0 { (0, 0) } else { (-1, -1) };
        let resolve = |bound: &Dim| -> Dim {
            let Some(n) = bound.as_lit() else { return bound.clone() };
            match known {
                Some(size) => {
                    let n = if n < 0 { n.saturating_add(size) } else { n };
                    Dim::lit(n.clamp(least, size + most))
                }
                None if n < 0 => size.add_lit(n),
                None => bound.clone(),
            }
        };
        let (mut from, mut to) = (resolve(start), resolve(end));
        if step < 0 {
            // A start below the front or an end there is written as 0 and −1.
            if known.is_none() {
                return Err(Fail::unsupported("a negative step over an axis of unknown size"));
            }
            from = from.larger(&Dim::lit(-1));
        } else if known.is_none() {
            to = match to.as_lit() {
                Some(n) if n >= ALL => size.clone(),
                Some(_) => to.smaller(size),
                None => to,
            };
        }
        if step > 0
            && let (Some(a), Some(b)) = (from.as_lit(), to.as_lit())
            && a > b
        {
            to = from.clone();
        }
        Ok(Cut { axis, start: from, end: to, step })
    }
}

fn split<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let at = axis(node.int_or("axis", 0)?, shape.len())?;
    let size = &shape[at];
    let given = if node.opset < 13 {
        node.ints("split")?.map(|s| s.iter().copied().map(Dim::lit).collect())
    } else if node.input(1).is_some() {
        Some(cx.dims(node, 1)?.ok_or_else(|| Fail::unsupported("its sizes are computed from data"))?)
    } else {
        None
    };
    let sizes: Vec<Dim> = match given {
        Some(sizes) => sizes,
        None => equal_parts(node, size)?,
    };
    if sizes.len() < node.proto.output.len() || sizes.is_empty() {
        return Err(Fail::invalid(format!("{} sizes for {} results", sizes.len(), node.proto.output.len())));
    }
    if sizes.len() == 1 {
        return cx.forward(node, 0);
    }
    cx.finish_many(node, Split { axis: at as u32, sizes }, [x])
}

/// As many parts as the node has results, or as `num_outputs` says; the last one may be shorter.
fn equal_parts(node: &Node, size: &Dim) -> Result<Vec<Dim>, Fail> {
    const MOST: i64 = 1 << 16;
    let count = node.int_or("num_outputs", node.proto.output.len() as i64)?;
    if !(1..=MOST).contains(&count) {
        return Err(Fail::invalid(format!("{count} parts")));
    }
    if let Some(size) = size.as_lit() {
        let each = (size + count - 1) / count;
        return Ok((0..count).map(|i| Dim::lit((size - i * each).clamp(0, each))).collect());
    }
    match size.div_exact(&Dim::lit(count)) {
        Some(each) => Ok(vec![each; count as usize]),
        None => Err(Fail::unsupported(format!("an axis of unknown size {size} in {count} equal parts"))),
    }
}

fn gather<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (x, indices) = (cx.value(node, 0)?, cx.value(node, 1)?);
    let axis = axis(node.int_or("axis", 0)?, cx.rank(x))? as u32;
    cx.finish(node, Gather { axis }, [x, indices])
}
