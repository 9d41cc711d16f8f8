//! Order: sorting, the largest elements, extremes. A scale is positive, so the order of codes is that of the numbers.

use super::QTensor;
use crate::diag::Reason;

impl QTensor {
    /// The elements along `axis` in ascending or descending order, and the indices they had; equal ones keep their order.
    /// Fails if parameters vary along an axis.
    pub fn sort(&self, axis: usize, descending: bool) -> Result<(QTensor, Vec<i64>), Reason> {
        self.index(axis, &[])?;
        self.topk(self.shape()[axis], axis, descending)
    }

    /// The `k` largest elements along `axis` in descending order (or the smallest in ascending order), and the indices
    /// they had. Fails if there are fewer than `k`, or if parameters vary along an axis.
    pub fn topk(&self, k: usize, axis: usize, largest: bool) -> Result<(QTensor, Vec<i64>), Reason> {
        self.index(axis, &[])?;
        self.comparable()?;
        let (len, ints) = (self.shape()[axis], self.as_tensor().ints()?);
        if k > len {
            return Err(Reason::new(format!(
                "there are no {k} elements along axis {axis} of {:?}",
                self.shape()
            )));
        }
        let inner: usize = self.shape()[axis + 1..].iter().product();
        let outer: usize = self.shape()[..axis].iter().product();
        let (mut values, mut indices) = (vec![0; outer * k * inner], vec![0; outer * k * inner]);
        for o in 0..outer {
            for i in 0..inner {
                let code = |j: usize| ints[(o * len + j) * inner + i];
                let mut order: Vec<usize> = (0..len).collect();
                order.sort_by_key(|&j| if largest { -code(j) } else { code(j) });
                for (to, &j) in order[..k].iter().enumerate() {
                    values[(o * k + to) * inner + i] = code(j);
                    indices[(o * k + to) * inner + i] = j as i64;
                }
            }
        }
        let mut shape = self.shape().to_vec();
        shape[axis] = k;
        Ok((QTensor::from_ints(self.quant(), &shape, &values)?, indices))
    }

    /// The largest element over `axes`, which go away. Fails if an axis is empty or parameters vary along an axis.
    pub fn max(&self, axes: &[usize]) -> Result<QTensor, Reason> {
        self.extreme(axes, i64::max)
    }

    /// The smallest element over `axes`, which go away. Fails as [`QTensor::max`] does.
    pub fn min(&self, axes: &[usize]) -> Result<QTensor, Reason> {
        self.extreme(axes, i64::min)
    }

    fn extreme(&self, axes: &[usize], better: fn(i64, i64) -> i64) -> Result<QTensor, Reason> {
        self.comparable()?;
        let (mut shape, mut ints) = (self.shape().to_vec(), self.as_tensor().ints()?);
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.dedup();
        for &axis in axes.iter().rev() {
            self.index(axis, &[0])?;
            let inner: usize = shape[axis + 1..].iter().product();
            let run = shape[axis] * inner;
            let fold = |block: &[i64]| {
                (0..inner)
                    .map(|i| block[i..].iter().step_by(inner).copied().fold(block[i], better))
                    .collect::<Vec<i64>>()
            };
            ints = ints.chunks(run.max(1)).flat_map(fold).collect();
            shape.remove(axis);
        }
        QTensor::from_ints(self.quant(), &shape, &ints)
    }

    /// Refuses codes that cannot be compared with one another.
    fn comparable(&self) -> Result<(), Reason> {
        if self.quant().per_tensor().is_some() {
            return Ok(());
        }
        Err(Reason::new(format!("codes of a tensor of scheme `{}` have no common order", self.qscheme()))
            .help("dequantize first"))
    }
}
