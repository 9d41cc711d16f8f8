//! The model file: a safetensors file whose metadata key `qir` holds the graph's text and whose tensors are its
//! constants by content hash.
//!
//! One file, mapped on load, readable from Python without quantir. Safetensors has no 4-bit integers with a byte each,
//! so those are stored as `I8` and `U8`, and the metadata keys `i4` and `u4` list their hashes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bytes::Bytes;
use quantir_ir::attr::{Attr, AttrValue};
use quantir_ir::ops::ConstData;
use quantir_ir::{Elem, Graph, Op, Storage, Tensor, text, verify};
use safetensors::{Dtype, SafeTensors};

use crate::{Error, write_atomically};

/// Metadata key of the graph's text.
const TEXT: &str = "qir";
/// The data starts at a multiple of this, which suits every vector load.
const ALIGNMENT: usize = 64;

/// Writes `g` with its constants to `path`; the file is whole or absent, and equal graphs give equal bytes.
pub fn save(g: &Graph, path: &Path) -> Result<(), Error> {
    let constants = constants(g);
    let header = header(&text::print(g), &constants);
    write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        constants.iter().try_for_each(|(_, t)| out.write_all(t.bytes()))
    })
}

/// Reads and verifies a model file; constants are views of the mapped file.
pub fn load(path: &Path) -> Result<Graph, Error> {
    load_bytes(crate::map::map_path(path)?, &path.display().to_string())
}

/// Reads a model file from memory; `name` is what messages call it.
pub fn load_bytes(bytes: Bytes, name: &str) -> Result<Graph, Error> {
    let bad =
        |reason: String, help: &str| Error::invalid(format!("`{}`", name.escape_default()), reason, help);
    let (header, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| bad(format!("it is no safetensors file: {e}"), "check that the file is complete"))?;
    let word = |key: &str| metadata.metadata().as_ref().and_then(|m| m.get(key));
    let Some(text) = word(TEXT) else {
        let help = "save the model with quantir; a file of weights alone has no graph";
        return Err(bad(format!("it has no metadata key `{TEXT}`"), help));
    };
    let list = |key| word(key).map(|l| l.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let (signed, unsigned) = (list("i4"), list("u4"));
    let data = header + 8;
    let mut stored = HashMap::new();
    for (hash, info) in metadata.tensors() {
        let storage = match info.dtype {
            Dtype::I8 if signed.contains(&hash.as_str()) => Storage::I4,
            Dtype::U8 if unsigned.contains(&hash.as_str()) => Storage::U4,
            other => storage(other).ok_or_else(|| {
                bad(
                    format!("tensor `{}` is of type {other:?}", hash.escape_default()),
                    "save the model again",
                )
            })?,
        };
        // `read_metadata` has checked that all ranges lie within the file and match the shapes.
        let (start, end) = info.data_offsets;
        let tensor =
            Tensor::from_bytes(Elem::Plain(storage), &info.shape, bytes.slice(data + start..data + end));
        stored.insert(hash, tensor.map_err(|r| bad(r.message, "save the model again"))?);
    }
    let blob = |hash: &str| stored.get(hash).cloned();
    let diags = |diags| Error::Graph { place: format!("`{}`", name.escape_default()), diags };
    let g = text::parse_with(text, &blob, name).map_err(diags)?;
    for (hash, _) in constants(&g) {
        if !stored.contains_key(&hash) {
            return Err(bad(
                "a constant does not have the hash it is stored under".into(),
                "fetch the file again, it is damaged",
            ));
        }
    }
    match verify(&g) {
        found if found.is_empty() => Ok(g),
        found => Err(diags(found)),
    }
}

/// Constants that the text names by hash, widest elements first so that all are aligned, then by hash.
fn constants(g: &Graph) -> Vec<(String, Tensor)> {
    let mut found = BTreeMap::new();
    for n in g.nodes() {
        let Op::Const(c) = g.op(n) else { continue };
        if let (ConstData::Tensor(t), AttrValue::Call(..)) = (&c.data, c.data.to_value()) {
            let width = t.0.storage().bytes();
            found.entry((std::cmp::Reverse(width), t.1.clone())).or_insert_with(|| t.0.clone());
        }
    }
    found.into_iter().map(|((_, hash), t)| (hash, t)).collect()
}

/// The JSON header, padded with spaces so that the data is aligned.
fn header(text: &str, constants: &[(String, Tensor)]) -> String {
    let mut out = String::from("{\"__metadata__\":{");
    for (key, storage) in [("i4", Storage::I4), ("u4", Storage::U4)] {
        let list: Vec<&str> =
            constants.iter().filter(|(_, t)| t.storage() == storage).map(|(hash, _)| hash.as_str()).collect();
        if !list.is_empty() {
            out.push_str(&format!("\"{key}\":\"{}\",", list.join(" ")));
        }
    }
    out.push_str(&format!("\"{TEXT}\":"));
    json_string(text, &mut out);
    out.push('}');
    let mut at = 0;
    for (hash, t) in constants {
        let end = at + t.bytes().len();
        let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
        let (dtype, shape) = (dtype(t.storage()), shape.join(","));
        out.push_str(&format!(
            ",\"{hash}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{at},{end}]}}"
        ));
        at = end;
    }
    out.push('}');
    let padded = (out.len() + 8).next_multiple_of(ALIGNMENT) - 8;
    out.extend(std::iter::repeat_n(' ', padded - out.len()));
    out
}

fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn dtype(s: Storage) -> &'static str {
    match s {
        Storage::F32 => "F32",
        Storage::F16 => "F16",
        Storage::BF16 => "BF16",
        Storage::I4 | Storage::I8 => "I8",
        Storage::U4 | Storage::U8 => "U8",
        Storage::I16 => "I16",
        Storage::U16 => "U16",
        Storage::I32 => "I32",
        Storage::I64 => "I64",
        Storage::Bool => "BOOL",
    }
}

