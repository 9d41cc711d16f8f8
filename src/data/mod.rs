//! Data sets: arrays in `.npz` files or folders of `.npy` files, read batch by batch.
//!
//! Only the batch in use is in memory, so a large calibration set costs no more memory than a small one.

mod array;
mod normalize;
mod write;

use std::path::{Path, PathBuf};

use quantir_ir::{Dim, Graph, Tensor, Type, ValueId};

pub use array::ArrayFile;
pub use normalize::Normalize;
pub use write::write_npz;

use array::{Kind, open_folder, open_npz};

/// Why data cannot serve a model. Messages name the place and the cure.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file system refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("{path} is not a readable array file: {reason}\n  help: write it with numpy.savez or numpy.save, C order, little endian", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The arrays do not fit the model.
    #[error("{path}: {reason}\n  help: {help}", path = path.display())]
    Mismatch {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        help: String,
    },
}

/// The samples of a model's inputs, with labels if the data has them.
pub struct Dataset {
    path: PathBuf,
    inputs: Vec<Source>,
    labels: Option<Vec<i64>>,
    samples: usize,
    normalize: Normalize,
}

/// One input's arrays and how they become its tensors.
struct Source {
    name: String,
    ty: Type,
    /// One array with all samples on its first axis, or one array for each sample.
    arrays: Vec<ArrayFile>,
    /// Whether each array is one sample.
    per_sample: bool,
    /// Dimensions of one sample as the model wants them.
    sample: Vec<usize>,
}

impl Dataset {
    /// Opens the data for the inputs of `g`: an `.npz` whose arrays carry the inputs' names, with samples on the
    /// first axis and optional `labels`; or a folder of `.npy` files, either named after the inputs or, for a model
    /// with one input, one file for each sample in the order of their names.
    ///
    /// `normalize` is applied to inputs of floating-point type.
    pub fn open(path: &Path, g: &Graph, normalize: Normalize) -> Result<Dataset, DataError> {
        let meta = std::fs::metadata(path).map_err(|source| DataError::Io { path: path.into(), source })?;
        let arrays = if meta.is_dir() { open_folder(path)? } else { open_npz(path)? };
        let mismatch = |reason: String, help: String| DataError::Mismatch { path: path.into(), reason, help };

        let names: Vec<String> = g.inputs().iter().map(|&v| g.name_of(v).to_string()).collect();
        let per_sample = meta.is_dir() && names.len() == 1 && !arrays.contains_key(&names[0]);
        let mut inputs = Vec::new();
        let mut samples = None;
        for (&v, name) in g.inputs().iter().zip(&names) {
            let found: Vec<ArrayFile> = if per_sample {
                arrays.iter().filter(|(n, _)| *n != "labels").map(|(_, a)| a.clone()).collect()
            } else {
                arrays.get(name).cloned().into_iter().collect()
            };
            if found.is_empty() {
                let there: Vec<&str> = arrays.keys().map(String::as_str).collect();
                return Err(mismatch(
                    format!("no array for the model's input `{name}`"),
                    format!(
                        "the file holds: {}; name an array `{name}`",
                        if there.is_empty() { "nothing".into() } else { there.join(", ") }
                    ),
                ));
            }
            let (source, n) = Source::new(g, v, name, found, per_sample)
                .map_err(|(reason, help)| mismatch(reason, help))?;
            match samples {
                Some((m, ref first)) if m != n => {
                    return Err(mismatch(
                        format!("`{name}` has {n} samples but `{first}` has {m}"),
                        "give every input the same number of samples on the first axis".into(),
                    ));
                }
                _ => samples = Some((n, name.clone())),
            }
            inputs.push(source);
        }
        let samples = samples.map_or(0, |s| s.0);
        if samples == 0 {
            return Err(mismatch("the data holds no samples".into(), "give at least one sample".into()));
        }
        let labels = match arrays.get("labels") {
            Some(a) if !names.iter().any(|n| n == "labels") => {
                Some(read_labels(a, samples).map_err(|(r, h)| mismatch(r, h))?)
            }
            _ => None,
        };
        Ok(Dataset { path: path.into(), inputs, labels, samples, normalize })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }
    /// The label of each sample, if the data has an array `labels`.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }
    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Keeps the first `n` samples.
    pub fn truncate(&mut self, n: usize) {
        self.samples = self.samples.min(n);
        if let Some(l) = &mut self.labels {
            l.truncate(n);
        }
    }

    /// The tensors of samples `start..start + count`, one for each input, with `count` as first dimension.
    pub fn batch(&self, start: usize, count: usize) -> Result<Vec<Tensor>, DataError> {
        self.inputs.iter().map(|s| s.read(start, count, &self.normalize, &self.path)).collect()
    }
}

