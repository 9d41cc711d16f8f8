//! The op at the root of a fusion: a convolution, transposed convolution or linear layer with its parameters.

use quantir_ir::graph::Name;

use crate::constant::{float_tensor, numbers};
use crate::fuse::fold::{Layer, out_channels, scale_channels};
use crate::prelude::*;

/// A `conv*`, `conv_transpose*` or `linear` of `f32` elements.
pub(crate) struct Root<'g> {
    g: &'g Graph,
    /// The node.
    pub id: NodeId,
    /// Its result.
    pub out: ValueId,
    /// Its input.
    pub x: ValueId,
    /// Its weight.
    pub weight: ValueId,
    /// Its bias.
    pub bias: Option<ValueId>,
    /// Its activation.
    pub act: &'g Act,
    groups: usize,
    padded: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Conv,
    Transpose,
    Linear,
}

impl<'g> Root<'g> {
    /// The root that defines `v`.
    pub fn of(g: &'g Graph, v: ValueId) -> Option<Root<'g>> {
        let (id, out, x, weight, bias, act, groups, padded, kind) = if let Some(c) = g.def::<Conv>(v) {
            let (padded, kind) = (!c.op.pad.is_none(), Kind::Conv);
            (c.id, c.out, c.x, c.weight, c.bias, &c.op.act, c.op.groups, padded, kind)
        } else if let Some(c) = g.def::<ConvTranspose>(v) {
            (c.id, c.out, c.x, c.weight, c.bias, &c.op.act, c.op.groups, true, Kind::Transpose)
        } else {
            let l = g.def::<Linear>(v)?;
            (l.id, l.out, l.x, l.weight, l.bias, &l.op.act, 1, false, Kind::Linear)
        };
        if g.elem(out) != &Elem::F32 || g.elem(weight) != &Elem::F32 {
            return None;
        }
        Some(Root { g, id, out, x, weight, bias, act, groups: groups as usize, padded, kind })
    }

    /// The axis of output channels in the result.
    pub fn axis(&self) -> usize {
        let rank = self.g.ty(self.out).rank();
        if self.kind == Kind::Linear { rank.saturating_sub(1) } else { 1 }
    }

    /// Number of output channels.
    pub fn channels(&self) -> Option<usize> {
        self.g.ty(self.out).shape.0.get(self.axis())?.as_lit().and_then(|n| usize::try_from(n).ok())
    }

    /// The number of each channel in the constant `v`, combined with the result.
    pub fn per_channel(&self, v: ValueId) -> Option<Vec<f32>> {
        let rank = self.g.ty(self.out).rank();
        crate::constant::per_channel(self.g, v, rank, self.axis(), self.channels()?)
    }

    /// The bias of each channel, zeros if there is none; `None` if it is not constant.
    pub fn bias_values(&self) -> Option<Vec<f32>> {
        match self.bias {
            Some(b) => numbers(self.g, b).filter(|b| Some(b.len()) == self.channels()),
            None => Some(vec![0.0; self.channels()?]),
        }
    }

    /// The constant weight with every element multiplied by the factor of its output channel.
    ///
    /// Output channels are axis 0 of the weight; in a transposed convolution they are the groups of axis 0
    /// and, within each, axis 1.
    pub fn scaled_weight(&self, factors: &[f32]) -> Option<Tensor> {
        let weight = self.g.is_const(self.weight).then(|| self.g.constant(self.weight))??;
        let (shape, mut data) = (weight.shape.clone(), weight.floats().ok()?.into_owned());
        if out_channels(self.layer(), &shape)? != factors.len() {
            return None;
        }
        scale_channels(self.layer(), &shape, &mut data, factors);
        float_tensor(weight.storage(), &shape, data).ok()
    }

    /// How its weight lies in memory.
    pub fn layer(&self) -> Layer {
        match self.kind {
            Kind::Conv => Layer::Conv,
            Kind::Transpose => Layer::ConvTranspose { groups: self.groups },
            Kind::Linear => Layer::Linear,
        }
    }

    /// Replaces `old` by this root with another bias and, if given, another weight. New constants keep the names
    /// of old ones; a new bias is called `<module>.bias`.
    pub fn replace(&self, old: ValueId, weight: Option<Tensor>, bias: Vec<f32>) -> Option<Edit> {
        self.rebuild(old, self.x, weight, Some(bias))
    }

    /// As [`Root::replace`] for its own result, on another input; parameters that are not given stay.
    pub fn replace_input(&self, x: ValueId, weight: Option<Tensor>, bias: Option<Vec<f32>>) -> Option<Edit> {
        self.rebuild(self.out, x, weight, bias)
    }

    fn rebuild(
        &self,
        old: ValueId,
        x: ValueId,
        weight: Option<Tensor>,
        bias: Option<Vec<f32>>,
    ) -> Option<Edit> {
        let g = self.g;
        let mut e = g.edit(g.def_node(old)?);
        let weight = match weight {
            Some(t) => {
                e.loc_of(g.def_node(self.weight)?);
                e.constant(t, g.name_of(self.weight))
            }
            None => self.weight,
        };
        let bias = match bias {
            Some(b) => {
                e.loc_of(self.bias.and_then(|b| g.def_node(b)).unwrap_or(self.id));
                Some(e.constant(Tensor::f32(&[b.len()], b), &self.bias_name()))
            }
            None => self.bias,
        };
        e.loc_of(self.id);
        let new = e.op(g.op(self.id).clone(), [Some(x), Some(weight), bias]).ok()?;
        if e.ty(new) != g.ty(old) {
            return None;
        }
        e.replace(old, new);
        Some(e.finish())
    }

    fn bias_name(&self) -> Name {
        let g = self.g;
        match (self.bias, &g.node(self.id).loc.path) {
            (Some(b), _) => g.name_of(b).clone(),
            (None, Some(path)) => format!("{path}.bias").into(),
            (None, None) => format!("{}.bias", g.name_of(self.out)).into(),
        }
    }

    // ---- the side of the input

    /// Whether zeros enter beside the input, so that an offset of it is not an offset of the result.
    pub fn padded(&self) -> bool {
        self.padded
    }

    /// The number of each input channel in the constant `v`, combined with the input.
    pub fn per_input_channel(&self, v: ValueId) -> Option<Vec<f32>> {
        let ty = self.g.ty(self.x);
        let axis = if self.kind == Kind::Linear { ty.rank().checked_sub(1)? } else { 1 };
        let channels = ty.shape.0.get(axis)?.as_lit().and_then(|n| usize::try_from(n).ok())?;
        crate::constant::per_channel(self.g, v, ty.rank(), axis, channels)
    }

    /// The constant weight with every element multiplied by the factor of its input channel.
    pub fn input_scaled_weight(&self, factors: &[f32]) -> Option<Tensor> {
        let (shape, mut data) = self.weight_data()?;
        self.each_input(&shape, factors.len(), |c, _, at| {
            data[at].iter_mut().for_each(|w| *w *= factors[c]);
        })?;
        float_tensor(Storage::F32, &shape, data).ok()
    }

    /// What a constant input of these channels adds to each output channel, if nothing is padded.
    pub fn weight_times(&self, input: &[f32]) -> Option<Vec<f32>> {
        let (shape, data) = self.weight_data().filter(|_| !self.padded)?;
        let mut sums = vec![0f64; *shape.first()?];
        self.each_input(&shape, input.len(), |c, o, at| {
            sums[o] += data[at].iter().map(|&w| f64::from(w) * f64::from(input[c])).sum::<f64>();
        })?;
        Some(sums.into_iter().map(|s| s as f32).collect())
    }

    /// Shape and numbers of the constant weight.
    pub fn weight_data(&self) -> Option<(Vec<usize>, Vec<f32>)> {
        let w = self.g.is_const(self.weight).then(|| self.g.constant(self.weight))??;
        Some((w.shape.clone(), w.floats().ok()?.into_owned()))
    }

    /// Calls `see` with input channel, row of the weight and stretch of elements, for each pair of both axes.
    fn each_input(
        &self,
        shape: &[usize],
        channels: usize,
        mut see: impl FnMut(usize, usize, std::ops::Range<usize>),
    ) -> Option<()> {
        let &[rows, cols, ref kernel @ ..] = shape else { return None };
        let kernel: usize = kernel.iter().product();
        let groups = self.groups;
        let fits = match self.kind {
            Kind::Transpose => rows == channels,
            _ => groups > 0 && rows % groups == 0 && cols * groups == channels,
        };
        if !fits {
            return None;
        }
        for (row, col) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
            let channel = match self.kind {
                Kind::Transpose => row,
                _ => row / (rows / groups) * cols + col,
            };
            let start = (row * cols + col) * kernel;
            see(channel, row, start..start + kernel);
        }
        Some(())
    }

    /// Why the parameters cannot be changed for what follows the root, if they cannot.
    pub fn obstacle(&self) -> Option<String> {
        let g = self.g;
        let name = g.op(self.id).name();
        if *self.act != Act::None {
            return Some(format!("the `{name}` before it already ends in an activation"));
        }
        if !g.one_use(self.out) {
            return Some(format!("%{}, the result of `{name}`, has other uses", g.name_of(self.out)));
        }
        if self.bias.is_some_and(|b| !g.is_const(b)) {
            return Some(format!("the bias of `{name}` is not constant"));
        }
        None
    }
}
