//! Edits: the only way to change a graph.
//!
//! A rewrite reads the graph through an [`Editor`], which hands out the ids that new values will have, and
//! returns an [`Edit`]; [`Graph::apply`] checks and performs it. Every replacement keeps the type, so users
//! of a value never see their operands change under them.

use smallvec::SmallVec;

use crate::diag::{Diag, Reason};
use crate::entity::Entity;
use crate::graph::{Def, Graph, Name, Operands, Use, result_name};
use crate::loc::{Loc, Path};
use crate::ops::{Const, ConstData, Infer, Op};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{NodeId, ValueId};

/// Values of at most this many uses keep their order when one is removed.
const FEW_USES: usize = 16;

struct NewNode {
    op: Op,
    ins: Operands,
    types: Vec<Type>,
    names: Vec<Name>,
    loc: Loc,
}

/// Collects an edit against a graph that it only reads.
pub struct Editor<'g> {
    g: &'g Graph,
    at: Option<NodeId>,
    loc: Loc,
    new: Vec<NewNode>,
    /// For each new value: node number and result number.
    values: Vec<(usize, usize)>,
    replace: Vec<(ValueId, ValueId, Option<Vec<Use>>)>,
}

/// A change of a graph: nodes to insert, values to replace. Valid for the graph as it was read.
pub struct Edit {
    at: Option<NodeId>,
    base: (usize, usize),
    new: Vec<NewNode>,
    replace: Vec<(ValueId, ValueId, Option<Vec<Use>>)>,
}

/// What an edit did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Nodes that were inserted.
    pub new: Vec<NodeId>,
    /// Nodes that now have another operand.
    pub touched: Vec<NodeId>,
    /// Nodes that were removed because nothing uses them any more.
    pub removed: Vec<NodeId>,
}

impl Graph {
    /// Starts an edit whose new nodes are inserted before `at` and inherit its location.
    pub fn edit(&self, at: NodeId) -> Editor<'_> {
        let loc = self.node(at).loc.clone();
        Editor { g: self, at: Some(at), loc, new: Vec::new(), values: Vec::new(), replace: Vec::new() }
    }

    /// Starts an edit whose new nodes are appended at the end.
    pub fn edit_end(&self) -> Editor<'_> {
        Editor {
            g: self,
            at: None,
            loc: Loc::default(),
            new: Vec::new(),
            values: Vec::new(),
            replace: Vec::new(),
        }
    }
}

impl<'g> Editor<'g> {
    /// The graph that is read.
    pub fn graph(&self) -> &'g Graph {
        self.g
    }

    /// Nodes added from here on take the location of `n`.
    pub fn loc_of(&mut self, n: NodeId) -> &mut Self {
        self.loc = self.g.node(n).loc.clone();
        self
    }

    /// Nodes added from here on have this location.
    pub fn loc(&mut self, loc: Loc) -> &mut Self {
        self.loc = loc;
        self
    }

    /// Nodes added from here on belong to module `path`.
    pub fn path(&mut self, path: Option<Path>) -> &mut Self {
        self.loc.path = path;
        self
    }

    /// The type of an existing or new value.
    pub fn ty(&self, v: ValueId) -> &Type {
        match v.index().checked_sub(self.g.value_bound()) {
            Some(i) => {
                let (node, result) = self.values[i];
                &self.new[node].types[result]
            }
            None => self.g.ty(v),
        }
    }

    /// Adds a node whose result types are inferred; returns its first result.
    pub fn op<I>(&mut self, op: impl Into<Op>, ins: I) -> Result<ValueId, Reason>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        Ok(self.op_as(op, ins, &[])?[0])
    }

    /// As [`Editor::op`], with declared result types for ops whose results their operands do not decide.
    pub fn op_as<I>(
        &mut self,
        op: impl Into<Op>,
        ins: I,
        declared: &[Type],
    ) -> Result<SmallVec<[ValueId; 1]>, Reason>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let op = op.into();
        let ins: Operands = ins.into_iter().map(Into::into).collect();
        let types = {
            let tys: SmallVec<[Option<&Type>; 4]> = ins.iter().map(|v| v.map(|v| self.ty(v))).collect();
            op.check_operands(&tys)?;
            op.infer(&Infer { ins: &tys, declared })?
        };
        let name = op.name();
        Ok(self.add(op, ins, types, name))
    }

    /// Adds a constant under a bare name.
    pub fn constant(&mut self, t: Tensor, name: &str) -> ValueId {
        let ty = t.ty();
        self.add(Op::Const(Const { data: ConstData::from(t) }), Operands::new(), vec![ty], name)[0]
    }

    fn add(&mut self, op: Op, ins: Operands, types: Vec<Type>, name: &str) -> SmallVec<[ValueId; 1]> {
        let base = self.g.value_bound();
        let node = self.new.len();
        let outs = (0..types.len())
            .map(|i| {
                self.values.push((node, i));
                ValueId::new(base + self.values.len() - 1)
            })
            .collect();
        let names = (0..types.len()).map(|i| result_name(name, i)).collect();
        let mut loc = self.loc.clone();
        if is_bookkeeping(&op) {
            loc.call = None;
        }
        self.new.push(NewNode { op, ins, types, names, loc });
        outs
    }

    /// Names a new value; a value that replaces another takes over the old name instead.
    pub fn name(&mut self, v: ValueId, name: &str) -> &mut Self {
        if let Some(i) = v.index().checked_sub(self.g.value_bound()) {
            let (node, result) = self.values[i];
            self.new[node].names[result] = name.into();
        }
        self
    }

    /// Replaces every use of `old` by `new`, except uses inside this edit; `new` takes over the name if it is new.
    pub fn replace(&mut self, old: ValueId, new: ValueId) -> &mut Self {
        self.replace.push((old, new, None));
        self
    }

    /// Replaces these uses of `old` by `new`; names stay.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId, uses: Vec<Use>) -> &mut Self {
        self.replace.push((old, new, Some(uses)));
        self
    }

    /// The edit.
    pub fn finish(self) -> Edit {
        let base = (self.g.value_bound(), self.g.node_bound());
        Edit { at: self.at, base, new: self.new, replace: self.replace }
    }
}

