//! Files: models in and out.

use std::io::Write;
use std::path::Path;

use quantir_frontend::{Limits, model_file, onnx, write_atomically};
use quantir_ir::{Graph, text, verify};

use crate::error::Error;

/// Loads a model of any phase: `.onnx`, `.qir.safetensors` (memory-mapped), or `.qir` text.
///
/// The graph is verified; diagnostics of a text carry its lines.
pub fn load(path: &Path) -> Result<Graph, Error> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("onnx") => Ok(onnx::import(path, &Limits::default())?),
        Some("safetensors") => Ok(model_file::load(path)?),
        Some("qir") => {
            let source =
                std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
            let name = path.display().to_string();
            let options = text::Options { file: &name, ..text::Options::default() };
            verify::verify_text(&source, &options).map_err(|diags| Error::of_text(diags, &name, &source))
        }
        _ => Err(Error::Usage(
            format!("{} is no model file that qir knows", path.display()),
            "models end in .onnx, .qir.safetensors or .qir".into(),
        )),
    }
}

/// Saves a graph with its constants as `.qir.safetensors`, whole or not at all; a path that ends in `.qir` gets the
/// text alone.
pub fn save(g: &Graph, path: &Path) -> Result<(), Error> {
    if path.extension().is_some_and(|e| e == "qir") {
        return write_whole(path, text::print(g).as_bytes());
    }
    Ok(model_file::save(g, path)?)
}

/// Writes bytes to a file, whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(write_atomically(path, |w: &mut dyn Write| w.write_all(bytes))?)
}

/// Fails early if `path` cannot be written, or is one of `inputs`, which no command may change.
pub fn check_output<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), Error> {
    let same = |p: &Path| matches!((p.canonicalize(), path.canonicalize()), (Ok(x), Ok(y)) if x == y);
    if inputs.into_iter().any(same) {
        return Err(Error::Usage(
            format!("the output {} is one of the inputs", path.display()),
            "choose another name for it".into(),
        ));
    }
    check_writable(path)
}

/// Fails if the folder of `path` is missing or refuses new files, or `path` is a folder.
fn check_writable(path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.into(), source };
    if path.is_dir() {
        return Err(io(std::io::Error::other("it is a folder")));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(io)
}
