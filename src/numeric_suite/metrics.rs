//! Figures for how near a tensor is to a reference.
//!
//! Formulae are those of PyTorch's Numeric Suite, on flattened tensors. PyTorch sums in `f32`; here differences, products and sums
//! are made in `f64`, which agrees with it within its own rounding. Quantized tensors are compared as the real
//! numbers that they stand for.

use std::fmt;

use quantir_ir::{Reason, Tensor};

/// A figure that compares a tensor with its reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// [`sqnr`].
    Sqnr,
    /// [`normalized_l2`].
    NormalizedL2,
    /// [`cosine`].
    Cosine,
    /// [`kl`].
    Kl,
    /// [`mse`].
    Mse,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 5] =
        [Metric::Sqnr, Metric::NormalizedL2, Metric::Cosine, Metric::Kl, Metric::Mse];

    /// The word for it in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Metric::Sqnr => "sqnr",
            Metric::NormalizedL2 => "normalized_l2",
            Metric::Cosine => "cosine",
            Metric::Kl => "kl",
            Metric::Mse => "mse",
        }
    }

    /// The figure of `y` against the reference `x`. Fails if the shapes differ.
    pub fn of(self, x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
        match self {
            Metric::Sqnr => sqnr(x, y),
            Metric::NormalizedL2 => normalized_l2(x, y),
            Metric::Cosine => cosine(x, y),
            Metric::Kl => kl(x, y),
            Metric::Mse => mse(x, y),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Sums over pairs of numbers, from which all figures but [`kl`] follow; sums of several batches add up.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Sums {
    /// Number of pairs.
    pub count: u64,
    /// `Σ x²`.
    pub xx: f64,
    /// `Σ y²`.
    pub yy: f64,
    /// `Σ x·y`.
    pub xy: f64,
    /// `Σ (x − y)²`.
    pub noise: f64,
    /// `max |x − y|`.
    pub max_abs: f64,
}

impl Sums {
    /// Adds the pairs of two tensors. Fails if their shapes differ.
    pub fn add(&mut self, x: &Tensor, y: &Tensor) -> Result<(), Reason> {
        let (x, y) = reals(x, y)?;
        let (x, y) = (x.floats()?, y.floats()?);
        for (&x, &y) in x.iter().zip(y.iter()) {
            let (x, y) = (f64::from(x), f64::from(y));
            let d = x - y;
            self.xx += x * x;
            self.yy += y * y;
            self.xy += x * y;
            self.noise += d * d;
            self.max_abs = self.max_abs.max(d.abs());
        }
        self.count += x.len() as u64;
        Ok(())
    }

    /// `20·log10(‖x‖ / ‖x − y‖)`: infinite if both are equal, −∞ if only the reference is zero, NaN if both are zero.
    pub fn sqnr(&self) -> f64 {
        20.0 * (self.xx.sqrt() / self.noise.sqrt()).log10()
    }
    /// `sqrt(Σ(x − y)² / Σx²)`.
    pub fn normalized_l2(&self) -> f64 {
        (self.noise / self.xx).sqrt()
    }
    /// `x·y / (max(‖x‖, 1e-8) · max(‖y‖, 1e-8))`; 0 if one is zero.
    pub fn cosine(&self) -> f64 {
        self.xy / (self.xx.sqrt().max(1e-8) * self.yy.sqrt().max(1e-8))
    }
    /// `Σ(x − y)² / n`.
    pub fn mse(&self) -> f64 {
        self.noise / self.count as f64
    }
}

fn sums(x: &Tensor, y: &Tensor) -> Result<Sums, Reason> {
    let mut s = Sums::default();
    s.add(x, y)?;
    Ok(s)
}

/// Signal to quantization noise in dB: `20·log10(‖x‖ / ‖x − y‖)` (PyTorch `compute_sqnr`).
///
/// Infinite if both are equal and not zero, −∞ if the reference alone is zero, NaN if both are zero. Fails if the shapes differ.
pub fn sqnr(x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
    Ok(sums(x, y)?.sqnr())
}

/// Normalized L2 error: `sqrt(Σ(x − y)² / Σx²)` (PyTorch `compute_normalized_l2_error`). Fails if the shapes differ.
pub fn normalized_l2(x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
    Ok(sums(x, y)?.normalized_l2())
}

/// Cosine of the flattened tensors (PyTorch `compute_cosine_similarity`); 0 if one is zero. Fails if the shapes differ.
pub fn cosine(x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
    Ok(sums(x, y)?.cosine())
}

/// Mean squared error. Fails if the shapes differ.
pub fn mse(x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
    Ok(sums(x, y)?.mse())
}

/// Bins of the histograms that [`kl`] compares: fewer than an 8-bit quantization has steps, or its gaps would count.
const KL_BINS: usize = 64;

/// Kullback-Leibler divergence in nats of the distribution of `y` from that of `x`: both as histograms of 64 bins
/// over their common range, half a count added to each bin. NaN and infinities are left out. Fails if the shapes differ.
///
/// It says whether the values as a whole moved (clipped, shifted), where [`sqnr`] says how far each moved.
pub fn kl(x: &Tensor, y: &Tensor) -> Result<f64, Reason> {
    let (x, y) = reals(x, y)?;
    let (x, y) = (x.floats()?, y.floats()?);
    let finite = |v: &&f32| v.is_finite();
    let both = || x.iter().chain(y.iter()).filter(finite);
    let lo = both().copied().fold(f32::INFINITY, f32::min);
    let hi = both().copied().fold(f32::NEG_INFINITY, f32::max);
    if lo >= hi {
        return Ok(0.0);
    }
    let per_bin = KL_BINS as f64 / (f64::from(hi) - f64::from(lo));
    let histogram = |data: &[f32]| -> Vec<f64> {
        let mut h = vec![0.5; KL_BINS];
        for &v in data.iter().filter(finite) {
            let bin = (f64::from(v) - f64::from(lo)) * per_bin;
            h[(bin as usize).min(KL_BINS - 1)] += 1.0;
        }
        let total: f64 = h.iter().sum();
        h.iter_mut().for_each(|c| *c /= total);
        h
    };
    let (p, q) = (histogram(&x), histogram(&y));
    Ok(p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>().max(0.0))
}

/// Both as real numbers. Fails if their shapes differ.
fn reals(x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor), Reason> {
    if x.shape != y.shape {
        return Err(Reason::new(format!(
            "a tensor of shape {:?} cannot be compared with one of shape {:?}",
            x.shape, y.shape
        )));
    }
    Ok((x.dequantize()?, y.dequantize()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(data: &[f32]) -> Tensor {
        Tensor::f32(&[data.len()], data.to_vec())
    }

    #[test]
    fn figures_follow_their_formulae() {
        let (x, y) = (t(&[3.0, 4.0]), t(&[3.0, 3.5]));
        assert_eq!(sqnr(&x, &y).unwrap(), 20.0);
        assert_eq!(normalized_l2(&x, &y).unwrap(), 0.1);
        assert!((cosine(&x, &y).unwrap() - 23.0 / (5.0 * 21.25f64.sqrt())).abs() < 1e-15);
        assert_eq!(mse(&x, &y).unwrap(), 0.125);
    }

    #[test]
    fn limits() {
        let (x, zero) = (t(&[1.0, -2.0]), t(&[0.0, 0.0]));
        assert_eq!(sqnr(&x, &x).unwrap(), f64::INFINITY);
        assert_eq!(sqnr(&zero, &x).unwrap(), f64::NEG_INFINITY);
        assert!(sqnr(&zero, &zero).unwrap().is_nan());
        assert_eq!(normalized_l2(&zero, &x).unwrap(), f64::INFINITY);
        assert_eq!(cosine(&zero, &x).unwrap(), 0.0);
        assert_eq!(kl(&x, &x).unwrap(), 0.0);
        assert_eq!(kl(&zero, &zero).unwrap(), 0.0);
        assert!(sqnr(&x, &t(&[1.0])).is_err());
    }

    #[test]
    fn kl_sees_clipping() {
        let x: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.1).sin() * 3.0).collect();
        let clipped: Vec<f32> = x.iter().map(|v| v.clamp(-1.0, 1.0)).collect();
        let rounded: Vec<f32> = x.iter().map(|v| (v * 40.0).round() / 40.0).collect();
        assert!(kl(&t(&x), &t(&clipped)).unwrap() > 10.0 * kl(&t(&x), &t(&rounded)).unwrap());
    }
}