/// Ops that no author of a model calls; next to a call they do not inherit its name.
fn is_bookkeeping(op: &Op) -> bool {
    matches!(op, Op::Const(_) | Op::Observe(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_))
}

impl Edit {
    /// Replaces the value `old` by the result of a node `op` with the operands of node `like` at its location:
    /// the shape of most fusions. `None` if the op does not fit.
    pub fn fuse(g: &Graph, old: ValueId, like: NodeId, op: impl Into<Op>) -> Option<Edit> {
        let mut e = g.edit(g.def_node(old)?);
        e.loc_of(like);
        let new = e.op(op, g.node(like).ins.iter().copied()).ok()?;
        e.replace(old, new);
        Some(e.finish())
    }

    /// Replaces the value `old` by the existing value `new`.
    pub fn forward(g: &Graph, old: ValueId, new: ValueId) -> Option<Edit> {
        let mut e = g.edit(g.def_node(old)?);
        e.replace(old, new);
        Some(e.finish())
    }
}

impl Graph {
    /// Performs an edit. On error the graph is as before.
    ///
    /// Fails if the graph changed since the edit was built or a replacement has another type.
    pub fn apply(&mut self, edit: Edit) -> Result<Applied, Diag> {
        if edit.base != (self.value_bound(), self.node_bound()) {
            return Err(Diag::error("edit", "the graph changed since this edit was built"));
        }
        let types: Vec<&Type> = edit.new.iter().flat_map(|n| &n.types).collect();
        for (old, new, _) in &edit.replace {
            let to = match new.index().checked_sub(edit.base.0) {
                Some(i) => types[i],
                None => self.ty(*new),
            };
            if to != self.ty(*old) {
                let message =
                    format!("`%{}` of type {} would be replaced by {to}", self.name_of(*old), self.ty(*old));
                let mut d = Diag::error("edit", message);
                if let Some(n) = self.def_node(*old) {
                    d = d.at(&self.node(n).loc);
                }
                return Err(
                    d.help("an edit keeps the types of the values it replaces; convert the type first")
                );
            }
        }

        let mut done = Applied::default();
        let last = edit.base.1 + edit.new.len();
        for n in edit.new {
            done.new.push(self.insert(n.op, n.ins, n.types, n.names, n.loc, edit.at).0);
        }
        let mut dead = Vec::new();
        for (old, new, only) in edit.replace {
            self.move_uses(old, new, only.as_deref(), edit.base.1..last, &mut done.touched);
            let Some(old_node) = self.def_node(old) else {
                continue;
            };
            if only.is_none()
                && let Def::Node(new_node, _) = self.value(new).def
                && new_node.index() >= edit.base.1
            {
                let name = self.name_of(old).clone();
                self.values[new].as_mut().expect("a live value").name = name;
                let loc = self.node(old_node).loc.clone();
                self.nodes[new_node].as_mut().expect("a live node").loc.fuse(&loc);
            }
            dead.push(old_node);
        }
        self.remove_dead(dead, &mut done.removed);
        Ok(done)
    }

    /// Lets output `i` return `v`, which may have another type; what only the old value needed is removed.
    pub fn set_output(&mut self, i: usize, v: ValueId) {
        let use_ = Use::Output(i as u32);
        let old = self.outputs[i].value;
        if old == v {
            return;
        }
        self.drop_use(old, use_);
        self.values[v].as_mut().expect("a live value").uses.push(use_);
        self.outputs[i].value = v;
        if let Some(n) = self.def_node(old) {
            self.remove_dead(vec![n], &mut Vec::new());
        }
    }

