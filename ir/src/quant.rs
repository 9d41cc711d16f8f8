//! Quantization as data, and the one reference implementation of its arithmetic.
//!
//! Every kernel is compared with the functions here bit for bit. The modules hold the arithmetic of whole tensors
//! under PyTorch's names: [`affine`] quantizes, [`fake`] and [`learnable`] train, [`choose`], [`dynamic`] and
//! [`search`] find parameters, [`decomposed`], [`token`] and [`group`] serve exported graphs, [`pack`] and [`half`]
//! store small numbers.

pub mod affine;
mod arith;
pub mod choose;
pub mod decomposed;
pub mod dynamic;
pub mod fake;
pub mod group;
pub mod half;
pub mod learnable;
pub mod pack;
pub mod search;
pub mod token;
mod zeros;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use arith::{
    bias_steps, dequantize, dequantize_float_zero, multiplier, quantize, quantize_float_zero, requantize,
    round_clamp,
};
pub use dynamic::dynamic_params;
pub use zeros::Zeros;

use crate::text::number;
use crate::types::Storage;

/// How integers of a storage stand for real numbers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Quant {
    /// The integer storage.
    pub storage: Storage,
    /// Smallest and largest integer in use; may be narrower than the storage (`reduce_range`, narrow range).
    pub range: (i64, i64),
    /// Scales and zero points.
    pub params: QParams,
}

/// Scales and zero points: `real = scale × (integer − zero point)`; the text form of a real zero point is
/// `zp f32[0.5,2.25]`.
#[derive(Clone, Debug)]
pub enum QParams {
    /// One scale and zero point for the whole tensor.
    Tensor {
        /// Positive and finite.
        scale: f32,
        /// Within the range.
        zero: i32,
    },
    /// One scale (and zero point) for each index along `axis`.
    Axis {
        /// The axis.
        axis: u8,
        /// One for each index.
        scale: Arc<[f32]>,
        /// One for each index, or one for all.
        zero: Zeros,
    },
    /// One scale for each run of `size` consecutive indices along `axis`, in row-major order of the tensor
    /// whose `axis` is shortened to the number of groups.
    Group {
        /// The axis.
        axis: u8,
        /// Elements in a group.
        size: u32,
        /// One for each group.
        scale: Arc<[f32]>,
        /// One for each group, or one for all.
        zero: Zeros,
    },
    /// The product of an activation's scale and a weight's scales, zero point 0: the type of a bias in the
    /// accumulator. Exact by construction, since the two factors are named instead of their rounded product.
    Product(Arc<Quant>, Arc<Quant>),
    /// Parameters are computed from the data of each run.
    Dynamic,
}

impl Quant {
    /// Per-tensor parameters over the range of the whole storage.
    pub fn tensor(storage: Storage, scale: f32, zero: i32) -> Quant {
        let range = storage.int_range().unwrap_or((0, 0));
        Quant { storage, range, params: QParams::Tensor { scale, zero } }
    }

    /// The bias type of a product of `x` and `w`.
    pub fn product(x: &Arc<Quant>, w: &Arc<Quant>) -> Quant {
        Quant {
            storage: Storage::I32,
            range: (i32::MIN as i64, i32::MAX as i64),
            params: QParams::Product(x.clone(), w.clone()),
        }
    }

    /// Scale and zero point if there is one pair for the whole tensor.
    pub fn per_tensor(&self) -> Option<(f32, i32)> {
        match self.params {
            QParams::Tensor { scale, zero } => Some((scale, zero)),
            _ => None,
        }
    }

    /// The axis that parameters vary along, if there is one.
    pub fn axis(&self) -> Option<usize> {
        match &self.params {
            QParams::Axis { axis, .. } | QParams::Group { axis, .. } => Some(*axis as usize),
            QParams::Product(_, w) => w.axis().map(|_| 0),
            _ => None,
        }
    }

    /// Number of scales: 1 per tensor, the length of the axis per axis; `None` for dynamic parameters.
    pub fn count(&self) -> Option<usize> {
        match &self.params {
            QParams::Tensor { .. } => Some(1),
            QParams::Axis { scale, .. } | QParams::Group { scale, .. } => Some(scale.len()),
            QParams::Product(x, w) => Some(x.count()?.max(w.count()?)),
            QParams::Dynamic => None,
        }
    }

