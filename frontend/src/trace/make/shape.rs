//! Calls that move elements: shapes, joining and cutting.

use quantir_ir::{Dim, Op, Reason, Type, ops};

use super::{axes, axis, last};
use crate::trace::{Site, Size, Sizes, Traced, Tuple};

pub(in crate::trace) fn reshape(site: &Site, x: &Traced, shape: impl Sizes) -> Traced {
    let wanted = shape.sizes();
    last(site, x, |t| {
        let all = t.shape.numel();
        let known = wanted.iter().filter(|s| !s.dim().is(-1)).fold(Dim::lit(1), |n, s| n.mul(s.dim()));
        let free = wanted.len() - wanted.iter().filter(|s| !s.dim().is(-1)).count();
        let rest = match free {
            0 => Dim::lit(1),
            1 => all.div_exact(&known).ok_or_else(|| misfit(t, &wanted))?,
            _ => return Err(Reason::new("only one dimension of a reshape can be -1")),
        };
        if let (0, Some(a), Some(b)) = (free, all.as_lit(), known.as_lit())
            && a != b
        {
            return Err(misfit(t, &wanted));
        }
        let shape =
            wanted.iter().map(|s| if s.dim().is(-1) { rest.clone() } else { s.dim().clone() }).collect();
        Ok(ops::Reshape { shape }.into())
    })
}
fn misfit(t: &Type, wanted: &[Size]) -> Reason {
    Reason::new(format!("{t} cannot be reshaped to {wanted:?}: the numbers of elements differ"))
        .help("take dimensions from `x.size(i)`, and leave one to be computed with -1")
}
pub(in crate::trace) fn flatten(site: &Site, x: &Traced, start: i64, end: i64) -> Traced {
    last(site, x, |t| {
        if t.rank() == 0 {
            return Ok(ops::Reshape { shape: vec![Dim::lit(1)] }.into());
        }
        let (a, b) = (axis(start, t.rank(), t)?, axis(end, t.rank(), t)?);
        if a > b {
            return Err(Reason::new(format!("`flatten` starts at axis {a} and ends before it at {b}")));
        }
        let mut shape = t.shape.0[..a].to_vec();
        shape.push(t.shape.0[a..=b].iter().fold(Dim::lit(1), |n, d| n.mul(d)));
        shape.extend_from_slice(&t.shape.0[b + 1..]);
        Ok(ops::Reshape { shape }.into())
    })
}
pub(in crate::trace) fn squeeze(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let a = axis(dim, t.rank(), t)?;
        let mut shape = t.shape.0.clone();
        if shape[a].is(1) {
            shape.remove(a);
        }
        Ok(ops::Reshape { shape }.into())
    })
}
pub(in crate::trace) fn squeeze_all(site: &Site, x: &Traced) -> Traced {
    last(site, x, |t| {
        Ok(ops::Reshape { shape: t.shape.0.iter().filter(|d| !d.is(1)).cloned().collect() }.into())
    })
}
pub(in crate::trace) fn unsqueeze(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let mut shape = t.shape.0.clone();
        shape.insert(axis(dim, t.rank() + 1, t)?, Dim::lit(1));
        Ok(ops::Reshape { shape }.into())
    })
}
pub(in crate::trace) fn transpose(site: &Site, x: &Traced, a: i64, b: i64) -> Traced {
    last(site, x, |t| {
        let (a, b) = (axis(a, t.rank(), t)?, axis(b, t.rank(), t)?);
        let mut perm: Vec<u32> = (0..t.rank() as u32).collect();
        perm.swap(a, b);
        Ok(ops::Transpose { perm }.into())
    })
}
pub(in crate::trace) fn t(site: &Site, x: &Traced) -> Traced {
    if x.rank() < 2 {
        return site.finish(ops::Identity {}, &[x]);
    }
    transpose(site, x, 0, 1)
}
pub(in crate::trace) fn permute(site: &Site, x: &Traced, order: &[i64]) -> Traced {
    last(site, x, |t| {
        let perm = order.iter().map(|&i| axis(i, t.rank(), t).map(|a| a as u32)).collect::<Result<_, _>>()?;
        Ok(ops::Transpose { perm }.into())
    })
}
pub(in crate::trace) fn expand(site: &Site, x: &Traced, shape: impl Sizes) -> Traced {
    let wanted = shape.sizes();
    last(site, x, |t| {
        let new = wanted.len().checked_sub(t.rank()).ok_or_else(|| {
            Reason::new(format!("{t} cannot be expanded to the {} axes of {wanted:?}", wanted.len()))
        })?;
        let dim = |(i, s): (usize, &Size)| match s.dim().is(-1) && i >= new {
            true => t.shape.0[i - new].clone(),
            false => s.dim().clone(),
        };
        Ok(ops::Expand { shape: wanted.iter().enumerate().map(dim).collect() }.into())
    })
}
pub(in crate::trace) fn repeat(site: &Site, x: &Traced, times: &[u32]) -> Traced {
    site.finish(ops::Repeat { times: times.to_vec() }, &[x])
}
pub(in crate::trace) fn flip(site: &Site, x: &Traced, dims: &[i64]) -> Traced {
    last(site, x, |t| Ok(ops::Flip { axes: axes(dims, t)? }.into()))
}
pub(in crate::trace) fn roll(site: &Site, x: &Traced, shifts: &[i64], dims: &[i64]) -> Traced {
    last(site, x, |t| Ok(ops::Roll { axes: axes(dims, t)?, shifts: shifts.to_vec() }.into()))
}

