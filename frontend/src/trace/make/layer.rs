//! Linear layers, normalisation, embeddings, resampling.

use quantir_ir::attr::F32;
use quantir_ir::ops::{self, Act};
use quantir_ir::{Dim, Reason, Tensor};

use super::{Spatial, last};
use crate::trace::{Site, Traced};

pub(in crate::trace) fn linear(site: &Site, x: &Traced, w: &Traced, b: Option<&Traced>) -> Traced {
    site.push_last(ops::Linear { act: Act::None }.into(), &[Some(x), Some(w), b], true)
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

pub(in crate::trace) fn interpolate(site: &Site, x: &Traced, o: &Resampling) -> Traced {
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
pub(in crate::trace) fn pixel_shuffle(site: &Site, x: &Traced, factor: u32) -> Traced {
    site.finish(ops::PixelShuffle { factor }, &[x])
}
pub(in crate::trace) fn pixel_unshuffle(site: &Site, x: &Traced, factor: u32) -> Traced {
    site.finish(ops::PixelUnshuffle { factor }, &[x])
}
pub(in crate::trace) fn channel_shuffle(site: &Site, x: &Traced, groups: u32) -> Traced {
    site.finish(ops::ChannelShuffle { groups }, &[x])
}
/// Pads the last axes; `pads` are (before, after) of the last axis, then of the one before it, as PyTorch counts.
pub(in crate::trace) fn pad(site: &Site, x: &Traced, pads: &[i64], value: f32) -> Traced {
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
pub(in crate::trace) fn embedding(site: &Site, indices: &Traced, table: &Traced) -> Traced {
    site.finish(ops::Embedding {}, &[indices, table])
}
pub(in crate::trace) fn layer_norm(
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
pub(in crate::trace) fn group_norm(
    site: &Site,
    x: &Traced,
    groups: u32,
    w: Option<&Traced>,
    b: Option<&Traced>,
    eps: f32,
) -> Traced {
    site.push_last(ops::GroupNorm { groups, eps: F32(eps) }.into(), &[Some(x), w, b], true)
}
pub(in crate::trace) fn instance_norm(
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
