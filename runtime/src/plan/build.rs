//! From a graph to steps.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::bind;
use quantir_ir::dim::Binding;
use quantir_ir::ops::{Eval, Op};
use quantir_ir::{Diag, Entity, Graph, Name, Node, NodeId, Phase, Reason, Tensor, Type, TypeId, ValueId};
use smallvec::{SmallVec, smallvec};

use super::memory::{Lifetime, place};
use super::{Buffer, Home, Layout, LayoutRule, NONE, Plan, PlanOptions, Shaped, Slot, Step, Work};
use crate::arena::Arena;
use crate::error::PlanError;
use crate::kernels::table::{KernelRecord, candidates};
use crate::par::Par;
use crate::steps::relayout::Relayout;
use crate::steps::{Built, Kernel, Operand, Site, fallback};

/// Results of constant operands are computed by the plan up to this many times the bytes of the operands.
const FOLD_GROWTH: usize = 16;

impl Plan {
    /// Plans `g` for inputs of these shapes.
    ///
    /// Takes near-linear time and evaluates what depends on constants only. Fails if the shapes do not fit, if
    /// a dimension cannot be computed from them, or if a constant has no contents.
    pub fn build(g: &Graph, input_shapes: &[Vec<usize>], options: &PlanOptions) -> Result<Plan, PlanError> {
        let options = PlanOptions {
            isa: options.isa.or_available(),
            threads: options.threads.max(1),
            ..options.clone()
        };
        let binding = bind::bind(g, input_shapes).map_err(PlanError::Node)?;
        let strict = options.strict.unwrap_or(g.phase() == Phase::Integer);
        let mut b = Builder {
            g,
            binding,
            options,
            strict,
            types: HashMap::new(),
            slots: Vec::new(),
            buffers: Vec::new(),
            consts: Vec::new(),
            steps: Vec::with_capacity(g.node_count()),
            values: vec![NONE; g.value_bound()],
            last: vec![false; g.value_bound()],
            other_layout: HashMap::new(),
        };
        let inputs = b.inputs()?;
        let kernels = b.choose_all()?;
        b.prefer_layouts(&kernels);
        for (n, kernel) in g.nodes().zip(kernels) {
            b.node(n, kernel).map_err(|d| PlanError::Node(d.at(&g.node(n).loc)))?;
        }
        let outputs = g.outputs().iter().map(|o| b.values[o.value.index()]).collect();
        b.finish(inputs, outputs)
    }
}

/// The kernels that fit a node, the preferred one first, or why there is none.
type Choice = Result<SmallVec<[&'static KernelRecord; 2]>, String>;

struct Builder<'g> {
    g: &'g Graph,
    binding: Binding,
    options: PlanOptions,
    strict: bool,
    types: HashMap<TypeId, (Arc<Type>, Shaped)>,
    slots: Vec<Slot>,
    buffers: Vec<Buffer>,
    consts: Vec<Tensor>,
    steps: Vec<Step>,
    values: Vec<u32>,
    /// Values that some user wants channels-last.
    last: Vec<bool>,
    /// The slot of the same value in the other layout.
    other_layout: HashMap<u32, u32>,
}

