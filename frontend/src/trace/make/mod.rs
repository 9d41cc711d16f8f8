//! What calls become: each function adds the nodes of one call at its [`Site`].

mod conv;
mod elementwise;
mod layer;
mod pool;
mod shape;
mod spatial;

use quantir_ir::{Op, Reason, Type};

use super::site::Site;
use super::traced::Traced;

pub(in crate::trace) use conv::*;
pub(in crate::trace) use elementwise::*;
pub(in crate::trace) use layer::*;
pub(in crate::trace) use pool::*;
pub(in crate::trace) use shape::*;

pub use conv::{ConvOptions, Padding, PaddingMode};
pub use layer::{Interpolation, Resampling};
pub use pool::PoolOptions;
pub use spatial::Spatial;

/// Adds the last node of a call on `x`, or records why it cannot be; silent if `x` is.
fn last(site: &Site, x: &Traced, op: impl FnOnce(&Type) -> Result<Op, Reason>) -> Traced {
    match x.ty().as_ref().map(op) {
        None => x.clone(),
        Some(Ok(op)) => site.finish(op, &[x]),
        Some(Err(r)) => site.fail(r),
    }
}

/// Axis `i` of `ty`, negative from the end.
pub(in crate::trace) fn axis(i: i64, rank: usize, of: &Type) -> Result<usize, Reason> {
    let at = if i < 0 { i + rank as i64 } else { i };
    usize::try_from(at).ok().filter(|&a| a < rank).ok_or_else(|| {
        Reason::new(format!("{of} has no axis {i}")).help(format!(
            "axes go from {} to {}",
            -(rank as i64),
            rank as i64 - 1
        ))
    })
}

/// Axes of `ty`; all of them if none is given.
fn axes(list: &[i64], of: &Type) -> Result<Vec<u32>, Reason> {
    match list {
        [] => Ok((0..of.rank() as u32).collect()),
        some => some.iter().map(|&i| axis(i, of.rank(), of).map(|a| a as u32)).collect(),
    }
}
