//! `pixel_shuffle`, `pixel_unshuffle`, `channel_shuffle`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::operand::{pass_through, recheck};
use crate::ops::{Eval, Infer, OpDef, moved, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

/// `d` divided by `n`; refuses a literal that `n` does not divide.
fn divided(op: &str, what: &str, d: &Dim, n: i64) -> Result<Dim, Reason> {
    if n <= 0 {
        return Err(Reason::new(format!("`{op}` needs a positive number, found {n}")));
    }
    match d.as_lit() {
        Some(len) if len % n != 0 => {
            Err(Reason::new(format!("`{op}` needs {what} divisible by {n}, found {len}")))
        }
        _ => Ok(d.div_exact(&Dim::lit(n)).unwrap_or_else(|| d.div_floor(n))),
    }
}

/// The last three dimensions of `[*,C,H,W]` and those before them.
fn image<'a>(op: &str, t: &'a Type) -> Result<(&'a [Dim], &'a [Dim; 3]), Reason> {
    pass_through(op, "input", t)?;
    t.shape
        .0
        .split_last_chunk::<3>()
        .ok_or_else(|| Reason::new(format!("`{op}` needs an input [*,C,H,W], found {t}")))
}

/// Moves single elements: result element `i` is element `from(i)` of the operand.
fn moved_by(x: &Eval, from: impl Fn(usize) -> usize) -> Result<Vec<Tensor>, Reason> {
    let t = x.tensor(0)?;
    one(moved::pick(t, &x.out(0)?.elem, &x.shape(0)?, 1, (0..t.numel()).map(from))?)
}

attrs! {
    /// Takes blocks of channels to blocks of pixels: `[*,C·r²,H,W]` to `[*,C,H·r,W·r]` (PyTorch `nn.PixelShuffle`).
    ///
    /// Result `[c, h·r+i, w·r+j]` is `[c·r²+i·r+j, h, w]`. Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[1,8,3,3]
    /// %y = pixel_shuffle %x {factor=2} : f32[1,2,6,6]
    /// ```
    pub struct PixelShuffle {
        /// r, by which height and width grow.
        factor: u32,
    }
}
operands! { PixelShuffle as PixelShuffleView { x: One } }
impl OpDef for PixelShuffle {
    const NAMES: &'static [&'static str] = &["pixel_shuffle"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let (lead, [c, h, w]) = image("pixel_shuffle", ty)?;
        let r = i64::from(self.factor);
        let c = divided("pixel_shuffle", "channels", c, r.saturating_mul(r))?;
        one(ty.with_shape(Shape([lead, &[c, h.mul_lit(r), w.mul_lit(r)]].concat())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let shape = x.shape(0)?;
        let r = self.factor as usize;
        let [c, h, w] = *shape.last_chunk::<3>().ok_or("an image is expected")?;
        moved_by(x, |i| {
            let (n, c0, y, x0) = (i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
            let channel = (c0 * r + y % r) * r + x0 % r;
            ((n * c * r * r + channel) * (h / r) + y / r) * (w / r) + x0 / r
        })
    }
}

attrs! {
    /// The inverse of [`PixelShuffle`]: `[*,C,H·r,W·r]` to `[*,C·r²,H,W]` (PyTorch `nn.PixelUnshuffle`).
    ///
    /// ```qir
    /// input %x: f32[1,2,6,6]
    /// %y = pixel_unshuffle %x {factor=2} : f32[1,8,3,3]
    /// ```
    pub struct PixelUnshuffle {
        /// r, by which height and width shrink.
        factor: u32,
    }
}
operands! { PixelUnshuffle as PixelUnshuffleView { x: One } }
impl OpDef for PixelUnshuffle {
    const NAMES: &'static [&'static str] = &["pixel_unshuffle"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        let (lead, [c, h, w]) = image("pixel_unshuffle", ty)?;
        let r = i64::from(self.factor);
        let h = divided("pixel_unshuffle", "a height", h, r)?;
        let w = divided("pixel_unshuffle", "a width", w, r)?;
        one(ty.with_shape(Shape([lead, &[c.mul_lit(r).mul_lit(r), h, w]].concat())))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let shape = x.shape(0)?;
        let r = self.factor as usize;
        let [c, h, w] = *shape.last_chunk::<3>().ok_or("an image is expected")?;
        moved_by(x, |i| {
            let (n, channel, y, x0) = (i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
            let (c0, dy, dx) = (channel / (r * r), channel / r % r, channel % r);
            ((n * (c / (r * r)) + c0) * h * r + y * r + dy) * w * r + x0 * r + dx
        })
    }
}

attrs! {
    /// Interleaves groups of channels of `[N,C,*]`: channel `g·(C/groups)+k` becomes `k·groups+g` (PyTorch
    /// `nn.ChannelShuffle`). Elements of any kind.
    ///
    /// ```qir
    /// input %x: f32[1,6,2,2]
    /// %y = channel_shuffle %x {groups=3} : f32[1,6,2,2]
    /// ```
    pub struct ChannelShuffle {
        /// Number of groups; divides the channels.
        groups: u32,
    }
}
operands! { ChannelShuffle as ChannelShuffleView { x: One } }
impl OpDef for ChannelShuffle {
    const NAMES: &'static [&'static str] = &["channel_shuffle"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let ty = x.ty(0)?;
        pass_through("channel_shuffle", "input", ty)?;
        if ty.rank() < 3 {
            return Err(Reason::new(format!("`channel_shuffle` needs an input [N,C,*], found {ty}")));
        }
        divided("channel_shuffle", "channels", &ty.shape[1], self.groups.into())?;
        one(ty.clone())
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let shape = x.shape(0)?;
        let (c, area): (usize, usize) = (shape[1], shape[2..].iter().product());
        let groups = self.groups as usize;
        moved_by(x, |i| {
            let (n, channel, at) = (i / (c * area), i / area % c, i % area);
            (n * c + channel % groups * (c / groups) + channel / groups) * area + at
        })
    }
}
