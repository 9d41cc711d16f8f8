//! `TensorProto` to element type, shape and bytes.

use bytes::Bytes;
use quantir_ir::Storage;

use super::external::Folder;
use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};
use crate::error::printable;
use crate::{Budget, Error, Limits};

/// The content of a tensor; row-major, little-endian, 4-bit elements in one byte each.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// How one element is stored.
    pub storage: Storage,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The elements; a view of the file where the file holds them in this form.
    pub bytes: Bytes,
    /// What was changed on the way, such as `f64` rounded to `f32`.
    pub note: Option<&'static str>,
}

/// The storage that elements of ONNX type `code` get, with a note if they are converted; the reason if there is none.
pub fn storage_of(code: i32) -> Result<(Storage, Option<&'static str>), String> {
    let Ok(kind) = DataType::try_from(code) else {
        return Err(format!("element type {code} is not known"));
    };
    Ok(match kind {
        DataType::Float => (Storage::F32, None),
        DataType::Float16 => (Storage::F16, None),
        DataType::Bfloat16 => (Storage::BF16, None),
        DataType::Double => (Storage::F32, Some("`f64` rounded to `f32`")),
        DataType::Int4 => (Storage::I4, None),
        DataType::Uint4 => (Storage::U4, None),
        DataType::Int8 => (Storage::I8, None),
        DataType::Uint8 => (Storage::U8, None),
        DataType::Int16 => (Storage::I16, None),
        DataType::Uint16 => (Storage::U16, None),
        DataType::Int32 => (Storage::I32, None),
        DataType::Int64 => (Storage::I64, None),
        DataType::Uint32 => (Storage::I64, Some("`u32` widened to `i64`")),
        DataType::Uint64 => (Storage::I64, Some("`u64` stored as `i64`")),
        DataType::Bool => (Storage::Bool, None),
        DataType::Undefined => return Err("the element type is missing".into()),
        other => return Err(format!("there are no elements of type `{}`", other.as_str_name())),
    })
}

/// Reads the content of `t`; `folder` is where external data may lie.
pub fn read(
    t: &TensorProto,
    folder: Option<&mut Folder>,
    budget: &mut Budget,
    limits: &Limits,
) -> Result<Data, Error> {
    let name = t.name.as_deref().unwrap_or("");
    let place =
        if name.is_empty() { "unnamed tensor".to_owned() } else { format!("tensor {}", printable(name)) };
    let bad = |reason: String| Error::invalid(place.clone(), reason, "export the model again");
    let (storage, note) = storage_of(t.data_type()).map_err(bad)?;
    let (shape, count) = shape(&t.dims, limits).map_err(bad)?;
    if t.segment.is_some() {
        return Err(bad("its data is split into segments, which no exporter writes".into()));
    }
    let kind = DataType::try_from(t.data_type()).unwrap_or_default();
    let packed = packed_bytes(kind, count).ok_or_else(|| bad(format!("{count} elements are too many")))?;
    let typed = typed_len(t);
    let raw = if t.data_location() == DataLocation::External {
        if typed > 0 || t.raw_data.is_some() {
            return Err(bad("it has both external data and data of its own".into()));
        }
        let Some(folder) = folder else {
            return Err(Error::External {
                tensor: name.into(),
                reason: "the folder of the model is not known".into(),
                help: "import the model by its path".into(),
            });
        };
        Some(folder.read(name, &t.external_data, packed)?)
    } else {
        t.raw_data.clone().filter(|raw| !(raw.is_empty() && typed > 0))
    };
    let bytes = match raw {
        Some(_) if typed > 0 => return Err(bad("it has both raw and typed data".into())),
        Some(raw) if raw.len() as u64 != packed => {
            return Err(bad(format!("{} bytes of data where its type needs {packed}", raw.len())));
        }
        Some(raw) => from_raw(raw, kind, count, budget, &place)?,
        None => from_typed(t, kind, count, budget, &place)?,
    };
    if storage == Storage::Bool && bytes.iter().any(|b| *b > 1) {
        return Err(bad("a truth value is neither 0 nor 1".into()));
    }
    Ok(Data { storage, shape, bytes, note })
}