    /// Lets input `i` come in with another type. Its users are given the result of `op`, which turns it into what they expect.
    ///
    /// Fails, with the graph as before, if `op` does not yield the input's former type.
    pub fn retype_input(
        &mut self,
        i: usize,
        ty: Type,
        op: impl Into<Op>,
        name: &str,
    ) -> Result<ValueId, Reason> {
        let v = self.inputs[i];
        let op = op.into();
        let types = op.infer(&Infer { ins: &[Some(&ty)], declared: &[] })?;
        if types.first() != Some(self.ty(v)) {
            return Err(Reason::new(format!("`{}` of {ty} does not yield {}", op.name(), self.ty(v))));
        }
        let at = self.nodes().next();
        self.values[v].as_mut().expect("a live value").ty = self.types.intern(ty);
        let ins = [Some(v)].into_iter().collect();
        let (n, outs) = self.insert(op, ins, types, vec![name.into()], Loc::default(), at);
        self.move_uses(v, outs[0], None, n.index()..n.index() + 1, &mut Vec::new());
        Ok(outs[0])
    }

    /// Gives the uses of `old` to `new`; uses by nodes numbered in `except` stay.
    fn move_uses(
        &mut self,
        old: ValueId,
        new: ValueId,
        only: Option<&[Use]>,
        except: std::ops::Range<usize>,
        touched: &mut Vec<NodeId>,
    ) {
        let stays = |u: &Use| matches!(u, Use::Node(n, _) if except.contains(&n.index()));
        let mut moved = SmallVec::<[Use; 2]>::new();
        match only {
            // Taken one by one: the value may have far more uses than these.
            Some(only) => {
                let wanted = only.iter().copied().filter(|u| !stays(u));
                moved.extend(wanted.filter(|&u| self.used_at(u) == Some(old) && self.drop_use(old, u)));
            }
            None => {
                let uses = std::mem::take(&mut self.values[old].as_mut().expect("a live value").uses);
                let kept;
                (kept, moved) = uses.into_iter().partition(stays);
                self.values[old].as_mut().expect("a live value").uses = kept;
            }
        }
        let at = self.value(new).uses.len();
        for (i, u) in moved.iter().enumerate() {
            match *u {
                Use::Node(n, slot) => {
                    let node = self.nodes[n].as_mut().expect("a live user");
                    node.ins[slot as usize] = Some(new);
                    node.seen[slot as usize] = (at + i) as u32;
                    touched.push(n);
                }
                Use::Output(i) => self.outputs[i as usize].value = new,
            }
        }
        self.values[new].as_mut().expect("a live value").uses.extend(moved);
    }

    /// The value at the place of a use.
    fn used_at(&self, u: Use) -> Option<ValueId> {
        match u {
            Use::Node(n, slot) => *self.try_node(n)?.ins.get(slot as usize)?,
            Use::Output(i) => self.outputs.get(i as usize).map(|o| o.value),
        }
    }

    /// Takes `u` out of the uses of `v`; false if it is none of them.
    ///
    /// Takes constant time even if `v` has very many uses: each node remembers where its uses stand. What it
    /// remembers may be out of date, and is looked at first, no more.
    pub(crate) fn drop_use(&mut self, v: ValueId, u: Use) -> bool {
        let uses = &mut self.values[v].as_mut().expect("a live value").uses;
        let hint = match u {
            Use::Node(n, slot) => {
                self.nodes[n].as_ref().and_then(|n| n.seen.get(slot as usize)).map(|&i| i as usize)
            }
            Use::Output(_) => None,
        };
        let found = hint.filter(|&i| uses.get(i) == Some(&u)).or_else(|| uses.iter().position(|x| *x == u));
        let Some(i) = found else { return false };
        if uses.len() <= FEW_USES {
            uses.remove(i);
            return true;
        }
        uses.swap_remove(i);
        if let Some(&Use::Node(n, slot)) = uses.get(i)
            && let Some(node) = self.nodes[n].as_mut()
        {
            node.seen[slot as usize] = i as u32;
        }
        true
    }

    /// Removes those of `candidates` whose results nobody uses, then what only they used, and so on.
    pub fn remove_dead(&mut self, mut candidates: Vec<NodeId>, removed: &mut Vec<NodeId>) {
        while let Some(n) = candidates.pop() {
            let Some(node) = self.try_node(n) else { continue };
            if node.outs.iter().any(|&v| !self.value(v).uses.is_empty()) {
                continue;
            }
            for slot in 0..node.ins.len() {
                if let Some(v) = self.node(n).ins[slot] {
                    self.drop_use(v, Use::Node(n, slot as u32));
                }
            }
            let node = self.nodes[n].take().expect("a live node");
            self.order.remove(n);
            for v in node.ins.into_iter().flatten() {
                let value = self.value(v);
                if let (true, Def::Node(d, _)) = (value.uses.is_empty(), value.def) {
                    candidates.push(d);
                }
            }
            for v in node.outs {
                self.values[v] = None;
            }
            removed.push(n);
        }
    }
}