impl Source {
    /// The source and its number of samples, or reason and help.
    fn new(
        g: &Graph,
        v: ValueId,
        name: &str,
        arrays: Vec<ArrayFile>,
        per_sample: bool,
    ) -> Result<(Source, usize), (String, String)> {
        let ty = g.ty(v).clone();
        if ty.rank() == 0 {
            return Err((
                format!("input `{name}` is a scalar; data sets need a batch axis"),
                "give the input a batch axis in the model".into(),
            ));
        }
        let wanted: Vec<&Dim> = ty.shape.0.iter().skip(1).collect();
        let mut sample = None;
        for a in &arrays {
            let given: &[usize] = if per_sample { &a.shape } else { a.shape.get(1..).unwrap_or(&[]) };
            let dims = fit(given, &wanted).ok_or_else(|| {
                let want: Vec<String> = ty.shape.0.iter().map(|d| d.to_string()).collect();
                (
                    format!("array `{name}` has shape {:?}, the model wants [{}]", a.shape, want.join(",")),
                    if per_sample {
                        "each file holds one sample without the batch axis".to_string()
                    } else {
                        "samples lie on the first axis, and the other axes are those of the model".to_string()
                    },
                )
            })?;
            if sample.get_or_insert(dims.clone()) != &dims {
                return Err((
                    format!("samples of `{name}` differ in shape: {dims:?} and {sample:?}"),
                    "give all samples one shape".into(),
                ));
            }
        }
        let n = if per_sample { arrays.len() } else { arrays[0].shape.first().copied().unwrap_or(0) };
        let sample = sample.unwrap_or_default();
        Ok((Source { name: name.into(), ty, arrays, per_sample, sample }, n))
    }

    fn read(
        &self,
        start: usize,
        count: usize,
        normalize: &Normalize,
        path: &Path,
    ) -> Result<Tensor, DataError> {
        let mut shape = vec![count];
        shape.extend(&self.sample);
        let per_sample: usize = self.sample.iter().product();
        let mut floats = Vec::new();
        let mut ints = Vec::new();
        let float = self.ty.elem.storage().is_float();
        let pieces: Vec<(&ArrayFile, usize, usize)> = if !self.per_sample {
            vec![(&self.arrays[0], start * per_sample, count * per_sample)]
        } else {
            self.arrays[start..start + count].iter().map(|a| (a, 0, per_sample)).collect()
        };
        for (a, at, n) in pieces {
            let io = |source| DataError::Io { path: path.into(), source };
            if float {
                a.read_floats(at, n, &mut floats).map_err(io)?;
            } else {
                a.read_ints(at, n, &mut ints).map_err(io)?;
            }
        }
        let made = if float {
            normalize.apply(&mut floats, &shape);
            Ok(Tensor::f32(&shape, floats))
        } else {
            Tensor::from_ints(self.ty.elem.clone(), &shape, &ints)
        };
        made.map_err(|r| DataError::Mismatch {
            path: path.into(),
            reason: format!("array `{}`: {r}", self.name),
            help: format!("the model's input `{}` has type {}", self.name, self.ty),
        })
    }
}

/// The dimensions of one sample if `given` fits `wanted`; axes of length 1 may be missing in the data.
fn fit(given: &[usize], wanted: &[&Dim]) -> Option<Vec<usize>> {
    let mut out = Vec::new();
    let mut rest = given;
    let spare = wanted.len().checked_sub(given.len())?;
    let mut inserted = 0;
    for d in wanted {
        match (d.as_lit(), rest.first()) {
            (Some(1), first)
                if inserted < spare && (first != Some(&1) || rest.len() < wanted.len() - out.len()) =>
            {
                inserted += 1;
                out.push(1);
            }
            (Some(n), Some(&g)) if g as i64 == n => {
                out.push(g);
                rest = &rest[1..];
            }
            (None, Some(&g)) => {
                out.push(g);
                rest = &rest[1..];
            }
            _ => return None,
        }
    }
    rest.is_empty().then_some(out)
}

fn read_labels(a: &ArrayFile, samples: usize) -> Result<Vec<i64>, (String, String)> {
    let n: usize = a.shape.iter().product();
    if a.kind == Kind::Float || n != samples {
        return Err((
            format!("`labels` has shape {:?} for {samples} samples", a.shape),
            "give one integer label for each sample".into(),
        ));
    }
    let mut out = Vec::new();
    a.read_ints(0, n, &mut out)
        .map_err(|e| (format!("`labels` cannot be read: {e}"), "check the file".into()))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_length_one_may_be_left_out_of_the_data() {
        let (one, n8, f) = (Dim::lit(1), Dim::lit(8), Dim::sym("T"));
        assert_eq!(fit(&[8, 8], &[&one, &n8, &n8]), Some(vec![1, 8, 8]));
        assert_eq!(fit(&[1, 8, 8], &[&one, &n8, &n8]), Some(vec![1, 8, 8]));
        assert_eq!(fit(&[8, 5], &[&n8, &f]), Some(vec![8, 5]));
        assert_eq!(fit(&[7, 8], &[&one, &n8, &n8]), None);
        assert_eq!(fit(&[8], &[&n8, &n8]), None);
    }
}
