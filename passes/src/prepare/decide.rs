//! Which ops are quantized and which values are observed: decisions only, the graph is read.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use quantir_ir::ObserverSpec;
use quantir_ir::entity::{IdSet, SideTable};
use quantir_quant::{
    KernelSupport, ObserverTemplate, OpRef, OpSupport, QConfig, QConfigMapping, Resolution, Role,
};
use smallvec::SmallVec;

use crate::prelude::*;
use crate::prepare::elementwise::{Functions, is_elementwise, is_scalar_const, is_unary};
use crate::prepare::{FloatOp, PrepareReport};

/// A value that will be observed.
pub(crate) struct Slot {
    pub value: ValueId,
    /// The observer's name, the same for slots that share it.
    pub observer: String,
    pub spec: ObserverSpec,
    /// Operands that read the observed value.
    pub uses: Vec<Use>,
    /// Whether all other uses read it too, since the value will exist as integers only.
    pub takes_all: bool,
}

pub(crate) struct Decided {
    pub slots: Vec<Slot>,
    pub report: PrepareReport,
}

pub(crate) fn decide(g: &Graph, mapping: &QConfigMapping, backend: &KernelSupport) -> Decided {
    let nodes = ops(g);
    let refs = refs(g, &nodes);
    let resolved = mapping.resolve(&refs);
    let mut d = Decider {
        g,
        backend,
        fallback: mapping.global().and_then(|q| q.as_ref()).map(|q| q.activation.clone()),
        qconfigs: SideTable::new(None),
        functions: Functions::find(g, |_| false),
        acts: Vec::new(),
        claimed: HashSet::new(),
        by_value: IndexMap::new(),
        consts: IndexMap::new(),
        made: IdSet::new(),
        wanted: IdSet::new(),
        float: Vec::new(),
        quantized: 0,
    };
    for (&n, r) in nodes.iter().zip(&resolved) {
        d.qconfigs[n] = r.qconfig.clone();
    }
    // Ops of a function need a qconfig, and a table to be computed by; the op at its end decides about observers.
    let table = |op: &Op| is_unary(op) && backend.get(op.name()).is_some_and(|s| s.role == Role::Table);
    let any_table = backend.entries().any(|s| s.role == Role::Table && s.refusal.is_none());
    let may = |n: NodeId| {
        let op = g.op(n);
        d.qconfigs[n].is_some() && (table(op) || (any_table && !is_unary(op) && is_elementwise(op)))
    };
    d.functions = Functions::find(g, may);
    let kinds: Vec<Result<Role, String>> = nodes.iter().zip(&resolved).map(|(&n, r)| d.kind(n, r)).collect();
    d.find_wanted(&nodes, &kinds);
    for (&n, kind) in nodes.iter().zip(kinds) {
        d.node(n, kind);
    }
    let warnings = mapping.unmatched(&refs);
    d.finish(warnings)
}

/// The nodes that rules speak of, in order.
pub(crate) fn ops(g: &Graph) -> Vec<NodeId> {
    g.nodes().filter(|&n| !matches!(g.op(n), Op::Const(_))).collect()
}

/// What `mapping` says about each node of a float graph but constants, in order.
pub fn resolve(g: &Graph, mapping: &QConfigMapping) -> Vec<(NodeId, Resolution)> {
    let nodes = ops(g);
    let resolved = mapping.resolve(&refs(g, &nodes));
    nodes.into_iter().zip(resolved).collect()
}

/// `nodes` as rules see them.
pub(crate) fn refs<'g>(g: &'g Graph, nodes: &[NodeId]) -> Vec<OpRef<'g>> {
    let of = |&n: &NodeId| {
        let loc = &g.node(n).loc;
        let path = loc.path.as_deref().unwrap_or("");
        // As in PyTorch, code at top level is in no module that rules could name.
        let scope = g.modules.get(path).filter(|_| !path.is_empty()).map(|class| &**class);
        OpRef { op: g.op(n).name(), path, call: loc.call.as_deref(), scope }
    };
    nodes.iter().map(of).collect()
}

