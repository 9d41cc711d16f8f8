//! Constants, and the numbers that shapes provide.

use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{Const, ConstData, Expand, Reduce, ShapeOf, Slice};
use quantir_ir::{Dim, Elem, Shape, Storage, Tensor, Type};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::Table;

pub(super) const OPS: Table = &[
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Shape", shape),
    ("Size", size),
    ("Range", range),
];

fn constant<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let bad = |r: quantir_ir::Reason| Fail::invalid(r.message);
    let tensor = if let Some(t) = node.tensor("value")? {
        cx.read(t)?
    } else if let Some(x) = node.float("value_float")? {
        Tensor::new(&[], vec![x]).map_err(bad)?
    } else if let Some(n) = node.int("value_int")? {
        Tensor::new(&[], vec![n]).map_err(bad)?
    } else if let Some(x) = node.floats("value_floats")? {
        Tensor::new(&[x.len()], x.to_vec()).map_err(bad)?
    } else if let Some(n) = node.ints("value_ints")? {
        Tensor::new(&[n.len()], n.to_vec()).map_err(bad)?
    } else {
        return Err(Fail::unsupported("its value is sparse or a string"));
    };
    cx.bind_tensor(node, tensor);
    Ok(())
}

fn constant_of_shape<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let value = match node.tensor("value")? {
        Some(t) => cx.read(t)?,
        None => Tensor::new(&[], vec![0f32]).map_err(|r| Fail::invalid(r.message))?,
    };
    if value.numel() != 1 {
        return Err(Fail::invalid(format!(
            "attribute `value` has {} elements instead of one",
            value.numel()
        )));
    }
    let Some(dims) = cx.dims(node, 0)? else {
        return Err(Fail::unsupported("its shape is computed from data"));
    };
    if let Some(n) = dims.iter().filter_map(Dim::as_lit).find(|n| *n < 0) {
        return Err(Fail::invalid(format!("dimension {n} is negative")));
    }
    let storage = value.storage();
    let first = value.floats().map_err(|r| Fail::invalid(r.message))?.first().copied().unwrap_or(0.0);
    if let Some(literal) = dims.iter().map(Dim::as_lit).collect::<Option<Vec<i64>>>() {
        let (shape, count) = cx.sized(&literal)?;
        cx.charge(count as u64 * storage.bytes() as u64, "a constant of one repeated element")?;
        let ty = Type::plain(storage, &shape);
        return cx.finish_as(node, Const { data: ConstData::Splat(first.into()) }, &[], ty);
    }
    let ones = Type::new(Elem::Plain(storage), Shape(vec![Dim::lit(1); dims.len()]));
    let one = ConstData::Splat(first.into()).tensor(&ones).map_err(|r| Fail::invalid(r.message))?;
    let one = cx.constant(node, one, "value");
    cx.finish(node, Expand { shape: dims }, [one])
}

fn shape<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let all = cx.shape(x);
    let rank = all.len() as i64;
    let clamp = |n: i64| (if n < 0 { n.saturating_add(rank) } else { n }).clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int_or("start", 0)?), clamp(node.int_or("end", rank)?));
    if (start, end) == (0, all.len()) {
        return cx.finish(node, ShapeOf {}, [x]);
    }
    let shape = cx.helper(node, ShapeOf {}, [x], "shape")?;
    let (start, end) = (Dim::lit(start as i64), Dim::lit(end.max(start) as i64));
    cx.finish(node, Slice { axis: 0, start, end, step: 1 }, [shape])
}

fn size<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.helper(node, ShapeOf {}, [x], "shape")?;
    cx.finish(node, Reduce { kind: Reduction::Prod, axes: vec![0], keep: false }, [shape])
}

fn range<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    const MOST: usize = 1 << 24;
    let constants = [cx.tensor(node, 0)?, cx.tensor(node, 1)?, cx.tensor(node, 2)?];
    if let [Some(start), Some(limit), Some(step)] = &constants
        && start.storage().is_float()
    {
        let one = |t: &Tensor| t.floats().ok().and_then(|x| x.first().copied()).unwrap_or(f32::NAN);
        let (start, limit, step) = (one(start), one(limit), one(step));
        let count = ((limit - start) / step).ceil().max(0.0);
        if !count.is_finite() || count > MOST as f32 {
            return Err(Fail::invalid("the range is endless or too long"));
        }
        cx.charge(count as u64 * 4, "a range")?;
        let data: Vec<f32> = (0..count as usize).map(|i| start + i as f32 * step).collect();
        let tensor = Tensor::new(&[data.len()], data).map_err(|r| Fail::invalid(r.message))?;
        cx.bind_tensor(node, tensor);
        return Ok(());
    }
    let all = [cx.dims(node, 0)?, cx.dims(node, 1)?, cx.dims(node, 2)?];
    if let [Some(start), Some(limit), Some(step)] = &all
        && let ([start], [limit], [step]) = (start.as_slice(), limit.as_slice(), step.as_slice())
        && let (Some(start), None, true) = (start.as_lit().filter(|n| *n >= 0), limit.as_lit(), step.is(1))
    {
        return symbolic_range(cx, node, start, limit.clone());
    }
    let (start, limit, step) =
        (cx.ints(node, 0, "start")?, cx.ints(node, 1, "limit")?, cx.ints(node, 2, "delta")?);
    let (&[start], &[limit], &[step]) = (start.as_slice(), limit.as_slice(), step.as_slice()) else {
        return Err(Fail::invalid("its operands are not single numbers"));
    };
    if step == 0 {
        return Err(Fail::invalid("operand `delta` is 0"));
    }
    let width = i128::from(limit) - i128::from(start);
    let step_wide = i128::from(step);
    let count = ((width + step_wide - step_wide.signum()) / step_wide).max(0);
    let count = usize::try_from(count)
        .ok()
        .filter(|n| *n <= MOST)
        .ok_or_else(|| Fail::invalid("the range is too long"))?;
    cx.charge(count as u64 * 8, "a range")?;
    let data: Vec<i64> = (0..count as i64).map(|i| start + i * step).collect();
    let storage = constants[0].as_ref().map_or(Storage::I64, Tensor::storage);
    let tensor =
        Tensor::from_ints(Elem::Plain(storage), &[count], &data).map_err(|r| Fail::invalid(r.message))?;
    cx.bind_tensor(node, tensor);
    Ok(())
}

/// `start..limit` for a limit that a symbol decides: the front of a long constant range.
fn symbolic_range<'m>(cx: &mut Import<'m>, node: &Node<'m>, start: i64, limit: Dim) -> Result<(), Fail> {
    const LONGEST: usize = 1 << 16;
    let all = Const { data: ConstData::Seq };
    let all = cx.made(node, all, Type::plain(Storage::I64, &[LONGEST]), "all")?;
    cx.notes.push(format!("{}: counts up to {LONGEST} at most", node.place()));
    cx.finish(node, Slice { axis: 0, start: Dim::lit(start), end: limit, step: 1 }, [all])
}
