//! Reads a folder of golden data: JSON with references into `arrays.safetensors`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use quantir::ir::{Elem, QParams, Quant, Storage, Tensor, Zeros};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The folder of an area: vendored, or in the folder that `QUANTIR_ZOO` names.
pub fn folder(area: &str) -> Option<PathBuf> {
    let vendored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(area);
    let zoo = || Some(Path::new(&std::env::var_os("QUANTIR_ZOO")?).join("golden").join(area));
    [Some(vendored), zoo()].into_iter().flatten().find(|p| p.is_dir())
}

/// One JSON file and the arrays it refers to.
pub struct Golden {
    /// The JSON.
    pub json: Value,
    arrays: BTreeMap<String, Array>,
}

/// An array as it is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// Element type; `BF16` arrays are stored as the `I16` of their bits.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A place in the JSON, which knows where its arrays are. Accessors panic with the place if it holds something else.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    golden: &'a Golden,
    /// The JSON at this place.
    pub value: &'a Value,
}

/// A quantized tensor as PyTorch holds it.
pub struct Quantized {
    /// `quint8`, `qint8` or `qint32`.
    pub dtype: String,
    /// The codes.
    pub ints: Array,
    /// Scales in double precision: one, or one for each index of the axis.
    pub scales: Vec<f64>,
    /// As many zero points.
    pub zero_points: Vec<i64>,
    /// The axis, if parameters vary along one.
    pub axis: Option<usize>,
}

impl Golden {
    /// `manifest.json` of an area; `None` if its data is not here.
    pub fn open(area: &str) -> Option<Golden> {
        Golden::open_file(area, "manifest.json")
    }

    /// Another JSON file of an area, which may have no arrays.
    pub fn open_file(area: &str, file: &str) -> Option<Golden> {
        Some(Golden::open_in(&folder(area)?, file))
    }

    /// A JSON file of a folder, which may have no arrays.
    pub fn open_in(dir: &Path, file: &str) -> Golden {
        let read = |p: &Path| fs::read(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        let json = serde_json::from_slice(&read(&dir.join(file)))
            .unwrap_or_else(|e| panic!("{}: {e}", dir.join(file).display()));
        let path = dir.join("arrays.safetensors");
        let arrays = if path.is_file() { read_arrays(&read(&path)) } else { BTreeMap::new() };
        Golden { json, arrays }
    }

    /// The whole JSON as a place.
    pub fn root(&self) -> Item<'_> {
        Item { golden: self, value: &self.json }
    }

    /// The `cases` of a manifest.
    pub fn cases(&self) -> Vec<Item<'_>> {
        self.root().at("cases").list()
    }
}

/// Every array of a safetensors file by its name.
pub fn read_arrays(bytes: &[u8]) -> BTreeMap<String, Array> {
    let file = SafeTensors::deserialize(bytes).expect("golden arrays are safetensors");
    let array = |v: safetensors::tensor::TensorView<'_>| Array {
        dtype: v.dtype(),
        shape: v.shape().to_vec(),
        bytes: v.data().to_vec(),
    };
    file.tensors().into_iter().map(|(name, v)| (name, array(v))).collect()
}