/// Applies the edit that `edit` proposes at each node that the mapping quantizes, in order; stops at the edit limit.
pub(crate) fn each_quantized(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    rule: &'static str,
    edit: impl Fn(&Graph, NodeId) -> Option<Edit>,
) -> Result<(), Diag> {
    let nodes = ops(g);
    let resolved = mapping.resolve(&refs(g, &nodes));
    for (n, _) in nodes.into_iter().zip(resolved).filter(|(_, r)| r.qconfig.is_some()) {
        if let Some(edit) = edit(g, n)
            && cx.apply(g, rule, n, edit)?.is_none()
        {
            break;
        }
    }
    Ok(())
}

/// An activation that will be observed.
struct Act {
    value: ValueId,
    template: ObserverTemplate,
    /// The first slot that it shares the observer with, found by following these links.
    class: usize,
    uses: Vec<Use>,
    made: bool,
}

struct Decider<'g> {
    g: &'g Graph,
    backend: &'g KernelSupport,
    /// For inputs of ops whose own template holds fixed parameters.
    fallback: Option<ObserverTemplate>,
    qconfigs: SideTable<NodeId, Option<QConfig>>,
    functions: Functions,
    acts: Vec<Act>,
    /// The uses of each act, to find out whether it has one.
    claimed: HashSet<(usize, Use)>,
    by_value: IndexMap<ValueId, SmallVec<[usize; 1]>>,
    /// Observed constants by value and axis.
    consts: IndexMap<(ValueId, Option<u8>, Storage), (ObserverSpec, Vec<Use>)>,
    /// Values that will exist as integers only.
    made: IdSet<ValueId>,
    /// Values that something quantized will use.
    wanted: IdSet<ValueId>,
    float: Vec<FloatOp>,
    quantized: usize,
}

