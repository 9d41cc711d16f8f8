//! Views and rearrangements: integers move, and the parameters of channels move with their axis.

use std::sync::Arc;

use super::QTensor;
use crate::diag::Reason;
use crate::quant::{QParams, Quant, Zeros};
use crate::tensor::{Tensor, checked_numel};
use crate::types::Elem;

impl QTensor {
    /// The same integers in another shape of equal count (`reshape`, `view`).
    ///
    /// With channels, their axis must stay whole: as many elements before it, and its own length. Fails otherwise.
    pub fn reshape(&self, shape: &[usize]) -> Result<QTensor, Reason> {
        if checked_numel(shape) != Some(self.0.numel()) {
            return Err(Reason::new(format!("{} elements do not fill {shape:?}", self.0.numel())));
        }
        let q = match self.quant().axis() {
            None => self.quant().clone(),
            Some(axis) => {
                let outer: usize = self.shape()[..axis].iter().product();
                let len = self.shape()[axis];
                let same = |a: &usize| shape[*a] == len && shape[..*a].iter().product::<usize>() == outer;
                let to = (0..shape.len()).find(same).ok_or_else(|| {
                    Reason::new(format!(
                        "{:?} cannot become {shape:?}: the shape cuts across axis {axis}, which parameters vary along",
                        self.shape()
                    ))
                    .help("keep that axis whole, or dequantize first")
                })?;
                Arc::new(on_axis(self.quant(), to))
            }
        };
        QTensor::new(self.0.reshape(shape)?.retyped(q)?)
    }

    /// The axes `start..=end` as one. Fails if one of several is the axis of the channels.
    pub fn flatten(&self, start: usize, end: usize) -> Result<QTensor, Reason> {
        let s = self.shape();
        if start > end || end >= s.len() {
            return Err(Reason::new(format!("there are no axes {start} to {end} in {s:?}")));
        }
        let mut shape = s[..start].to_vec();
        shape.push(s[start..=end].iter().product());
        shape.extend(&s[end + 1..]);
        self.reshape(&shape)
    }

    /// With an axis of length 1 inserted before `axis`.
    pub fn unsqueeze(&self, axis: usize) -> Result<QTensor, Reason> {
        if axis > self.shape().len() {
            return Err(Reason::new(format!("no axis can stand at {axis} in {:?}", self.shape())));
        }
        let mut shape = self.shape().to_vec();
        shape.insert(axis, 1);
        let channel = self.quant().axis().map(|a| if a >= axis { a + 1 } else { a });
        self.relabelled(&shape, channel)
    }

    /// Without `axis`, which must have length 1. Fails for the axis of the channels.
    pub fn squeeze(&self, axis: usize) -> Result<QTensor, Reason> {
        if self.shape().get(axis) != Some(&1) {
            return Err(Reason::new(format!("axis {axis} of {:?} has not length 1", self.shape())));
        }
        if self.quant().axis() == Some(axis) {
            return Err(Reason::new(format!("axis {axis} carries the parameters of the channels"))
                .help("`select` a channel, which has one scale"));
        }
        let mut shape = self.shape().to_vec();
        shape.remove(axis);
        self.relabelled(&shape, self.quant().axis().map(|a| if a > axis { a - 1 } else { a }))
    }

    /// With the axes in the order `perm`: axis `i` of the result is axis `perm[i]`. Channels move with their axis.
    pub fn permute(&self, perm: &[usize]) -> Result<QTensor, Reason> {
        let rank = self.shape().len();
        let mut seen = vec![false; rank];
        let whole =
            perm.len() == rank && perm.iter().all(|&p| p < rank && !std::mem::replace(&mut seen[p], true));
        if !whole {
            return Err(Reason::new(format!(
                "{perm:?} does not order the {rank} axes of {:?}",
                self.shape()
            )));
        }
        let shape: Vec<usize> = perm.iter().map(|&p| self.shape()[p]).collect();
        if matches!(self.quant().params, QParams::Group { .. })
            && perm.iter().enumerate().any(|(i, &p)| i != p)
        {
            return Err(grouped());
        }
        let q = Arc::new(self.quant().permute(perm));
        self.picked(&shape, q, |to| {
            let mut from = vec![0; rank];
            perm.iter().zip(to).for_each(|(&p, &i)| from[p] = i);
            from
        })
    }