/// The dimensions and their product.
pub fn shape(dims: &[i64], limits: &Limits) -> Result<(Vec<usize>, usize), String> {
    const MOST: u64 = 1 << 48;
    if dims.len() > limits.rank {
        return Err(format!("it has {} dimensions, the limit is {}", dims.len(), limits.rank));
    }
    let mut out = Vec::with_capacity(dims.len());
    let mut count = 1u64;
    for &d in dims {
        let size = u64::try_from(d).map_err(|_| format!("dimension {d} is negative"))?;
        if size > MOST {
            return Err(format!("dimension {d} is too large"));
        }
        // A zero makes the product zero, whatever comes after it.
        count = count.checked_mul(size).filter(|n| *n <= MOST).ok_or("it has too many elements")?;
        out.push(usize::try_from(size).map_err(|_| format!("dimension {d} is too large"))?);
    }
    let count = usize::try_from(count).map_err(|_| "it has too many elements".to_owned())?;
    Ok((out, count))
}

fn bits(kind: DataType) -> u64 {
    match kind {
        DataType::Int4 | DataType::Uint4 => 4,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 8,
        DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Int64 | DataType::Uint64 | DataType::Double => 64,
        _ => 32,
    }
}

/// Bytes that `count` elements take in a file.
fn packed_bytes(kind: DataType, count: usize) -> Option<u64> {
    (count as u64).checked_mul(bits(kind)).map(|b| b.div_ceil(8))
}

fn typed_len(t: &TensorProto) -> usize {
    t.float_data.len()
        + t.int32_data.len()
        + t.int64_data.len()
        + t.double_data.len()
        + t.uint64_data.len()
        + t.string_data.len()
}

fn from_raw(
    raw: Bytes,
    kind: DataType,
    count: usize,
    budget: &mut Budget,
    place: &str,
) -> Result<Bytes, Error> {
    let halves = |sign: bool| {
        let two = |b: &u8| {
            if sign { [(b << 4) as i8 >> 4, *b as i8 >> 4].map(|x| x as u8) } else { [b & 15, b >> 4] }
        };
        raw.iter().flat_map(two).take(count).collect::<Vec<u8>>()
    };
    let eights = || raw.as_chunks::<8>().0.iter();
    match kind {
        DataType::Int4 | DataType::Uint4 => {
            budget.charge(count as u64, place)?;
            Ok(halves(kind == DataType::Int4).into())
        }
        DataType::Double => {
            budget.charge(count as u64 * 4, place)?;
            Ok(eights()
                .flat_map(|b| (f64::from_le_bytes(*b) as f32).to_le_bytes())
                .collect::<Vec<u8>>()
                .into())
        }
        DataType::Uint32 => {
            budget.charge(count as u64 * 8, place)?;
            let fours = raw.as_chunks::<4>().0.iter();
            Ok(fours
                .flat_map(|b| u64::from(u32::from_le_bytes(*b)).to_le_bytes())
                .collect::<Vec<u8>>()
                .into())
        }
        DataType::Uint64 => match eights().map(|b| u64::from_le_bytes(*b)).find(|x| *x > i64::MAX as u64) {
            Some(x) => Err(too_large(place, x)),
            None => Ok(raw),
        },
        _ => Ok(raw),
    }
}

fn too_large(place: &str, x: u64) -> Error {
    Error::invalid(
        place,
        format!("{x} does not fit `i64`, and there are no `u64` elements"),
        "cast it before export",
    )
}

