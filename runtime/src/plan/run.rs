//! Running a plan.

use quantir_ir::{NodeId, Reason, Tensor, ValueId};
use smallvec::SmallVec;

use super::{Home, Layout, Plan, Slot, Work};
use crate::arena::Arena;
use crate::par::Par;
use crate::steps::relayout::Relayout;
use crate::steps::{Io, fallback};

/// The working memory of one run at a time.
pub struct Context {
    arena: Arena,
}

/// The values that exist after a step.
pub(crate) struct Memory<'a> {
    plan: &'a Plan,
    inputs: &'a [&'a [u8]],
    arena: &'a Arena,
}

/// A failed step: its node and why.
pub(crate) type Failure = (Option<NodeId>, Reason);

impl Plan {
    /// Memory to run in.
    pub fn context(&self) -> Context {
        Context { arena: Arena::new(self.arena) }
    }

    /// Whether the tensors are those that the plan was made for.
    pub(crate) fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), Reason> {
        if inputs.len() != self.inputs.len() {
            return Err(Reason::new(format!(
                "{} inputs given, expected {}",
                inputs.len(),
                self.inputs.len()
            )));
        }
        for (slot, t) in self.inputs.iter().zip(inputs) {
            let Slot { name, shaped, .. } = &self.slots[*slot as usize];
            if t.elem != shaped.elem || t.shape[..] != shaped.dims[..] {
                let want = fallback::ty(shaped);
                return Err(Reason::new(format!("input `%{name}` is {}, expected {want}", t.ty())));
            }
        }
        Ok(())
    }

    /// Runs all steps, each inside `pool` if there is one; a caller that has entered the pool gives none. `after` is called before the first one and after each one with the number of steps done.
    pub(crate) fn execute(
        &self,
        context: &mut Context,
        inputs: &[Tensor],
        pool: Option<&rayon::ThreadPool>,
        mut after: impl FnMut(usize, &Memory) -> Result<(), Reason>,
    ) -> Result<Vec<Tensor>, Failure> {
        self.check_inputs(inputs).map_err(|r| (None, r))?;
        let aligned = |t: &Tensor| (t.bytes().as_ptr() as usize).is_multiple_of(t.storage().bytes());
        let mut copies: SmallVec<[Arena; 4]> = SmallVec::new();
        for t in inputs.iter().filter(|t| !aligned(t)) {
            let mut copy = Arena::new(t.bytes().len());
            copy.bytes_mut()[..t.bytes().len()].copy_from_slice(t.bytes());
            copies.push(copy);
        }
        let mut copies = copies.iter();
        let bytes = inputs.iter().map(|t| match aligned(t) {
            true => &t.bytes()[..],
            false => copies.next().map_or(&[][..], |c| &c.bytes()[..t.bytes().len()]),
        });
        let bytes: SmallVec<[&[u8]; 4]> = bytes.collect();
        let memory = Memory { plan: self, inputs: &bytes, arena: &context.arena };
        after(0, &memory).map_err(|r| (None, r))?;
        for (i, step) in self.steps.iter().enumerate() {
            if let Work::Kernel { kernel, .. } = &step.work {
                let mut writes: SmallVec<[_; 4]> = step.outs.iter().map(|&s| self.range(s)).collect();
                writes.push(step.scratch.clone());
                let reads = step.ins.iter().enumerate().map(|(k, &s)| match (k, step.in_place) {
                    (0, true) => 0..0,
                    _ => self.range(s),
                });
                let reads: SmallVec<[_; 4]> = reads.collect();
                let mut views = context.arena.views(&writes, &reads);
                let Some(scratch) = views.writes.pop() else { continue };
                let ins = step.ins.iter().zip(views.reads).map(|(&s, view)| {
                    match self.buffers[self.slots[s as usize].buffer as usize].home {
                        Home::Arena(_) => view,
                        Home::Input(i) => bytes[i as usize],
                        Home::Const(i) => self.consts[i as usize].bytes(),
                    }
                });
                let io = Io {
                    ins: ins.collect(),
                    outs: views.writes,
                    scratch,
                    in_place: step.in_place,
                    par: Par { threads: self.options.threads },
                };
                let result = match pool {
                    Some(pool) => pool.install(|| kernel.run(io)),
                    None => kernel.run(io),
                };
                result.map_err(|r| (step.node, r))?;
            }
            let memory = Memory { plan: self, inputs: &bytes, arena: &context.arena };
            after(i + 1, &memory).map_err(|r| (step.node, r))?;
        }
        let memory = Memory { plan: self, inputs: &bytes, arena: &context.arena };
        let outputs: Result<Vec<Tensor>, Reason> =
            self.outputs.iter().map(|&s| memory.tensor(&self.slots[s as usize], true)).collect();
        outputs.map_err(|r| (None, r))
    }

    /// The node whose results are there once `done` steps are done.
    pub(crate) fn node_of_step(&self, done: usize) -> Option<NodeId> {
        self.steps.get(done.checked_sub(1)?)?.node
    }

    /// The step number `done - 1` as a report shows it, if it computes something.
    pub(crate) fn step_info(&self, done: usize) -> Option<super::StepInfo> {
        let step = self.steps.get(done.checked_sub(1)?)?;
        match &step.work {
            Work::Kernel { name, .. } => Some(self.info(step, name)),
            _ => None,
        }
    }
}

impl Memory<'_> {
    /// A copy of the value in row-major order, if the plan keeps it.
    pub(crate) fn value(&self, v: ValueId, ordered: bool) -> Option<Result<Tensor, Reason>> {
        Some(self.tensor(self.plan.slot_of(v)?, ordered))
    }

    fn tensor(&self, slot: &Slot, ordered: bool) -> Result<Tensor, Reason> {
        let buffer = &self.plan.buffers[slot.buffer as usize];
        let shaped = &slot.shaped;
        let bytes = match buffer.home {
            Home::Const(i) => {
                let t = &self.plan.consts[i as usize];
                if slot.layout == Layout::RowMajor {
                    return t.reshape(&shaped.dims)?.retype(shaped.elem.clone());
                }
                t.bytes()
            }
            Home::Input(i) => self.inputs[i as usize],
            Home::Arena(offset) => &self.arena.bytes()[offset..offset + buffer.bytes],
        };
        if slot.layout == Layout::RowMajor || !ordered {
            return fallback::tensor(&shaped.elem, &shaped.dims, bytes);
        }
        let relayout = Relayout::new(&shaped.dims, shaped.elem.storage().bytes(), Layout::RowMajor);
        let fill = |out: &mut [u8]| relayout.apply(bytes, out, Par { threads: 1 });
        fallback::tensor_with(&shaped.elem, &shaped.dims, fill)
    }
}