fn storage(d: Dtype) -> Option<Storage> {
    Some(match d {
        Dtype::F32 => Storage::F32,
        Dtype::F16 => Storage::F16,
        Dtype::BF16 => Storage::BF16,
        Dtype::I8 => Storage::I8,
        Dtype::U8 => Storage::U8,
        Dtype::I16 => Storage::I16,
        Dtype::U16 => Storage::U16,
        Dtype::I32 => Storage::I32,
        Dtype::I64 => Storage::I64,
        Dtype::BOOL => Storage::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::ops::Linear;
    use quantir_ir::{Loc, Phase, Type};

    fn graph() -> Graph {
        let mut g = Graph::new("main", Phase::Float);
        let x = g.input("x/0", Type::f32(&[2, 8]));
        let weight = Tensor::f32(&[4, 8], (0..32).map(|i| i as f32).collect());
        let w = g.push_const(weight, "fc.weight", Loc::at("fc"));
        let b = g.push_const(Tensor::f32(&[4], vec![0.5; 4]), "fc.bias", Loc::at("fc"));
        let y = g.push(Linear { act: quantir_ir::ops::Act::None }, [x, w, b], "y", Loc::at("fc")).unwrap();
        let nibbles = Tensor::from_ints(Elem::Plain(Storage::I4), &[20], &[-3; 20]).unwrap();
        let n = g.push_const(nibbles, "n", Loc::default());
        g.output("y \"quoted\"", y);
        g.output("n", n);
        g
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.qir.safetensors");
        let g = graph();
        save(&g, &path).unwrap();
        let back = load(&path).unwrap();
        assert_eq!(text::print(&back), text::print(&g));
        let find = |g: &Graph, name| g.constant(g.find(name).unwrap()).unwrap();
        for name in ["fc.weight", "fc.bias", "n"] {
            assert_eq!(find(&back, name), find(&g, name));
        }
        let first = std::fs::read(&path).unwrap();
        save(&back, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        let header = u64::from_le_bytes(first[..8].try_into().unwrap());
        assert_eq!((header + 8) % ALIGNMENT as u64, 0);
    }

    #[test]
    fn damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.qir.safetensors");
        save(&graph(), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let load = |b: Vec<u8>| load_bytes(b.into(), "model").map(|g| text::print(&g));
        for len in 0..bytes.len() {
            assert!(load(bytes[..len].to_vec()).is_err(), "{len}");
        }
        let mut changed = bytes.clone();
        let last = changed.len() - 30;
        changed[last] ^= 1;
        assert!(load(changed).unwrap_err().to_string().contains("damaged"));
        for at in 0..bytes.len() {
            let mut b = bytes.clone();
            b[at] ^= 0x15;
            let _ = load(b);
        }
        let weights = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        assert!(load(weights).unwrap_err().to_string().contains("no metadata key `qir`"));
    }
}
