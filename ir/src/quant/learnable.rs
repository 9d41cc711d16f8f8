//! Fake quantization with learned scale and zero point (LSQ).

use crate::diag::Reason;
use crate::quant::fake::{self, same_shape};
use crate::quant::{QParams, Quant, Zeros};
use crate::tensor::Tensor;

/// Learned parameters: one pair, or one for each index of an axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Learnable {
    /// Scales, positive and finite.
    pub scale: Vec<f32>,
    /// As many zero points: real numbers, rounded and clamped before use.
    pub zero: Vec<f32>,
    /// The axis, if there is a pair for each index of one.
    pub axis: Option<u8>,
    /// Smallest and largest integer.
    pub range: (i64, i64),
}

/// Gradients of a loss by the input and by the parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct Gradients {
    /// By the input, of its shape.
    pub x: Tensor,
    /// By each scale.
    pub scale: Vec<f32>,
    /// By each zero point.
    pub zero: Vec<f32>,
}

impl Learnable {
    /// The quantization of the forward pass: zero points are `clamp(rne(zero))`. Fails for a range beyond 32 bits, or
    /// not as many zero points as scales.
    pub fn quant(&self) -> Result<Quant, Reason> {
        let (lo, hi) = self.range;
        let zero: Vec<i32> =
            self.zero.iter().map(|z| z.round_ties_even().clamp(lo as f32, hi as f32) as i32).collect();
        self.with(zero)
    }

    fn with(&self, zero: Vec<i32>) -> Result<Quant, Reason> {
        let storage = fake::storage_for(self.range)
            .ok_or_else(|| Reason::new(format!("no storage holds {}..={}", self.range.0, self.range.1)))?;
        let params = match (self.axis, self.scale.as_slice(), zero.as_slice()) {
            (Some(axis), scale, _) => {
                QParams::Axis { axis, scale: scale.into(), zero: Zeros::Each(zero.into()) }
            }
            (None, &[scale], &[zero]) => QParams::Tensor { scale, zero },
            _ => return Err("several scales or zero points need an axis".into()),
        };
        Ok(Quant { storage, range: self.range, params })
    }

    /// The fake-quantized `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Reason> {
        fake::fake_quantize(x, &self.quant()?)
    }

    /// The gradients, given `grad` by the result of [`Learnable::forward`]. `factor` scales the gradients of the
    /// parameters; LSQ proposes [`grad_factor`].
    ///
    /// Inside the range the scale's share is `(y − x) / scale`, below it `qmin − zero`, above `qmax − zero`; the zero
    /// point's share is `−scale` outside. With one pair for the whole tensor the zero point is rounded by
    /// `trunc(zero + 0.5)` here, as PyTorch does, though the forward pass rounds half to even. Sums are taken in
    /// double precision.
    pub fn backward(&self, x: &Tensor, grad: &Tensor, factor: f32) -> Result<Gradients, Reason> {
        same_shape(x, grad)?;
        let (lo, hi) = self.range;
        let q = match self.axis {
            Some(_) => self.quant()?,
            None => {
                let round = |z: &f32| (z + 0.5).trunc().clamp(lo as f32, hi as f32) as i32;
                self.with(self.zero.iter().map(round).collect())?
            }
        };
        fake::check(x, &q)?;
        let mut by_scale = vec![0.0f64; self.scale.len()];
        let mut by_zero = vec![0.0f64; self.scale.len()];
        let mut by_x = Vec::with_capacity(x.numel());
        let (values, grads) = (x.floats()?, grad.floats()?);
        for (flat, (&v, &g)) in values.iter().zip(grads.iter()).enumerate() {
            let i = q.index_of(flat, &x.shape);
            let (scale, zero) = (q.scale(i), i64::from(q.zero(i)));
            let n = ((v * (1.0 / scale)).round_ties_even() as i64).saturating_add(zero);
            let share = if n < lo {
                (lo - zero) as f32
            } else if n > hi {
                (hi - zero) as f32
            } else {
                ((n - zero) as f32 * scale - v) / scale
            };
            let inside = (lo..=hi).contains(&n);
            by_x.push(if inside { g } else { 0.0 });
            by_scale[i] += f64::from(g * factor * share);
            by_zero[i] += if inside { 0.0 } else { f64::from(-scale * g * factor) };
        }
        let x = Tensor::new(&x.shape, by_x)?;
        let narrow = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect();
        Ok(Gradients { x, scale: narrow(by_scale), zero: narrow(by_zero) })
    }
}

/// `1 / √(numel · qmax)`, which keeps the steps of the parameters in proportion to those of the weights.
pub fn grad_factor(numel: usize, qmax: i64) -> f32 {
    (1.0 / (numel as f64 * qmax as f64).sqrt()) as f32
}
