//! Every kernel as one record.
//!
//! The records decide which kernel a plan uses, and what a back end that runs on this crate supports: both read
//! the same data. Choosing is a pure function of the op, the types and the allowed tier.

use quantir_ir::{Op, QParams, Storage, Type};
use smallvec::SmallVec;

use crate::isa::Isa;
use crate::plan::LayoutRule;
use crate::steps::{Built, Site};

/// Which quantizations an operand or result may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain numbers.
    Plain,
    /// One scale and zero point.
    PerTensor,
    /// One scale and zero point, or one for each index of axis 0.
    PerChannel,
    /// One scale and zero point, or one for each index of axis 1.
    PerColumn,
    /// The product of an activation's and a weight's quantization, or plain floats.
    Bias,
    /// Anything, plain or quantized.
    Any,
}

/// What an operand or result may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accept {
    /// Storages; empty means all.
    pub storages: &'static [Storage],
    /// Quantizations.
    pub scheme: Scheme,
    /// Whether it must be a constant.
    pub constant: bool,
}

/// Activations that a kernel can fuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fuses {
    /// None.
    Nothing,
    /// `relu` and `clip`.
    Clamp,
    /// `relu`, `clip` and `hard_swish`.
    Any,
}

/// A kernel as data.
pub struct KernelRecord {
    /// Name in printed plans.
    pub name: &'static str,
    /// Names of the ops that it computes.
    pub ops: &'static [&'static str],
    /// Operands by slot; the last one stands for all further ones.
    pub operands: &'static [Accept],
    /// Results; the last one stands for all further ones.
    pub results: &'static [Accept],
    /// Activations.
    pub fuses: Fuses,
    /// Tiers that it is written for, all with equal results.
    pub isas: &'static [Isa],
    /// Among kernels that fit, the highest wins.
    pub preference: u32,
    /// Whether results have the same bits as the interpreter's.
    pub exact: bool,
    /// What it asks of layouts.
    pub layout: LayoutRule,
    /// Whether it may read row-major and write channels-last.
    pub relayouts: bool,
    /// Conditions beyond the types of single operands; the reason says what is not met.
    pub(crate) check: fn(&Op, &[Option<&Type>], &[&Type]) -> Result<(), String>,
    /// Binds the kernel to shapes and weights.
    pub(crate) build: fn(&Site) -> Result<Built, String>,
}

/// All kernels. An op without a fitting record runs by the interpreter's `eval`.
pub fn records() -> &'static [KernelRecord] {
    crate::steps::RECORDS
}

/// Whether a kernel other than the interpreter's `eval` computes `op` on these operand and result types.
///
/// The reason is that of the kernel that comes nearest.
pub fn supports(op: &Op, ins: &[Option<&Type>], outs: &[&Type]) -> Result<(), String> {
    choose(op, ins, outs, Isa::ALL[Isa::ALL.len() - 1], false).map(drop)
}

/// The preferred record that fits; `exact` leaves only kernels with the bits of the interpreter.
pub fn choose(
    op: &Op,
    ins: &[Option<&Type>],
    outs: &[&Type],
    limit: Isa,
    exact: bool,
) -> Result<&'static KernelRecord, String> {
    candidates(op, ins, outs, limit, exact).map(|all| all[0])
}

/// All records that fit, the preferred ones first; never empty.
///
/// A kernel may still refuse the contents or the dimensions that only a plan knows; the next one serves then.
pub fn candidates(
    op: &Op,
    ins: &[Option<&Type>],
    outs: &[&Type],
    limit: Isa,
    exact: bool,
) -> Result<SmallVec<[&'static KernelRecord; 2]>, String> {
    let name = op.name();
    let mut fitting = SmallVec::new();
    let mut reason = None;
    for record in records().iter().filter(|r| r.ops.contains(&name)) {
        match record.accepts(op, ins, outs, limit, exact) {
            Ok(()) => fitting.push(record),
            Err(r) => reason = reason.or(Some(r)),
        }
    }
    fitting.sort_by_key(|r: &&KernelRecord| std::cmp::Reverse(r.preference));
    match fitting.is_empty() {
        false => Ok(fitting),
        true => Err(reason.unwrap_or_else(|| format!("there is no kernel for `{name}`"))),
    }
}