    /// With axes `a` and `b` exchanged.
    pub fn transpose(&self, a: usize, b: usize) -> Result<QTensor, Reason> {
        let rank = self.shape().len();
        if a >= rank || b >= rank {
            return Err(Reason::new(format!("there are no axes {a} and {b} in {:?}", self.shape())));
        }
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(a, b);
        self.permute(&perm)
    }

    /// The indices `start..end` of `axis`; channels are cut with it.
    pub fn slice(&self, axis: usize, start: usize, end: usize) -> Result<QTensor, Reason> {
        if start > end || self.shape().get(axis).is_none_or(|&n| end > n) {
            return Err(Reason::new(format!(
                "there is no {start}..{end} along axis {axis} of {:?}",
                self.shape()
            )));
        }
        self.index_select(axis, &(start..end).collect::<Vec<_>>())
    }

    /// The listed indices of `axis`; channels are taken with them.
    pub fn index_select(&self, axis: usize, indices: &[usize]) -> Result<QTensor, Reason> {
        self.index(axis, indices)?;
        let q = match &self.quant().params {
            QParams::Axis { axis: a, scale, zero } if *a as usize == axis => {
                let scale = indices.iter().map(|&i| scale[i]).collect();
                let zero = match zero {
                    Zeros::All(z) => Zeros::All(*z),
                    Zeros::Each(z) => Zeros::Each(indices.iter().map(|&i| z[i]).collect()),
                    Zeros::Float(z) => Zeros::Float(indices.iter().map(|&i| z[i]).collect()),
                };
                Arc::new(Quant {
                    params: QParams::Axis { axis: *a, scale, zero },
                    ..(**self.quant()).clone()
                })
            }
            QParams::Group { .. } => return Err(grouped()),
            _ => self.quant().clone(),
        };
        let mut shape = self.shape().to_vec();
        shape[axis] = indices.len();
        self.picked(&shape, q, |to| {
            let mut from = to.to_vec();
            from[axis] = indices[to[axis]];
            from
        })
    }

    /// One index of `axis`, which goes away. A channel has one scale; one with a real zero point cannot be taken.
    pub fn select(&self, axis: usize, index: usize) -> Result<QTensor, Reason> {
        let cut = self.index_select(axis, &[index])?;
        if cut.quant().axis() != Some(axis) {
            return cut.squeeze(axis);
        }
        if cut.quant().float_zeros().is_some() {
            return Err(Reason::new("one scale for a whole tensor has an integer zero point")
                .help("keep the axis: `slice` instead of `select`"));
        }
        let (scale, zero) = (cut.quant().scale(0), cut.quant().zero(0));
        let q = Quant { params: QParams::Tensor { scale, zero }, ..(**cut.quant()).clone() };
        let mut shape = cut.shape().to_vec();
        shape.remove(axis);
        QTensor::new(cut.0.reshape(&shape)?.retyped(Arc::new(q))?)
    }

    /// The tensor `counts[i]` times along each axis; more counts than axes put axes in front.
    pub fn repeat(&self, counts: &[usize]) -> Result<QTensor, Reason> {
        let rank = self.shape().len();
        if counts.len() < rank {
            return Err(Reason::new(format!("{} counts for {rank} axes", counts.len())));
        }
        let mut wide = self.clone();
        for _ in rank..counts.len() {
            wide = wide.unsqueeze(0)?;
        }
        for (axis, &n) in counts.iter().enumerate() {
            let len = wide.shape()[axis];
            let indices: Vec<usize> = (0..n).flat_map(|_| 0..len).collect();
            if n != 1 {
                wide = wide.index_select(axis, &indices)?;
            }
        }
        Ok(wide)
    }

