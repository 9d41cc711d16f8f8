//! What calls become: each function adds the nodes of one call at its [`Site`].

use quantir_ir::attr::{F32, Pads, PerAxis};
use quantir_ir::ops::{self, Act, reduce::Reduction};
use quantir_ir::{Dim, Op, Reason, Tensor, Type};

use super::arith::{Arith, Operand};
use super::cx::Site;
use super::size::{Size, Sizes};
use super::traced::Traced;
use super::tuple::Tuple;

/// Adds the last node of a call on `x`, or records why it cannot be; silent if `x` is.
fn last(site: &Site, x: &Traced, op: impl FnOnce(&Type) -> Result<Op, Reason>) -> Traced {
    match x.ty().as_ref().map(op) {
        None => x.clone(),
        Some(Ok(op)) => site.finish(op, &[x]),
        Some(Err(r)) => site.fail(r),
    }
}

/// Axis `i` of `ty`, negative from the end.
pub(super) fn axis(i: i64, rank: usize, of: &Type) -> Result<usize, Reason> {
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

// ---- one operand, no arguments

macro_rules! plain {
    ($($name:ident $op:expr;)*) => {$(
        pub(super) fn $name(site: &Site, x: &Traced) -> Traced {
            site.finish($op, &[x])
        }
    )*};
}
plain! {
    relu ops::Relu {};
    relu6 clip(0.0, 6.0);
    sigmoid ops::Sigmoid {};
    tanh ops::Tanh {};
    hardswish ops::HardSwish {};
    hardsigmoid ops::HardSigmoid { alpha: F32(1.0 / 6.0), beta: F32(0.5) };
    softplus ops::Softplus {};
    neg ops::Neg {};
    abs ops::Abs {};
    exp ops::Exp {};
    log ops::Log {};
    log1p ops::Log1p {};
    sqrt ops::Sqrt {};
    reciprocal ops::Reciprocal {};
    erf ops::Erf {};
    floor ops::Floor {};
    ceil ops::Ceil {};
    round ops::Round {};
    contiguous ops::Identity {};
    detach ops::Identity {};
}
fn clip(min: f32, max: f32) -> ops::Clip {
    ops::Clip { min: F32(min), max: F32(max) }
}
pub(super) fn clamp(site: &Site, x: &Traced, min: f32, max: f32) -> Traced {
    site.finish(clip(min, max), &[x])
}
pub(super) fn leaky_relu(site: &Site, x: &Traced, slope: f32) -> Traced {
    site.finish(ops::LeakyRelu { alpha: F32(slope) }, &[x])
}
pub(super) fn elu(site: &Site, x: &Traced, alpha: f32) -> Traced {
    site.finish(ops::Elu { alpha: F32(alpha) }, &[x])
}
pub(super) fn celu(site: &Site, x: &Traced, alpha: f32) -> Traced {
    site.finish(ops::Celu { alpha: F32(alpha) }, &[x])
}
pub(super) fn threshold(site: &Site, x: &Traced, threshold: f32, value: f32) -> Traced {
    site.finish(ops::Threshold { threshold: F32(threshold), value: F32(value) }, &[x])
}
pub(super) fn gelu(site: &Site, x: &Traced, tanh: bool) -> Traced {
    site.finish(ops::Gelu { tanh }, &[x])
}
pub(super) fn silu(site: &Site, x: &Traced) -> Traced {
    let s = site.part("sigmoid", ops::Sigmoid {}, &[x]);
    site.finish(ops::Mul { act: Act::None }, &[x, &s])
}
pub(super) fn mish(site: &Site, x: &Traced) -> Traced {
    let s = site.part("softplus", ops::Softplus {}, &[x]);
    let t = site.part("tanh", ops::Tanh {}, &[&s]);
    site.finish(ops::Mul { act: Act::None }, &[x, &t])
}
pub(super) fn dropout(site: &Site, x: &Traced, p: f32) -> Traced {
    site.finish(ops::Dropout { p: F32(p) }, &[x])
}
pub(super) fn prelu(site: &Site, x: &Traced, slope: &Traced) -> Traced {
    let (Some(t), Some(s)) = (x.ty(), slope.ty()) else { return site.finish(ops::Prelu {}, &[x, slope]) };
    // One slope for each channel, which is axis 1.
    if t.rank() > 2 && s.rank() == 1 && !s.shape.0[0].is(1) {
        let mut shape = vec![s.shape.0[0].clone()];
        shape.resize(t.rank() - 1, Dim::lit(1));
        let slope = site.part("slope", ops::Reshape { shape }, &[slope]);
        return site.finish(ops::Prelu {}, &[x, &slope]);
    }
    site.finish(ops::Prelu {}, &[x, slope])
}
pub(super) fn softmax(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| Ok(ops::Softmax { axis: axis(dim, t.rank(), t)? as u32 }.into()))
}
pub(super) fn log_softmax(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| Ok(ops::LogSoftmax { axis: axis(dim, t.rank(), t)? as u32 }.into()))
}

