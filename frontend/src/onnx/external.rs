//! External data: tensors whose bytes lie in files beside the model.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::contained::Dir;
use super::proto::StringStringEntryProto;
use crate::Error;
use crate::error::printable;

/// The folder of a model, with the data files that were opened so far.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
    files: BTreeMap<String, Bytes>,
}

/// Where a tensor's bytes lie, as its entries say.
struct Entries<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
    checksum: Option<&'a str>,
}

impl Folder {
    /// The folder at `path`, which the user has named.
    pub fn open(path: &Path) -> Result<Folder, Error> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let dir = Dir::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(Folder { dir, files: BTreeMap::new() })
    }

    /// The `need` bytes that `entries` locate for `tensor`, as a view of the mapped file.
    pub fn read(
        &mut self,
        tensor: &str,
        entries: &[StringStringEntryProto],
        need: u64,
    ) -> Result<Bytes, Error> {
        let err = |reason: String, help: &str| Error::External {
            tensor: printable(tensor).trim_matches('`').to_owned(),
            reason,
            help: help.to_owned(),
        };
        let at = parse(entries).map_err(|reason| err(reason, "export the model again"))?;
        if let Some(length) = at.length.filter(|l| *l != need) {
            let reason = format!("its length is {length} bytes, but the tensor's type needs {need}");
            return Err(err(reason, "export the model again"));
        }
        if !self.files.contains_key(at.location) {
            let file = self.dir.open_file(at.location).map_err(|r| err(r.reason, r.help))?;
            let bytes = crate::map::map(&file).map_err(|e| err(e.to_string(), "check the file"))?;
            // The standard prescribes SHA-1. It guards against accidents only.
            let digest = || Bytes::copy_from_slice(&Sha1::digest(&bytes));
            let wrong = |sum: &&str| !sum.eq_ignore_ascii_case(&format!("{:x}", digest()));
            if let Some(sum) = at.checksum.filter(wrong) {
                let reason =
                    format!("the SHA-1 of `{}` is not {}", at.location.escape_default(), printable(sum));
                return Err(err(reason, "fetch the data file again"));
            }
            self.files.insert(at.location.to_owned(), bytes);
        }
        let file = &self.files[at.location];
        let size = file.len() as u64;
        match at.offset.checked_add(need) {
            Some(end) if end <= size => Ok(file.slice(at.offset as usize..end as usize)),
            _ => {
                let (from, name) = (at.offset, at.location.escape_default());
                let reason =
                    format!("{need} bytes from byte {from} on are not in `{name}`, which has {size} bytes");
                Err(err(reason, "check that the data file belongs to this model and is complete"))
            }
        }
    }
}

fn parse(entries: &[StringStringEntryProto]) -> Result<Entries<'_>, String> {
    let (mut location, mut offset, mut length, mut checksum) = (None, None, None, None);
    for entry in entries {
        let value = entry.value.as_deref().unwrap_or("");
        let slot = match entry.key.as_deref().unwrap_or("") {
            "location" => &mut location,
            "offset" => &mut offset,
            "length" => &mut length,
            "checksum" => &mut checksum,
            other => return Err(format!("{} is no key of external data", printable(other))),
        };
        if slot.replace(value).is_some() {
            return Err(format!("the key {} appears twice", printable(entry.key.as_deref().unwrap_or(""))));
        }
    }
    Ok(Entries {
        location: location.ok_or("the key `location` is missing")?,
        offset: offset.map_or(Ok(0), |v| number("offset", v))?,
        length: length.map(|v| number("length", v)).transpose()?,
        checksum,
    })
}

/// A decimal number without sign or space.
fn number(key: &str, text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = if digits { text.parse().ok() } else { None };
    value.ok_or_else(|| format!("`{key}` is {}, not a decimal number of 64 bits", printable(text)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
        let entry = |(k, v): &(&str, &str)| StringStringEntryProto {
            key: Some((*k).into()),
            value: Some((*v).into()),
        };
        pairs.iter().map(entry).collect()
    }

    fn read(pairs: &[(&str, &str)], need: u64) -> Result<Bytes, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data"), b"0123456789").unwrap();
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        Folder::open(dir.path()).unwrap().read("w", &entries(pairs), need).map_err(|e| e.to_string())
    }

    #[test]
    fn ranges_inside_the_file_are_views() {
        assert_eq!(read(&[("location", "data")], 10).unwrap(), "0123456789");
        let digest = "87acec17cd9dcd20a716cc2cf67417b71c8a7016";
        let full = [("location", "data"), ("offset", "3"), ("length", "4"), ("checksum", digest)];
        assert_eq!(read(&full, 4).unwrap(), "3456");
        assert_eq!(read(&[("location", "empty")], 0).unwrap(), "");
    }

    #[test]
    fn lies_are_refused() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(Pairs, u64, &str)] = &[
            (&[("location", "data")], 11, "11 bytes from byte 0 on are not in `data`"),
            (&[("location", "data"), ("offset", "9")], 2, "which has 10 bytes"),
            (&[("location", "data"), ("offset", "18446744073709551615")], 2, "which has 10 bytes"),
            (&[("location", "data"), ("offset", "18446744073709551616")], 2, "not a decimal number"),
            (&[("location", "data"), ("offset", "-1")], 2, "not a decimal number"),
            (&[("location", "data"), ("offset", "+1")], 2, "not a decimal number"),
            (&[("location", "data"), ("offset", "")], 2, "not a decimal number"),
            (&[("location", "data"), ("offset", " 1")], 2, "not a decimal number"),
            (&[("location", "data"), ("length", "1125899906842624")], 4, "the tensor's type needs 4"),
            (&[("location", "data"), ("__class__", "x")], 4, "`__class__` is no key"),
            (&[("location", "data"), ("location", "data")], 4, "appears twice"),
            (&[("offset", "0")], 4, "`location` is missing"),
            (&[("location", "data"), ("checksum", "00")], 4, "the SHA-1 of `data` is not `00`"),
            (&[("location", "../data")], 4, "goes up a folder"),
            (&[("location", "nothing")], 4, "there is no file `nothing`"),
        ];
        for (pairs, need, part) in cases {
            let text = read(pairs, *need).unwrap_err();
            assert!(text.contains(part), "{text}");
            assert!(text.contains("\nhelp: "), "{text}");
        }
    }
}