    /// Tensors one after another along `axis`, all in the quantization `q`: integers of the same quantization are
    /// copied, others dequantized and quantized by `q`.
    ///
    /// PyTorch takes the first tensor's parameters if none are given; here the result's are always named. Fails for an
    /// empty list, other shapes, and parameters that vary along an axis.
    pub fn cat(tensors: &[&QTensor], axis: usize, q: &Arc<Quant>) -> Result<QTensor, Reason> {
        let first = tensors.first().ok_or("nothing to concatenate")?;
        if q.per_tensor().is_none() {
            return Err(Reason::new(format!("the result of `cat` has one scale, not `{q}`")));
        }
        let mut shape = first.shape().to_vec();
        if axis >= shape.len() {
            return Err(Reason::new(format!("there is no axis {axis} in {shape:?}")));
        }
        for t in tensors {
            let fits = t.shape().len() == shape.len()
                && t.shape().iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !fits {
                return Err(Reason::new(format!(
                    "{:?} and {shape:?} differ in more than axis {axis}",
                    t.shape()
                )));
            }
        }
        shape[axis] = tensors.iter().map(|t| t.shape()[axis]).sum();
        let inner: usize = shape[axis + 1..].iter().product();
        let parts = tensors.iter().map(|t| match t.quant() == q {
            true => t.0.ints(),
            false => t.dequantize().quantize(q)?.ints(),
        });
        let parts: Vec<Vec<i64>> = parts.collect::<Result<_, _>>()?;
        let mut ints = Vec::with_capacity(shape.iter().product());
        for outer in 0..shape[..axis].iter().product() {
            for (t, part) in tensors.iter().zip(&parts) {
                let run = t.shape()[axis] * inner;
                ints.extend_from_slice(&part[outer * run..(outer + 1) * run]);
            }
        }
        QTensor::from_ints(q, &shape, &ints)
    }

    /// Refuses an axis or an index that is not there.
    pub(super) fn index(&self, axis: usize, indices: &[usize]) -> Result<(), Reason> {
        let Some(&len) = self.shape().get(axis) else {
            return Err(Reason::new(format!("there is no axis {axis} in {:?}", self.shape())));
        };
        match indices.iter().find(|&&i| i >= len) {
            Some(i) => {
                Err(Reason::new(format!("there is no index {i} along axis {axis} of {:?}", self.shape())))
            }
            None => Ok(()),
        }
    }

    /// The same elements in `shape`, channels along `channel`.
    fn relabelled(&self, shape: &[usize], channel: Option<usize>) -> Result<QTensor, Reason> {
        let q = match channel {
            Some(axis) => Arc::new(on_axis(self.quant(), axis)),
            None => self.quant().clone(),
        };
        QTensor::new(self.0.reshape(shape)?.retyped(q)?)
    }

    /// A tensor of `shape` whose element at each position is the one at the position that `from` says.
    fn picked(
        &self,
        shape: &[usize],
        q: Arc<Quant>,
        from: impl Fn(&[usize]) -> Vec<usize>,
    ) -> Result<QTensor, Reason> {
        let ints = self.0.ints()?;
        let count = checked_numel(shape).ok_or("the result is too large")?;
        let mut at = vec![0; shape.len()];
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            let flat = from(&at).iter().zip(self.shape()).fold(0, |f, (i, n)| f * n + i);
            out.push(ints[flat]);
            for (i, n) in at.iter_mut().zip(shape).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
        QTensor::from_ints(&q, shape, &out)
    }
}

impl Tensor {
    /// The same integers under another quantization of the same storage.
    fn retyped(&self, q: Arc<Quant>) -> Result<Tensor, Reason> {
        self.retype(Elem::Quant(q))
    }
}

/// The quantization with its parameters along another axis.
fn on_axis(q: &Quant, to: usize) -> Quant {
    let mut q = q.clone();
    if let QParams::Axis { axis, .. } | QParams::Group { axis, .. } = &mut q.params {
        *axis = to as u8;
    }
    q
}

fn grouped() -> Reason {
    Reason::new("parameters of groups stay with the order of elements").help("dequantize first")
}
