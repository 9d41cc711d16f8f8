//! The import under way: the graph so far, and what is known of each ONNX value.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use quantir_ir::graph::Operands;
use quantir_ir::ops::{Const, ConstData, Dequantize, Op};
use quantir_ir::shape_value::ShapeValues;
use quantir_ir::{Diag, Dim, Elem, Graph, Loc, Phase, Storage, Tensor, Type, ValueId};

use super::external::Folder;
use super::node::{Fail, Node};
use super::proto::TensorProto;
use super::symbols::Symbols;
use super::tensor;
use crate::error::printable;
use crate::{Budget, Limits};

/// What is known of an ONNX value.
#[derive(Clone, Default)]
struct Entry<'m> {
    /// The value in the graph, once something needs it there.
    value: Option<ValueId>,
    /// An initializer that was not read yet.
    proto: Option<&'m TensorProto>,
    /// The content of a constant.
    tensor: Option<Tensor>,
}

/// The import under way.
pub struct Import<'m> {
    /// The graph so far.
    pub graph: Graph,
    /// What was changed on the way, for the user to read.
    pub notes: Vec<String>,
    entries: HashMap<&'m str, Entry<'m>>,
    poisoned: HashSet<&'m str>,
    used: HashSet<&'m str>,
    contents: ShapeValues,
    transposed: HashMap<ValueId, ValueId>,
    symbols: Symbols,
    pub(super) budget: Budget,
    limits: &'m Limits,
    folder: Option<Folder>,
}

/// Integer tensors with more elements than this are no shape arithmetic.
const MOST_DIMS: usize = 1024;

impl<'m> Import<'m> {
    /// An import into an empty graph.
    pub fn new(name: &str, folder: Option<Folder>, limits: &'m Limits) -> Import<'m> {
        Import {
            graph: Graph::new(name, Phase::Float),
            notes: Vec::new(),
            entries: HashMap::new(),
            poisoned: HashSet::new(),
            used: HashSet::new(),
            contents: ShapeValues::new(),
            transposed: HashMap::new(),
            symbols: Symbols::default(),
            budget: Budget::new(limits),
            limits,
            folder,
        }
    }

    // ---- declaring

    /// Makes an initializer known under its name; false if the name is taken.
    pub fn declare_initializer(&mut self, t: &'m TensorProto) -> bool {
        self.entries.insert(t.name(), Entry { proto: Some(t), ..Entry::default() }).is_none()
    }

    /// Whether `name` is an initializer.
    pub fn is_initializer(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|e| e.proto.is_some())
    }

    /// Whether anything is known under `name`.
    pub fn is_known(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Adds a graph input.
    pub fn declare_input(&mut self, name: &'m str, ty: Type) {
        let value = self.graph.input(name, ty);
        self.entries.insert(name, Entry { value: Some(value), ..Entry::default() });
    }

    /// The symbol for `dim_param`, or a new one called after the place.
    pub fn symbol(&mut self, param: Option<&str>, place: &str, axis: usize) -> Dim {
        let name = match param {
            Some(p) => self.symbols.named(p),
            None => self.symbols.fresh(place, axis),
        };
        self.graph.declare_dim(&name, (1, None));
        Dim::sym(&name)
    }

    /// Notes that something reads `name`.
    pub fn declare_use(&mut self, name: &'m str) {
        self.used.insert(name);
    }

    /// Whether something reads `name`.
    pub fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// Makes an input a constant.
    pub fn declare_fixed(&mut self, name: &'m str, tensor: Tensor) {
        self.entries.insert(name, Entry { tensor: Some(tensor), ..Entry::default() });
    }

    /// Marks the results of a node that could not be imported.
    pub fn poison(&mut self, node: &Node<'m>) {
        self.poisoned.extend(node.proto.output.iter().filter(|o| !o.is_empty()).map(String::as_str));
    }

    /// Whether an operand comes from a node that could not be imported.
    pub fn is_poisoned(&self, node: &Node<'m>) -> bool {
        node.proto.input.iter().any(|i| self.poisoned.contains(i.as_str()))
    }

    // ---- operands

    /// Operand `i` as a value of the graph.
    pub fn value(&mut self, node: &Node<'m>, i: usize) -> Result<ValueId, Fail> {
        self.opt_value(node, i)?.ok_or_else(|| Fail::invalid(format!("operand {} is missing", i + 1)))
    }

    /// Operand `i` as a value of the graph, if it is there.
    pub fn opt_value(&mut self, node: &Node<'m>, i: usize) -> Result<Option<ValueId>, Fail> {
        match node.input(i) {
            Some(name) => self.named_value(name, node.path.as_ref()).map(Some),
            None => Ok(None),
        }
    }

    /// The value called `name`; a constant enters the graph with its first use and belongs to that use's module.
    pub fn named_value(&mut self, name: &'m str, path: Option<&Arc<str>>) -> Result<ValueId, Fail> {
        if let Some(v) = self.entry(name)?.value {
            return Ok(v);
        }
        let Some(tensor) = self.named_tensor(name)? else {
            return Err(Fail::unsupported(format!("it uses {}, which has no value", printable(name))));
        };
        let v = self.graph.push_const(tensor, name, loc(path));
        if let Some(entry) = self.entries.get_mut(name) {
            entry.value = Some(v);
        }
        Ok(v)
    }

    fn entry(&self, name: &str) -> Result<&Entry<'m>, Fail> {
        let why = || format!("it uses {}, a result that is not imported", printable(name));
        self.entries.get(name).ok_or_else(|| Fail::unsupported(why()))
    }