    /// Scale number `i` in double precision: a stored scale is exact, a product is not rounded to `f32`.
    pub fn scale_f64(&self, i: usize) -> f64 {
        match &self.params {
            QParams::Tensor { scale, .. } => f64::from(*scale),
            QParams::Axis { scale, .. } | QParams::Group { scale, .. } => {
                f64::from(scale[i.min(scale.len() - 1)])
            }
            QParams::Product(x, w) => x.scale_f64(i) * w.scale_f64(i),
            QParams::Dynamic => f64::NAN,
        }
    }

    /// Scale number `i`, rounded to `f32` once.
    pub fn scale(&self, i: usize) -> f32 {
        self.scale_f64(i) as f32
    }

    /// The real zero points, if they are real (see [`Zeros::Float`]).
    pub fn float_zeros(&self) -> Option<&[f32]> {
        match &self.params {
            QParams::Axis { zero: Zeros::Float(z), .. } | QParams::Group { zero: Zeros::Float(z), .. } => {
                Some(z)
            }
            _ => None,
        }
    }

    /// The integer in the range that stands for `x` under parameter number `i`.
    #[inline]
    pub fn encode(&self, x: f32, i: usize) -> i32 {
        let (lo, hi) = (self.range.0 as i32, self.range.1 as i32);
        let inv = 1.0 / self.scale(i);
        match self.float_zeros() {
            Some(z) => quantize_float_zero(x, inv, z[i], lo, hi),
            None => quantize(x, inv, self.zero(i), lo, hi),
        }
    }

    /// The real number that integer `q` stands for under parameter number `i`.
    #[inline]
    pub fn decode(&self, q: i32, i: usize) -> f32 {
        match self.float_zeros() {
            Some(z) => dequantize_float_zero(q, self.scale(i), z[i]),
            None => dequantize(q, self.scale(i), self.zero(i)),
        }
    }

    /// Zero point number `i`; a real one is rounded.
    pub fn zero(&self, i: usize) -> i32 {
        match &self.params {
            QParams::Tensor { zero, .. } => *zero,
            QParams::Axis { zero, .. } | QParams::Group { zero, .. } => zero.at(i),
            QParams::Product(..) | QParams::Dynamic => 0,
        }
    }

    /// For each element of a tensor of `shape`, in row-major order, the number of its scale is
    /// `(element / inner) % count` with the `inner` returned; groups have their own rule in [`Quant::index_of`].
    pub fn inner(&self, shape: &[usize]) -> usize {
        match self.axis() {
            Some(a) => shape.iter().skip(a + 1).product::<usize>().max(1),
            None => 1,
        }
    }

    /// The number of the scale that element `flat` (row-major) of a tensor of `shape` uses.
    pub fn index_of(&self, flat: usize, shape: &[usize]) -> usize {
        match &self.params {
            QParams::Group { axis, size, .. } => {
                let a = *axis as usize;
                let inner: usize = shape[a + 1..].iter().product::<usize>().max(1);
                let along = flat / inner % shape[a];
                let outer = flat / inner / shape[a];
                let groups = shape[a].div_ceil(*size as usize);
                (outer * groups + along / *size as usize) * inner + flat % inner
            }
            _ => match self.count() {
                Some(n) if n > 1 => flat / self.inner(shape) % n,
                _ => 0,
            },
        }
    }

    /// This quantization for a tensor whose axes were reordered: axis `i` of the result is axis `perm[i]` of the input.
    pub fn permute(&self, perm: &[usize]) -> Quant {
        let mut q = self.clone();
        if let QParams::Axis { axis, .. } | QParams::Group { axis, .. } = &mut q.params
            && let Some(to) = perm.iter().position(|&p| p == *axis as usize)
        {
            *axis = to as u8;
        }
        q
    }

    /// This quantization for `start..end` along `axis`; parameters per group cannot be cut inside a group.
    pub fn slice(&self, axis: usize, start: usize, end: usize) -> Option<Quant> {
        let mut q = self.clone();
        match &mut q.params {
            QParams::Axis { axis: a, scale, zero } if *a as usize == axis => {
                *scale = scale.get(start..end)?.into();
                *zero = zero.slice(start, end)?;
            }
            QParams::Group { .. } => return None,
            _ => {}
        }
        Some(q)
    }

