//! What is wanted of one call: how its arguments and its result are to be observed (`target_dtype_info`).

use quantir_quant::{DType, ObserverTemplate, QConfig};

use crate::fx::support::dtype;
use crate::prelude::*;

/// What is wanted of one call; templates that are missing stand for what is no float tensor.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub input: Option<ObserverTemplate>,
    pub weight: Option<ObserverTemplate>,
    pub bias: Option<ObserverTemplate>,
    pub output: Option<ObserverTemplate>,
    /// The qconfig says that the result takes the observer of the input (`default_reuse_input_qconfig`).
    pub reuse: bool,
    /// The pattern says so.
    pub share: bool,
    /// A standalone module observes its result itself.
    pub standalone: bool,
}

impl Target {
    /// Nothing is quantized.
    pub fn float() -> Target {
        let float = Some(float32());
        Target {
            input: float.clone(),
            weight: float.clone(),
            bias: float.clone(),
            output: float,
            reuse: false,
            share: false,
            standalone: false,
        }
    }

    /// No float tensor takes part.
    pub fn nothing() -> Target {
        Target { input: None, output: None, ..Target::float() }
    }

    /// What comes in as quantized `u8` already.
    pub fn quantized() -> Target {
        let u8s = Some(placeholder(Storage::U8));
        Target { input: u8s.clone(), output: u8s, ..Target::float() }
    }

    /// What `qconfig` asks for.
    pub fn of(qconfig: &QConfig, share: bool, standalone: bool) -> Target {
        let (act, dynamic) = dtype(Some(&qconfig.activation));
        let weight = dtype(Some(&qconfig.weight)).0;
        let half = (act, weight, dynamic) == (Some(DType::Float16), Some(DType::Float16), false);
        Target {
            input: Some(qconfig.activation.clone()),
            weight: Some(qconfig.weight.clone()),
            bias: Some(placeholder(if half { Storage::F16 } else { Storage::F32 })),
            output: Some(qconfig.activation.clone()),
            reuse: qconfig.activation.kind == "reuse_input",
            share,
            standalone,
        }
    }
}

fn float32() -> ObserverTemplate {
    placeholder(Storage::F32)
}

fn placeholder(s: Storage) -> ObserverTemplate {
    ObserverTemplate::new("placeholder", s).no_range()
}

/// Whether tensors of this dtype are observed at all.
fn observable(d: DType) -> bool {
    use DType::*;
    matches!(d, QUint8 | QInt8 | QInt32 | Float16 | UInt8 | Int8 | Int16 | Int32)
}

/// Whether an observer is needed between a producer of `from` and a consumer of `to`.
///
/// Of a dynamic consumer only argument 0 is quantized.
pub(crate) fn needs(
    from: Option<&ObserverTemplate>,
    to: Option<&ObserverTemplate>,
    reuse: bool,
    zeroth: bool,
) -> bool {
    let ((from, _), (to, dynamic)) = (dtype(from), dtype(to));
    let Some(to) = to.filter(|&t| observable(t)) else { return false };
    if dynamic {
        return from.is_some() && zeroth;
    }
    !reuse && from.is_some_and(|f| (observable(f) || f == DType::Float32) && f != to)
}
