//! The op at the root of a fusion: a convolution, transposed convolution or linear layer with its parameters.

use quantir_ir::graph::Name;

use crate::constant::{float_tensor, numbers};
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
        let root = |id, out, x, weight, bias, act, groups: u32, kind| {
            let f32 = g.elem(out) == &Elem::F32 && g.elem(weight) == &Elem::F32;
            f32.then_some(Root { g, id, out, x, weight, bias, act, groups: groups as usize, kind })
        };
        if let Some(c) = g.def::<Conv>(v) {
            return root(c.id, c.out, c.x, c.weight, c.bias, &c.op.act, c.op.groups, Kind::Conv);
        }
        if let Some(c) = g.def::<ConvTranspose>(v) {
            return root(c.id, c.out, c.x, c.weight, c.bias, &c.op.act, c.op.groups, Kind::Transpose);
        }
        let l = g.def::<Linear>(v)?;
        root(l.id, l.out, l.x, l.weight, l.bias, &l.op.act, 1, Kind::Linear)
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
        let (&rows, rest) = shape.split_first()?;
        let row: usize = rest.iter().product();
        if rows == 0 || row == 0 {
            return None;
        }
        match self.kind {
            Kind::Conv | Kind::Linear => {
                if factors.len() != rows {
                    return None;
                }
                for (row, f) in data.chunks_exact_mut(row).zip(factors) {
                    row.iter_mut().for_each(|w| *w *= f);
                }
            }
            Kind::Transpose => {
                let &per_group = rest.first()?;
                if self.groups == 0 || rows % self.groups != 0 || factors.len() != per_group * self.groups {
                    return None;
                }
                let in_group = rows / self.groups;
                for (i, row) in data.chunks_exact_mut(row).enumerate() {
                    let factors = &factors[i / in_group * per_group..][..per_group];
                    for (kernel, f) in row.chunks_exact_mut(row.len() / per_group).zip(factors) {
                        kernel.iter_mut().for_each(|w| *w *= f);
                    }
                }
            }
        }
        float_tensor(weight.storage(), &shape, data).ok()
    }

    /// Replaces `old` by this root with another bias and, if given, another weight. New constants keep the names
    /// of old ones; a new bias is called `<module>.bias`.
    pub fn replace(&self, old: ValueId, weight: Option<Tensor>, bias: Vec<f32>) -> Option<Edit> {
        let g = self.g;
        let mut e = g.edit(g.def_node(old)?);
        let weight = match weight {
            Some(t) => {
                e.loc_of(g.def_node(self.weight)?);
                e.constant(t, g.name_of(self.weight))
            }
            None => self.weight,
        };
        match self.bias.and_then(|b| g.def_node(b)) {
            Some(b) => e.loc_of(b),
            None => e.loc_of(self.id),
        };
        let bias = e.constant(Tensor::f32(&[bias.len()], bias), &self.bias_name());
        e.loc_of(self.id);
        let new = e.op(g.op(self.id).clone(), [Some(self.x), Some(weight), Some(bias)]).ok()?;
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
