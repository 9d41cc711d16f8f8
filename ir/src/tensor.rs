//! Tensors: row-major bytes with an element type and a shape.
//!
//! The bytes are shared and may be a view of a memory map, so cloning a tensor is cheap and importing a model
//! copies no weights.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};

use crate::diag::Reason;
use crate::quant::{self, Quant};
use crate::types::{Elem, Shape, Storage, Type};

/// A dense row-major tensor. Little-endian; 4-bit elements take one byte each; `bool` is 0 or 1.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// What one element is.
    pub elem: Elem,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    bytes: Bytes,
}

/// A Rust number that is one element of some storage.
pub trait Scalar: bytemuck::Pod + PartialOrd + fmt::Debug + Send + Sync {
    /// The storage that holds it.
    const STORAGE: Storage;
}
macro_rules! scalar {
    ($($t:ty = $s:ident),*) => {$(impl Scalar for $t { const STORAGE: Storage = Storage::$s; })*};
}
scalar!(f32 = F32, f16 = F16, bf16 = BF16, i8 = I8, u8 = U8, i16 = I16, u16 = U16, i32 = I32, i64 = I64);

/// Gives `Bytes` a typed vector to own, which keeps its alignment.
struct Owner<T>(Vec<T>);
impl<T: bytemuck::Pod> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Tensor {
    /// A tensor of plain numbers. Fails if `data` has not as many elements as `shape`.
    pub fn new<T: Scalar>(shape: &[usize], data: Vec<T>) -> Result<Tensor, Reason> {
        Tensor::with_elem(Elem::Plain(T::STORAGE), shape, data)
    }

    /// A tensor whose elements are `elem`, stored as `T`. Fails if the counts or the storages disagree.
    pub fn with_elem<T: Scalar>(elem: Elem, shape: &[usize], data: Vec<T>) -> Result<Tensor, Reason> {
        let fits = elem.storage() == T::STORAGE
            || matches!(
                (elem.storage(), T::STORAGE),
                (Storage::Bool | Storage::U4, Storage::U8) | (Storage::I4, Storage::I8)
            );
        if !fits {
            return Err(Reason::new(format!(
                "`{}` data cannot hold `{}` elements",
                T::STORAGE,
                elem.storage()
            )));
        }
        Tensor::from_bytes(elem, shape, Bytes::from_owner(Owner(data)))
    }

    /// A tensor over bytes, which may be unaligned. Fails if the length is not that of `shape`.
    pub fn from_bytes(elem: Elem, shape: &[usize], bytes: Bytes) -> Result<Tensor, Reason> {
        let want = checked_numel(shape).and_then(|n| n.checked_mul(elem.storage().bytes()));
        if want != Some(bytes.len()) {
            return Err(Reason::new(format!(
                "{} bytes do not fill a {}{}",
                bytes.len(),
                elem.storage(),
                Shape::of(shape)
            )));
        }
        Ok(Tensor { elem, shape: shape.to_vec(), bytes })
    }

