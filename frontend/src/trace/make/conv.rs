//! Convolutions.

use quantir_ir::attr::{F32, Pads};
use quantir_ir::ops::{self, Act};
use quantir_ir::{Dim, Reason};

use super::Spatial;
use crate::trace::{Site, Traced};

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

pub(in crate::trace) fn conv(
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
pub(super) fn batched(
    site: &Site,
    x: &Traced,
    rank: usize,
    f: impl FnOnce(&Traced, bool) -> Traced,
) -> Traced {
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

pub(in crate::trace) fn conv_transpose(
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
