//! Sliding windows over 1 to 3 spatial axes: the arithmetic that convolutions and pools share.

use crate::attr::{Pads, PerAxis};
use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::operand::agree;
use crate::types::{Shape, Type};

/// How windows slide.
pub(crate) struct Windows<'a> {
    pub stride: &'a PerAxis,
    pub pad: &'a Pads,
    pub dilation: &'a PerAxis,
    pub ceil: bool,
}

impl Windows<'_> {
    /// Refuses attributes that cannot serve `rank` spatial axes.
    pub fn check(&self, rank: usize) -> Result<(), Reason> {
        self.stride.check("stride", rank)?;
        self.dilation.check("dilation", rank)?;
        self.pad.check(rank)?;
        for i in 0..rank {
            positive("stride", self.stride.at(i))?;
            positive("dilation", self.dilation.at(i))?;
            positive("pad", self.pad.at(i).0.max(self.pad.at(i).1).max(1))?;
        }
        Ok(())
    }

    /// Number of windows along spatial axis `i`:
    /// `⌊(size + before + after − (dilation·(kernel−1)+1)) / stride⌋ + 1`.
    ///
    /// With `ceil` the division rounds up, but a window that would start behind the input and the padding before
    /// it does not count (ONNX, PyTorch).
    pub fn count(&self, i: usize, size: &Dim, kernel: &Dim) -> Result<Dim, Reason> {
        let (before, after) = self.pad.at(i);
        let stride = self.stride.at(i) as i64;
        let span = kernel.add_lit(-1).mul_lit(self.dilation.at(i) as i64).add_lit(1);
        let padded = size.add_lit(before as i64).add_lit(after as i64);
        if kernel.as_lit().is_some_and(|k| k < 1) {
            return Err(Reason::new(format!("the kernel is empty along spatial axis {i}")));
        }
        let room = padded.sub(&span);
        let count = match self.ceil {
            false => room.div_floor(stride),
            true => room.div_ceil(stride),
        }
        .add_lit(1);
        if count.as_lit().is_some_and(|n| n < 1) {
            let dilated = if span == *kernel { String::new() } else { format!(" (dilated to {span})") };
            return Err(Reason::new(format!(
                "the kernel of {kernel}{dilated} is larger than the padded input of {padded} along spatial axis {i}"
            ))
            .help("use more padding or a smaller kernel"));
        }
        // With this little padding no window starts behind the input, also where the division rounds up.
        if !self.ceil || span.as_lit().is_some_and(|s| stride + after as i64 <= s) {
            return Ok(count);
        }
        Ok(count.smaller(&size.add_lit(before as i64 - 1).div_floor(stride).add_lit(1)))
    }
}

/// Refuses 0, and numbers so large that sizes in windows could overflow.
pub(crate) fn positive(what: &str, n: usize) -> Result<(), Reason> {
    match n {
        0 => Err(Reason::new(format!("`{what}` must be at least 1"))),
        1..=LARGEST => Ok(()),
        _ => Err(Reason::new(format!("`{what}` of {n} is more than the largest possible {LARGEST}"))),
    }
}

/// Largest size, step or padding of a window.
const LARGEST: usize = 1 << 20;

/// Refuses an input or weight whose number of dimensions does not fit `rank` spatial axes.
pub(crate) fn check_rank(op: &str, what: &str, t: &Type, rank: usize) -> Result<(), Reason> {
    if t.rank() == rank + 2 {
        return Ok(());
    }
    Err(Reason::new(format!("`{op}` needs {} dimensions in its {what}, found {t}", rank + 2)))
}

/// Result shape of a convolution of `x` `[N,C,*S]` with `w` `[O,C/groups,*K]`.
pub(crate) fn conv_shape(
    op: &str,
    rank: usize,
    x: &Type,
    w: &Type,
    groups: u32,
    by: &Windows,
) -> Result<Shape, Reason> {
    check_rank(op, "input", x, rank)?;
    check_rank(op, "weight", w, rank)?;
    by.check(rank)?;
    positive("groups", groups as usize)?;
    let expected = w.shape[1].mul_lit(groups.into());
    if !agree(&x.shape[1], &expected) {
        return Err(Reason::new(format!(
            "input has {} channels but the weight {w} with groups={groups} expects {expected}",
            x.shape[1]
        )));
    }
    if w.shape[0].as_lit().is_some_and(|o| o % i64::from(groups) != 0) {
        return Err(Reason::new(format!(
            "the {} output channels of the weight {w} do not divide into groups={groups}",
            w.shape[0]
        )));
    }
    let mut dims = vec![x.shape[0].clone(), w.shape[0].clone()];
    for i in 0..rank {
        dims.push(by.count(i, &x.shape[i + 2], &w.shape[i + 2])?);
    }
    Ok(Shape(dims))
}

/// Result shape of a pool over all spatial axes of `x` `[N,C,*S]`.
pub(crate) fn pool_shape(op: &str, x: &Type, kernel: &PerAxis, by: &Windows) -> Result<Shape, Reason> {
    let Some(rank) = x.rank().checked_sub(2).filter(|r| (1..=3).contains(r)) else {
        return Err(Reason::new(format!("`{op}` needs an input of 3 to 5 dimensions, found {x}")));
    };
    kernel.check("kernel", rank)?;
    by.check(rank)?;
    let mut dims = x.shape.0[..2].to_vec();
    for i in 0..rank {
        positive("kernel", kernel.at(i))?;
        dims.push(by.count(i, &x.shape[i + 2], &Dim::from(kernel.at(i)))?);
    }
    Ok(Shape(dims))
}
