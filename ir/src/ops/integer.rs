//! From exact integer sums to result integers: what all integer ops do last.

use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::{Eval, operand};
use crate::quant::{self, Quant};
use crate::tensor::Tensor;
use crate::types::Elem;

/// The result of an integer op: its quantization, narrowed by the activation.
pub(crate) struct Output<'a> {
    /// Scale of the result.
    pub scale: f32,
    zero: i32,
    lo: i32,
    hi: i32,
    act: &'a Act,
}

impl<'a> Output<'a> {
    /// For the declared result, which has one scale.
    pub fn new(x: &Eval, act: &'a Act) -> Result<Output<'a>, Reason> {
        let (q, scale, zero) = params(&x.out(0)?.elem)?;
        let (lo, hi) = act.int_range(q);
        Ok(Output { scale, zero, lo, hi, act })
    }

    /// Whether the activation is more than a clamp, so that results go through [`Output::real`].
    pub fn is_curved(&self) -> bool {
        self.act.bounds().is_none()
    }

    /// The integer for `f`, a number in units of the result's scale; a clamp is in the range already.
    #[inline]
    pub fn round(&self, f: f32) -> i32 {
        quant::round_clamp(f, self.zero, self.lo, self.hi)
    }

    /// As [`Output::round`], with the zero point added before rounding.
    #[inline]
    pub fn place(&self, f: f32) -> i32 {
        if f.is_nan() { self.round(f) } else { quant::round_clamp(f + self.zero as f32, 0, self.lo, self.hi) }
    }

    /// The integer for a real number before the activation.
    #[inline]
    pub fn real(&self, x: f32) -> i32 {
        quant::quantize(self.act.apply(x), 1.0 / self.scale, self.zero, self.lo, self.hi)
    }
}

/// The quantization of elements with one scale, and its scale and zero point.
pub(crate) fn params(elem: &Elem) -> Result<(&Quant, f32, i32), Reason> {
    let q = elem.quant().ok_or("quantized elements are expected")?;
    let (scale, zero) = q.per_tensor().ok_or("one scale for the whole tensor is expected")?;
    Ok((q, scale, zero))
}

/// The integers of `t` without their zero points, exact in 32 bits for storages of up to 16.
pub(crate) fn centred(t: &Tensor) -> Result<Vec<i32>, Reason> {
    let q = t.quant().ok_or("quantized elements are expected")?;
    operand::valid(q, &t.ty().shape)?;
    if q.float_zeros().is_some() {
        return Err("integer zero points are expected".into());
    }
    let ints = t.ints()?;
    Ok(match q.per_tensor() {
        Some((_, zero)) => ints.iter().map(|&v| v as i32 - zero).collect(),
        None => ints.iter().enumerate().map(|(i, &v)| v as i32 - q.zero(q.index_of(i, &t.shape))).collect(),
    })
}

/// Result integers as a tensor of the declared type.
pub(crate) fn store(x: &Eval, data: impl Iterator<Item = i32>) -> Result<Vec<Tensor>, Reason> {
    let data: Vec<i64> = data.map(i64::from).collect();
    Ok(vec![Tensor::from_ints(x.out(0)?.elem.clone(), &x.shape(0)?, &data)?])
}

/// Takes accumulators of x and weight to the declared type: `sums` holds, for each index of `[_, channels]`, `area`
/// consecutive accumulators. An `i32` bias is added in wrapping 32-bit arithmetic, an `f32` one in steps of the
/// accumulator. `residual` gives, in steps of the result, what is added to element `i` before it is rounded.
pub(crate) fn finish_sums(
    x: &Eval,
    act: &Act,
    bias: Option<&Tensor>,
    mut sums: Vec<i32>,
    (channels, area): (usize, usize),
    residual: impl Fn(usize) -> f32,
) -> Result<Vec<Tensor>, Reason> {
    let out = Output::new(x, act)?;
    let (_, sx, _) = params(&x.tensor(0)?.elem)?;
    let w = x.tensor(1)?.quant().ok_or("a quantized weight is expected")?;
    // Transposed convolutions have one scale for each channel of a group.
    let count = w.count().unwrap_or(1).max(1);
    let product: Vec<f32> = (0..channels).map(|c| sx * w.scale(c % count)).collect();
    let (mut ints, mut steps) = (vec![0; channels], vec![0.0; channels]);
    match bias {
        Some(b) if b.quant().is_some() => ints = b.data::<i32>()?.into_owned(),
        Some(b) => {
            let each = w.axis().is_some();
            steps = b.floats()?.iter().zip(&product).map(|(&b, &s)| quant::bias_steps(b, s, each)).collect();
        }
        None => {}
    }
    for (i, run) in sums.chunks_exact_mut(area.max(1)).enumerate() {
        let c = i % channels;
        let m = if out.is_curved() { product[c] } else { quant::multiplier(product[c], out.scale) };
        for (j, acc) in run.iter_mut().enumerate() {
            let f = (acc.wrapping_add(ints[c]) as f32 + steps[c]) * m + residual(i * area + j);
            *acc = if out.is_curved() { out.real(f) } else { out.round(f) };
        }
    }
    store(x, sums.into_iter())
}

/// For results without a residual.
pub(crate) fn nothing(_: usize) -> f32 {
    0.0
}
