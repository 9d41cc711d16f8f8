//! What the steps of a plan do: kernels bound to shapes, weights and layouts.

mod conv_f32;
mod convert;
mod elementwise;
pub(crate) mod fallback;
mod linear_f32;
mod logic;
mod movement;
mod normal;
mod pool;
mod qbinary;
mod qconv;
mod quantized;
mod records;
pub(crate) mod relayout;
mod shape;
mod strided;

use quantir_ir::{Op, Reason, Tensor};
use smallvec::SmallVec;

use crate::isa::Isa;
use crate::par::Par;
use crate::plan::{Layout, Shaped};
pub(crate) use records::RECORDS;

/// The memory of one step.
pub(crate) struct Io<'a> {
    /// The operands that the kernel asked for; empty for the one that shares its memory with the first result.
    pub ins: SmallVec<[&'a [u8]; 4]>,
    /// Results.
    pub outs: SmallVec<[&'a mut [u8]; 4]>,
    /// As many bytes as [`Kernel::scratch`] says.
    pub scratch: &'a mut [u8],
    /// Whether operand 0 is in `outs[0]`.
    pub in_place: bool,
    /// Threads.
    pub par: Par,
}

/// A kernel bound to shapes and weights.
pub(crate) trait Kernel: Send + Sync {
    /// Computes all elements of all results. The result depends on no thread count.
    fn run(&self, io: Io<'_>) -> Result<(), Reason>;
    /// Bytes of scratch for this many threads.
    fn scratch(&self, _threads: usize) -> usize {
        0
    }
    /// Whether operand 0 of [`Io::ins`] may share its memory with the first result.
    fn in_place(&self) -> bool {
        false
    }
    /// The tier that runs, if kernels of several tiers exist.
    fn isa(&self) -> Option<Isa> {
        None
    }
}

/// An operand or result of the node that a kernel is built for.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub shaped: Shaped,
    /// The order in which the step will see it.
    pub layout: Layout,
    /// Its contents in row-major order, if it is constant.
    pub constant: Option<Tensor>,
}

impl Operand {
    pub(crate) fn dims(&self) -> &[usize] {
        &self.shaped.dims
    }
    pub(crate) fn physical(&self) -> Vec<usize> {
        self.layout.physical(&self.shaped.dims)
    }
}

/// A node with concrete types, for which a kernel is built.
pub(crate) struct Site<'a> {
    pub op: &'a Op,
    pub ins: &'a [Option<Operand>],
    pub outs: &'a [Operand],
    pub isa: Isa,
}

impl Site<'_> {
    /// Required operand `i`.
    pub(crate) fn operand(&self, i: usize) -> Result<&Operand, String> {
        self.ins.get(i).and_then(Option::as_ref).ok_or_else(|| format!("operand {} is missing", i + 1))
    }
    /// The contents of operand `i`, which must be constant.
    pub(crate) fn constant(&self, i: usize) -> Result<&Tensor, String> {
        let operand = self.operand(i)?;
        operand.constant.as_ref().ok_or_else(|| format!("operand {} is not constant", i + 1))
    }
    /// The contents of optional operand `i`, constant if present.
    pub(crate) fn maybe_constant(&self, i: usize) -> Result<Option<&Tensor>, String> {
        match self.ins.get(i).and_then(Option::as_ref) {
            None => Ok(None),
            Some(_) => self.constant(i).map(Some),
        }
    }
    /// Result `i`.
    pub(crate) fn out(&self, i: usize) -> Result<&Operand, String> {
        self.outs.get(i).ok_or_else(|| format!("result {} is missing", i + 1))
    }
}

/// What a record's builder made.
pub(crate) enum Built {
    /// The result has the bytes of this operand.
    Alias(usize),
    /// A kernel and the operands that it reads in each run.
    Kernel(Box<dyn Kernel>, SmallVec<[usize; 4]>),
}

impl Built {
    /// A kernel that reads the operands `uses`.
    pub(crate) fn kernel(kernel: impl Kernel + 'static, uses: &[usize]) -> Result<Built, String> {
        Ok(Built::Kernel(Box::new(kernel), uses.into()))
    }
}
