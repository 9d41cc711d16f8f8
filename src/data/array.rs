//! One array on disk, read piece by piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};

use half::f16;
use indexmap::IndexMap;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::DataError;

/// What numbers an array holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Floating point.
    Float,
    /// Signed integers.
    Int,
    /// Unsigned integers or truth values.
    Uint,
}

/// An array in a file, C order, little endian.
#[derive(Clone)]
pub struct ArrayFile {
    file: Arc<Mutex<File>>,
    offset: u64,
    /// What numbers it holds.
    pub kind: Kind,
    /// Bytes of one number.
    pub width: usize,
    /// Dimensions.
    pub shape: Vec<usize>,
}

impl ArrayFile {
    /// Reads the header at the file's current position; the numbers follow it.
    fn parse(mut file: File, start: u64) -> Result<ArrayFile, String> {
        file.seek(SeekFrom::Start(start)).map_err(|e| e.to_string())?;
        let header = NpyHeader::from_reader(&mut file).map_err(|e| e.to_string())?;
        let offset = file.stream_position().map_err(|e| e.to_string())?;
        let DType::Plain(ty) = header.dtype() else {
            return Err("structured arrays are not supported".into());
        };
        let width = ty.num_bytes().unwrap_or(0);
        let kind = match ty.type_char() {
            TypeChar::Float => Kind::Float,
            TypeChar::Int => Kind::Int,
            TypeChar::Uint | TypeChar::Bool => Kind::Uint,
            _ => return Err(format!("element type {ty} is not supported")),
        };
        if ty.endianness() == Endianness::Big && width > 1 {
            return Err("numbers are big endian".into());
        }
        if !matches!((kind, width), (Kind::Float, 2 | 4 | 8) | (Kind::Int | Kind::Uint, 1 | 2 | 4 | 8)) {
            return Err(format!("element type {ty} is not supported"));
        }
        let shape: Option<Vec<usize>> = header.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.ok_or("the shape is too large")?;
        if header.order() == Order::Fortran && shape.len() > 1 {
            return Err("the array is in Fortran order".into());
        }
        let bytes = shape.iter().try_fold(width, |a, &d| a.checked_mul(d)).ok_or("the shape is too large")?;
        let end = file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
        if offset.checked_add(bytes as u64).is_none_or(|e| e > end) {
            return Err(format!("the file ends before the {bytes} bytes of shape {shape:?}"));
        }
        Ok(ArrayFile { file: Arc::new(Mutex::new(file)), offset, kind, width, shape })
    }

    fn bytes(&self, at: usize, n: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; n * self.width];
        let mut file = self.file.lock().unwrap_or_else(|e| e.into_inner());
        file.seek(SeekFrom::Start(self.offset + (at * self.width) as u64))?;
        file.read_exact(&mut buf)?;
        Ok(buf)
    }

    /// Appends numbers `at..at + n` (row-major) as `f32`.
    pub fn read_floats(&self, at: usize, n: usize, out: &mut Vec<f32>) -> io::Result<()> {
        let b = self.bytes(at, n)?;
        match (self.kind, self.width) {
            (Kind::Float, 2) => {
                out.extend(b.chunks_exact(2).map(|c| f16::from_le_bytes([c[0], c[1]]).to_f32()))
            }
            (Kind::Float, 4) => {
                out.extend(b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])))
            }
            (Kind::Float, _) => out.extend(
                b.chunks_exact(8)
                    .map(|c| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32),
            ),
            _ => out.extend(self.ints(&b).map(|x| x as f32)),
        }
        Ok(())
    }

    /// Appends numbers `at..at + n` (row-major) as integers; floats are refused.
    pub fn read_ints(&self, at: usize, n: usize, out: &mut Vec<i64>) -> io::Result<()> {
        if self.kind == Kind::Float {
            return Err(io::Error::other("the array holds floats where integers are needed"));
        }
        let b = self.bytes(at, n)?;
        out.extend(self.ints(&b));
        Ok(())
    }

    /// Little-endian integers of this array's width, sign-extended if they are signed.
    fn ints<'a>(&self, b: &'a [u8]) -> impl Iterator<Item = i64> + 'a {
        let (width, signed) = (self.width, self.kind == Kind::Int);
        b.chunks_exact(width).map(move |c| {
            let fill = if signed && c[width - 1] >= 0x80 { 0xff } else { 0 };
            let mut wide = [fill; 8];
            wide[..width].copy_from_slice(c);
            i64::from_le_bytes(wide)
        })
    }
}

/// The arrays of an `.npz` file by name. Compressed arrays are unpacked into unnamed temporary files, so that
/// reading a batch never holds more than the batch.
pub fn open_npz(path: &Path) -> Result<IndexMap<String, ArrayFile>, DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    let format = |reason: String| DataError::Format { path: path.into(), reason };
    let mut archive =
        zip::ZipArchive::new(File::open(path).map_err(io)?).map_err(|e| format(e.to_string()))?;
    let mut arrays = IndexMap::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(|e| format(e.to_string()))?;
        let name = entry.name().map_err(|e| format(e.to_string()))?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_string) else { continue };
        let array = match (entry.compression(), entry.data_start()) {
            (zip::CompressionMethod::Stored, Some(start)) => {
                ArrayFile::parse(File::open(path).map_err(io)?, start)
            }
            _ => {
                let mut copy = tempfile::tempfile().map_err(io)?;
                std::io::copy(&mut entry, &mut copy).map_err(|e| format(format!("array `{name}`: {e}")))?;
                ArrayFile::parse(copy, 0)
            }
        };
        arrays.insert(name.clone(), array.map_err(|e| format(format!("array `{name}`: {e}")))?);
    }
    if arrays.is_empty() {
        return Err(format("it holds no arrays".into()));
    }
    Ok(arrays)
}

/// The `.npy` files of a folder by name without extension, in the order of their names.
pub fn open_folder(path: &Path) -> Result<IndexMap<String, ArrayFile>, DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        if file.extension().is_some_and(|e| e == "npy") {
            files.push(file);
        }
    }
    files.sort();
    let mut arrays = IndexMap::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let opened = File::open(&file).map_err(|source| DataError::Io { path: file.clone(), source })?;
        let array =
            ArrayFile::parse(opened, 0).map_err(|reason| DataError::Format { path: file.clone(), reason })?;
        arrays.insert(name, array);
    }
    if arrays.is_empty() {
        return Err(DataError::Mismatch {
            path: path.into(),
            reason: "the folder holds no .npy files".into(),
            help: "give a folder of .npy files, or an .npz file".into(),
        });
    }
    Ok(arrays)
}
