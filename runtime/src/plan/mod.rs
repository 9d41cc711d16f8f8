//! A graph as a list of steps over one arena.
//!
//! A plan is made for concrete input shapes, one tier of kernels and a number of threads. It holds the packed
//! weights, the layout of each value and the offset of each buffer, and it prints as text.

mod build;
pub mod layout;
pub mod memory;
mod run;

use std::fmt;
use std::ops::Range;

use quantir_ir::{Entity, Name, NodeId, Tensor, ValueId};
use smallvec::SmallVec;

pub use layout::{Layout, LayoutRule, Shaped};
pub use run::Context;
pub(crate) use run::Memory;

use crate::isa::Isa;
use crate::steps::Kernel;

/// How to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// The best tier of kernels to use.
    pub isa: Isa,
    /// Threads of a run.
    pub threads: usize,
    /// Whether float ops must give the same bits as the interpreter; `None` means in phase `integer` only.
    pub strict: Option<bool>,
    /// Whether every step is the interpreter's `eval`.
    pub interpret: bool,
}

impl Default for PlanOptions {
    /// The best tier of this machine, one thread.
    fn default() -> PlanOptions {
        PlanOptions { isa: Isa::detect(), threads: 1, strict: None, interpret: false }
    }
}

/// An executable form of a graph for fixed shapes.
pub struct Plan {
    name: Name,
    options: PlanOptions,
    strict: bool,
    inputs: Vec<u32>,
    outputs: Vec<u32>,
    slots: Vec<Slot>,
    buffers: Vec<Buffer>,
    consts: Vec<Tensor>,
    steps: Vec<Step>,
    /// The slot of each value, by index; `NONE` for values without one.
    values: Vec<u32>,
    arena: usize,
    lower_bound: usize,
    scratch: usize,
}

/// No slot, no buffer.
const NONE: u32 = u32::MAX;

/// A value in one layout.
struct Slot {
    name: Name,
    buffer: u32,
    shaped: Shaped,
    layout: Layout,
}

/// Bytes that one or more slots share.
struct Buffer {
    bytes: usize,
    home: Home,
}

/// Where a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// Bytes of input number `i` of the run.
    Input(u32),
    /// Bytes of constant number `i`.
    Const(u32),
    /// From this offset of the arena.
    Arena(usize),
}

/// One step.
struct Step {
    /// The node whose results are there after this step.
    node: Option<NodeId>,
    /// The op's name, or what the step is for.
    op: &'static str,
    work: Work,
    ins: SmallVec<[u32; 4]>,
    outs: SmallVec<[u32; 1]>,
    scratch: Range<usize>,
    in_place: bool,
    /// Why the step is not what one would expect.
    note: Option<Box<str>>,
}

/// What a step does.
enum Work {
    /// The result is a constant.
    Constant,
    /// The result has the bytes of the operand.
    Alias,
    Kernel {
        name: &'static str,
        kernel: Box<dyn Kernel>,
    },
}

/// A step as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// The node, unless the step was inserted by the plan.
    pub node: Option<NodeId>,
    /// The first result.
    pub value: Name,
    /// The op.
    pub op: &'static str,
    /// The kernel.
    pub kernel: &'static str,
    /// Why the kernel is not the best one for this op.
    pub note: Option<String>,
}

