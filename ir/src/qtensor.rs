//! [`QTensor`]: a quantized tensor as a value, with the methods PyTorch gives one.

mod bytes;
mod edit;
mod order;
mod shape;

use std::fmt;
use std::sync::Arc;

pub use bytes::{load, save};

use crate::diag::Reason;
use crate::quant::{QParams, Quant, Zeros, affine};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage};

/// Integers and the [`Quant`] by which they stand for real numbers.
///
/// A value: no method changes another tensor. `==` compares shape, storage, range, parameters and integers; tensors
/// that stand for the same numbers by other parameters differ. Parameters are per tensor, per channel or per group.
///
/// ```
/// use quantir_ir::{QTensor, Storage, Tensor};
/// let x = Tensor::f32(&[3], vec![-1.0, 0.0, 0.26]);
/// let q = QTensor::quantize_per_tensor(&x, 0.1, 10, Storage::U8).unwrap();
/// assert_eq!(q.int_repr().ints().unwrap(), [0, 10, 13]);
/// assert_eq!(q.q_scale().unwrap(), 0.1);
/// ```
#[derive(Clone, PartialEq)]
pub struct QTensor(Tensor);

/// How the parameters of a [`QTensor`] vary. PyTorch's tensors know no symmetric scheme: zero points are then 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum QScheme {
    /// One scale and zero point.
    PerTensorAffine,
    /// A scale and an integer zero point for each index of an axis.
    PerChannelAffine,
    /// A scale and a real zero point for each index of an axis.
    PerChannelAffineFloatQParams,
    /// A scale and a zero point for each group of consecutive elements along an axis.
    PerGroupAffine,
}

impl fmt::Display for QScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QScheme::PerTensorAffine => "per_tensor_affine",
            QScheme::PerChannelAffine => "per_channel_affine",
            QScheme::PerChannelAffineFloatQParams => "per_channel_affine_float_qparams",
            QScheme::PerGroupAffine => "per_group_affine",
        })
    }
}

impl QTensor {
    /// The quantized tensor that `t` holds. Fails if `t` is not quantized, if its parameters are dynamic or a product,
    /// or do not fit its shape, or if an integer lies outside the range.
    pub fn new(t: Tensor) -> Result<QTensor, Reason> {
        let Some(q) = t.quant() else {
            return Err(Reason::new(format!("{} is not quantized", t.ty()))
                .help("quantize it with `QTensor::from_float`"));
        };
        if matches!(q.params, QParams::Dynamic | QParams::Product(..)) {
            return Err(Reason::new(format!("a tensor has parameters of its own, not `{q}`")));
        }
        crate::ops::operand::valid(q, &t.ty().shape)?;
        if let Some(v) = t.ints()?.into_iter().find(|v| !(q.range.0..=q.range.1).contains(v)) {
            return Err(Reason::new(format!("{v} lies outside the range [{}:{}]", q.range.0, q.range.1)));
        }
        Ok(QTensor(t))
    }

    /// Integers under a quantization (`torch._make_per_tensor_quantized_tensor`). Fails as [`QTensor::new`] does.
    pub fn from_ints(q: &Arc<Quant>, shape: &[usize], ints: &[i64]) -> Result<QTensor, Reason> {
        QTensor::new(Tensor::from_ints(Elem::Quant(q.clone()), shape, ints)?)
    }

    /// Real numbers quantized by `q`, clamped to its range, which may be narrower than the storage.
    pub fn from_float(x: &Tensor, q: &Arc<Quant>) -> Result<QTensor, Reason> {
        crate::ops::operand::valid(q, &x.ty().shape)?;
        if !x.elem.is_float() {
            return Err(Reason::new(format!("only floats are quantized, found {}", x.ty())));
        }
        QTensor::new(x.quantize(q)?)
    }

    /// See [`affine::quantize_per_tensor`].
    pub fn quantize_per_tensor(x: &Tensor, scale: f64, zero: i64, s: Storage) -> Result<QTensor, Reason> {
        QTensor::new(affine::quantize_per_tensor(x, scale, zero, s)?)
    }