impl KernelRecord {
    /// Whether this kernel fits, and why not.
    pub fn accepts(
        &self,
        op: &Op,
        ins: &[Option<&Type>],
        outs: &[&Type],
        limit: Isa,
        exact: bool,
    ) -> Result<(), String> {
        let name = self.name;
        if exact && !self.exact {
            return Err(format!("`{name}` may round differently from the interpreter"));
        }
        if !self.isas.iter().any(|isa| *isa <= limit) {
            return Err(format!("`{name}` needs more than `{limit}`"));
        }
        for (i, ty) in ins.iter().enumerate() {
            let Some(ty) = ty else { continue };
            let accept = self.operands.get(i).or(self.operands.last());
            accept.map_or(Ok(()), |a| a.check(ty)).map_err(|r| format!("`{name}`: operand {} {r}", i + 1))?;
        }
        for ty in outs {
            let accept = self.results.last();
            accept.map_or(Ok(()), |a| a.check(ty)).map_err(|r| format!("`{name}`: the result {r}"))?;
        }
        let act = act_of(op);
        let fused = match self.fuses {
            Fuses::Any => act.is_none_or(|a| a.bounds().is_some() || *a == quantir_ir::ops::Act::HardSwish),
            Fuses::Clamp => act.is_none_or(|a| a.bounds().is_some()),
            Fuses::Nothing => act.is_none_or(|a| *a == quantir_ir::ops::Act::None),
        };
        if !fused {
            return Err(format!("`{name}` does not fuse the activation"));
        }
        (self.check)(op, ins, outs).map_err(|r| format!("`{name}`: {r}"))
    }
}

impl Accept {
    /// Why the type is not accepted, as the rest of a sentence.
    fn check(&self, ty: &Type) -> Result<(), String> {
        let s = ty.elem.storage();
        if !self.storages.is_empty() && !self.storages.contains(&s) {
            let known: Vec<String> = self.storages.iter().map(|s| format!("`{s}`")).collect();
            return Err(format!("is `{s}`, expected {}", known.join(" or ")));
        }
        let quant = ty.elem.quant();
        let ok = match self.scheme {
            Scheme::Any => true,
            Scheme::Plain => quant.is_none(),
            Scheme::PerTensor => quant.is_some_and(|q| matches!(q.params, QParams::Tensor { .. })),
            Scheme::PerChannel => quant
                .is_some_and(|q| matches!(q.params, QParams::Tensor { .. } | QParams::Axis { axis: 0, .. })),
            Scheme::PerColumn => quant
                .is_some_and(|q| matches!(q.params, QParams::Tensor { .. } | QParams::Axis { axis: 1, .. })),
            Scheme::Bias => match quant {
                Some(q) => matches!(q.params, QParams::Product(..)),
                None => s == Storage::F32,
            },
        };
        if ok { Ok(()) } else { Err(format!("must be {}", self.scheme.words())) }
    }
}

impl Scheme {
    /// In words, as the rest of "must be …".
    pub fn words(self) -> &'static str {
        match self {
            Scheme::Plain => "plain",
            Scheme::PerTensor => "quantized per tensor",
            Scheme::PerChannel => "quantized per tensor or per output channel",
            Scheme::PerColumn => "quantized per tensor or per output channel of a group",
            Scheme::Bias => "quantized as the product of input and weight, or plain floats",
            Scheme::Any => "anything",
        }
    }
}

/// The activation that the op fuses.
pub(crate) fn act_of(op: &Op) -> Option<&quantir_ir::ops::Act> {
    Some(match op {
        Op::Conv(o) => &o.act,
        Op::ConvTranspose(o) => &o.act,
        Op::Linear(o) => &o.act,
        Op::Add(o) => &o.act,
        Op::Mul(o) => &o.act,
        Op::Qconv(o) => &o.act,
        Op::QconvTranspose(o) => &o.act,
        Op::QbatchNorm(o) => &o.act,
        Op::Qlinear(o) => &o.act,
        Op::Qadd(o) => &o.act,
        Op::Qmul(o) => &o.act,
        _ => return None,
    })
}
