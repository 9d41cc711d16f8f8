//! Indexing: `x[:, 1:3, 0]`.

use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

use quantir_ir::ops::{Reshape, Slice};
use quantir_ir::{Dim, Reason};

use super::site::{Call, Site};
use super::size::Size;
use super::traced::Traced;

/// What stands in the brackets for one axis.
#[derive(Clone, Debug)]
pub enum Index {
    /// `:`
    All,
    /// One index, negative from the end; the axis goes away.
    At(i64),
    /// `start:end:step`, both negative from the end; the step is positive.
    Range(Option<Size>, Option<Size>, i64),
    /// `None`: a new axis of length 1.
    New,
    /// `...`: all axes that the rest leaves over.
    Ellipsis,
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Index {
            fn from(i: $t) -> Index {
                Index::At(i as i64)
            }
        }
        impl From<Range<$t>> for Index {
            fn from(r: Range<$t>) -> Index {
                Index::Range(Some(r.start.into()), Some(r.end.into()), 1)
            }
        }
        impl From<RangeFrom<$t>> for Index {
            fn from(r: RangeFrom<$t>) -> Index {
                Index::Range(Some(r.start.into()), None, 1)
            }
        }
        impl From<RangeTo<$t>> for Index {
            fn from(r: RangeTo<$t>) -> Index {
                Index::Range(None, Some(r.end.into()), 1)
            }
        }
    )*};
}
from_number!(i64, i32);
impl From<RangeTo<Size>> for Index {
    fn from(r: RangeTo<Size>) -> Index {
        Index::Range(None, Some(r.end), 1)
    }
}
impl From<RangeFrom<Size>> for Index {
    fn from(r: RangeFrom<Size>) -> Index {
        Index::Range(Some(r.start), None, 1)
    }
}
impl From<RangeFull> for Index {
    fn from(_: RangeFull) -> Index {
        Index::All
    }
}

/// What stands in the brackets: one index or a tuple of them.
pub trait Indices {
    /// One entry for each comma.
    fn indices(self) -> Vec<Index>;
}
impl<T: Into<Index>> Indices for T {
    fn indices(self) -> Vec<Index> {
        vec![self.into()]
    }
}
macro_rules! tuples {
    ($($($x:ident),*;)*) => {$(
        impl<$($x: Into<Index>),*> Indices for ($($x,)*) {
            #[allow(non_snake_case)]
            fn indices(self) -> Vec<Index> {
                let ($($x,)*) = self;
                vec![$($x.into()),*]
            }
        }
    )*};
}
tuples! { A, B; A, B, C; A, B, C, D; A, B, C, D, E; }

impl Traced {
    /// A part of it, as `x[:, 1:3, 0]` in Python: `x.index((.., 1..3, 0))`. Ends beyond the axis are cut as Python does.
    #[track_caller]
    pub fn index(&self, at: impl Indices) -> Traced {
        let site = self.cx().site(Call::Function("operator.getitem"));
        match steps(self, at.indices()) {
            Ok(steps) => run(&site, self, steps),
            Err(r) => site.fail(r),
        }
    }
    /// Index `i` of an axis, which goes away: `x.select(axis, i)`.
    #[track_caller]
    pub fn select(&self, axis: i64, i: i64) -> Traced {
        let site = self.cx().site(Call::Method("select"));
        let axis = if axis < 0 { axis + self.rank() as i64 } else { axis };
        let mut at = vec![Index::All; usize::try_from(axis).unwrap_or(0)];
        at.push(Index::At(i));
        match steps(self, at) {
            Ok(steps) => run(&site, self, steps),
            Err(r) => site.fail(r),
        }
    }
    /// `length` indices of an axis from `start` on: `x.narrow(axis, start, length)`.
    #[track_caller]
    pub fn narrow(&self, axis: i64, start: i64, length: i64) -> Traced {
        let site = self.cx().site(Call::Method("narrow"));
        let axis = if axis < 0 { axis + self.rank() as i64 } else { axis };
        let mut at = vec![Index::All; usize::try_from(axis).unwrap_or(0)];
        at.push((start..start + length).into());
        match steps(self, at) {
            Ok(steps) => run(&site, self, steps),
            Err(r) => site.fail(r),
        }
    }
}

