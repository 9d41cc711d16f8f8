//! [`KernelSupport`]: which ops a back end computes on integers, with which storages, ranges and schemes.
//!
//! For the runtime of this project it is derived from the kernel table (each kernel record yields an
//! [`OpSupport`]), so that "supported" and "implemented" cannot differ; for other engines it is written down as data.

use std::fmt;

use indexmap::IndexMap;
use quantir_ir::Storage;

use crate::mapping::is_a;

/// How an op takes part in quantization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Operand 0 is an activation, 1 a constant weight, 2 a constant bias or absent; the result has a quantization
    /// of its own.
    Weighted {
        /// The weight's axis of output channels.
        axis: u8,
    },
    /// All operands are activations; the result has a quantization of its own.
    Compute,
    /// Operand 0 is the activation; the result has a quantization of its own.
    Unary,
    /// As `Unary`, computed by a table of 256 entries.
    Table,
    /// Operand 0 is moved or selected from; the result has its quantization.
    Same,
    /// All operands are joined; they and the result share one quantization.
    Joined,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Weighted { .. } => "weighted",
            Role::Compute => "compute",
            Role::Unary => "unary",
            Role::Table => "table",
            Role::Same => "same",
            Role::Joined => "joined",
        }
    }
}

/// A storage with the widest range of integers accepted in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The storage.
    pub storage: Storage,
    /// Smallest and largest integer.
    pub range: (i64, i64),
}

impl Ends {
    /// The whole range of a storage.
    pub fn full(storage: Storage) -> Ends {
        Ends { storage, range: storage.int_range().unwrap_or((0, 0)) }
    }
    /// Whether integers of this storage and range are accepted.
    pub fn accepts(&self, storage: Storage, range: (i64, i64)) -> bool {
        self.storage == storage && self.range.0 <= range.0 && range.1 <= self.range.1
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}:{}]", self.storage, self.range.0, self.range.1)
    }
}

/// Which weights an op accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeightSupport {
    /// Storages with their widest ranges.
    pub integers: Vec<Ends>,
    /// Whether zero points other than 0 are accepted.
    pub zero_points: bool,
    /// Whether a scale for each output channel is accepted.
    pub per_channel: bool,
}

/// What a back end accepts for one op.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpSupport {
    /// The op's name in the text: `conv2d`.
    pub op: String,
    /// How it takes part.
    pub role: Role,
    /// Storages of activations (operands and result) with their widest ranges.
    pub activation: Vec<Ends>,
    /// Weights of `Role::Weighted`.
    pub weight: Option<WeightSupport>,
    /// Words of the fused activations that it applies, beside `none`.
    pub acts: Vec<String>,
    /// Why it is not supported at all, if so.
    pub refusal: Option<String>,
}

impl OpSupport {
    /// Support for 8-bit unsigned activations over their whole range, no fused activations.
    pub fn new(op: &str, role: Role) -> OpSupport {
        OpSupport {
            op: op.into(),
            role,
            activation: vec![Ends::full(Storage::U8)],
            weight: None,
            acts: Vec::new(),
            refusal: None,
        }
    }
    /// With these activation storages over their whole ranges.
    pub fn activation(mut self, storages: &[Storage]) -> Self {
        self.activation = storages.iter().map(|&s| Ends::full(s)).collect();
        self
    }
    /// With these weights.
    pub fn weight(mut self, weight: WeightSupport) -> Self {
        self.weight = Some(weight);
        self
    }
    /// With these fused activations.
    pub fn acts(mut self, acts: &[&str]) -> Self {
        self.acts = acts.iter().map(|a| a.to_string()).collect();
        self
    }
    /// Not supported, for this reason.
    pub fn refuse(mut self, reason: &str) -> Self {
        self.refusal = Some(reason.into());
        self
    }

    /// Why activations of this storage and range are not accepted, if so.
    pub fn check_activation(&self, storage: Storage, range: (i64, i64)) -> Result<(), String> {
        if let Some(r) = &self.refusal {
            return Err(r.clone());
        }
        if self.activation.iter().any(|e| e.accepts(storage, range)) {
            return Ok(());
        }
        Err(format!(
            "`{}` has no kernel for activations {storage}[{}:{}]; accepted: {}",
            self.op,
            range.0,
            range.1,
            join(&self.activation)
        ))
    }

    /// Why weights of this kind are not accepted, if so.
    pub fn check_weight(
        &self,
        storage: Storage,
        range: (i64, i64),
        zero_points: bool,
        per_channel: bool,
    ) -> Result<(), String> {
        let Some(w) = &self.weight else {
            return Err(format!("`{}` has no kernel for quantized weights", self.op));
        };
        if !w.integers.iter().any(|e| e.accepts(storage, range)) {
            return Err(format!(
                "`{}` has no kernel for weights {storage}[{}:{}]; accepted: {}",
                self.op,
                range.0,
                range.1,
                join(&w.integers)
            ));
        }
        if zero_points && !w.zero_points {
            return Err(format!(
                "`{}` has no kernel for weights with zero points; use a symmetric scheme",
                self.op
            ));
        }
        if per_channel && !w.per_channel {
            return Err(format!("`{}` has no kernel for weights with a scale for each channel", self.op));
        }
        Ok(())
    }

    /// Why the fused activation `act` is not applied, if so.
    pub fn check_act(&self, act: &str) -> Result<(), String> {
        if act == "none" || self.acts.iter().any(|a| a == act) {
            return Ok(());
        }
        Err(format!("the kernel of `{}` applies no `{act}`", self.op))
    }
}

fn join(all: &[Ends]) -> String {
    all.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ")
}