impl Plan {
    /// The options that it was made with.
    pub fn options(&self) -> &PlanOptions {
        &self.options
    }
    /// Whether float ops give the same bits as the interpreter.
    pub fn is_strict(&self) -> bool {
        self.strict
    }
    /// Bytes of the arena of one run, without inputs, outputs and constants.
    pub fn arena_bytes(&self) -> usize {
        self.arena
    }
    /// The largest sum of buffers that are needed at the same time: no arena can be smaller.
    pub fn live_bytes(&self) -> usize {
        self.lower_bound
    }
    /// Elements and dimensions of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &Shaped> {
        self.inputs.iter().map(|&s| &self.slots[s as usize].shaped)
    }
    /// Elements and dimensions of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &Shaped> {
        self.outputs.iter().map(|&s| &self.slots[s as usize].shaped)
    }
    /// The steps that compute something, in order.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo> + '_ {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Kernel { name, .. } => Some(self.info(step, name)),
            _ => None,
        })
    }

    fn info(&self, step: &Step, kernel: &'static str) -> StepInfo {
        StepInfo {
            node: step.node,
            value: step.outs.first().map_or_else(|| "".into(), |&s| self.slots[s as usize].name.clone()),
            op: step.op,
            kernel,
            note: step.note.as_ref().map(|n| n.to_string()),
        }
    }

    /// The slot of a value, if the plan keeps it.
    fn slot_of(&self, v: ValueId) -> Option<&Slot> {
        match *self.values.get(v.index())? {
            NONE => None,
            s => Some(&self.slots[s as usize]),
        }
    }

    /// The range of a slot in the arena; empty if it is elsewhere.
    fn range(&self, slot: u32) -> Range<usize> {
        let buffer = &self.buffers[self.slots[slot as usize].buffer as usize];
        match buffer.home {
            Home::Arena(offset) => offset..offset + buffer.bytes,
            _ => 0..0,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, slot: u32) -> fmt::Result {
        let slot = &self.slots[slot as usize];
        write!(f, "{}", slot.shaped)?;
        if slot.layout == Layout::ChannelsLast {
            f.write_str(" last")?;
        }
        match self.buffers[slot.buffer as usize].home {
            Home::Arena(offset) => write!(f, " @{offset}"),
            Home::Input(i) => write!(f, " input {i}"),
            Home::Const(i) => write!(f, " const {i}"),
        }
    }
}

/// One line for each step: results, op, operands, types with layout and place, kernel, tier.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanOptions { isa, threads, .. } = &self.options;
        write!(f, "plan @{} {isa} threads {threads}", self.name)?;
        if self.strict {
            f.write_str(" strict")?;
        }
        writeln!(f, " arena {} live {} scratch {}", self.arena, self.lower_bound, self.scratch)?;
        for &s in &self.inputs {
            write!(f, "  %{} = input : ", self.slots[s as usize].name)?;
            self.show(f, s)?;
            writeln!(f)?;
        }
        for step in &self.steps {
            if let Work::Constant = step.work {
                continue;
            }
            f.write_str("  ")?;
            for (i, &s) in step.outs.iter().enumerate() {
                write!(f, "{}%{}", if i > 0 { ", " } else { "" }, self.slots[s as usize].name)?;
            }
            write!(f, " = {}", step.op)?;
            for (i, &s) in step.ins.iter().enumerate() {
                write!(f, "{}%{}", if i > 0 { ", " } else { " " }, self.slots[s as usize].name)?;
            }
            for (i, &s) in step.outs.iter().enumerate() {
                f.write_str(if i > 0 { ", " } else { " : " })?;
                self.show(f, s)?;
            }
            match &step.work {
                Work::Kernel { name, kernel } => {
                    write!(f, " by {name}")?;
                    if let Some(isa) = kernel.isa() {
                        write!(f, " {isa}")?;
                    }
                    if step.in_place {
                        f.write_str(" in place")?;
                    }
                    if !step.scratch.is_empty() {
                        write!(f, " scratch {}@{}", step.scratch.len(), step.scratch.start)?;
                    }
                }
                _ => f.write_str(" alias")?,
            }
            if let Some(note) = &step.note {
                write!(f, " // {note}")?;
            }
            writeln!(f)?;
        }
        f.write_str("  return")?;
        for (i, &s) in self.outputs.iter().enumerate() {
            write!(f, "{}%{}", if i > 0 { ", " } else { " " }, self.slots[s as usize].name)?;
        }
        writeln!(f)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plan @{} ({} steps)", self.name, self.steps.len())
    }
}
