//! Bytes: packed codes, and files of named quantized tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::QTensor;
use crate::diag::Reason;
use crate::quant::{Quant, pack};
use crate::types::Storage;

/// The metadata key under which a file says the quantization and the shape of each tensor.
const KEY: &str = "quantized";

impl QTensor {
    /// The integers as bytes, the earlier one in the lower bits: two in a byte for 4-bit storages, four if the range
    /// needs 2 bits (`quint4x2`, `quint2x4`). Fails for wider storages, which need no packing.
    pub fn packed(&self) -> Result<Vec<u8>, Reason> {
        pack::pack(self.as_tensor(), bits(self.quant())?)
    }

    /// The tensor of `shape` whose integers are packed in `bytes`, as [`QTensor::packed`] yields them. Fails if the
    /// lengths disagree or a code lies outside the range.
    pub fn from_packed(q: &Arc<Quant>, shape: &[usize], bytes: &[u8]) -> Result<QTensor, Reason> {
        let count = crate::tensor::checked_numel(shape).ok_or("the shape is too large")?;
        let ints = pack::unpack(bytes, bits(q)?, count, q.storage == Storage::I4)?;
        QTensor::from_ints(q, shape, &ints)
    }
}

/// Bits of a packed code.
fn bits(q: &Quant) -> Result<u32, Reason> {
    match (q.storage, q.range) {
        (Storage::U4, (_, hi)) if hi <= 3 => Ok(2),
        (Storage::I4, (lo, hi)) if lo >= -2 && hi <= 1 => Ok(2),
        (Storage::U4 | Storage::I4, _) => Ok(4),
        (s, _) => Err(Reason::new(format!("codes of `{s}` are not packed")).help("use `int_repr`")),
    }
}

/// A safetensors file of named quantized tensors. Integers are stored as arrays of their storage, packed ones as a
/// vector of bytes; the metadata says the quantization and the shape in a line for each. Equal tensors give equal bytes.
pub fn save<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a QTensor)>) -> Result<Vec<u8>, Reason> {
    let mut arrays: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (name, t) in tensors {
        if name.contains('\n') {
            return Err(Reason::new(format!("{name:?} cannot name a tensor in a file")));
        }
        let array = match dtype(t.storage()) {
            Some(d) => (d, t.shape().to_vec(), t.as_tensor().bytes().to_vec()),
            None => {
                let bytes = t.packed()?;
                (Dtype::U8, vec![bytes.len()], bytes)
            }
        };
        let dims: Vec<String> = t.shape().iter().map(usize::to_string).collect();
        lines.insert(name, format!("{} | {} | {name}", t.quant(), dims.join(",")));
        if arrays.insert(name, array).is_some() {
            return Err(Reason::new(format!("two tensors are named `{name}`")));
        }
    }
    let text = lines.into_values().collect::<Vec<_>>().join("\n");
    let views = arrays.iter().map(|(name, (d, shape, bytes))| {
        TensorView::new(*d, shape.clone(), bytes).map(|v| (*name, v)).map_err(|e| Reason::new(e.to_string()))
    });
    let views: Vec<(&str, TensorView)> = views.collect::<Result<_, _>>()?;
    let metadata = [(KEY.to_string(), text)].into_iter().collect();
    safetensors::serialize(views, Some(metadata)).map_err(|e| Reason::new(e.to_string()))
}

/// The tensors of a file that [`save`] made, by name. Fails for other files, and for integers outside their range.
pub fn load(bytes: &[u8]) -> Result<BTreeMap<String, QTensor>, Reason> {
    let bad = |e: safetensors::SafeTensorError| Reason::new(format!("this is no safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
    let text = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| {
        Reason::new(format!("the file has no metadata key `{KEY}`"))
            .help("files of quantized tensors are written by `qtensor::save`")
    })?;
    let file = SafeTensors::deserialize(bytes).map_err(bad)?;
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, " | ");
        let (Some(q), Some(dims), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Reason::new(format!("`{line}` says no quantization")));
        };
        let q: Arc<Quant> = Arc::new(q.parse()?);
        let dims = dims.split(',').filter(|d| !d.is_empty());
        let shape: Vec<usize> = dims
            .map(|d| d.parse().map_err(|_| Reason::new(format!("`{d}` is no dimension of `{name}`"))))
            .collect::<Result<_, _>>()?;
        let view = file.tensor(name).map_err(bad)?;
        let tensor = match dtype(q.storage) {
            Some(d) if d == view.dtype() => {
                let data = ::bytes::Bytes::copy_from_slice(view.data());
                QTensor::new(crate::tensor::Tensor::from_bytes(crate::types::Elem::Quant(q), &shape, data)?)?
            }
            None if view.dtype() == Dtype::U8 => QTensor::from_packed(&q, &shape, view.data())?,
            _ => {
                return Err(Reason::new(format!(
                    "`{name}` is stored as {:?}, not `{}`",
                    view.dtype(),
                    q.storage
                )));
            }
        };
        out.insert(name.to_string(), tensor);
    }
    Ok(out)
}

/// How a storage is stored; `None` if its codes are packed.
fn dtype(s: Storage) -> Option<Dtype> {
    Some(match s {
        Storage::U8 => Dtype::U8,
        Storage::I8 => Dtype::I8,
        Storage::I16 => Dtype::I16,
        Storage::U16 => Dtype::U16,
        Storage::I32 => Dtype::I32,
        Storage::I64 => Dtype::I64,
        _ => return None,
    })
}
