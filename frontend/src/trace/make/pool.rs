//! Pooling.

use quantir_ir::ops::{self, Act, reduce::Reduction};
use quantir_ir::{Dim, Reason};

use super::Spatial;
use super::conv::batched;
use crate::trace::{Site, Traced};

/// Settings of a pooling window.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Size of the window.
    pub kernel: Spatial,
    /// Step between windows; the kernel unless given.
    pub stride: Option<Spatial>,
    /// Padding on both ends.
    pub padding: Spatial,
    /// Distance between the window's elements (maximum only).
    pub dilation: Spatial,
    /// Whether a window that reaches beyond the end counts.
    pub ceil_mode: bool,
    /// Whether the mean divides by positions in the padding too.
    pub count_include_pad: bool,
    /// What the mean divides by instead of the number of positions.
    pub divisor_override: Option<u32>,
}
impl PoolOptions {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Spatial>) -> PoolOptions {
        PoolOptions {
            kernel: kernel.into(),
            stride: None,
            padding: 0.into(),
            dilation: 1.into(),
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}
impl<T: Into<Spatial>> From<T> for PoolOptions {
    fn from(kernel: T) -> PoolOptions {
        PoolOptions::new(kernel)
    }
}

pub(in crate::trace) fn max_pool(site: &Site, x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
    let op = (|| {
        Ok::<_, Reason>(ops::MaxPool {
            kernel: o.kernel.per_axis("kernel_size", rank)?,
            stride: o.stride.as_ref().unwrap_or(&o.kernel).per_axis("stride", rank)?,
            pad: o.padding.pads(rank)?,
            dilation: o.dilation.per_axis("dilation", rank)?,
            ceil: o.ceil_mode,
        })
    })();
    match op {
        Ok(op) => batched(site, x, rank + 2, |x, last| site.push_last(op.into(), &[Some(x)], last)),
        Err(r) => site.fail(r),
    }
}
pub(in crate::trace) fn avg_pool(site: &Site, x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
    let op = (|| {
        Ok::<_, Reason>(ops::AvgPool {
            kernel: o.kernel.per_axis("kernel_size", rank)?,
            stride: o.stride.as_ref().unwrap_or(&o.kernel).per_axis("stride", rank)?,
            pad: o.padding.pads(rank)?,
            ceil: o.ceil_mode,
            count_pad: o.count_include_pad || o.divisor_override.is_some(),
        })
    })();
    let count: i64 = (0..rank).map(|i| o.kernel.at(i)).product();
    match (op, o.divisor_override) {
        (Err(r), _) => site.fail(r),
        (Ok(op), None) => batched(site, x, rank + 2, |x, last| site.push_last(op.into(), &[Some(x)], last)),
        (Ok(_), Some(_)) if o.ceil_mode => site.fail(
            Reason::new("`divisor_override` with `ceil_mode` is not supported")
                .help("pad the input so that the windows fit"),
        ),
        (Ok(op), Some(d)) => {
            let y = batched(site, x, rank + 2, |x, _| site.part("mean", op, &[x]));
            let k = site.scalar(count as f64 / f64::from(d), &y);
            site.finish(ops::Mul { act: Act::None }, &[&y, &k])
        }
    }
}

/// Mean over windows that divide each axis into `out` parts, which overlap where it does not go up.
pub(in crate::trace) fn adaptive_avg_pool(
    site: &Site,
    x: &Traced,
    rank: usize,
    out: &[Option<u32>],
) -> Traced {
    let Some(t) = x.ty() else { return x.clone() };
    let Some(front) = t.rank().checked_sub(rank).filter(|&f| f > 0) else {
        return site.fail(Reason::new(format!("{t} has too few axes for pooling over {rank}")));
    };
    let out = |i: usize| if out.len() == 1 { out[0] } else { out.get(i).copied().flatten() };
    let fixed = t.shape.0[front..].iter().all(|d| d.as_lit().is_some());
    if !fixed && (0..rank).all(|i| out(i) == Some(1)) {
        let axes = (front as u32..t.rank() as u32).collect();
        return site.finish(ops::Reduce { kind: Reduction::Mean, axes, keep: true }, &[x]);
    }
    let mut sizes = Vec::new();
    for i in 0..rank {
        let (from, to) = (t.shape.0[front + i].as_lit(), out(i).map(i64::from));
        match (from, to) {
            (Some(from), None) => sizes.push((from, from)),
            (Some(from), Some(to)) if to > 0 => sizes.push((from, to)),
            _ => {
                return site.fail(
                    Reason::new(format!("axis {} of {t} cannot be pooled to {to:?} windows", front + i))
                        .help("only pooling to 1 window works on an axis of unknown length"),
                );
            }
        }
    }
    if sizes.iter().all(|(from, to)| from % to == 0) {
        let kernel: Vec<i64> = sizes.iter().map(|(from, to)| from / to).collect();
        return avg_pool(site, x, rank, &PoolOptions::new(Spatial(kernel)));
    }
    // Axis by axis: a mean of means of equal windows along each axis is the mean of the whole window.
    let mut y = x.clone();
    for (i, &(from, to)) in sizes.iter().enumerate() {
        let axis = (front + i) as u32;
        let one = |j: i64| {
            let (start, end) = (j * from / to, ((j + 1) * from + to - 1) / to);
            let part = ops::Slice { axis, start: Dim::lit(start), end: Dim::lit(end), step: 1 };
            let part = site.part("window", part, &[&y]);
            site.part("mean", ops::Reduce { kind: Reduction::Mean, axes: vec![axis], keep: true }, &[&part])
        };
        let means: Vec<Traced> = (0..to).map(one).collect();
        let means: Vec<&Traced> = means.iter().collect();
        y = match i + 1 == rank {
            true => site.finish(ops::Concat { axis }, &means),
            false => site.part("pooled", ops::Concat { axis }, &means),
        };
    }
    y
}