enum Step {
    Slice(Slice),
    Reshape(Vec<Dim>),
}

fn run(site: &Site, x: &Traced, steps: Vec<Step>) -> Traced {
    let last = steps.len().saturating_sub(1);
    let mut y = x.clone();
    for (i, step) in steps.into_iter().enumerate() {
        let op: quantir_ir::Op = match step {
            Step::Slice(s) => s.into(),
            Step::Reshape(shape) => Reshape { shape }.into(),
        };
        y = match i == last {
            true => site.finish(op, &[&y]),
            false => site.part(&format!("part{i}"), op, &[&y]),
        };
    }
    y
}

/// Slices for the axes that are cut, then a reshape for axes that come or go; at least one of these.
fn steps(x: &Traced, at: Vec<Index>) -> Result<Vec<Step>, Reason> {
    let Some(ty) = x.ty() else { return Ok(vec![Step::Reshape(Vec::new())]) };
    let named = at.iter().filter(|i| !matches!(i, Index::New | Index::Ellipsis)).count();
    let Some(rest) = ty.rank().checked_sub(named) else {
        return Err(Reason::new(format!("{named} indices are given for the {} axes of {ty}", ty.rank()))
            .help("give at most one for each axis"));
    };
    let mut all: Vec<Index> = Vec::new();
    let mut open = true;
    for i in at {
        match i {
            Index::Ellipsis if open => {
                all.extend(std::iter::repeat_n(Index::All, rest));
                open = false;
            }
            Index::Ellipsis => return Err(Reason::new("`...` may stand once in an index")),
            i => all.push(i),
        }
    }
    if open {
        all.extend(std::iter::repeat_n(Index::All, rest));
    }
    let (mut steps, mut shape, mut reshaped, mut axis) = (Vec::new(), Vec::new(), false, 0);
    for i in all {
        if let Index::New = i {
            shape.push(Dim::lit(1));
            reshaped = true;
            continue;
        }
        let len = &ty.shape.0[axis];
        let cut = |start: Dim, end: Dim, step| Step::Slice(Slice { axis: axis as u32, start, end, step });
        match i {
            Index::At(i) => {
                let from = if i < 0 { len.add_lit(i) } else { Dim::lit(i) };
                if let (Some(f), Some(n)) = (from.as_lit(), len.as_lit())
                    && !(0..n).contains(&f)
                {
                    return Err(Reason::new(format!("index {i} lies outside of axis {axis} of {ty}"))
                        .help(format!("indices go from {} to {}", -n, n - 1)));
                }
                steps.push(cut(from.clone(), from.add_lit(1), 1));
                reshaped = true;
            }
            Index::Range(start, end, step) => {
                if step < 1 {
                    return Err(Reason::new(format!("a slice cannot walk by step {step}"))
                        .help("steps are positive, as in PyTorch; reverse with `f::flip`"));
                }
                let start = start.map_or(Dim::lit(0), |s| within(s.dim(), len));
                let end = end.map_or(len.clone(), |s| within(s.dim(), len));
                let end = start.larger(&end);
                let taken = end.sub(&start).add_lit(step - 1).div_floor(step);
                if taken != *len {
                    steps.push(cut(start, end, step));
                }
                shape.push(taken);
            }
            _ => shape.push(len.clone()),
        }
        axis += 1;
    }
    if reshaped || steps.is_empty() {
        steps.push(Step::Reshape(shape));
    }
    Ok(steps)
}

/// A bound of a slice as Python reads it: negative from the end, cut to the axis.
fn within(bound: &Dim, len: &Dim) -> Dim {
    match bound.as_lit() {
        Some(n) if n < 0 => Dim::lit(0).larger(&len.add_lit(n)),
        _ => bound.smaller(len),
    }
}