/// One line: `conv2d: weighted(0) u8[0:255] weight i8[-128:127] symmetric per_channel act relu,clip`.
impl fmt::Display for OpSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.role.word())?;
        if let Role::Weighted { axis } = self.role {
            write!(f, "({axis})")?;
        }
        if let Some(r) = &self.refusal {
            return write!(f, " refused: {r}");
        }
        write!(f, " {}", join(&self.activation))?;
        if let Some(w) = &self.weight {
            write!(f, " weight {}", join(&w.integers))?;
            f.write_str(if w.zero_points { " affine" } else { " symmetric" })?;
            f.write_str(if w.per_channel { " per_channel" } else { "" })?;
        }
        if !self.acts.is_empty() {
            write!(f, " act {}", self.acts.join(","))?;
        }
        Ok(())
    }
}

/// What a back end computes on integers; everything else stays float.
#[derive(Clone, PartialEq, Debug)]
pub struct KernelSupport {
    /// Its name, for messages.
    pub name: String,
    entries: IndexMap<String, OpSupport>,
}

/// Ops of one activation value that a table of 256 entries computes.
pub const TABLE_OPS: &[&str] = &[
    "relu",
    "clip",
    "leaky_relu",
    "hard_sigmoid",
    "hard_swish",
    "elu",
    "gelu",
    "sigmoid",
    "tanh",
    "softplus",
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "reciprocal",
    "erf",
    "floor",
    "ceil",
    "round",
];

/// Ops that move or select values of operand 0 and keep its quantization.
pub const SAME_OPS: &[&str] =
    &["max_pool", "reshape", "transpose", "slice", "split", "expand", "pad", "gather", "resize", "identity"];

impl KernelSupport {
    /// A back end from its records; a later record for the same op replaces an earlier one.
    pub fn from_entries(name: &str, entries: impl IntoIterator<Item = OpSupport>) -> KernelSupport {
        let entries = entries.into_iter().map(|e| (e.op.clone(), e)).collect();
        KernelSupport { name: name.into(), entries }
    }

    /// What the integer ops of the IR can express with 8-bit activations: the default until a kernel table says more exactly.
    pub fn native() -> KernelSupport {
        let weight =
            WeightSupport { integers: vec![Ends::full(Storage::I8)], zero_points: false, per_channel: true };
        let u8_i8 = [Storage::U8, Storage::I8];
        let fused = ["relu", "clip", "hard_swish"];
        let weighted =
            |op: &str| OpSupport::new(op, Role::Weighted { axis: 0 }).weight(weight.clone()).acts(&fused);
        let mut all: Vec<OpSupport> = ["conv1d", "conv2d", "conv3d", "linear"].map(weighted).to_vec();
        all.extend(
            ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
                .map(|op| OpSupport::new(op, Role::Weighted { axis: 1 }).weight(weight.clone()).acts(&fused)),
        );
        all.extend(["add", "mul"].map(|op| OpSupport::new(op, Role::Compute).acts(&fused)));
        all.extend(["mean", "avg_pool"].map(|op| OpSupport::new(op, Role::Unary)));
        all.push(OpSupport::new("concat", Role::Joined));
        all.extend(TABLE_OPS.iter().map(|op| OpSupport::new(op, Role::Table)));
        all.extend(SAME_OPS.iter().map(|op| OpSupport::new(op, Role::Same)));
        for e in &mut all {
            if e.weight.is_none() {
                e.activation = u8_i8.map(Ends::full).to_vec();
            }
        }
        KernelSupport::from_entries("native", all)
    }

    /// As [`KernelSupport::native`], with the habits of PyTorch's native back end: averages, `relu` and `clip` keep the
    /// quantization of their input, and no kernel applies `hard_swish`.
    pub fn pytorch() -> KernelSupport {
        let mut b = KernelSupport::native();
        b.name = "pytorch".into();
        for e in b.entries.values_mut() {
            if ["mean", "avg_pool", "relu", "clip"].contains(&e.op.as_str()) {
                e.role = Role::Same;
            }
            e.acts.retain(|a| a != "hard_swish");
        }
        b
    }

    /// What it accepts for an op of this name.
    pub fn get(&self, op: &str) -> Option<&OpSupport> {
        self.entries.get(op)
    }

    /// All records in order.
    pub fn entries(&self) -> impl Iterator<Item = &OpSupport> {
        self.entries.values()
    }

    /// Adds or replaces a record.
    pub fn set(&mut self, entry: OpSupport) -> &mut Self {
        self.entries.insert(entry.op.clone(), entry);
        self
    }

    /// Removes the records of an op or a family, which then stays float.
    pub fn remove(&mut self, op: &str) -> &mut Self {
        self.entries.retain(|name, _| !is_a(name, op));
        self
    }
}

/// One line for each op.
impl fmt::Display for KernelSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend {}", self.name)?;
        self.entries.values().try_for_each(|e| writeln!(f, "{e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_accepted() {
        let b = KernelSupport::native();
        let conv = b.get("conv2d").unwrap();
        assert!(conv.check_activation(Storage::U8, (0, 127)).is_ok());
        let e = conv.check_activation(Storage::I16, (0, 127)).unwrap_err();
        assert_eq!(e, "`conv2d` has no kernel for activations i16[0:127]; accepted: u8[0:255]");
        assert!(conv.check_weight(Storage::I8, (-127, 127), true, true).unwrap_err().contains("zero points"));
        assert!(b.get("conv_transpose2d").unwrap().check_activation(Storage::U8, (0, 255)).is_ok());
        assert_eq!(
            conv.to_string(),
            "conv2d: weighted(0) u8[0:255] weight i8[-128:127] symmetric per_channel act relu,clip,hard_swish"
        );
    }

    #[test]
    fn every_record_names_an_op() {
        for e in KernelSupport::native().entries() {
            assert!(quantir_ir::Op::all_names().any(|n| n == e.op), "{}", e.op);
        }
    }
}