    /// See [`affine::quantize_per_channel`].
    pub fn quantize_per_channel(
        x: &Tensor,
        scales: &[f64],
        zeros: &[i64],
        axis: usize,
        s: Storage,
    ) -> Result<QTensor, Reason> {
        QTensor::new(affine::quantize_per_channel(x, scales, zeros, axis, s)?)
    }

    /// See [`affine::quantize_float_qparams`].
    pub fn quantize_float_qparams(
        x: &Tensor,
        scales: &[f32],
        zeros: &[f32],
        axis: usize,
        s: Storage,
    ) -> Result<QTensor, Reason> {
        QTensor::new(affine::quantize_float_qparams(x, scales, zeros, axis, s)?)
    }

    /// The real numbers, as `f32`.
    pub fn dequantize(&self) -> Tensor {
        self.0.dequantize().expect("the parameters are known and fit the shape")
    }

    /// The integers as a plain tensor of the same storage, one element each (see [`QTensor::packed`] for bytes).
    pub fn int_repr(&self) -> Tensor {
        self.0.retype(Elem::Plain(self.quant().storage)).expect("the storage stays")
    }

    /// The quantization.
    pub fn quant(&self) -> &Arc<Quant> {
        self.0.quant().expect("a `QTensor` is quantized")
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// How an integer is stored.
    pub fn storage(&self) -> Storage {
        self.0.storage()
    }

    /// As a tensor with quantized elements, the form graphs use.
    pub fn as_tensor(&self) -> &Tensor {
        &self.0
    }

    /// How parameters vary.
    pub fn qscheme(&self) -> QScheme {
        match (&self.quant().params, self.quant().float_zeros()) {
            (QParams::Axis { .. }, None) => QScheme::PerChannelAffine,
            (QParams::Axis { .. }, Some(_)) => QScheme::PerChannelAffineFloatQParams,
            (QParams::Group { .. }, _) => QScheme::PerGroupAffine,
            _ => QScheme::PerTensorAffine,
        }
    }

    /// The scale. Fails if there are several.
    pub fn q_scale(&self) -> Result<f32, Reason> {
        Ok(self.one()?.0)
    }

    /// The zero point. Fails if there are several.
    pub fn q_zero_point(&self) -> Result<i32, Reason> {
        Ok(self.one()?.1)
    }

    fn one(&self) -> Result<(f32, i32), Reason> {
        self.quant().per_tensor().ok_or_else(|| {
            Reason::new(format!("a tensor of scheme `{}` has more than one scale", self.qscheme()))
                .help("use `q_per_channel_scales` and `q_per_channel_zero_points`")
        })
    }

    /// The scale of each channel, as `f32`. Fails if there is one for the whole tensor.
    pub fn q_per_channel_scales(&self) -> Result<Tensor, Reason> {
        let (_, scale, _) = self.channels()?;
        Tensor::new(&[scale.len()], scale.to_vec())
    }

    /// The zero point of each channel: `i64`, or `f32` if they are real. Fails if there is one for the whole tensor.
    pub fn q_per_channel_zero_points(&self) -> Result<Tensor, Reason> {
        let (_, scale, zero) = self.channels()?;
        match zero {
            Zeros::Float(z) => Tensor::new(&[z.len()], z.to_vec()),
            zero => Tensor::new(&[scale.len()], (0..scale.len()).map(|i| i64::from(zero.at(i))).collect()),
        }
    }

    /// The axis that channels are numbered along. Fails if there is one scale for the whole tensor.
    pub fn q_per_channel_axis(&self) -> Result<usize, Reason> {
        Ok(self.channels()?.0)
    }

    fn channels(&self) -> Result<(usize, &[f32], &Zeros), Reason> {
        match &self.quant().params {
            QParams::Axis { axis, scale, zero } => Ok((*axis as usize, scale, zero)),
            _ => Err(Reason::new(format!("a tensor of scheme `{}` has no channels", self.qscheme()))
                .help("use `q_scale` and `q_zero_point`")),
        }
    }
}

/// Numbers and parameters, as PyTorch prints them.
impl fmt::Debug for QTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QTensor({:?}, {})", self.dequantize(), self.quant())
    }
}
