//! The import under way: the graph so far, and what is known of each ONNX value.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use quantir_ir::shape_value::ShapeValues;
use quantir_ir::{Dim, Elem, Graph, Phase, Storage, Tensor, Type, ValueId};

use super::emit::loc;
use super::external::Folder;
use super::node::{Fail, Node};
use super::proto::TensorProto;
use super::symbols::Symbols;
use super::tensor;
use crate::error::printable;
use crate::{Budget, Limits};

/// What is known of an ONNX value.
#[derive(Clone, Default)]
pub(super) struct Entry<'m> {
    /// The value in the graph, once something needs it there.
    pub value: Option<ValueId>,
    /// An initializer that was not read yet.
    pub proto: Option<&'m TensorProto>,
    /// The content of a constant.
    pub tensor: Option<Tensor>,
}

/// The import under way.
pub struct Import<'m> {
    /// The graph so far.
    pub graph: Graph,
    /// What was changed on the way, for the user to read.
    pub notes: Vec<String>,
    pub(super) entries: HashMap<&'m str, Entry<'m>>,
    poisoned: HashSet<&'m str>,
    used: HashSet<&'m str>,
    pub(super) contents: ShapeValues,
    pub(super) transposed: HashMap<ValueId, ValueId>,
    symbols: Symbols,
    pub(super) budget: Budget,
    pub(super) limits: &'m Limits,
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

    pub(super) fn entry(&self, name: &str) -> Result<&Entry<'m>, Fail> {
        let why = || format!("it uses {}, a result that is not imported", printable(name));
        self.entries.get(name).ok_or_else(|| Fail::unsupported(why()))
    }

    /// The content of operand `i`, if it is a constant.
    pub fn tensor(&mut self, node: &Node<'m>, i: usize) -> Result<Option<Tensor>, Fail> {
        node.input(i).map_or(Ok(None), |name| self.named_tensor(name))
    }

    pub(super) fn named_tensor(&mut self, name: &'m str) -> Result<Option<Tensor>, Fail> {
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
}

/// The storage that values of `storage` get: half floats are computed as `f32`, which holds all of them.
pub fn computed_as(storage: Storage) -> Storage {
    if matches!(storage, Storage::F16 | Storage::BF16) { Storage::F32 } else { storage }
}