    /// An `f32` tensor; panics if the counts disagree, so for lengths that the caller computed.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Tensor {
        Tensor::new(shape, data).expect("as many elements as the shape says")
    }
    /// An `i64` tensor; panics if the counts disagree.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Tensor {
        Tensor::new(shape, data).expect("as many elements as the shape says")
    }
    /// A tensor of truth values; panics if the counts disagree.
    pub fn bools(shape: &[usize], data: Vec<bool>) -> Tensor {
        let data: Vec<u8> = data.into_iter().map(u8::from).collect();
        Tensor::with_elem(Elem::Plain(Storage::Bool), shape, data)
            .expect("as many elements as the shape says")
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// How one element is stored.
    pub fn storage(&self) -> Storage {
        self.elem.storage()
    }
    /// The quantization, if elements are quantized.
    pub fn quant(&self) -> Option<&Arc<Quant>> {
        self.elem.quant()
    }
    /// Its type.
    pub fn ty(&self) -> Type {
        Type::new(self.elem.clone(), Shape::of(&self.shape))
    }
    /// The raw bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The elements as `T`: borrowed if the bytes are aligned, else copied. Fails if the storage is another one.
    pub fn data<T: Scalar>(&self) -> Result<Cow<'_, [T]>, Reason> {
        let ok = self.storage() == T::STORAGE
            || matches!(
                (self.storage(), T::STORAGE),
                (Storage::Bool | Storage::U4, Storage::U8) | (Storage::I4, Storage::I8)
            );
        if !ok {
            return Err(Reason::new(format!(
                "expected `{}` elements, found `{}`",
                T::STORAGE,
                self.storage()
            )));
        }
        Ok(match bytemuck::try_cast_slice(&self.bytes) {
            Ok(s) => Cow::Borrowed(s),
            Err(_) => Cow::Owned(
                self.bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect(),
            ),
        })
    }

    /// The elements as an ndarray view. Fails if the storage is another one or the bytes are unaligned.
    pub fn array<T: Scalar>(&self) -> Result<ndarray::CowArray<'_, T, ndarray::IxDyn>, Reason> {
        let shape = ndarray::IxDyn(&self.shape);
        let bad = |e: ndarray::ShapeError| Reason::new(e.to_string());
        Ok(match self.data::<T>()? {
            Cow::Borrowed(s) => ndarray::ArrayViewD::from_shape(shape, s).map_err(bad)?.into(),
            Cow::Owned(v) => ndarray::ArrayD::from_shape_vec(shape, v).map_err(bad)?.into(),
        })
    }

    /// A tensor of plain numbers from an ndarray, in its logical order.
    pub fn from_array<T: Scalar>(a: ndarray::ArrayD<T>) -> Tensor {
        let shape = a.shape().to_vec();
        let data = match a.is_standard_layout() {
            true => a.into_raw_vec_and_offset().0,
            false => a.iter().copied().collect(),
        };
        Tensor::new(&shape, data).expect("an ndarray has as many elements as its shape says")
    }

    /// Element `i` (row-major) as an integer. Fails for floats.
    pub fn ints(&self) -> Result<Vec<i64>, Reason> {
        Ok(match self.storage() {
            Storage::I8 | Storage::I4 => self.data::<i8>()?.iter().map(|&x| x.into()).collect(),
            Storage::U8 | Storage::U4 | Storage::Bool => {
                self.data::<u8>()?.iter().map(|&x| x.into()).collect()
            }
            Storage::I16 => self.data::<i16>()?.iter().map(|&x| x.into()).collect(),
            Storage::U16 => self.data::<u16>()?.iter().map(|&x| x.into()).collect(),
            Storage::I32 => self.data::<i32>()?.iter().map(|&x| x.into()).collect(),
            Storage::I64 => self.data::<i64>()?.to_vec(),
            s => return Err(Reason::new(format!("expected integers, found `{s}`"))),
        })
    }

    /// The elements as `f32`, whatever plain number they are stored as; quantized elements are not dequantized.
    pub fn floats(&self) -> Result<Cow<'_, [f32]>, Reason> {
        Ok(match self.storage() {
            Storage::F32 => self.data::<f32>()?,
            Storage::F16 => Cow::Owned(self.data::<f16>()?.iter().map(|x| x.to_f32()).collect()),
            Storage::BF16 => Cow::Owned(self.data::<bf16>()?.iter().map(|x| x.to_f32()).collect()),
            _ => Cow::Owned(self.ints()?.iter().map(|&x| x as f32).collect()),
        })
    }

    /// Integers of storage `elem.storage()` from wide ones, which must lie in its range.
    pub fn from_ints(elem: Elem, shape: &[usize], data: &[i64]) -> Result<Tensor, Reason> {
        let s = elem.storage();
        let Some((lo, hi)) = s.int_range().or((s == Storage::Bool).then_some((0, 1))) else {
            return Err(Reason::new(format!("`{s}` holds no integers")));
        };
        if let Some(x) = data.iter().find(|&&x| x < lo || x > hi) {
            return Err(Reason::new(format!("{x} does not fit `{s}` [{lo}:{hi}]")));
        }
        match s {
            Storage::I8 | Storage::I4 => {
                Tensor::with_elem(elem, shape, data.iter().map(|&x| x as i8).collect())
            }
            Storage::U8 | Storage::U4 | Storage::Bool => {
                Tensor::with_elem(elem, shape, data.iter().map(|&x| x as u8).collect())
            }
            Storage::I16 => Tensor::with_elem(elem, shape, data.iter().map(|&x| x as i16).collect()),
            Storage::U16 => Tensor::with_elem(elem, shape, data.iter().map(|&x| x as u16).collect()),
            Storage::I32 => Tensor::with_elem(elem, shape, data.iter().map(|&x| x as i32).collect()),
            _ => Tensor::with_elem(elem, shape, data.to_vec()),
        }
    }

    /// The same elements under another element type of the same storage.
    pub fn retype(&self, elem: Elem) -> Result<Tensor, Reason> {
        if elem.storage() != self.storage() {
            return Err(Reason::new(format!(
                "`{}` elements cannot be read as `{}`",
                self.storage(),
                elem.storage()
            )));
        }
        Ok(Tensor { elem, ..self.clone() })
    }

    /// The same elements in another shape of equal count.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor, Reason> {
        Tensor::from_bytes(self.elem.clone(), shape, self.bytes.clone())
    }

    /// Quantizes floats by `q` ([`Quant::encode`] on each element with its own scale).
    pub fn quantize(&self, q: &Arc<Quant>) -> Result<Tensor, Reason> {
        let (lo, hi) = (q.range.0 as i32, q.range.1 as i32);
        let count = q.count().ok_or("dynamic parameters are not known here")?;
        let inv: Vec<f32> = (0..count).map(|i| 1.0 / q.scale(i)).collect();
        let floats = q.float_zeros();
        let data: Vec<i64> = self
            .floats()?
            .iter()
            .enumerate()
            .map(|(flat, &x)| {
                let i = q.index_of(flat, &self.shape);
                i64::from(match floats {
                    Some(z) => quant::quantize_float_zero(x, inv[i], z[i], lo, hi),
                    None => quant::quantize(x, inv[i], q.zero(i), lo, hi),
                })
            })
            .collect();
        Tensor::from_ints(Elem::Quant(q.clone()), &self.shape, &data)
    }

    /// The real numbers that quantized elements stand for; plain floats are returned as they are.
    pub fn dequantize(&self) -> Result<Tensor, Reason> {
        let Some(q) = self.quant() else {
            return Ok(Tensor::f32(&self.shape, self.floats()?.into_owned()));
        };
        let count = q.count().ok_or("dynamic parameters are not known here")?;
        let scale: Vec<f32> = (0..count).map(|i| q.scale(i)).collect();
        let floats = q.float_zeros();
        let data = self
            .ints()?
            .iter()
            .enumerate()
            .map(|(flat, &x)| {
                let i = q.index_of(flat, &self.shape);
                match floats {
                    Some(z) => quant::dequantize_float_zero(x as i32, scale[i], z[i]),
                    None => quant::dequantize(x as i32, scale[i], q.zero(i)),
                }
            })
            .collect();
        Ok(Tensor::f32(&self.shape, data))
    }

    /// A hash of element storage, shape and bytes as 16 hexadecimal digits: the name of the constant in a model file.
    pub fn hash(&self) -> String {
        let mut h = xxhash_rust::xxh3::Xxh3::new();
        h.update(self.storage().word().as_bytes());
        for d in &self.shape {
            h.update(&(*d as u64).to_le_bytes());
        }
        h.update(&self.bytes);
        format!("{:016x}", h.digest())
    }
}

/// Number of elements, or `None` if it overflows.
pub fn checked_numel(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |a, &d| a.checked_mul(d))
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty())?;
        if self.numel() <= 16 && self.quant().is_none() {
            write!(f, " {:?}", self.floats().map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}