impl<'a> Item<'a> {
    /// The member `key`; JSON null if there is none.
    pub fn at(self, key: &str) -> Item<'a> {
        Item { value: self.value.get(key).unwrap_or(&Value::Null), ..self }
    }
    /// Whether it is null or absent.
    pub fn is_null(self) -> bool {
        self.value.is_null()
    }
    /// The elements of a JSON list.
    pub fn list(self) -> Vec<Item<'a>> {
        let list = self.value.as_array().unwrap_or_else(|| panic!("not a list: {}", self.value));
        list.iter().map(|value| Item { value, ..self }).collect()
    }
    /// The members of a JSON object.
    pub fn members(self) -> Vec<(&'a str, Item<'a>)> {
        let object = self.value.as_object().unwrap_or_else(|| panic!("not an object: {}", self.value));
        object.iter().map(|(k, value)| (k.as_str(), Item { value, ..self })).collect()
    }
    /// A string.
    pub fn text(self) -> &'a str {
        self.value.as_str().unwrap_or_else(|| panic!("not a string: {}", self.value))
    }
    /// The `id` of a case.
    pub fn id(self) -> &'a str {
        self.at("id").text()
    }
    /// A truth value.
    pub fn flag(self) -> bool {
        self.value.as_bool().unwrap_or_else(|| panic!("not a truth value: {}", self.value))
    }
    /// An integer.
    pub fn int(self) -> i64 {
        self.value.as_i64().unwrap_or_else(|| panic!("not an integer: {}", self.value))
    }
    /// A list of integers, or one integer.
    pub fn ints(self) -> Vec<i64> {
        match self.value {
            Value::Array(_) => self.list().into_iter().map(Item::int).collect(),
            _ => vec![self.int()],
        }
    }
    /// A number, also one written `$f` or as an array of one element.
    pub fn number(self) -> f64 {
        if let Some(special) = self.value.get("$f") {
            return match special.as_str() {
                Some("inf") => f64::INFINITY,
                Some("-inf") => f64::NEG_INFINITY,
                Some("nan") => f64::NAN,
                _ => panic!("not a number: {}", self.value),
            };
        }
        match self.try_array() {
            Some(a) => a.f64s()[0],
            None => self.value.as_f64().unwrap_or_else(|| panic!("not a number: {}", self.value)),
        }
    }
    /// The array a `$t` refers to.
    pub fn try_array(self) -> Option<&'a Array> {
        let name = self.value.get("$t")?.as_str()?;
        Some(self.golden.arrays.get(name).unwrap_or_else(|| panic!("no array `{name}`")))
    }
    /// The array a `$t` refers to.
    pub fn array(self) -> &'a Array {
        self.try_array().unwrap_or_else(|| panic!("not an array: {}", self.value))
    }
    /// A tensor: plain from `$t`, quantized from `$q`.
    pub fn tensor(self) -> Tensor {
        match self.try_quantized() {
            Some(q) => q.tensor(),
            None => self.array().tensor(),
        }
    }
    /// What a `$q` holds.
    pub fn try_quantized(self) -> Option<Quantized> {
        let q = self.at("$q");
        if q.is_null() {
            return None;
        }
        let several = !q.at("axis").is_null();
        let [scales, zero_points] = if several { ["scales", "zero_points"] } else { ["scale", "zero_point"] };
        Some(Quantized {
            dtype: q.at("dtype").text().to_owned(),
            ints: q.at("ints").array().clone(),
            scales: if several { q.at(scales).array().f64s() } else { vec![q.at(scales).number()] },
            zero_points: if several {
                q.at(zero_points).array().ints()
            } else {
                vec![q.at(zero_points).int()]
            },
            axis: several.then(|| q.at("axis").int() as usize),
        })
    }
    /// What a `$q` holds.
    pub fn quantized(self) -> Quantized {
        self.try_quantized().unwrap_or_else(|| panic!("not a quantized tensor: {}", self.value))
    }
}