/// Elements from the field that the standard prescribes for `kind`.
fn from_typed(
    t: &TensorProto,
    kind: DataType,
    count: usize,
    budget: &mut Budget,
    place: &str,
) -> Result<Bytes, Error> {
    let mut sink = Sink { out: Vec::new(), place };
    match kind {
        DataType::Float => sink.fill(&t.float_data, count, 4, budget, |x| Ok(x.to_le_bytes())),
        DataType::Double => sink.fill(&t.double_data, count, 4, budget, |x| Ok((*x as f32).to_le_bytes())),
        DataType::Int64 => sink.fill(&t.int64_data, count, 8, budget, |x| Ok(x.to_le_bytes())),
        DataType::Uint64 | DataType::Uint32 => {
            let most = if kind == DataType::Uint32 { u32::MAX.into() } else { i64::MAX as u64 };
            sink.fill(&t.uint64_data, count, 8, budget, |x| {
                if *x > most { Err(*x as i128) } else { Ok(x.to_le_bytes()) }
            })
        }
        DataType::Int32 => sink.fill(&t.int32_data, count, 4, budget, |x| Ok(x.to_le_bytes())),
        DataType::Int16 => sink.fill(&t.int32_data, count, 2, budget, |x| {
            i16::try_from(*x).map(i16::to_le_bytes).map_err(|_| i128::from(*x))
        }),
        DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => {
            sink.fill(&t.int32_data, count, 2, budget, |x| {
                u16::try_from(*x).map(u16::to_le_bytes).map_err(|_| i128::from(*x))
            })
        }
        DataType::Int8 => sink.fill(&t.int32_data, count, 1, budget, |x| {
            i8::try_from(*x).map(i8::to_le_bytes).map_err(|_| i128::from(*x))
        }),
        DataType::Uint8 | DataType::Bool => sink.fill(&t.int32_data, count, 1, budget, |x| {
            u8::try_from(*x).map(|b| [b]).map_err(|_| i128::from(*x))
        }),
        DataType::Int4 | DataType::Uint4 => {
            // Two elements share one entry, whose sign bits carry nothing.
            sink.fill(&t.int32_data, count.div_ceil(2), 1, budget, |x| Ok([*x as u8]))?;
            return from_raw(sink.out.into(), kind, count, budget, place);
        }
        // `storage_of` has refused every other type before.
        _ => Err(Error::invalid(place, "its element type has no typed field", "export the model again")),
    }?;
    Ok(sink.out.into())
}

struct Sink<'a> {
    out: Vec<u8>,
    place: &'a str,
}