// ---- arithmetic

macro_rules! arithmetic {
    ($($name:ident $arith:ident;)*) => {$(
        pub(super) fn $name(site: &Site, x: &Traced, other: impl Operand) -> Traced {
            let b = other.value(site, x);
            Arith::$arith.emit(site, x, &b)
        }
    )*};
}
arithmetic! { add Add; sub Sub; mul Mul; div Div; pow Pow; maximum Maximum; minimum Minimum; }

pub(super) fn matmul(site: &Site, x: &Traced, other: &Traced) -> Traced {
    site.finish(ops::Matmul {}, &[x, other])
}

// ---- reductions

fn reduce(site: &Site, x: &Traced, kind: Reduction, dims: &[i64], keep: bool) -> Traced {
    last(site, x, |t| Ok(ops::Reduce { kind, axes: axes(dims, t)?, keep }.into()))
}
pub(super) fn mean(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Mean, dims, keep)
}
pub(super) fn sum(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Sum, dims, keep)
}
pub(super) fn amax(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Max, dims, keep)
}
pub(super) fn amin(site: &Site, x: &Traced, dims: &[i64], keep: bool) -> Traced {
    reduce(site, x, Reduction::Min, dims, keep)
}
pub(super) fn argmax(site: &Site, x: &Traced, dim: i64, keep: bool) -> Traced {
    last(site, x, |t| Ok(ops::ArgMax { axis: axis(dim, t.rank(), t)? as u32, keep }.into()))
}
pub(super) fn cumsum(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let axis = axis(dim, t.rank(), t)? as u32;
        Ok(ops::Cumsum { axis, exclusive: false, reverse: false }.into())
    })
}

// ---- shapes