impl Decider<'_> {
    /// How the node takes part, or why it stays float whatever surrounds it.
    fn kind(&self, n: NodeId, r: &Resolution) -> Result<Role, String> {
        let (g, node) = (self.g, self.g.node(n));
        let op = &node.op;
        // Inside a function of one value every elementwise op is computed by the table.
        let in_function = self.functions.source(n).is_some();
        let support = self.backend.get(op.name());
        if support.is_none() && !in_function {
            return Err(format!("`{}` has no integer kernel", op.name()));
        }
        let Some(q) = &r.qconfig else {
            return Err(match &r.rule {
                Some(rule) => format!("left float by {rule}"),
                None => "no rule of the mapping applies to it".into(),
            });
        };
        gives_parameters(q, support.map(|s| s.role))?;
        if let Some(&v) = node.outs.iter().find(|&&v| *g.elem(v) != Elem::F32) {
            return Err(format!("its result is {}; only `f32` is quantized", g.ty(v)));
        }
        if in_function {
            return match q.activation.storage {
                Storage::U8 | Storage::I8 => Ok(Role::Table),
                s => Err(format!("a table computes it, which needs activations of 8 bits instead of `{s}`")),
            };
        }
        let Some(s) = support else { return Err(format!("`{}` has no integer kernel", op.name())) };
        if let Some(why) = &s.refusal {
            return Err(why.clone());
        }
        if q.activation.kind != "reuse_input" {
            s.check_activation(q.activation.storage, q.activation.range)?;
        }
        s.check_act(act_word(op))?;
        fits(g, n)?;
        if let Role::Weighted { .. } = s.role {
            let w = &q.weight;
            s.check_weight(w.storage, w.range, !w.symmetric, w.per_channel)?;
            let weight = node.ins.get(1).copied().flatten();
            if !weight.is_some_and(|w| g.is_const(w) && *g.elem(w) == Elem::F32) {
                return Err("its weight is not a constant `f32`".into());
            }
            if node.ins.get(2).copied().flatten().is_some_and(|b| !g.is_const(b)) {
                return Err("its bias is not a constant".into());
            }
        }
        for v in activations(g, n, s.role) {
            if *g.elem(v) != Elem::F32 {
                return Err(format!(
                    "its operand `%{}` is {}; only `f32` is quantized",
                    g.name_of(v),
                    g.ty(v)
                ));
            }
        }
        if activations(g, n, s.role).iter().all(|&v| g.is_const(v)) {
            return Err("all its operands are constants".into());
        }
        Ok(s.role)
    }

    /// Marks values that ops which are always quantized use, directly or through ops that follow their users.
    fn find_wanted(&mut self, nodes: &[NodeId], kinds: &[Result<Role, String>]) {
        for (&n, kind) in nodes.iter().zip(kinds).rev() {
            let Ok(role) = kind else { continue };
            let node = self.g.node(n);
            let always = matches!(role, Role::Weighted { .. } | Role::Compute);
            if always || node.outs.iter().any(|&v| self.wanted.contains(v)) {
                for v in self.operands(n, *role) {
                    self.wanted.insert(v);
                }
            }
        }
    }

    /// The activations that `n` reads, that of its function if it is in one.
    fn operands(&self, n: NodeId, role: Role) -> SmallVec<[ValueId; 4]> {
        match (role, self.functions.source(n)) {
            (Role::Table, Some(s)) => SmallVec::from_slice(&[s]),
            _ => activations(self.g, n, role),
        }
    }

    fn node(&mut self, n: NodeId, kind: Result<Role, String>) {
        let g = self.g;
        let role = match kind {
            Ok(role) => role,
            Err(reason) => return self.stays_float(n, reason),
        };
        if self.functions.is_interior(n) {
            // The end of the function decides; its table has no integer value here.
            return;
        }
        let ins = self.operands(n, role);
        let outs = g.node(n).outs.clone();
        let wanted = outs.iter().any(|&v| self.wanted.contains(v));
        let made = |v: &ValueId| self.made.contains(*v);
        let joins = match role {
            Role::Weighted { .. } | Role::Compute => true,
            Role::Unary | Role::Table => {
                wanted || ins.iter().all(|v| made(v) || matches!(g.value(*v).def, Def::Input(_)))
            }
            Role::Same => wanted || ins.iter().all(made),
            Role::Joined => {
                let given = |v: &ValueId| g.is_const(*v) || matches!(g.value(*v).def, Def::Input(_));
                wanted || (ins.iter().any(made) && ins.iter().all(|v| made(v) || given(v)))
            }
        };
        if !joins {
            for m in self.function_nodes(n) {
                self.stays_float(m, "its input is float and nothing quantized uses its result".into());
            }
            return;
        }
        let Some(q) = self.qconfigs[n].clone() else { return };
        self.quantized += self.function_nodes(n).len();
        self.join(n, role, &q, &ins, &outs);
    }

    /// Observes operands and results of a node that is quantized.
    fn join(&mut self, n: NodeId, role: Role, q: &QConfig, ins: &[ValueId], outs: &[ValueId]) {
        let g = self.g;
        let members = self.function_nodes(n);
        let mut slots = Vec::new();
        // By the operands of the members, because a value may have far more uses than these.
        let mut reads_of: HashMap<ValueId, Vec<Use>> = HashMap::new();
        for &user in &members {
            for (slot, v) in g.node(user).ins.iter().enumerate() {
                if let Some(v) = v
                    && reads(g, user, role, slot as u32)
                {
                    reads_of.entry(*v).or_default().push(Use::Node(user, slot as u32));
                }
            }
        }
        for &v in ins {
            // The same value twice is observed once.
            let Some(uses) = reads_of.remove(&v) else { continue };
            if g.is_const(v) {
                let mut t = ObserverTemplate { kind: "minmax".into(), args: vec![], ..q.activation.clone() };
                t.per_channel = false;
                self.constant(v, t.spec(0), uses);
                continue;
            }
            let slot = self.slot(v, role, q, self.backend.get(g.op(n).name()));
            for u in uses {
                if self.claimed.insert((slot, u)) {
                    self.acts[slot].uses.push(u);
                }
            }
            slots.push(slot);
        }
        if let (Role::Weighted { axis }, Some(w)) = (role, g.node(n).ins.get(1).copied().flatten()) {
            self.constant(w, q.weight.spec(axis), vec![Use::Node(n, 1)]);
        }
        let Role::Joined = role else {
            for &v in outs {
                let template = match (role, slots.first()) {
                    (Role::Same, Some(&s)) => self.acts[s].template.clone(),
                    _ => q.activation.clone(),
                };
                let out = self.add(v, template, true);
                self.made.insert(v);
                if let (Role::Same, Some(&s)) = (role, slots.first()) {
                    self.share(s, out);
                }
            }
            return;
        };
        let Some(&first) = slots.iter().find(|&&s| !self.is_moved(s)).or(slots.first()) else { return };
        let template = self.acts[first].template.clone();
        for &v in outs {
            let out = self.add(v, template.clone(), true);
            self.made.insert(v);
            self.share(first, out);
        }
        for &s in &slots {
            self.join_part(first, s);
        }
    }

    /// Whether the slot's value comes from an op that moves values.
    fn is_moved(&self, slot: usize) -> bool {
        let def = self.g.def_node(self.acts[slot].value);
        def.and_then(|d| self.backend.get(self.g.op(d).name())).is_some_and(|s| s.role == Role::Same)
    }

    /// Lets a part share the observer of the join.
    ///
    /// A part that a movement brings here leaves the observer of where it comes from, and is requantized: through
    /// movements and joins in turn, all values of a network would share one range.
    fn join_part(&mut self, first: usize, part: usize) {
        let root = self.root(first);
        if self.root(part) == root {
            return;
        }
        let (s, t) = (&self.acts[root].template, &self.acts[part].template);
        // Fixed parameters are right for one op's result; joining other ranges to them would cut those.
        let fits = same_integers(s, t) && s.kind != "fixed" && t.kind != "fixed";
        if !fits {
            return;
        }
        if self.is_moved(part) && self.acts[part].class != part {
            // No slot links to this one, since links go to roots.
            self.acts[part].class = root;
            self.acts[part].template = self.acts[root].template.clone();
        } else {
            self.share(first, part);
        }
    }

    /// The nodes that `n` stands for: itself, and what is inside the function that it ends.
    fn function_nodes(&self, n: NodeId) -> SmallVec<[NodeId; 4]> {
        let mut all: SmallVec<[NodeId; 4]> = SmallVec::from_slice(&[n]);
        let mut found: HashSet<NodeId> = HashSet::new();
        let mut at = 0;
        while at < all.len() {
            for &v in self.g.node(all[at]).ins.iter().flatten() {
                if let Some(d) = self.g.def_node(v)
                    && self.functions.is_interior(d)
                    && found.insert(d)
                {
                    all.push(d);
                }
            }
            at += 1;
        }
        all
    }

    /// The slot of activation `v` that an op reads: one that its kernel accepts, or a new one.
    fn slot(&mut self, v: ValueId, role: Role, q: &QConfig, support: Option<&OpSupport>) -> usize {
        let wants = q.activation.storage;
        let follows = !matches!(role, Role::Weighted { .. } | Role::Compute);
        let found = self.by_value.get(&v).and_then(|slots| {
            slots.iter().copied().find(|&i| {
                let t = &self.acts[i].template;
                (follows || t.storage == wants)
                    && support.is_none_or(|s| s.check_activation(t.storage, t.range).is_ok())
            })
        });
        found.unwrap_or_else(|| {
            // Fixed parameters belong to a result; an input with another range would be cut. And what takes the parameters of its
            // input has none to give it.
            let other = matches!(q.activation.kind.as_str(), "fixed" | "reuse_input");
            let template = match &self.fallback {
                Some(t) if other && !t.is_passive() => t.clone(),
                _ if other => ObserverTemplate::new("minmax", wants),
                _ => q.activation.clone(),
            };
            self.add(v, template, false)
        })
    }

    fn add(&mut self, value: ValueId, template: ObserverTemplate, made: bool) -> usize {
        let i = self.acts.len();
        self.acts.push(Act { value, template, class: i, uses: Vec::new(), made });
        self.by_value.entry(value).or_default().push(i);
        i
    }

    fn root(&self, mut i: usize) -> usize {
        while self.acts[i].class != i {
            i = self.acts[i].class;
        }
        i
    }

    /// Lets two slots have one observer, if one quantization can serve both: the earlier one's.
    fn share(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, later) = (a.min(b), a.max(b));
        if same_integers(&self.acts[first].template, &self.acts[later].template) {
            self.acts[later].class = first;
        }
    }

    fn constant(&mut self, v: ValueId, spec: ObserverSpec, uses: Vec<Use>) {
        let key = (v, spec.axis, spec.storage);
        self.consts.entry(key).or_insert_with(|| (spec, Vec::new())).1.extend(uses);
    }

    fn stays_float(&mut self, n: NodeId, reason: String) {
        let node = self.g.node(n);
        let float = |v: &ValueId| self.g.elem(*v).is_float();
        if !node.outs.iter().any(float) {
            return;
        }
        let name = self.g.name_of(node.outs[0]).clone();
        self.float.push(FloatOp { node: n, name, op: node.op.name(), path: node.loc.path.clone(), reason });
    }

    fn finish(self, warnings: Vec<Diag>) -> Decided {
        let mut names: IndexMap<usize, String> = IndexMap::new();
        let mut slots = Vec::new();
        for (i, a) in self.acts.iter().enumerate() {
            let root = self.root(i);
            let next = names.len();
            let observer = names.entry(root).or_insert_with(|| format!("act{next}")).clone();
            let first = self.by_value[&a.value][0] == i;
            slots.push(Slot {
                value: a.value,
                observer,
                spec: self.acts[root].template.spec(0),
                uses: a.uses.clone(),
                takes_all: a.made && first,
            });
        }
        for (i, ((value, _, _), (spec, uses))) in self.consts.into_iter().enumerate() {
            slots.push(Slot { value, observer: format!("w{i}"), spec, uses, takes_all: false });
        }
        Decided { slots, report: PrepareReport { float: self.float, quantized: self.quantized, warnings } }
    }
}