impl Array {
    fn each<const N: usize, T>(&self, f: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.chunks_exact(N).map(|c| f(c.try_into().expect("chunks of N bytes"))).collect()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    /// The elements in double precision, whatever they are stored as.
    pub fn f64s(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.each(f64::from_le_bytes),
            Dtype::F32 => self.each(|b| f64::from(f32::from_le_bytes(b))),
            Dtype::F16 => self.each(|b| f16::from_le_bytes(b).to_f64()),
            _ => self.ints().into_iter().map(|x| x as f64).collect(),
        }
    }
    /// The elements as `f32`; doubles are rounded.
    pub fn f32s(&self) -> Vec<f32> {
        self.f64s().into_iter().map(|x| x as f32).collect()
    }
    /// The elements of an integer or truth array.
    pub fn ints(&self) -> Vec<i64> {
        match self.dtype {
            Dtype::I64 => self.each(i64::from_le_bytes),
            Dtype::I32 => self.each(|b| i32::from_le_bytes(b).into()),
            Dtype::I16 => self.each(|b| i16::from_le_bytes(b).into()),
            Dtype::I8 => self.each(|b| i8::from_le_bytes(b).into()),
            Dtype::U8 | Dtype::BOOL => self.bytes.iter().map(|&b| b.into()).collect(),
            d => panic!("{d:?} holds no integers"),
        }
    }
    /// The elements of bfloat16 bits, which are stored as `I16`.
    pub fn bf16s(&self) -> Vec<bf16> {
        assert_eq!(self.dtype, Dtype::I16);
        self.each(bf16::from_le_bytes)
    }
    /// As a plain tensor; doubles become `f32`.
    pub fn tensor(&self) -> Tensor {
        let storage = match self.dtype {
            Dtype::F64 => return Tensor::f32(&self.shape, self.f32s()),
            Dtype::F32 => Storage::F32,
            Dtype::F16 => Storage::F16,
            Dtype::I64 => Storage::I64,
            Dtype::I32 => Storage::I32,
            Dtype::I16 => Storage::I16,
            Dtype::I8 => Storage::I8,
            Dtype::U8 => Storage::U8,
            Dtype::BOOL => Storage::Bool,
            d => panic!("no tensor holds {d:?}"),
        };
        Tensor::from_bytes(Elem::Plain(storage), &self.shape, self.bytes.clone().into())
            .expect("a whole array")
    }
}

impl Quantized {
    /// The storage of its dtype.
    pub fn storage(&self) -> Storage {
        storage(&self.dtype)
    }

    /// Its parameters over the range of the whole storage, scales rounded to `f32` as every kernel does.
    pub fn quant(&self) -> Quant {
        let storage = self.storage();
        let mut quant = Quant::tensor(storage, self.scales[0] as f32, self.zero_points[0] as i32);
        if let Some(axis) = self.axis {
            let zeros: Vec<i32> = self.zero_points.iter().map(|&z| z as i32).collect();
            let same = zeros.iter().all(|&z| z == zeros[0]);
            quant.params = QParams::Axis {
                axis: axis as u8,
                scale: self.scales.iter().map(|&s| s as f32).collect(),
                zero: if same { Zeros::All(zeros[0]) } else { Zeros::Each(zeros.into()) },
            };
        }
        quant
    }

    /// As a quantized tensor.
    pub fn tensor(&self) -> Tensor {
        Tensor::from_ints(Elem::Quant(self.quant().into()), &self.ints.shape, &self.ints.ints())
            .expect("codes lie in the range of their dtype")
    }
}

/// The storage of a dtype by PyTorch's name.
pub fn storage(dtype: &str) -> Storage {
    match dtype {
        "quint8" | "uint8" => Storage::U8,
        "qint8" | "int8" => Storage::I8,
        "int16" => Storage::I16,
        "qint32" | "int32" => Storage::I32,
        "quint4x2" => Storage::U4,
        d => panic!("no storage for `{d}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden data must not make the repository heavy.
    #[test]
    fn vendored_data_is_small() {
        fn size(p: &Path) -> u64 {
            if p.is_file() {
                return fs::metadata(p).unwrap().len();
            }
            fs::read_dir(p).unwrap().map(|e| size(&e.unwrap().path())).sum()
        }
        let bytes = size(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
        assert!(bytes <= 8 << 20, "{bytes} bytes of golden data, at most 8 MiB are allowed");
    }

    #[test]
    fn references_special_numbers_and_quantized_tensors_are_read() {
        let golden = Golden::open("quantize").expect("vendored");
        let cases = golden.cases();
        assert!(cases.len() > 400);
        let q = cases[0].at("q").quantized();
        assert_eq!((q.storage(), q.scales.len(), q.axis), (Storage::U8, 1, None));
        assert_eq!(cases[0].at("x").array().len(), q.ints.len());
        assert!(cases[0].at("nothing").is_null());
        let json = serde_json::json!({"$f": "-inf"});
        assert_eq!(Item { golden: &golden, value: &json }.number(), f64::NEG_INFINITY);
    }
}
