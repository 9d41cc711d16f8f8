//! What can go wrong at the façade: the errors of all crates, with the user's next step.

use std::path::PathBuf;

use quantir_ir::{Diag, Reason, Severity};

/// Any error of quantir's façade.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model cannot be imported, loaded or saved.
    #[error(transparent)]
    Model(#[from] quantir_frontend::Error),
    /// Data does not fit the model.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Something is wrong with a graph, a recipe or a request; shown with the text it refers to.
    #[error("{text}")]
    Diags {
        /// What is wrong.
        diags: Vec<Diag>,
        /// The same for a terminal.
        text: String,
    },
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
        Error::Diags { text: d.to_string(), diags: vec![d] }
    }
}

impl Error {
    /// Diagnostics of a text, rendered with it.
    pub fn of_text(diags: Vec<Diag>, file: &str, source: &str) -> Error {
        let text = quantir_ir::render(&diags, Some((file, source)), false);
        Error::Diags { diags, text }
    }

    /// The error as diagnostics: those that it holds, else one made from its message and help.
    pub fn diags(&self) -> Vec<Diag> {
        use quantir_runtime::{PlanError, RuntimeError};
        match self {
            Error::Diags { diags, .. } => diags.clone(),
            Error::Interp(e) => vec![e.diag().clone()],
            Error::Quant(quantir_quant::Error::Text(diags)) => diags.clone(),
            Error::Runtime(RuntimeError::Step(d) | RuntimeError::Plan(PlanError::Node(d)))
            | Error::Plan(PlanError::Node(d)) => vec![d.clone()],
            Error::Tensor(r) => vec![r.clone().diag("tensor")],
            Error::Usage(message, help) => vec![Diag::error("usage", message).help(help)],
            Error::Pass(e) if !e.diags().is_empty() => e.diags().to_vec(),
            _ => vec![self.plain()],
        }
    }

    /// One diagnostic from what the error shows.
    fn plain(&self) -> Diag {
        let code = match self {
            Error::Model(_) => "model",
            Error::Data(_) | Error::Label { .. } | Error::Unbatched { .. } => "data",
            Error::Io { .. } => "io",
            Error::Pass(_) => "pass",
            Error::Quant(_) => "quant",
            _ => "run",
        };
        let shown = self.to_string();
        match shown.split_once("help: ") {
            Some((message, help)) => Diag::error(code, message.trim()).help(help.trim()),
            None => Diag::error(code, shown),
        }
    }

    /// For programs: an object `{"errors": [...]}` with code, severity, message, place, notes and help of each diagnostic; what is
    /// not known is `null`.
    pub fn to_json(&self) -> serde_json::Value {
        let all: Vec<serde_json::Value> = self.diags().iter().map(json).collect();
        serde_json::json!({ "errors": all })
    }
}

fn json(d: &Diag) -> serde_json::Value {
    let severity = match d.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let labels: Vec<serde_json::Value> = d
        .labels
        .iter()
        .map(|l| serde_json::json!({ "start": l.start, "end": l.end, "text": l.text }))
        .collect();
    serde_json::json!({
        "code": d.code,
        "severity": severity,
        "message": d.message,
        "module": d.path,
        "source": d.span.as_ref().map(|s| s.to_string()),
        "labels": labels,
        "notes": d.notes,
        "help": d.help,
    })
}
