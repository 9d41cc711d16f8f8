//! Parameters of traced models: a state dict, or seeded initialization.

use std::path::Path;

use bytes::Bytes;
use indexmap::IndexMap;
use quantir_ir::diag::did_you_mean;
use quantir_ir::ops::constant::splitmix64;
use quantir_ir::types::Elem;
use quantir_ir::{Diag, Reason, Shape, Storage, Tensor};
use safetensors::{Dtype, SafeTensors};

use crate::Error;

/// How a parameter is made when there is no state dict.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// The same number everywhere.
    Fill(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform(f32),
    /// Normal with mean 0 and deviation 1.
    Normal,
}

/// The parameters of a model by name, as `torch.save(model.state_dict())` holds them.
#[derive(Clone, Debug)]
pub struct Weights {
    tensors: Option<IndexMap<String, Tensor>>,
    taken: Vec<String>,
    seed: u64,
    strict: bool,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights::seeded(0)
    }
}

impl Weights {
    /// No state dict: parameters are initialized with the distributions of PyTorch, from `seed` and their own name.
    pub fn seeded(seed: u64) -> Weights {
        Weights { tensors: None, taken: Vec::new(), seed, strict: true }
    }

    /// Tensors by name.
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Weights {
        Weights { tensors: Some(tensors.into_iter().collect()), ..Weights::seeded(0) }
    }

    /// A state dict in a safetensors file. Fails if it cannot be read or holds an element type that the IR has not.
    pub fn from_safetensors(path: &Path) -> Result<Weights, Error> {
        let bytes = crate::map::map_path(path)?;
        Weights::from_safetensors_bytes(bytes, &path.display().to_string())
    }

    /// As [`Weights::from_safetensors`] from memory; `place` names it in messages.
    pub fn from_safetensors_bytes(bytes: Bytes, place: &str) -> Result<Weights, Error> {
        let bad = |reason: String, help: &str| Error::invalid(place, reason, help);
        let file = SafeTensors::deserialize(&bytes).map_err(|e| {
            bad(
                format!("no safetensors file: {e}"),
                "write it with `safetensors.torch.save_file(model.state_dict(), …)`",
            )
        })?;
        let mut tensors = IndexMap::new();
        for (name, view) in file.iter() {
            let storage = match view.dtype() {
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
                // PyTorch keeps float64 only where the author asked for it; the IR computes in f32.
                Dtype::F64 => {
                    let data: Vec<f32> = view
                        .data()
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .map(|b| f64::from_le_bytes(*b) as f32)
                        .collect();
                    let t = Tensor::new(view.shape(), data)
                        .map_err(|r| bad(r.message, "write the file again"))?;
                    tensors.insert(name.to_owned(), t);
                    continue;
                }
                other => {
                    return Err(bad(
                        format!("tensor `{name}` has elements of type {other:?}"),
                        "convert it to float32 before saving",
                    ));
                }
            };
            let at = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let data = bytes.slice(at..at + view.data().len());
            let t = Tensor::from_bytes(Elem::Plain(storage), view.shape(), data)
                .map_err(|r| bad(r.message, "write the file again"))?;
            tensors.insert(name.to_owned(), t);
        }
        Ok(Weights::from_tensors(tensors))
    }

    /// Whether tensors that no module asks for are errors, as `load_state_dict(strict=True)` has it; they are unless this says no.
    pub fn strict(mut self, strict: bool) -> Weights {
        self.strict = strict;
        self
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().flat_map(|t| t.keys().map(String::as_str))
    }
    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.as_ref()?.get(name)
    }

    /// The parameter `name`, which must have `shape`.
    pub(super) fn take(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, Reason> {
        let Some(tensors) = &self.tensors else {
            return Ok(made(self.seed, name, shape, init));
        };
        let Some(t) = tensors.get(name) else {
            let reason = Reason::new(format!("parameter `{name}` is missing in the state dict"));
            let free = tensors.keys().map(String::as_str).filter(|k| !self.taken.iter().any(|t| t == k));
            return Err(match did_you_mean(name, free) {
                Some(k) => reason.help(format!("did you mean `{k}`? call the module by that name")),
                None => reason.help("call modules by the names of the fields that hold them in PyTorch"),
            });
        };
        self.taken.push(name.into());
        if t.shape != shape {
            return Err(Reason::new(format!(
                "parameter `{name}` is {} in the state dict, the module needs {}",
                Shape::of(&t.shape),
                Shape::of(shape)
            ))
            .help("construct the module with the sizes of the saved model"));
        }
        Ok(t.clone())
    }

    /// What is there but was not asked for.
    pub(super) fn unexpected(&self) -> Vec<Diag> {
        if !self.strict {
            return Vec::new();
        }
        self.names()
            .filter(|n| !n.ends_with("num_batches_tracked") && !self.taken.iter().any(|t| t == n))
            .map(|n| {
                Diag::error(
                    "weights",
                    format!("`{n}` of the state dict belongs to no module that was called"),
                )
                .help("call the module by its name, or load with `Weights::strict(false)`")
            })
            .collect()
    }
}

/// A parameter from a seed and its name, so that it does not depend on the order of calls.
fn made(seed: u64, name: &str, shape: &[usize], init: Init) -> Tensor {
    let mut state = name
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    // The upper 24 bits: as many as an f32 holds exactly.
    let mut unit = || (splitmix64(&mut state) >> 40) as f32 / (1u32 << 24) as f32;
    let n: usize = shape.iter().product();
    let data = match init {
        Init::Zeros => vec![0.0; n],
        Init::Ones => vec![1.0; n],
        Init::Fill(x) => vec![x; n],
        Init::Uniform(bound) => (0..n).map(|_| (2.0 * unit() - 1.0) * bound).collect(),
        // Box and Muller's method; 1 - u is never 0.
        Init::Normal => (0..n)
            .map(|_| (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f32::consts::TAU * unit()).cos())
            .collect(),
    };
    Tensor::f32(shape, data)
}
