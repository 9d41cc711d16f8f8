//! What can go wrong at the façade: the errors of all crates, with the user's next step.

use std::path::PathBuf;

use quantir_ir::{Diag, Reason};

/// Any error of quantir's façade.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model cannot be imported, loaded or saved.
    #[error(transparent)]
    Model(#[from] quantir_frontend::Error),
    /// Data does not fit the model.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A graph's text or structure is wrong; rendered with the text it refers to.
    #[error("{0}")]
    Diags(String),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] quantir_passes::Error),
    /// A quantization setting is wrong.
    #[error(transparent)]
    Quant(#[from] quantir_quant::Error),
    /// Running failed.
    #[error(transparent)]
    Runtime(#[from] quantir_runtime::RuntimeError),
    /// Planning failed.
    #[error(transparent)]
    Plan(#[from] quantir_runtime::PlanError),
    /// Interpreting failed.
    #[error(transparent)]
    Interp(#[from] quantir_ir::interp::ExecError),
    /// A file cannot be read or written.
    #[error("cannot access {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A label names no class.
    #[error("{path}: label {label} of sample {sample} names none of the {classes} classes\n  help: labels go from 0 to {last}", path = path.display(), last = classes.saturating_sub(1))]
    Label {
        /// The data.
        path: PathBuf,
        /// Number of the sample, from 0.
        sample: usize,
        /// Its label.
        label: i64,
        /// Number of classes of the model.
        classes: usize,
    },
    /// A model with a fixed batch was given another number of samples, and an output has no batch axis.
    #[error(
        "the model fixes a batch of {batch}, {rows} samples were given, and an output has no batch axis to join on\n  help: give exactly {batch} samples"
    )]
    Unbatched {
        /// Samples given.
        rows: usize,
        /// Batch of the model.
        batch: usize,
    },
    /// Two tensors did not fit.
    #[error("{0}")]
    Tensor(#[from] Reason),
    /// A request that makes no sense; message and help.
    #[error("{0}\n  help: {1}")]
    Usage(String, String),
}

impl From<Diag> for Error {
    fn from(d: Diag) -> Error {
        Error::Diags(d.to_string())
    }
}
