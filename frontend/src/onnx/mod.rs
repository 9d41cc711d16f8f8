//! Import of ONNX models.

mod contained;
pub mod ctx;
mod emit;
pub mod external;
mod fold;
pub mod import;
pub mod node;
pub mod ops;
pub mod order;
pub mod path;
#[allow(missing_docs)]
pub mod proto;
pub mod scan;
pub mod schema;
pub mod symbols;
pub mod tensor;

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use quantir_ir::Graph;

pub use import::{Imported, OPSETS, Options};

use crate::{Error, Limits};
use external::Folder;
use proto::ModelProto;

/// Reads the model at `path` into a graph of phase `float` (`reference` if the file is quantized). Weights stay views of
/// the mapped file; external data is looked for in the folder of the model and nowhere else.
pub fn import(path: &Path, limits: &Limits) -> Result<Graph, Error> {
    let options = Options { limits: limits.clone(), ..Options::default() };
    Ok(import_with(path, &options)?.graph)
}

/// As `import`, with options, and with what was changed on the way.
pub fn import_with(path: &Path, options: &Options) -> Result<Imported, Error> {
    import_bytes(crate::map::map_path(path)?, path.parent(), options)
}

/// Reads a model from memory; `folder` is where its external data lies.
pub fn import_bytes(bytes: Bytes, folder: Option<&Path>, options: &Options) -> Result<Imported, Error> {
    let model = decode(bytes, &options.limits)?;
    let folder = if has_external_data(&model) { folder.map(Folder::open).transpose()? } else { None };
    import::import_model(&model, folder, options)
}

/// Decodes a model after checking that its bytes are well formed and within the limits.
pub fn decode(bytes: Bytes, limits: &Limits) -> Result<ModelProto, Error> {
    scan::scan(&bytes, limits)?;
    ModelProto::decode(bytes).map_err(|e| Error::NotOnnx { offset: 0, reason: e.to_string() })
}

/// Whether any tensor of the graph, attributes included, lies outside the file.
fn has_external_data(model: &ModelProto) -> bool {
    let Some(graph) = &model.graph else { return false };
    let attributes = graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.t.as_deref());
    graph.initializer.iter().chain(attributes).any(|t| !t.external_data.is_empty())
}