    /// Why this quantization is not valid for a value of `rank` dimensions with `len` along its axis, if it is not.
    pub fn check(&self, axis_len: impl Fn(usize) -> Option<i64>) -> Result<(), String> {
        let Some((lo, hi)) = self.storage.int_range() else {
            return Err(format!("`{}` cannot hold quantized integers", self.storage));
        };
        let (qmin, qmax) = self.range;
        if qmin < lo || qmax > hi || qmin >= qmax {
            return Err(format!("range [{qmin}:{qmax}] does not lie within `{}` [{lo}:{hi}]", self.storage));
        }
        let Some(count) = self.count() else { return Ok(()) };
        if let QParams::Product(x, w) = &self.params {
            // A named function, since a closure would give each level of the recursion a type of its own.
            fn unknown(_: usize) -> Option<i64> {
                None
            }
            x.check(unknown)?;
            return w.check(unknown);
        }
        if let QParams::Axis { zero, .. } | QParams::Group { zero, .. } = &self.params
            && zero.count().is_some_and(|n| n != count)
        {
            return Err("as many zero points as scales are needed".into());
        }
        for i in 0..count {
            let s = self.scale(i);
            if !(s.is_finite() && s > 0.0) {
                return Err(format!("scale {s} is not positive and finite"));
            }
            if let Some(zeros) = self.float_zeros() {
                match zeros.get(i) {
                    Some(z) if !z.is_finite() => return Err(format!("zero point {z} is not finite")),
                    _ => continue,
                }
            }
            let z = i64::from(self.zero(i));
            if z < qmin || z > qmax {
                return Err(format!("zero point {z} lies outside the range [{qmin}:{qmax}]"));
            }
        }
        if let QParams::Axis { axis, scale, .. } = &self.params
            && let Some(n) = axis_len(*axis as usize)
            && n != scale.len() as i64
        {
            return Err(format!("{} scales for {n} elements along axis {axis}", scale.len()));
        }
        Ok(())
    }
}

impl PartialEq for QParams {
    fn eq(&self, other: &QParams) -> bool {
        use QParams::*;
        match (self, other) {
            (Tensor { scale: a, zero: z }, Tensor { scale: b, zero: y }) => {
                a.to_bits() == b.to_bits() && z == y
            }
            (Axis { axis, scale, zero }, Axis { axis: a, scale: s, zero: z }) => {
                axis == a && zero == z && same_bits(scale, s)
            }
            (Group { axis, size, scale, zero }, Group { axis: a, size: n, scale: s, zero: z }) => {
                axis == a && size == n && zero == z && same_bits(scale, s)
            }
            (Product(a, b), Product(c, d)) => a == c && b == d,
            (Dynamic, Dynamic) => true,
            _ => false,
        }
    }
}
impl Eq for QParams {}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

impl Hash for QParams {
    fn hash<H: Hasher>(&self, h: &mut H) {
        std::mem::discriminant(self).hash(h);
        match self {
            QParams::Tensor { scale, zero } => (scale.to_bits(), zero).hash(h),
            QParams::Axis { axis, scale, zero } => {
                (axis, zero).hash(h);
                scale.iter().for_each(|s| s.to_bits().hash(h));
            }
            QParams::Group { axis, size, scale, zero } => {
                (axis, size, zero).hash(h);
                scale.iter().for_each(|s| s.to_bits().hash(h));
            }
            QParams::Product(x, w) => (x, w).hash(h),
            QParams::Dynamic => {}
        }
    }
}

/// Joins with commas and no spaces.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = T>) -> fmt::Result {
    f.write_str("[")?;
    for (i, x) in items.enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        write!(f, "{x}")?;
    }
    f.write_str("]")
}

/// The right side of a `quant` declaration, with products spelled out instead of named.
impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}:{}] ", self.storage, self.range.0, self.range.1)?;
        match &self.params {
            QParams::Tensor { scale, zero } => write!(f, "scale {} zp {zero}", number(*scale)),
            QParams::Axis { axis, scale, zero } => {
                write!(f, "axis {axis} scale ")?;
                list(f, scale.iter().map(|x| number(*x)))?;
                write!(f, " zp {zero}")
            }
            QParams::Group { axis, size, scale, zero } => {
                write!(f, "axis {axis} group {size} scale ")?;
                list(f, scale.iter().map(|x| number(*x)))?;
                write!(f, " zp {zero}")
            }
            QParams::Product(x, w) => write!(f, "product({x}, {w})"),
            QParams::Dynamic => f.write_str("dynamic"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_and_permute_keep_parameters_with_their_axis() {
        let q = Quant {
            storage: Storage::I8,
            range: (-128, 127),
            params: QParams::Axis { axis: 0, scale: vec![1.0, 2.0, 3.0].into(), zero: Zeros::All(0) },
        };
        assert_eq!(q.permute(&[1, 0]).axis(), Some(1));
        assert_eq!(q.slice(0, 1, 3).unwrap().scale(0), 2.0);
    }
}
