//! Results: nodes that the import adds, and what they are called.

use std::sync::Arc;

use quantir_ir::graph::Operands;
use quantir_ir::ops::{Const, ConstData, Dequantize, Op};
use quantir_ir::{Diag, Dim, Loc, Tensor, Type, ValueId};

use super::ctx::{Entry, Import};
use super::node::{Fail, Node};
use super::tensor;

impl<'m> Import<'m> {
    /// Adds `op` as a step on the way to the node's result, called after that result.
    pub fn helper<I>(
        &mut self,
        node: &Node<'m>,
        op: impl Into<Op>,
        ins: I,
        suffix: &str,
    ) -> Result<ValueId, Fail>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let name = format!("{}.{suffix}", main_name(node));
        self.emit(node, op, ins, &name)
    }

    /// Adds `op` with several results as a step on the way to the node's results.
    pub fn helpers<I>(
        &mut self,
        node: &Node<'m>,
        op: impl Into<Op>,
        ins: I,
        suffix: &str,
    ) -> Result<Vec<ValueId>, Fail>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let name = format!("{}.{suffix}", main_name(node));
        let mut edit = self.graph.edit_end();
        edit.path(node.path.clone());
        let outs = edit.op_as(op, ins, &[]).map_err(|r| fail(r.diag("type")))?;
        for (i, v) in outs.iter().enumerate() {
            edit.name(*v, &if i == 0 { name.clone() } else { format!("{name}.{i}") });
        }
        let outs = outs.to_vec();
        let edit = edit.finish();
        self.graph.apply(edit).map_err(fail)?;
        Ok(outs)
    }

    /// Adds `op` as what the node computes.
    pub fn finish<I>(&mut self, node: &Node<'m>, op: impl Into<Op>, ins: I) -> Result<(), Fail>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let v = self.emit(node, op, ins, &main_name(node))?;
        self.bind(node, v);
        Ok(())
    }

    /// Says that the node's first result is `v`.
    pub fn bind(&mut self, node: &Node<'m>, v: ValueId) {
        if let Some(name) = node.output(0) {
            self.entries.insert(name, Entry { value: Some(v), ..Entry::default() });
        }
    }

    /// Says that the result called `name` is `v`.
    pub fn bind_as(&mut self, name: &'m str, v: ValueId) {
        self.entries.insert(name, Entry { value: Some(v), ..Entry::default() });
    }

    /// Says that the node's first result is its operand `i`.
    pub fn forward(&mut self, node: &Node<'m>, i: usize) -> Result<(), Fail> {
        let Some(from) = node.input(i) else {
            return Err(Fail::invalid(format!("operand {} is missing", i + 1)));
        };
        let mut entry = self.entry(from)?.clone();
        entry.tensor = match entry.value {
            None => self.named_tensor(from)?,
            Some(_) => None,
        };
        entry.proto = None;
        if let Some(name) = node.output(0) {
            self.entries.insert(name, entry);
        }
        Ok(())
    }

    /// Says that the node's first result is a constant; it enters the graph if something uses it there.
    pub fn bind_tensor(&mut self, node: &Node<'m>, tensor: Tensor) {
        if let Some(name) = node.output(0) {
            self.entries.insert(name, Entry { tensor: Some(tensor), ..Entry::default() });
        }
    }

    /// Adds `op` with several results, which get the names that the node gives them.
    pub fn finish_many<I>(&mut self, node: &Node<'m>, op: impl Into<Op>, ins: I) -> Result<(), Fail>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let mut edit = self.graph.edit_end();
        edit.path(node.path.clone());
        let outs = edit.op_as(op, ins, &[]).map_err(|r| fail(r.diag("type")))?;
        for (i, v) in outs.iter().enumerate() {
            if let Some(name) = node.output(i) {
                edit.name(*v, name);
            }
        }
        let edit = edit.finish();
        self.graph.apply(edit).map_err(fail)?;
        for (i, v) in outs.iter().enumerate() {
            if let Some(name) = node.output(i) {
                self.entries.insert(name, Entry { value: Some(*v), ..Entry::default() });
            }
        }
        Ok(())
    }

    /// A constant that the import makes up, called after the node's result.
    pub fn constant(&mut self, node: &Node<'m>, t: Tensor, suffix: &str) -> ValueId {
        self.graph.push_const(t, &format!("{}.{suffix}", main_name(node)), loc(node.path.as_ref()))
    }

    /// A scalar constant of the float storage of `like`.
    pub fn scalar(&mut self, node: &Node<'m>, x: f32, like: ValueId, suffix: &str) -> Result<ValueId, Fail> {
        let ty = Type::plain(self.storage(like), &[]);
        let tensor = ConstData::Splat(x.into()).tensor(&ty).map_err(|r| Fail::invalid(r.message))?;
        Ok(self.constant(node, tensor, suffix))
    }

    /// A constant with generated content, called after the node's result.
    pub fn made(&mut self, node: &Node<'m>, op: Const, ty: Type, suffix: &str) -> Result<ValueId, Fail> {
        let none: [Option<ValueId>; 0] = [];
        let name = format!("{}.{suffix}", main_name(node));
        Ok(self.graph.push_as(op, none, &[ty], &name, loc(node.path.as_ref())).map_err(fail)?[0])
    }

    /// Checked dimensions and their product.
    pub fn sized(&self, dims: &[i64]) -> Result<(Vec<usize>, usize), Fail> {
        tensor::shape(dims, self.limits).map_err(Fail::invalid)
    }

    /// Charges the memory of a constant that is about to be computed.
    pub fn charge(&mut self, bytes: u64, what: &str) -> Result<(), Fail> {
        Ok(self.budget.charge(bytes, what)?)
    }

    /// Whether `v` is a constant, or a quantized one with its scale.
    pub fn is_weight(&self, v: ValueId) -> bool {
        self.graph.is_const(v) || self.graph.def::<Dequantize>(v).is_some_and(|d| self.graph.is_const(d.x))
    }

    /// The transpose of a matrix; computed once for each constant.
    pub fn transposed(&mut self, node: &Node<'m>, w: ValueId) -> Result<ValueId, Fail> {
        if let Some(&t) = self.transposed.get(&w) {
            return Ok(t);
        }
        let name = format!("{}.t", self.graph.name_of(w));
        let perm = || quantir_ir::ops::Transpose { perm: vec![1, 0] };
        let stored = self.graph.def::<Dequantize>(w).map(|d| d.x);
        let t = match stored {
            Some(q) => {
                let stored = self.emit(node, perm(), [q], &format!("{name}.q"))?;
                self.emit(node, Dequantize {}, [stored], &name)?
            }
            None => self.emit(node, perm(), [w], &name)?,
        };
        self.transposed.insert(w, t);
        Ok(t)
    }

    /// Adds `op`, with declared result types for ops whose operands do not decide them.
    pub fn finish_as(
        &mut self,
        node: &Node<'m>,
        op: impl Into<Op>,
        ins: &[ValueId],
        ty: Type,
    ) -> Result<(), Fail> {
        let ins = ins.iter().copied();
        let outs =
            self.graph.push_as(op, ins, &[ty], &main_name(node), loc(node.path.as_ref())).map_err(fail)?;
        self.bind(node, outs[0]);
        Ok(())
    }

    fn emit<I>(&mut self, node: &Node<'m>, op: impl Into<Op>, ins: I, name: &str) -> Result<ValueId, Fail>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let op = op.into();
        let ins: Operands = ins.into_iter().map(Into::into).collect();
        if let Some(tensor) = self.fold(&op, &ins)? {
            return Ok(self.graph.push_const(tensor, name, loc(node.path.as_ref())));
        }
        let v = self.graph.push(op, ins, name, loc(node.path.as_ref())).map_err(fail)?;
        // Shape arithmetic whose result is the same for all sizes; the nodes behind it are dead then.
        match self.contents.content(&self.graph, v).and_then(|d| d.iter().map(Dim::as_lit).collect()) {
            Some(numbers) => self.replace_by_numbers(node, v, name, numbers),
            None => Ok(v),
        }
    }

    fn replace_by_numbers(
        &mut self,
        node: &Node<'m>,
        v: ValueId,
        name: &str,
        numbers: Vec<i64>,
    ) -> Result<ValueId, Fail> {
        let ty = self.graph.ty(v);
        let Some(shape) = ty.shape.concrete() else { return Ok(v) };
        let tensor =
            Tensor::from_ints(ty.elem.clone(), &shape, &numbers).map_err(|r| Fail::invalid(r.message))?;
        Ok(self.graph.push_const(tensor, name, loc(node.path.as_ref())))
    }
}

pub(super) fn loc(path: Option<&Arc<str>>) -> Loc {
    path.map_or_else(Loc::default, |p| Loc::at(p.clone()))
}

/// The name of the node's first named result.
fn main_name(node: &Node) -> String {
    match node.proto.output.iter().find(|o| !o.is_empty()) {
        Some(name) => name.clone(),
        None => node.label(),
    }
}

/// A failure of the graph to take a node: its types do not fit.
fn fail(d: Diag) -> Fail {
    let help = d.help.unwrap_or_else(|| "check the shapes and element types of its operands".into());
    Fail::Invalid { reason: d.message, help }
}