// ---- several values

pub(in crate::trace) fn cat(site: &Site, parts: &[&Traced], dim: i64) -> Traced {
    joined(site, parts, dim, 0, |axis| ops::Concat { axis }.into())
}
pub(in crate::trace) fn stack(site: &Site, parts: &[&Traced], dim: i64) -> Traced {
    joined(site, parts, dim, 1, |axis| ops::Stack { axis }.into())
}
fn joined(site: &Site, parts: &[&Traced], dim: i64, more: usize, op: impl Fn(u32) -> Op) -> Traced {
    let Some(first) = parts.first() else {
        return site.fail(Reason::new("a list of parts is empty").help("give at least one"));
    };
    let Some(t) = first.ty() else { return (*first).clone() };
    match axis(dim, t.rank() + more, &t) {
        Ok(a) => site.finish(op(a as u32), parts),
        Err(r) => site.fail(r),
    }
}
pub(in crate::trace) fn chunk(site: &Site, x: &Traced, chunks: i64, dim: i64) -> Tuple {
    parts(site, x, dim, |len| {
        let n = len.as_lit().filter(|_| chunks > 0).ok_or_else(|| {
            Reason::new(format!("an axis of length {len} cannot be cut into {chunks} chunks"))
                .help("the length of the axis and a positive number of chunks must be known")
        })?;
        Ok(pieces(n, (n + chunks - 1) / chunks))
    })
}
pub(in crate::trace) fn split(site: &Site, x: &Traced, size: i64, dim: i64) -> Tuple {
    parts(site, x, dim, |len| {
        let n = len.as_lit().filter(|_| size > 0).ok_or_else(|| {
            Reason::new(format!("an axis of length {len} cannot be cut into parts of {size}"))
                .help("the length of the axis and a positive size must be known")
        })?;
        Ok(pieces(n, size))
    })
}
pub(in crate::trace) fn split_sizes(site: &Site, x: &Traced, sizes: &[i64], dim: i64) -> Tuple {
    parts(site, x, dim, |_| Ok(sizes.to_vec()))
}
fn pieces(n: i64, size: i64) -> Vec<i64> {
    let mut left = n;
    let mut out = Vec::new();
    while left > 0 {
        out.push(left.min(size));
        left -= size;
    }
    if out.is_empty() { vec![0] } else { out }
}
fn parts(site: &Site, x: &Traced, dim: i64, sizes: impl FnOnce(&Dim) -> Result<Vec<i64>, Reason>) -> Tuple {
    let Some(t) = x.ty() else { return Tuple::silent(x.cx()) };
    let op = axis(dim, t.rank(), &t).and_then(|a| {
        let sizes = sizes(&t.shape.0[a])?.into_iter().map(Dim::lit).collect();
        Ok(ops::Split { axis: a as u32, sizes })
    });
    match op {
        Ok(op) => Tuple::flat(x.cx(), site.finish_all(op, &[Some(x)], &[])),
        Err(r) => {
            site.fail(r);
            Tuple::silent(x.cx())
        }
    }
}
pub(in crate::trace) fn unbind(site: &Site, x: &Traced, dim: i64) -> Tuple {
    let Some(t) = x.ty() else { return Tuple::silent(x.cx()) };
    let a = match axis(dim, t.rank(), &t) {
        Ok(a) => a,
        Err(r) => {
            site.fail(r);
            return Tuple::silent(x.cx());
        }
    };
    let Some(n) = t.shape.0[a].as_lit() else {
        site.fail(Reason::new(format!("axis {a} of {t} has no fixed length to take apart")));
        return Tuple::silent(x.cx());
    };
    let mut shape = t.shape.0.clone();
    shape.remove(a);
    let one = |i: i64| {
        let cut = ops::Slice { axis: a as u32, start: Dim::lit(i), end: Dim::lit(i + 1), step: 1 };
        let part = site.part("row", cut, &[x]);
        site.finish(ops::Reshape { shape: shape.clone() }, &[&part])
    };
    Tuple::flat(x.cx(), (0..n).map(one).collect())
}
pub(in crate::trace) fn where_(site: &Site, cond: &Traced, a: &Traced, b: &Traced) -> Traced {
    site.finish(ops::Where {}, &[cond, a, b])
}
