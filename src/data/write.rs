//! Writing tensors as `.npz`.

use std::io::{self, Cursor, Write};

use npyz::WriterBuilder;
use quantir_ir::{Storage, Tensor};

/// The bytes of an `.npz` file that holds `tensors` under their names, uncompressed. Quantized elements are written
/// as their integers; `bf16` as `f32`.
pub fn write_npz(tensors: &[(String, Tensor)]) -> io::Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // A fixed time makes equal outputs equal files.
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(true);
    for (name, t) in tensors {
        zip.start_file(format!("{name}.npy"), options).map_err(io::Error::other)?;
        write_npy(&mut zip, t)?;
    }
    Ok(zip.finish().map_err(io::Error::other)?.into_inner())
}

fn write_npy(w: &mut impl Write, t: &Tensor) -> io::Result<()> {
    let shape: Vec<u64> = t.shape.iter().map(|&d| d as u64).collect();
    macro_rules! write {
        ($t:ty) => {
            write_as::<$t>(w, &shape, t.data::<$t>().map_err(io::Error::other)?.iter().copied())
        };
    }
    match t.storage() {
        Storage::F32 => write!(f32),
        Storage::F16 => write!(half::f16),
        Storage::BF16 => write_as::<f32>(w, &shape, t.floats().map_err(io::Error::other)?.iter().copied()),
        Storage::I8 | Storage::I4 => write!(i8),
        Storage::U8 | Storage::U4 => write!(u8),
        Storage::I16 => write!(i16),
        Storage::U16 => write!(u16),
        Storage::I32 => write!(i32),
        Storage::I64 => write!(i64),
        Storage::Bool => {
            write_as::<bool>(w, &shape, t.data::<u8>().map_err(io::Error::other)?.iter().map(|&b| b != 0))
        }
    }
}

fn write_as<T: npyz::AutoSerialize>(
    w: &mut impl Write,
    shape: &[u64],
    data: impl Iterator<Item = T>,
) -> io::Result<()> {
    let mut npy = npyz::WriteOptions::<T>::new().default_dtype().shape(shape).writer(w).begin_nd()?;
    npy.extend(data)?;
    npy.finish()
}
