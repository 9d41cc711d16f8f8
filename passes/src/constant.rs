//! Reading constants: one number, or one number for each channel.

use quantir_ir::{Dim, Elem, Graph, Reason, Storage, Tensor, ValueId};

/// The number that the `f32` constant `v` holds if it has one element, whatever its rank.
pub fn number(g: &Graph, v: ValueId) -> Option<f32> {
    let ty = g.ty(v);
    if ty.elem != Elem::F32 || !ty.shape.0.iter().all(|d| d.is(1)) {
        return None;
    }
    g.constant(v)?.floats().ok()?.first().copied()
}

/// Whether the constant `v` is the number `x`.
pub fn is_number(g: &Graph, v: ValueId, x: f32) -> bool {
    number(g, v) == Some(x)
}

/// The elements of the `f32` constant `v` of any shape.
pub fn numbers(g: &Graph, v: ValueId) -> Option<Vec<f32>> {
    if g.ty(v).elem != Elem::F32 {
        return None;
    }
    Some(g.constant(v)?.floats().ok()?.into_owned())
}

/// One number for each of `channels`, if the `f32` constant `v`, broadcast to a value of `rank` dimensions,
/// differs along `axis` only.
pub fn per_channel(g: &Graph, v: ValueId, rank: usize, axis: usize, channels: usize) -> Option<Vec<f32>> {
    let shape = &g.ty(v).shape.0;
    let skipped = rank.checked_sub(shape.len())?;
    let fits = |(i, d): (usize, &Dim)| d.is(1) || (i + skipped == axis && d.is(channels as i64));
    if !shape.iter().enumerate().all(fits) {
        return None;
    }
    match numbers(g, v)? {
        one if one.len() == 1 => Some(vec![one[0]; channels]),
        many if many.len() == channels => Some(many),
        _ => None,
    }
}

/// A float tensor of storage `s` from `f32` numbers.
pub fn float_tensor(s: Storage, shape: &[usize], data: Vec<f32>) -> Result<Tensor, Reason> {
    match s {
        Storage::F16 => Tensor::new(shape, data.into_iter().map(half::f16::from_f32).collect()),
        Storage::BF16 => Tensor::new(shape, data.into_iter().map(half::bf16::from_f32).collect()),
        _ => Tensor::new(shape, data),
    }
}