    /// The content of operand `i`, if it is a constant.
    pub fn tensor(&mut self, node: &Node<'m>, i: usize) -> Result<Option<Tensor>, Fail> {
        node.input(i).map_or(Ok(None), |name| self.named_tensor(name))
    }

    fn named_tensor(&mut self, name: &'m str) -> Result<Option<Tensor>, Fail> {
        let entry = self.entry(name)?;
        if entry.tensor.is_some() {
            return Ok(entry.tensor.clone());
        }
        if let Some(v) = entry.value {
            return Ok(self.constant_of(v));
        }
        let Some(proto) = entry.proto else { return Ok(None) };
        let tensor = self.read(proto)?;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.tensor = Some(tensor.clone());
        }
        Ok(Some(tensor))
    }

    /// The content of a message.
    pub fn read(&mut self, proto: &TensorProto) -> Result<Tensor, Fail> {
        let name = printable(proto.name());
        if let Err(why) = tensor::storage_of(proto.data_type()) {
            return Err(Fail::unsupported(format!("constant {name}: {why}")));
        }
        let data = tensor::read(proto, self.folder.as_mut(), &mut self.budget, self.limits)?;
        if let Some(note) = data.note {
            self.notes.push(format!("constant {name}: {note}"));
        }
        let bad = |r: quantir_ir::Reason| Fail::invalid(format!("constant {name}: {r}"));
        let tensor = Tensor::from_bytes(Elem::Plain(data.storage), &data.shape, data.bytes).map_err(bad)?;
        if computed_as(data.storage) == data.storage {
            return Ok(tensor);
        }
        self.budget.charge(tensor.numel() as u64 * 4, &name)?;
        Tensor::new(&data.shape, tensor.floats().map_err(bad)?.into_owned()).map_err(bad)
    }

    /// The integers of operand `i`, a vector or a single number, as expressions over the graph's symbols; `None` if they
    /// depend on data or the operand is absent.
    pub fn dims(&mut self, node: &Node<'m>, i: usize) -> Result<Option<Vec<Dim>>, Fail> {
        let Some(name) = node.input(i) else { return Ok(None) };
        if let Some(v) = self.entry(name)?.value
            && !self.graph.is_const(v)
        {
            return Ok(self.contents.content(&self.graph, v).filter(|_| self.rank(v) <= 1));
        }
        let Some(t) = self.named_tensor(name)? else { return Ok(None) };
        if t.rank() > 1 || t.numel() > MOST_DIMS || t.storage().is_float() || t.quant().is_some() {
            return Ok(None);
        }
        let items = t.ints().map_err(|r| Fail::invalid(r.message))?;
        Ok(Some(items.into_iter().map(Dim::lit).collect()))
    }

    /// The integers of operand `i`, which `what` names; they must be known numbers. `None` if the operand is absent.
    pub fn opt_ints(&mut self, node: &Node<'m>, i: usize, what: &str) -> Result<Option<Vec<i64>>, Fail> {
        if node.input(i).is_none() {
            return Ok(None);
        }
        let known = self.dims(node, i)?.and_then(|d| d.iter().map(Dim::as_lit).collect::<Option<Vec<i64>>>());
        known.map(Some).ok_or_else(|| Fail::unsupported(format!("operand `{what}` is not a constant")))
    }

    /// As [`Import::opt_ints`] for an operand that must be there.
    pub fn ints(&mut self, node: &Node<'m>, i: usize, what: &str) -> Result<Vec<i64>, Fail> {
        self.opt_ints(node, i, what)?.ok_or_else(|| Fail::invalid(format!("operand `{what}` is missing")))
    }

    /// Operand `i` as one number, if it is a constant; an error if it is computed. `None` if it is absent.
    pub fn opt_number(&mut self, node: &Node<'m>, i: usize, what: &str) -> Result<Option<f32>, Fail> {
        if node.input(i).is_none() {
            return Ok(None);
        }
        let Some(t) = self.tensor(node, i)? else {
            return Err(Fail::unsupported(format!("operand `{what}` is not a constant")));
        };
        let first = t.floats().map_err(|r| Fail::invalid(r.message))?.first().copied();
        match first {
            Some(x) if t.numel() == 1 => Ok(Some(x)),
            _ => Err(Fail::invalid(format!("operand `{what}` has {} elements instead of one", t.numel()))),
        }
    }

    /// The type of a value.
    pub fn ty(&self, v: ValueId) -> Type {
        self.graph.ty(v).clone()
    }

    /// The dimensions of a value.
    pub fn shape(&self, v: ValueId) -> Vec<Dim> {
        self.graph.ty(v).shape.0.clone()
    }

    /// The number of dimensions of a value.
    pub fn rank(&self, v: ValueId) -> usize {
        self.graph.ty(v).rank()
    }

    /// How the elements of a value are stored.
    pub fn storage(&self, v: ValueId) -> Storage {
        self.graph.ty(v).elem.storage()
    }

    // ---- results

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

/// The storage that values of `storage` get: half floats are computed as `f32`, which holds all of them.
pub fn computed_as(storage: Storage) -> Storage {
    if matches!(storage, Storage::F16 | Storage::BF16) { Storage::F32 } else { storage }
}

fn loc(path: Option<&Arc<str>>) -> Loc {
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