pub(super) fn reshape(site: &Site, x: &Traced, shape: impl Sizes) -> Traced {
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
pub(super) fn flatten(site: &Site, x: &Traced, start: i64, end: i64) -> Traced {
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
pub(super) fn squeeze(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let a = axis(dim, t.rank(), t)?;
        let mut shape = t.shape.0.clone();
        if shape[a].is(1) {
            shape.remove(a);
        }
        Ok(ops::Reshape { shape }.into())
    })
}
pub(super) fn squeeze_all(site: &Site, x: &Traced) -> Traced {
    last(site, x, |t| {
        Ok(ops::Reshape { shape: t.shape.0.iter().filter(|d| !d.is(1)).cloned().collect() }.into())
    })
}
pub(super) fn unsqueeze(site: &Site, x: &Traced, dim: i64) -> Traced {
    last(site, x, |t| {
        let mut shape = t.shape.0.clone();
        shape.insert(axis(dim, t.rank() + 1, t)?, Dim::lit(1));
        Ok(ops::Reshape { shape }.into())
    })
}
pub(super) fn transpose(site: &Site, x: &Traced, a: i64, b: i64) -> Traced {
    last(site, x, |t| {
        let (a, b) = (axis(a, t.rank(), t)?, axis(b, t.rank(), t)?);
        let mut perm: Vec<u32> = (0..t.rank() as u32).collect();
        perm.swap(a, b);
        Ok(ops::Transpose { perm }.into())
    })
}
pub(super) fn t(site: &Site, x: &Traced) -> Traced {
    if x.rank() < 2 {
        return site.finish(ops::Identity {}, &[x]);
    }
    transpose(site, x, 0, 1)
}
pub(super) fn permute(site: &Site, x: &Traced, order: &[i64]) -> Traced {
    last(site, x, |t| {
        let perm = order.iter().map(|&i| axis(i, t.rank(), t).map(|a| a as u32)).collect::<Result<_, _>>()?;
        Ok(ops::Transpose { perm }.into())
    })
}
pub(super) fn expand(site: &Site, x: &Traced, shape: impl Sizes) -> Traced {
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
pub(super) fn repeat(site: &Site, x: &Traced, times: &[u32]) -> Traced {
    site.finish(ops::Repeat { times: times.to_vec() }, &[x])
}
pub(super) fn flip(site: &Site, x: &Traced, dims: &[i64]) -> Traced {
    last(site, x, |t| Ok(ops::Flip { axes: axes(dims, t)? }.into()))
}
pub(super) fn roll(site: &Site, x: &Traced, shifts: &[i64], dims: &[i64]) -> Traced {
    last(site, x, |t| Ok(ops::Roll { axes: axes(dims, t)?, shifts: shifts.to_vec() }.into()))
}

// ---- several values

pub(super) fn cat(site: &Site, parts: &[&Traced], dim: i64) -> Traced {
    joined(site, parts, dim, 0, |axis| ops::Concat { axis }.into())
}
pub(super) fn stack(site: &Site, parts: &[&Traced], dim: i64) -> Traced {
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
pub(super) fn chunk(site: &Site, x: &Traced, chunks: i64, dim: i64) -> Tuple {
    parts(site, x, dim, |len| {
        let n = len.as_lit().filter(|_| chunks > 0).ok_or_else(|| {
            Reason::new(format!("an axis of length {len} cannot be cut into {chunks} chunks"))
                .help("the length of the axis and a positive number of chunks must be known")
        })?;
        Ok(pieces(n, (n + chunks - 1) / chunks))
    })
}
pub(super) fn split(site: &Site, x: &Traced, size: i64, dim: i64) -> Tuple {
    parts(site, x, dim, |len| {
        let n = len.as_lit().filter(|_| size > 0).ok_or_else(|| {
            Reason::new(format!("an axis of length {len} cannot be cut into parts of {size}"))
                .help("the length of the axis and a positive size must be known")
        })?;
        Ok(pieces(n, size))
    })
}
pub(super) fn split_sizes(site: &Site, x: &Traced, sizes: &[i64], dim: i64) -> Tuple {
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
pub(super) fn unbind(site: &Site, x: &Traced, dim: i64) -> Tuple {
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
pub(super) fn where_(site: &Site, cond: &Traced, a: &Traced, b: &Traced) -> Traced {
    site.finish(ops::Where {}, &[cond, a, b])
}

// ---- layers

/// Numbers for each spatial axis: one for all, or one for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spatial(Vec<i64>);

macro_rules! spatial {
    ($($t:ty),*) => {$(
        impl From<$t> for Spatial {
            fn from(n: $t) -> Spatial {
                Spatial(vec![n as i64])
            }
        }
        impl<const N: usize> From<[$t; N]> for Spatial {
            fn from(n: [$t; N]) -> Spatial {
                Spatial(n.iter().map(|&n| n as i64).collect())
            }
        }
        impl From<&[$t]> for Spatial {
            fn from(n: &[$t]) -> Spatial {
                Spatial(n.iter().map(|&n| n as i64).collect())
            }
        }
        impl From<($t, $t)> for Spatial {
            fn from(n: ($t, $t)) -> Spatial {
                Spatial(vec![n.0 as i64, n.1 as i64])
            }
        }
        impl From<($t, $t, $t)> for Spatial {
            fn from(n: ($t, $t, $t)) -> Spatial {
                Spatial(vec![n.0 as i64, n.1 as i64, n.2 as i64])
            }
        }
    )*};
}
spatial!(i32, i64, u32, usize);

impl Spatial {
    /// The number of axis `i`.
    pub(super) fn at(&self, i: usize) -> i64 {
        if self.0.len() == 1 { self.0[0] } else { self.0.get(i).copied().unwrap_or(1) }
    }
    pub(super) fn numbers(&self, what: &str, rank: usize) -> Result<Vec<u32>, Reason> {
        if self.0.len() != 1 && self.0.len() != rank {
            return Err(Reason::new(format!(
                "`{what}` has {} entries for {rank} spatial axes",
                self.0.len()
            )));
        }
        (0..rank)
            .map(|i| {
                u32::try_from(self.at(i))
                    .map_err(|_| Reason::new(format!("`{what}` is {}, but must not be negative", self.at(i))))
            })
            .collect()
    }
    fn per_axis(&self, what: &str, rank: usize) -> Result<PerAxis, Reason> {
        Ok(PerAxis::of(&self.numbers(what, rank)?))
    }
    fn pads(&self, rank: usize) -> Result<Pads, Reason> {
        let both: Vec<(u32, u32)> = self.numbers("padding", rank)?.into_iter().map(|n| (n, n)).collect();
        Ok(Pads::of(&both))
    }
}

/// Padding of a convolution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Padding {
    /// As many positions on both ends of each axis.
    Both(Spatial),
    /// As many as keep the size (stride 1): `padding='same'`.
    Same,
}
impl<T: Into<Spatial>> From<T> for Padding {
    fn from(n: T) -> Padding {
        Padding::Both(n.into())
    }
}

/// What padding holds: `padding_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The elements mirrored at the border.
    Reflect,
    /// The element at the border.
    Replicate,
}

/// Settings of a convolution beside its weights.
#[derive(Clone, Debug)]
pub struct ConvOptions {
    /// Step between windows.
    pub stride: Spatial,
    /// Padding on both ends.
    pub padding: Padding,
    /// What the padding holds.
    pub padding_mode: PaddingMode,
    /// Additional size of one side of a transposed convolution's result.
    pub output_padding: Spatial,
    /// Distance between the kernel's elements.
    pub dilation: Spatial,
    /// Number of groups of channels.
    pub groups: u32,
}
impl Default for ConvOptions {
    fn default() -> ConvOptions {
        ConvOptions {
            stride: 1.into(),
            padding: 0.into(),
            padding_mode: PaddingMode::Zeros,
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
        }
    }
}

pub(super) fn conv(
    site: &Site,
    x: &Traced,
    w: &Traced,
    b: Option<&Traced>,
    rank: usize,
    o: &ConvOptions,
) -> Traced {
    let Some((x_ty, w_ty)) = x.ty().zip(w.ty()) else { return Traced::new(x.cx(), None) };
    let made = (|| {
        let mut pads = match &o.padding {
            Padding::Both(n) => n.numbers("padding", rank)?.into_iter().map(|n| (n, n)).collect(),
            Padding::Same => (0..rank)
                .map(|i| {
                    let k = w_ty.shape.0.get(i + 2).and_then(Dim::as_lit).unwrap_or(1);
                    let all = u32::try_from(o.dilation.at(i) * (k - 1)).unwrap_or(0);
                    (all / 2, all - all / 2)
                })
                .collect::<Vec<_>>(),
        };
        let before = match o.padding_mode {
            PaddingMode::Zeros => None,
            mode => {
                let mut axes = vec![vec![0i64, 0]; x_ty.rank().saturating_sub(rank)];
                axes.extend(pads.iter().map(|&(a, b)| vec![a.into(), b.into()]));
                pads = vec![(0, 0)];
                let mode = match mode {
                    PaddingMode::Reflect => ops::pad::PadMode::Reflect,
                    _ => ops::pad::PadMode::Edge,
                };
                Some(ops::Pad { pads: axes, value: F32(0.0), mode })
            }
        };
        let conv = ops::Conv {
            rank: rank as u8,
            stride: o.stride.per_axis("stride", rank)?,
            pad: Pads::of(&pads),
            dilation: o.dilation.per_axis("dilation", rank)?,
            groups: o.groups,
            act: Act::None,
        };
        Ok::<_, Reason>((before, conv))
    })();
    match made {
        Err(r) => site.fail(r),
        Ok((before, conv)) => {
            let padded = before.map(|p| site.part("padded", p, &[x]));
            let x = padded.as_ref().unwrap_or(x);
            batched(site, x, rank + 2, |x, last| {
                site.push_last(conv.clone().into(), &[Some(x), Some(w), b], last)
            })
        }
    }
}

/// Gives `x` a batch axis if it has none, as PyTorch's layers accept single samples, and takes it away again.
fn batched(site: &Site, x: &Traced, rank: usize, f: impl FnOnce(&Traced, bool) -> Traced) -> Traced {
    let Some(t) = x.ty() else { return x.clone() };
    if t.rank() + 1 != rank {
        return f(x, true);
    }
    let mut shape = t.shape.0;
    shape.insert(0, Dim::lit(1));
    let one = site.part("batch", ops::Reshape { shape }, &[x]);
    let y = f(&one, false);
    let Some(t) = y.ty() else { return y };
    site.finish(ops::Reshape { shape: t.shape.0[1..].to_vec() }, &[&y])
}

pub(super) fn conv_transpose(
    site: &Site,
    x: &Traced,
    w: &Traced,
    b: Option<&Traced>,
    rank: usize,
    o: &ConvOptions,
) -> Traced {
    let op = (|| {
        let Padding::Both(pad) = &o.padding else {
            return Err(Reason::new("a transposed convolution has no `same` padding"));
        };
        if o.padding_mode != PaddingMode::Zeros {
            return Err(Reason::new("a transposed convolution is padded with zeros only"));
        }
        Ok(ops::ConvTranspose {
            rank: rank as u8,
            stride: o.stride.per_axis("stride", rank)?,
            pad: pad.pads(rank)?,
            out_pad: o.output_padding.per_axis("output_padding", rank)?,
            dilation: o.dilation.per_axis("dilation", rank)?,
            groups: o.groups,
            act: Act::None,
        })
    })();
    match op {
        Ok(op) => {
            batched(site, x, rank + 2, |x, last| site.push_last(op.into(), &[Some(x), Some(w), b], last))
        }
        Err(r) => site.fail(r),
    }
}

pub(super) fn linear(site: &Site, x: &Traced, w: &Traced, b: Option<&Traced>) -> Traced {
    site.push_last(ops::Linear { act: Act::None }.into(), &[Some(x), Some(w), b], true)
}

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

pub(super) fn max_pool(site: &Site, x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
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
pub(super) fn avg_pool(site: &Site, x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
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
pub(super) fn adaptive_avg_pool(site: &Site, x: &Traced, rank: usize, out: &[Option<u32>]) -> Traced {
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

/// How `interpolate` and `Upsample` find values between samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Interpolation {
    /// The sample at or before the position: `nearest`.
    #[default]
    Nearest,
    /// The nearest sample: `nearest-exact`.
    NearestExact,
    /// `linear`, `bilinear`, `trilinear` by the number of axes.
    Linear,
    /// `bicubic`.
    Cubic,
}

/// Settings of `interpolate` and `Upsample`.
#[derive(Clone, Debug, Default)]
pub struct Resampling {
    /// Size of the result's spatial axes; or else `scale_factor`.
    pub size: Option<Spatial>,
    /// By how much each spatial axis grows.
    pub scale_factor: Option<Vec<f32>>,
    /// How values between samples are found.
    pub mode: Interpolation,
    /// Whether the centres of the corner pixels stay in place.
    pub align_corners: bool,
}

pub(super) fn interpolate(site: &Site, x: &Traced, o: &Resampling) -> Traced {
    use ops::resize::{Coord, NearestRound, ResizeMode};
    last(site, x, |t| {
        let rank = t.rank().saturating_sub(2);
        let mut op = ops::Resize {
            scales: Vec::new(),
            sizes: Vec::new(),
            mode: match o.mode {
                Interpolation::Nearest | Interpolation::NearestExact => ResizeMode::Nearest,
                Interpolation::Linear => ResizeMode::Linear,
                Interpolation::Cubic => ResizeMode::Cubic,
            },
            coord: match o.mode {
                Interpolation::Nearest => Coord::Asymmetric,
                _ if o.align_corners => Coord::AlignCorners,
                _ => Coord::HalfPixel,
            },
            round: match o.mode {
                Interpolation::Nearest => NearestRound::Floor,
                Interpolation::NearestExact => NearestRound::PreferCeil,
                _ => NearestRound::PreferFloor,
            },
        };
        match (&o.size, &o.scale_factor) {
            (Some(size), None) => {
                op.sizes = t.shape.0[..t.rank() - rank].to_vec();
                op.sizes.extend(size.numbers("size", rank)?.into_iter().map(|n| Dim::lit(n.into())));
            }
            (None, Some(f)) if f.len() == 1 || f.len() == rank => {
                op.scales = vec![F32(1.0); t.rank() - rank];
                op.scales.extend((0..rank).map(|i| F32(if f.len() == 1 { f[0] } else { f[i] })));
            }
            (None, Some(f)) => {
                return Err(Reason::new(format!(
                    "`scale_factor` has {} entries for {rank} spatial axes",
                    f.len()
                )));
            }
            _ => return Err(Reason::new("give either `size` or `scale_factor`")),
        }
        Ok(op.into())
    })
}
pub(super) fn pixel_shuffle(site: &Site, x: &Traced, factor: u32) -> Traced {
    site.finish(ops::PixelShuffle { factor }, &[x])
}
pub(super) fn pixel_unshuffle(site: &Site, x: &Traced, factor: u32) -> Traced {
    site.finish(ops::PixelUnshuffle { factor }, &[x])
}
pub(super) fn channel_shuffle(site: &Site, x: &Traced, groups: u32) -> Traced {
    site.finish(ops::ChannelShuffle { groups }, &[x])
}
/// Pads the last axes; `pads` are (before, after) of the last axis, then of the one before it, as PyTorch counts.
pub(super) fn pad(site: &Site, x: &Traced, pads: &[i64], value: f32) -> Traced {
    last(site, x, |t| {
        if pads.len() % 2 == 1 || pads.len() / 2 > t.rank() {
            return Err(Reason::new(format!("{} numbers do not pad {t}", pads.len()))
                .help("give two for each axis, the last axis first"));
        }
        let mut all = vec![vec![0, 0]; t.rank()];
        for (i, pair) in pads.chunks(2).enumerate() {
            all[t.rank() - 1 - i] = pair.to_vec();
        }
        Ok(ops::Pad { pads: all, value: F32(value), mode: ops::pad::PadMode::Constant }.into())
    })
}
pub(super) fn embedding(site: &Site, indices: &Traced, table: &Traced) -> Traced {
    site.finish(ops::Embedding {}, &[indices, table])
}
pub(super) fn layer_norm(
    site: &Site,
    x: &Traced,
    over: usize,
    w: Option<&Traced>,
    b: Option<&Traced>,
    eps: f32,
) -> Traced {
    let Some(t) = x.ty() else { return x.clone() };
    match t.rank().checked_sub(over) {
        Some(axis) => {
            let op = ops::LayerNorm { axis: axis as u32, eps: F32(eps) };
            site.push_last(op.into(), &[Some(x), w, b], true)
        }
        None => site.fail(Reason::new(format!("{t} has fewer axes than the {over} that are normalised"))),
    }
}
pub(super) fn group_norm(
    site: &Site,
    x: &Traced,
    groups: u32,
    w: Option<&Traced>,
    b: Option<&Traced>,
    eps: f32,
) -> Traced {
    site.push_last(ops::GroupNorm { groups, eps: F32(eps) }.into(), &[Some(x), w, b], true)
}
pub(super) fn instance_norm(
    site: &Site,
    x: &Traced,
    w: Option<&Traced>,
    b: Option<&Traced>,
    eps: f32,
) -> Traced {
    let Some(t) = x.ty() else { return x.clone() };
    let Some(c) = t.shape.0.get(1).and_then(Dim::as_lit).and_then(|c| usize::try_from(c).ok()) else {
        return site.fail(Reason::new(format!("{t} has no axis of channels to normalise")));
    };
    let filled = |what, v| site.tensor(what, Ok(Tensor::f32(&[c], vec![v; c])));
    let w = w.cloned().unwrap_or_else(|| filled("weight", 1.0));
    let b = b.cloned().unwrap_or_else(|| filled("bias", 0.0));
    site.finish(ops::InstanceNorm { eps: F32(eps) }, &[x, &w, &b])
}