impl Sink<'_> {
    fn fill<T, const N: usize>(
        &mut self,
        data: &[T],
        count: usize,
        bytes: u64,
        budget: &mut Budget,
        f: impl Fn(&T) -> Result<[u8; N], i128>,
    ) -> Result<(), Error> {
        if data.len() != count {
            let reason = format!("{} elements of data where its shape needs {count}", data.len());
            return Err(Error::invalid(self.place, reason, "export the model again"));
        }
        budget.charge(count as u64 * bytes, self.place)?;
        for x in data {
            match f(x) {
                Ok(b) => self.out.extend_from_slice(&b),
                Err(x) => {
                    let reason = format!("{x} does not fit its element type");
                    return Err(Error::invalid(self.place, reason, "export the model again"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(t: &TensorProto) -> Result<Data, String> {
        let limits = Limits::default();
        read(t, None, &mut Budget::new(&limits), &limits).map_err(|e| e.to_string())
    }

    fn tensor(kind: DataType, dims: &[i64]) -> TensorProto {
        TensorProto {
            data_type: Some(kind as i32),
            dims: dims.to_vec(),
            name: Some("w".into()),
            ..TensorProto::default()
        }
    }

    #[test]
    fn raw_data_is_a_view() {
        let raw = Bytes::from(vec![1u8; 24]);
        let t = TensorProto { raw_data: Some(raw.clone()), ..tensor(DataType::Float, &[2, 3]) };
        let data = get(&t).unwrap();
        assert_eq!((data.storage, data.shape, data.note), (Storage::F32, vec![2, 3], None));
        assert_eq!(data.bytes.as_ptr(), raw.as_ptr());
    }

    #[test]
    fn typed_fields_give_the_same_bytes_as_raw_data() {
        let f = TensorProto { float_data: vec![1.5, -2.0], ..tensor(DataType::Float, &[2]) };
        assert_eq!(get(&f).unwrap().bytes, [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat());
        let i = TensorProto { int32_data: vec![-3, 7], ..tensor(DataType::Int8, &[2]) };
        assert_eq!(get(&i).unwrap().bytes, vec![253u8, 7]);
        let i = TensorProto { int64_data: vec![-3], ..tensor(DataType::Int64, &[]) };
        assert_eq!(get(&i).unwrap().bytes, (-3i64).to_le_bytes().to_vec());
        let h = TensorProto { int32_data: vec![0x3c00], ..tensor(DataType::Float16, &[1]) };
        assert_eq!(get(&h).unwrap().bytes, vec![0, 0x3c]);
    }

    #[test]
    fn four_bit_elements_are_unpacked_low_half_first() {
        let raw = Some(Bytes::from_static(&[0x8f, 0x01]));
        let s = TensorProto { raw_data: raw.clone(), ..tensor(DataType::Int4, &[3]) };
        assert_eq!(get(&s).unwrap().bytes, [-1i8, -8, 1].map(|x| x as u8).to_vec());
        let u = TensorProto { raw_data: raw, ..tensor(DataType::Uint4, &[3]) };
        assert_eq!(get(&u).unwrap().bytes, vec![15u8, 8, 1]);
        let typed = TensorProto { int32_data: vec![0x8f, 0x01], ..tensor(DataType::Int4, &[3]) };
        assert_eq!(get(&typed).unwrap().bytes, get(&s).unwrap().bytes);
    }

    #[test]
    fn wide_elements_are_converted_with_a_note() {
        let d = TensorProto { double_data: vec![0.1], ..tensor(DataType::Double, &[1]) };
        let d = get(&d).unwrap();
        assert_eq!((d.storage, d.bytes), (Storage::F32, Bytes::copy_from_slice(&0.1f32.to_le_bytes())));
        assert_eq!(d.note, Some("`f64` rounded to `f32`"));
        let u = TensorProto { raw_data: Some(Bytes::from(vec![255u8; 4])), ..tensor(DataType::Uint32, &[1]) };
        assert_eq!(get(&u).unwrap().bytes, (u32::MAX as i64).to_le_bytes().to_vec());
        let u = TensorProto { raw_data: Some(Bytes::from(vec![255u8; 8])), ..tensor(DataType::Uint64, &[1]) };
        assert!(get(&u).unwrap_err().contains("does not fit `i64`"));
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let float = |dims: &[i64], bytes: usize| {
            let raw_data = Some(Bytes::from(vec![0; bytes]));
            get(&TensorProto { raw_data, ..tensor(DataType::Float, dims) })
        };
        assert!(float(&[2], 8).is_ok());
        assert!(float(&[0, 1 << 40], 0).is_ok());
        for (dims, bytes, part) in [
            (&[2][..], 7, "7 bytes of data where its type needs 8"),
            (&[2], 9, "9 bytes of data where its type needs 8"),
            (&[-1], 4, "dimension -1 is negative"),
            (&[1 << 32, 1 << 32], 4, "too many elements"),
            (&[i64::MAX], 4, "is too large"),
            (&[1; 17], 4, "it has 17 dimensions"),
        ] {
            let text = float(dims, bytes).unwrap_err();
            assert!(text.contains(part), "{text}");
        }
        let both = TensorProto {
            raw_data: Some(Bytes::from(vec![0; 4])),
            float_data: vec![1.0],
            ..tensor(DataType::Float, &[1])
        };
        assert!(get(&both).unwrap_err().contains("both raw and typed data"));
        let short = TensorProto { float_data: vec![1.0], ..tensor(DataType::Float, &[2]) };
        assert!(get(&short).unwrap_err().contains("1 elements of data where its shape needs 2"));
        let wide = TensorProto { int32_data: vec![300], ..tensor(DataType::Uint8, &[1]) };
        assert!(get(&wide).unwrap_err().contains("300 does not fit"));
    }

    #[test]
    fn foreign_element_types_are_named() {
        assert!(get(&tensor(DataType::Float8e4m3fn, &[1])).unwrap_err().contains("`FLOAT8E4M3FN`"));
        assert!(get(&tensor(DataType::String, &[1])).unwrap_err().contains("`STRING`"));
        let unknown = TensorProto { data_type: Some(99), ..TensorProto::default() };
        assert!(get(&unknown).unwrap_err().contains("element type 99 is not known"));
    }
}