/// Whether the integers of one observer can be those of the other.
fn same_integers(s: &ObserverTemplate, t: &ObserverTemplate) -> bool {
    (s.storage, s.range, s.symmetric) == (t.storage, t.range, t.symmetric)
}

/// The operands of `n` that are activations.
fn activations(g: &Graph, n: NodeId, role: Role) -> SmallVec<[ValueId; 4]> {
    let ins = &g.node(n).ins;
    match role {
        Role::Compute | Role::Joined => ins.iter().flatten().copied().collect(),
        _ => ins.first().copied().flatten().into_iter().collect(),
    }
}

/// Whether operand `slot` of `n` is an activation.
fn reads(g: &Graph, n: NodeId, role: Role, slot: u32) -> bool {
    match role {
        Role::Compute | Role::Joined => true,
        Role::Table => !g.node(n).ins[slot as usize].is_some_and(|v| is_scalar_const(g, v)),
        _ => slot == 0,
    }
}

/// Why a qconfig says nothing about the integers of an op, if so: all parameters come from calibration here.
fn gives_parameters(q: &QConfig, role: Option<Role>) -> Result<(), String> {
    let follows = matches!(role, Some(Role::Same | Role::Joined));
    let fix = "quantize by PyTorch's rules (`prepare_fx`) for that, or give it another qconfig";
    if q.activation.is_passive() && !(follows && q.activation.kind == "reuse_input") {
        return Err(format!(
            "its qconfig observes activations by `{}`, which gives no parameters; {fix}",
            q.activation.kind
        ));
    }
    if q.activation.dynamic {
        return Err(format!("its qconfig quantizes activations while running; {fix}"));
    }
    let weighted = matches!(role, Some(Role::Weighted { .. }));
    if weighted && (q.weight.is_passive() || q.weight.float_zero) {
        return Err(format!("its qconfig observes weights by `{}`; {fix}", q.weight));
    }
    Ok(())
}

/// The word for the op's fused activation.
pub(crate) fn act_word(op: &Op) -> &'static str {
    let act = match op {
        Op::Conv(o) => &o.act,
        Op::ConvTranspose(o) => &o.act,
        Op::Linear(o) => &o.act,
        Op::Add(o) => &o.act,
        Op::Mul(o) => &o.act,
        _ => return "none",
    };
    match act {
        ops::Act::None => "none",
        ops::Act::Relu => "relu",
        ops::Act::Clip(..) => "clip",
        ops::Act::HardSwish => "hard_swish",
        ops::Act::LeakyRelu(_) => "leaky_relu",
        ops::Act::Tanh => "tanh",
    }
}

/// Why this use of an op cannot be computed on integers although the op can.
pub(crate) fn fits(g: &Graph, n: NodeId) -> Result<(), String> {
    match g.op(n) {
        Op::Pad(p) if p.mode == ops::pad::PadMode::Constant && p.value.0 != 0.0 => {
            Err(format!("padding with {} instead of 0 might leave the quantized range", p.value.0))
        }
        Op::Resize(r) if r.mode != ops::resize::ResizeMode::Nearest => {
            Err("only `mode=nearest` of `resize` has an integer kernel".into())
        }
        _ => Ok(()),
    }
}