impl Builder<'_> {
    /// The type of `v` without symbols.
    fn shaped(&mut self, v: ValueId) -> Result<(Arc<Type>, Shaped), Diag> {
        let id = self.g.value(v).ty;
        if let Some(t) = self.types.get(&id) {
            return Ok(t.clone());
        }
        let ty = bind::concrete(self.g.ty(v), &self.binding).map_err(|r| {
            Diag::error("shape", format!("the shape of `%{}` is not known: {r}", self.g.name_of(v)))
        })?;
        let dims = ty.shape.concrete().ok_or_else(|| Diag::error("shape", "a shape is not known"))?;
        let shaped = Shaped { elem: ty.elem.clone(), dims: dims.into() };
        if shaped.checked_bytes().is_none() {
            return Err(Diag::error("shape", format!("`%{}` of {shaped} is too large", self.g.name_of(v))));
        }
        let t = (Arc::new(ty), shaped);
        self.types.insert(id, t.clone());
        Ok(t)
    }

    fn slot(&mut self, name: Name, buffer: u32, shaped: Shaped, layout: Layout) -> u32 {
        let layout = layout.of(&shaped.dims);
        self.slots.push(Slot { name, buffer, shaped, layout });
        (self.slots.len() - 1) as u32
    }

    fn buffer(&mut self, bytes: usize, home: Home) -> u32 {
        self.buffers.push(Buffer { bytes, home });
        (self.buffers.len() - 1) as u32
    }

    fn inputs(&mut self) -> Result<Vec<u32>, PlanError> {
        let mut slots = Vec::new();
        for (i, &v) in self.g.inputs().iter().enumerate() {
            let (_, shaped) = self.shaped(v).map_err(PlanError::Node)?;
            let buffer = self.buffer(shaped.bytes(), Home::Input(i as u32));
            let slot = self.slot(self.g.name_of(v).clone(), buffer, shaped, Layout::RowMajor);
            self.values[v.index()] = slot;
            slots.push(slot);
        }
        Ok(slots)
    }

    fn choose_all(&mut self) -> Result<Vec<Choice>, PlanError> {
        let g = self.g;
        let mut all = Vec::with_capacity(g.node_count());
        for n in g.nodes() {
            all.push(self.choose(g.node(n)).map_err(|d| PlanError::Node(d.at(&g.node(n).loc)))?);
        }
        Ok(all)
    }

    fn choose(&mut self, node: &Node) -> Result<Choice, Diag> {
        if self.options.interpret || matches!(node.op, Op::Const(_)) {
            return Ok(Err(String::new()));
        }
        let mut types: SmallVec<[Option<Arc<Type>>; 4]> = SmallVec::new();
        for v in &node.ins {
            types.push(v.map(|v| self.shaped(v)).transpose()?.map(|(t, _)| t));
        }
        let mut results: SmallVec<[Arc<Type>; 1]> = SmallVec::new();
        for &v in &node.outs {
            results.push(self.shaped(v)?.0);
        }
        let ins: SmallVec<[Option<&Type>; 4]> = types.iter().map(Option::as_deref).collect();
        let outs: SmallVec<[&Type; 1]> = results.iter().map(|t| &**t).collect();
        Ok(candidates(&node.op, &ins, &outs, self.options.isa, self.strict))
    }

    /// Marks the values that a user wants channels-last, through ops that follow their operands.
    fn prefer_layouts(&mut self, kernels: &[Choice]) {
        for (n, kernel) in self.g.nodes_rev().zip(kernels.iter().rev()) {
            let Some(record) = kernel.as_ref().ok().and_then(|all| all.first()) else { continue };
            let node = self.g.node(n);
            match record.layout {
                LayoutRule::RowMajor => {}
                LayoutRule::ChannelsLast => {
                    if let Some(Some(x)) = node.ins.first() {
                        self.last[x.index()] = true;
                    }
                }
                LayoutRule::Follow => {
                    if node.outs.iter().any(|v| self.last[v.index()]) {
                        for v in node.ins.iter().flatten() {
                            self.last[v.index()] = true;
                        }
                    }
                }
            }
        }
    }

    fn node(&mut self, n: NodeId, kernel: Choice) -> Result<(), Diag> {
        let g = self.g;
        let node = g.node(n);
        if let Op::Const(c) = &node.op {
            let ty = self.shaped(node.outs[0])?.0;
            let tensor = c.data.tensor(&ty).map_err(|r| r.diag("constant"))?;
            return self.constants(n, vec![tensor]);
        }
        if let Some(results) = self.fold(node)? {
            return self.constants(n, results);
        }
        let mut note = None;
        if !self.options.interpret {
            match kernel {
                Ok(records) => {
                    for record in records {
                        match self.by_kernel(n, node, record)? {
                            Ok(()) => return Ok(()),
                            Err(reason) => note = note.or(Some(reason.into_boxed_str())),
                        }
                    }
                }
                Err(reason) => note = Some(reason.into_boxed_str()),
            }
        }
        let (ins, outs) = self.operands(node, Layout::RowMajor)?;
        let op = bind::concrete_op(&node.op, &self.binding).map_err(|r| Diag::error("shape", r))?;
        let site = Site { op: &op, ins: &ins, outs: &outs, isa: self.options.isa };
        let Built::Kernel(kernel, uses) = fallback::build(&site) else { return Ok(()) };
        self.kernel_step(n, node, ("eval", kernel), &uses, &ins, &outs, note);
        Ok(())
    }

    /// Binds the chosen kernel; the inner error says why it cannot be bound.
    fn by_kernel(
        &mut self,
        n: NodeId,
        node: &Node,
        record: &'static KernelRecord,
    ) -> Result<Result<(), String>, Diag> {
        let layout = self.layout(node, record);
        let (mut ins, mut outs) = self.operands(node, layout)?;
        let first = node.ins.first().copied().flatten().map(|v| self.values[v.index()]);
        if let (true, Some(first), Some(out)) = (record.relayouts, first, outs.first_mut())
            && self.slots[first as usize].layout == Layout::RowMajor
            && self.last[node.outs[0].index()]
            && !Layout::is_moot(out.dims())
        {
            out.layout = Layout::ChannelsLast;
            if let Some(Some(x)) = ins.first_mut() {
                x.layout = Layout::RowMajor;
            }
        }
        let op = match bind::concrete_op(&node.op, &self.binding) {
            Ok(op) => op,
            Err(r) => return Err(Diag::error("shape", r)),
        };
        let site = Site { op: &op, ins: &ins, outs: &outs, isa: self.options.isa };
        match (record.build)(&site) {
            Err(reason) => return Ok(Err(format!("`{}`: {reason}", record.name))),
            Ok(Built::Alias(i)) => {
                let (Some(&Some(v)), Some(Some(operand)), [out]) = (node.ins.get(i), ins.get(i), &outs[..])
                else {
                    return Ok(Err("an alias needs one operand and one result".into()));
                };
                let from = self.want(self.values[v.index()], operand);
                let buffer = self.slots[from as usize].buffer;
                let name = self.g.name_of(node.outs[0]).clone();
                let slot = self.slot(name, buffer, out.shaped.clone(), out.layout);
                self.values[node.outs[0].index()] = slot;
                self.steps.push(Step {
                    node: Some(n),
                    op: node.op.name(),
                    work: Work::Alias,
                    ins: smallvec![from],
                    outs: smallvec![slot],
                    scratch: 0..0,
                    in_place: false,
                    note: None,
                });
            }
            Ok(Built::Kernel(kernel, uses)) => {
                self.kernel_step(n, node, (record.name, kernel), &uses, &ins, &outs, None);
            }
        }
        Ok(Ok(()))
    }

    /// The layout that the kernel works in.
    fn layout(&self, node: &Node, record: &KernelRecord) -> Layout {
        match record.layout {
            LayoutRule::RowMajor => Layout::RowMajor,
            LayoutRule::ChannelsLast => Layout::ChannelsLast,
            LayoutRule::Follow => {
                let rank = node.outs.first().map_or(0, |&v| self.g.ty(v).rank());
                let last = |v: &ValueId| {
                    let slot = &self.slots[self.values[v.index()] as usize];
                    slot.layout == Layout::ChannelsLast && slot.shaped.dims.len() == rank
                };
                let any = node.ins.iter().flatten().any(last);
                if any { Layout::ChannelsLast } else { Layout::RowMajor }
            }
        }
    }

    /// Operands and results as the kernel will see them. In channels-last, operands of lower rank get leading
    /// dimensions of length 1, so that their axes are those of the result.
    fn operands(
        &mut self,
        node: &Node,
        layout: Layout,
    ) -> Result<(Vec<Option<Operand>>, Vec<Operand>), Diag> {
        let mut outs = Vec::with_capacity(node.outs.len());
        for &v in &node.outs {
            let (_, shaped) = self.shaped(v)?;
            outs.push(Operand { shaped, layout, constant: None });
        }
        let rank = outs.first().map_or(0, |o| o.dims().len());
        let ins = node.ins.iter().map(|v| {
            let v = (*v)?;
            let slot = &self.slots[self.values[v.index()] as usize];
            let mut shaped = slot.shaped.clone();
            if layout == Layout::ChannelsLast && shaped.dims.len() < rank {
                let pad = rank - shaped.dims.len();
                shaped.dims = std::iter::repeat_n(1, pad).chain(shaped.dims.iter().copied()).collect();
            }
            let constant = match self.buffers[slot.buffer as usize].home {
                Home::Const(i) => Some(self.consts[i as usize].clone()),
                _ => None,
            };
            Some(Operand { shaped, layout, constant })
        });
        Ok((ins.collect(), outs))
    }

    /// The value of `slot` with the dimensions and layout of `operand`.
    fn want(&mut self, slot: u32, operand: &Operand) -> u32 {
        let have = &self.slots[slot as usize];
        let mut from = slot;
        if have.shaped.dims != operand.shaped.dims {
            // Leading dimensions of length 1 change no byte of a row-major value.
            let own = Operand { shaped: have.shaped.clone(), layout: Layout::RowMajor, constant: None };
            let plain = self.want(slot, &own);
            let Slot { name, buffer, .. } = &self.slots[plain as usize];
            from = self.slot(name.clone(), *buffer, operand.shaped.clone(), Layout::RowMajor);
        }
        let have = &self.slots[from as usize];
        if have.layout == operand.layout.of(&have.shaped.dims) {
            return from;
        }
        if let Some(&known) = self.other_layout.get(&from) {
            return known;
        }
        let (name, shaped, to) = (have.name.clone(), have.shaped.clone(), operand.layout);
        let bytes = self.buffers[have.buffer as usize].bytes;
        let relayout = Relayout::new(&shaped.dims, shaped.elem.storage().bytes(), to);
        let other = match self.buffers[have.buffer as usize].home {
            Home::Const(i) => {
                let mut arena = Arena::new(bytes);
                let out = &mut arena.bytes_mut()[..bytes];
                relayout.apply(self.consts[i as usize].bytes(), out, Par { threads: 1 });
                let tensor = fallback::tensor(&shaped.elem, &shaped.dims, out);
                let home = match tensor {
                    Ok(t) => self.constant(t),
                    Err(_) => self.buffer(bytes, Home::Const(i)),
                };
                self.slot(name, home, shaped, to)
            }
            _ => {
                let buffer = self.buffer(bytes, Home::Arena(0));
                let other = self.slot(name, buffer, shaped, to);
                self.steps.push(Step {
                    node: None,
                    op: "relayout",
                    work: Work::Kernel { name: "relayout", kernel: Box::new(relayout) },
                    ins: smallvec![from],
                    outs: smallvec![other],
                    scratch: 0..0,
                    in_place: false,
                    note: None,
                });
                other
            }
        };
        self.other_layout.insert(from, other);
        self.other_layout.insert(other, from);
        other
    }

    #[allow(clippy::too_many_arguments)]
    fn kernel_step(
        &mut self,
        n: NodeId,
        node: &Node,
        (name, kernel): (&'static str, Box<dyn Kernel>),
        uses: &[usize],
        ins: &[Option<Operand>],
        outs: &[Operand],
        note: Option<Box<str>>,
    ) {
        let operands = uses.iter().filter_map(|&i| Some((node.ins.get(i).copied()??, ins[i].as_ref()?)));
        let operands: SmallVec<[u32; 4]> =
            operands.map(|(v, operand)| self.want(self.values[v.index()], operand)).collect();
        let mut results = SmallVec::new();
        for (&v, out) in node.outs.iter().zip(outs) {
            let buffer = self.buffer(out.shaped.bytes(), Home::Arena(0));
            let slot = self.slot(self.g.name_of(v).clone(), buffer, out.shaped.clone(), out.layout);
            self.values[v.index()] = slot;
            results.push(slot);
        }
        self.steps.push(Step {
            node: Some(n),
            op: node.op.name(),
            work: Work::Kernel { name, kernel },
            ins: operands,
            outs: results,
            scratch: 0..0,
            in_place: false,
            note,
        });
    }

    /// The results of a node whose operands are all constant, unless they are much larger than these.
    fn fold(&mut self, node: &Node) -> Result<Option<Vec<Tensor>>, Diag> {
        if node.ins.is_empty() || self.options.interpret {
            return Ok(None);
        }
        let mut types: SmallVec<[Type; 1]> = SmallVec::new();
        let mut bytes = 0usize;
        for &v in &node.outs {
            let (ty, shaped) = self.shaped(v)?;
            bytes = bytes.saturating_add(shaped.bytes());
            types.push((*ty).clone());
        }
        if let Op::ShapeOf(_) = node.op
            && let Some(Some(x)) = node.ins.first()
        {
            let (_, x) = self.shaped(*x)?;
            let dims = x.dims.iter().map(|&d| d as i64).collect();
            return Ok(Some(vec![Tensor::i64(&[x.dims.len()], dims)]));
        }
        let mut tensors: SmallVec<[Option<&Tensor>; 4]> = SmallVec::new();
        let mut given = 0usize;
        for v in &node.ins {
            let Some(v) = v else {
                tensors.push(None);
                continue;
            };
            let slot = &self.slots[self.values[v.index()] as usize];
            let Home::Const(i) = self.buffers[slot.buffer as usize].home else { return Ok(None) };
            given += self.buffers[slot.buffer as usize].bytes;
            tensors.push(Some(&self.consts[i as usize]));
        }
        if bytes > given.saturating_mul(FOLD_GROWTH).saturating_add(1 << 16) {
            return Ok(None);
        }
        let op = bind::concrete_op(&node.op, &self.binding).map_err(|r| Diag::error("shape", r))?;
        // An error belongs to the run, which will meet it again.
        Ok(op.eval(&Eval { ins: &tensors, outs: &types }).ok().filter(|r| r.len() == types.len()))
    }

    /// Keeps a tensor as a constant and returns its buffer.
    fn constant(&mut self, tensor: Tensor) -> u32 {
        let tensor = match is_aligned(&tensor) {
            true => tensor,
            false => fallback::tensor(&tensor.elem, &tensor.shape, tensor.bytes()).unwrap_or(tensor),
        };
        let bytes = tensor.bytes().len();
        self.consts.push(tensor);
        self.buffer(bytes, Home::Const((self.consts.len() - 1) as u32))
    }

    fn constants(&mut self, n: NodeId, results: Vec<Tensor>) -> Result<(), Diag> {
        let node = self.g.node(n);
        let mut outs = SmallVec::new();
        for (&v, tensor) in node.outs.iter().zip(results) {
            let (_, shaped) = self.shaped(v)?;
            if tensor.bytes().len() != shaped.bytes() {
                return Err(
                    Reason::new(format!("the contents of a constant are {}", tensor.ty())).diag("constant")
                );
            }
            let buffer = self.constant(tensor);
            let slot = self.slot(self.g.name_of(v).clone(), buffer, shaped, Layout::RowMajor);
            self.values[v.index()] = slot;
            outs.push(slot);
        }
        self.steps.push(Step {
            node: Some(n),
            op: node.op.name(),
            work: Work::Constant,
            ins: smallvec![],
            outs,
            scratch: 0..0,
            in_place: false,
            note: None,
        });
        Ok(())
    }

    /// Lifetimes, sharing and offsets.
    fn finish(mut self, inputs: Vec<u32>, outputs: Vec<u32>) -> Result<Plan, PlanError> {
        let count = self.buffers.len();
        let mut ends: Vec<usize> = vec![0; count];
        let mut starts: Vec<usize> = vec![usize::MAX; count];
        for (i, step) in self.steps.iter().enumerate() {
            for &s in step.outs.iter().chain(&step.ins) {
                let b = self.slots[s as usize].buffer as usize;
                starts[b] = starts[b].min(i);
                ends[b] = ends[b].max(i);
            }
        }
        for &s in &outputs {
            ends[self.slots[s as usize].buffer as usize] = self.steps.len();
        }
        let shared = self.share(&mut ends);
        for slot in &mut self.slots {
            slot.buffer = shared[slot.buffer as usize];
        }
        let arena = |b: &Buffer| matches!(b.home, Home::Arena(_));
        let mut items = Vec::new();
        let mut owners = Vec::new();
        for (b, buffer) in self.buffers.iter().enumerate() {
            if arena(buffer) && shared[b] == b as u32 && starts[b] != usize::MAX {
                owners.push(b);
                items.push(Lifetime { bytes: buffer.bytes, first: starts[b], last: ends[b] });
            }
        }
        let buffers = items.len();
        let mut scratch_of = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            let Work::Kernel { kernel, .. } = &step.work else { continue };
            let bytes = kernel.scratch(self.options.threads);
            if bytes > 0 {
                scratch_of.push(i);
                items.push(Lifetime { bytes, first: i, last: i });
            }
        }
        let placed = place(&items).ok_or(PlanError::TooLarge)?;
        for (&b, &offset) in owners.iter().zip(&placed.offsets) {
            self.buffers[b].home = Home::Arena(offset);
        }
        let mut scratch = 0;
        for ((&i, &offset), item) in scratch_of.iter().zip(&placed.offsets[buffers..]).zip(&items[buffers..])
        {
            self.steps[i].scratch = offset..offset + item.bytes;
            scratch = scratch.max(item.bytes);
        }
        Ok(Plan {
            name: self.g.name.clone(),
            options: self.options,
            strict: self.strict,
            inputs,
            outputs,
            slots: self.slots,
            buffers: self.buffers,
            consts: self.consts,
            steps: self.steps,
            values: self.values,
            arena: placed.bytes,
            lower_bound: placed.lower_bound,
            scratch,
        })
    }

    /// Lets steps that may work in place write over an operand that nobody needs later. Returns for each
    /// buffer the one whose memory it uses.
    fn share(&mut self, ends: &mut [usize]) -> Vec<u32> {
        let mut shared: Vec<u32> = (0..self.buffers.len() as u32).collect();
        for (i, step) in self.steps.iter_mut().enumerate() {
            let Work::Kernel { kernel, .. } = &step.work else { continue };
            let (Some(&x), [out]) = (step.ins.first(), &step.outs[..]) else { continue };
            if !kernel.in_place() {
                continue;
            }
            let of = |s: u32| shared[self.slots[s as usize].buffer as usize];
            let (a, o) = (of(x), of(*out));
            let (from, to) = (&self.buffers[a as usize], &self.buffers[o as usize]);
            let free = matches!(from.home, Home::Arena(_)) && ends[a as usize] == i;
            if free && from.bytes == to.bytes && a != o && step.ins[1..].iter().all(|&s| of(s) != a) {
                shared[o as usize] = a;
                ends[a as usize] = ends[o as usize];
                step.in_place = true;
            }
        }
        shared
    }
}

fn is_aligned(t: &Tensor) -> bool {
    (t.bytes().as_ptr() as usize).is_multiple_of(t.storage().bytes())
}
