//! Changes of elements: real numbers are quantized with the tensor's own parameters.

use std::ops::Range;

use super::QTensor;
use crate::diag::Reason;
use crate::tensor::Tensor;
use crate::types::Storage;

impl QTensor {
    /// Every element becomes `value`, quantized with the parameters of its channel (`fill_`).
    pub fn fill(&mut self, value: f32) -> Result<(), Reason> {
        self.set_each(|_| Some(value))
    }

    /// The elements where `mask` is true become `value` (`masked_fill_`). Fails unless `mask` is `bool` of this shape.
    pub fn masked_fill(&mut self, mask: &Tensor, value: f32) -> Result<(), Reason> {
        if mask.storage() != Storage::Bool || mask.shape != self.shape() {
            return Err(Reason::new(format!(
                "the mask is {} but the tensor is {:?}",
                mask.ty(),
                self.shape()
            ))
            .help("give a `bool` of the same shape"));
        }
        let on = mask.ints()?;
        self.set_each(|flat| (on[flat] != 0).then_some(value))
    }

    /// The elements within `ranges`, one for each of the first axes, become `values` (`q[a:b, c:d] = x`): plain floats of
    /// the region's shape, or one for all.
    pub fn assign(&mut self, ranges: &[Range<usize>], values: &Tensor) -> Result<(), Reason> {
        let shape = self.shape().to_vec();
        if ranges.len() > shape.len() || ranges.iter().zip(&shape).any(|(r, &n)| r.start > r.end || r.end > n)
        {
            return Err(Reason::new(format!("{ranges:?} is no region of {shape:?}")));
        }
        let full = |i: usize| ranges.get(i).cloned().unwrap_or(0..shape[i]);
        let region: Vec<usize> = (0..shape.len()).map(|i| full(i).len()).collect();
        if !values.elem.is_float() {
            return Err(Reason::new(format!("floats are assigned, not {}", values.ty()))
                .help("use `copy_from` for quantized elements"));
        }
        if values.numel() != 1 && values.shape != region {
            return Err(Reason::new(format!("{} does not fill the region {region:?}", values.ty())));
        }
        let data = values.floats()?;
        self.set_each(|flat| {
            let (mut rest, mut at) = (flat, 0);
            let mut stride = 1;
            for i in (0..shape.len()).rev() {
                let r = full(i);
                let here = rest % shape[i];
                rest /= shape[i];
                if !r.contains(&here) {
                    return None;
                }
                at += (here - r.start) * stride;
                stride *= r.len();
            }
            Some(if data.len() == 1 { data[0] } else { data[at] })
        })
    }

    /// The elements at the listed positions become `values` (`index_put_`). Fails if parameters vary along an axis, as
    /// in PyTorch, or if the counts differ.
    pub fn index_put(&mut self, positions: &[Vec<usize>], values: &[f32]) -> Result<(), Reason> {
        if self.quant().per_tensor().is_none() {
            return Err(Reason::new(format!("a tensor of scheme `{}` takes no `index_put`", self.qscheme()))
                .help("`assign` into a slice"));
        }
        if positions.len() != values.len() {
            return Err(Reason::new(format!("{} positions for {} values", positions.len(), values.len())));
        }
        let mut new = std::collections::BTreeMap::new();
        for (p, v) in positions.iter().zip(values) {
            if p.len() != self.shape().len() || p.iter().zip(self.shape()).any(|(i, n)| i >= n) {
                return Err(Reason::new(format!("there is no element {p:?} in {:?}", self.shape())));
            }
            new.insert(p.iter().zip(self.shape()).fold(0, |f, (i, n)| f * n + i), *v);
        }
        self.set_each(|flat| new.get(&flat).copied())
    }

    /// Integers and parameters of `other` (`copy_` from a quantized tensor). Fails unless storage, scheme and shape
    /// agree.
    pub fn copy_from(&mut self, other: &QTensor) -> Result<(), Reason> {
        if self.storage() != other.storage() || self.qscheme() != other.qscheme() {
            return Err(Reason::new(format!(
                "`{}` of scheme `{}` cannot be copied into `{}` of scheme `{}`",
                other.storage(),
                other.qscheme(),
                self.storage(),
                self.qscheme()
            )));
        }
        if self.shape() != other.shape() {
            return Err(Reason::new(format!("{:?} cannot be copied into {:?}", other.shape(), self.shape())));
        }
        *self = other.clone();
        Ok(())
    }

    /// Real numbers of this shape, quantized with this tensor's parameters (`copy_` from a float tensor).
    pub fn copy_from_float(&mut self, values: &Tensor) -> Result<(), Reason> {
        if values.shape != self.shape() {
            return Err(Reason::new(format!("{} cannot be copied into {:?}", values.ty(), self.shape())));
        }
        *self = QTensor::from_float(values, self.quant())?;
        Ok(())
    }

    /// The first elements in another shape, which may be larger: what is new stands for 0 (`resize_`). Fails if
    /// parameters vary along an axis.
    pub fn resize(&mut self, shape: &[usize]) -> Result<(), Reason> {
        let (_, zero) = self.quant().per_tensor().ok_or_else(|| {
            Reason::new(format!("a tensor of scheme `{}` cannot be resized", self.qscheme()))
        })?;
        let count = crate::tensor::checked_numel(shape).ok_or("the shape is too large")?;
        let mut ints = self.0.ints()?;
        ints.resize(count, zero.into());
        *self = QTensor::from_ints(&self.quant().clone(), shape, &ints)?;
        Ok(())
    }

    /// Sets the elements for which `value` has one.
    fn set_each(&mut self, value: impl Fn(usize) -> Option<f32>) -> Result<(), Reason> {
        let q = self.quant().clone();
        let mut ints = self.0.ints()?;
        for (flat, v) in ints.iter_mut().enumerate() {
            if let Some(x) = value(flat) {
                *v = q.encode(x, q.index_of(flat, self.shape())).into();
            }
        }
        *self = QTensor::from_ints(&q, self.shape(), &ints)?;
        Ok(())
    }
}
