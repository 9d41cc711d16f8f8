//! The graph: nodes in SSA form over one arena, in a topological order that is also the printing order.
//!
//! Existing parts change only through [`crate::edit`]; building appends ([`Graph::push`]).

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use smallvec::SmallVec;

use crate::diag::{Diag, Reason};
use crate::dim::{DimScope, Range};
use crate::entity::{Arena, Entity, SideTable, Unique};
use crate::loc::{Call, Loc, Path};
use crate::ops::{Infer, Op, OpDef};
use crate::quant::Quant;
use crate::types::{Elem, Type};
use crate::{NodeId, TypeId, ValueId};

/// How far a graph has come; phases only move forward, and each allows its own ops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Float ops only.
    Float,
    /// Float ops with observers.
    Observed,
    /// Quantize and dequantize around float ops.
    Reference,
    /// Integer ops, with float islands where a kernel is missing.
    Integer,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Phase; 4] = [Phase::Float, Phase::Observed, Phase::Reference, Phase::Integer];
    /// The word for it in the header line.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Float => "float",
            Phase::Observed => "observed",
            Phase::Reference => "reference",
            Phase::Integer => "integer",
        }
    }
}
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A value's or output's name.
pub type Name = Arc<str>;
/// Operands of a node; `None` is an absent optional operand.
pub type Operands = SmallVec<[Option<ValueId>; 4]>;

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does, with attributes.
    pub op: Op,
    /// Operands by slot.
    pub ins: Operands,
    /// Results.
    pub outs: SmallVec<[ValueId; 1]>,
    /// Where it comes from.
    pub loc: Loc,
    /// For each operand, where its use was last seen in the value's list of uses; see [`Graph::drop_use`].
    pub(crate) seen: SmallVec<[u32; 4]>,
}

/// Where a value is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Def {
    /// Graph input number `i`.
    Input(u32),
    /// Result `i` of a node.
    Node(NodeId, u32),
}

/// Where a value is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Use {
    /// Operand `slot` of a node.
    Node(NodeId, u32),
    /// Graph output number `i`.
    Output(u32),
}

/// A graph input or one result of a node.
#[derive(Clone, Debug)]
pub struct Value {
    /// Bare name; the printer makes it unique.
    pub name: Name,
    /// Interned type.
    pub ty: TypeId,
    /// Definition.
    pub def: Def,
    /// All uses, each slot once; in no particular order if there are many.
    pub uses: SmallVec<[Use; 2]>,
}

/// What a graph returns: a value under a name that survives every pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The name that users know it by.
    pub name: Name,
    /// The value.
    pub value: ValueId,
}

/// The declaration of an observer. The IR knows no algorithm of it.
#[derive(Clone, PartialEq, Debug)]
pub struct ObserverSpec {
    /// Which kind: a word that `quantir-quant` knows.
    pub kind: String,
    /// Arguments of the kind: `moving_average(0.01)`.
    pub args: Vec<f32>,
    /// Storage of the integers that parameters are computed for.
    pub storage: crate::types::Storage,
    /// Their range; `(0, 0)` for an observer that gives no parameters.
    pub range: (i64, i64),
    /// Zero point fixed at the middle (`symmetric`) or free (`affine`).
    pub symmetric: bool,
    /// The axis with parameters of its own for each index, if any.
    pub axis: Option<u8>,
    /// Zero points are floats and 0 need not lie in the range (`float_qparams`), as tables of embeddings have them.
    pub float_zero: bool,
    /// The least scale.
    pub eps: f32,
    /// Parameters are chosen anew for each run from its data.
    pub dynamic: bool,
    /// The range was chosen by the user, so a fixed zero point of unsigned integers is its middle, rounded down.
    pub custom_range: bool,
}

impl ObserverSpec {
    /// The least scale where nothing else is said: 2⁻²³.
    pub const EPS: f32 = f32::EPSILON;

    /// The declaration of `kind` over the whole range of an integer storage: affine, one pair for the tensor.
    pub fn new(kind: &str, storage: crate::types::Storage) -> ObserverSpec {
        ObserverSpec {
            kind: kind.into(),
            args: Vec::new(),
            storage,
            range: storage.int_range().unwrap_or((0, 0)),
            symmetric: false,
            axis: None,
            float_zero: false,
            eps: Self::EPS,
            dynamic: false,
            custom_range: false,
        }
    }
}

/// A typed SSA graph.
#[derive(Clone)]
pub struct Graph {
    /// Name after `graph @`.
    pub name: Name,
    pub(crate) phase: Phase,
    pub(crate) nodes: Arena<NodeId, Option<Node>>,
    pub(crate) values: Arena<ValueId, Option<Value>>,
    pub(crate) order: Order,
    pub(crate) types: Unique<TypeId, Type>,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<Output>,
    /// Declared symbols.
    pub dims: DimScope,
    /// The modules of the model's source with their classes, containers too; rules for classes need those around a call.
    pub modules: IndexMap<Path, Call>,
    /// Declared observers by name without `$`.
    pub observers: IndexMap<Name, ObserverSpec>,
    /// Names of quantizations for printing, without `!`; content decides equality, names are presentation.
    pub quant_names: IndexMap<Arc<Quant>, Name>,
}

/// The order of nodes: a doubly linked list over node ids.
#[derive(Clone)]
pub(crate) struct Order {
    prev: SideTable<NodeId, Option<NodeId>>,
    next: SideTable<NodeId, Option<NodeId>>,
    first: Option<NodeId>,
    last: Option<NodeId>,
    len: usize,
}

impl Order {
    fn new() -> Order {
        Order { prev: SideTable::new(None), next: SideTable::new(None), first: None, last: None, len: 0 }
    }
    /// Inserts `n` before `at`, or at the end.
    pub(crate) fn insert(&mut self, n: NodeId, at: Option<NodeId>) {
        let before = match at {
            Some(a) => self.prev[a],
            None => self.last,
        };
        self.prev[n] = before;
        self.next[n] = at;
        match before {
            Some(p) => self.next[p] = Some(n),
            None => self.first = Some(n),
        }
        match at {
            Some(a) => self.prev[a] = Some(n),
            None => self.last = Some(n),
        }
        self.len += 1;
    }
    pub(crate) fn remove(&mut self, n: NodeId) {
        let (p, x) = (self.prev[n], self.next[n]);
        match p {
            Some(p) => self.next[p] = x,
            None => self.first = x,
        }
        match x {
            Some(x) => self.prev[x] = p,
            None => self.last = p,
        }
        self.len -= 1;
    }
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str, phase: Phase) -> Graph {
        Graph {
            name: name.into(),
            phase,
            nodes: Arena::new(),
            values: Arena::new(),
            order: Order::new(),
            types: Unique::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            dims: DimScope::default(),
            modules: IndexMap::new(),
            observers: IndexMap::new(),
            quant_names: IndexMap::new(),
        }
    }

    // ---- reading

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }
    /// The inputs in order.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// The outputs in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    /// Live nodes in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.order.first, |&n| self.order.next[n])
    }
    /// Live nodes from the last to the first.
    pub fn nodes_rev(&self) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.order.last, |&n| self.order.prev[n])
    }
    /// Number of live nodes.
    pub fn node_count(&self) -> usize {
        self.order.len
    }
    /// One more than the largest node index ever used.
    pub fn node_bound(&self) -> usize {
        self.nodes.len()
    }
    /// One more than the largest value index ever used.
    pub fn value_bound(&self) -> usize {
        self.values.len()
    }
    /// The node, unless it was removed.
    pub fn try_node(&self, n: NodeId) -> Option<&Node> {
        self.nodes.get(n)?.as_ref()
    }
    /// The value, unless it was removed.
    pub fn try_value(&self, v: ValueId) -> Option<&Value> {
        self.values.get(v)?.as_ref()
    }
    /// A live node.
    pub fn node(&self, n: NodeId) -> &Node {
        self.try_node(n).expect("a live node")
    }
    /// A live value.
    pub fn value(&self, v: ValueId) -> &Value {
        self.try_value(v).expect("a live value")
    }
    /// The op of a live node.
    pub fn op(&self, n: NodeId) -> &Op {
        &self.node(n).op
    }
    /// The type of a live value.
    pub fn ty(&self, v: ValueId) -> &Type {
        &self.types[self.value(v).ty]
    }
    /// The name of a live value.
    pub fn name_of(&self, v: ValueId) -> &Name {
        &self.value(v).name
    }
    /// The node that defines `v`; `None` for a graph input.
    pub fn def_node(&self, v: ValueId) -> Option<NodeId> {
        match self.value(v).def {
            Def::Node(n, _) => Some(n),
            Def::Input(_) => None,
        }
    }
    /// The node's view if it is an `O`.
    pub fn get<O: OpDef>(&self, n: NodeId) -> Option<O::View<'_>> {
        let node = self.try_node(n)?;
        O::view(O::of(&node.op)?, n, node)
    }
    /// The view of the node that defines `v` if it is an `O`.
    pub fn def<O: OpDef>(&self, v: ValueId) -> Option<O::View<'_>> {
        self.get::<O>(self.def_node(v)?)
    }
    /// Whether `v` has exactly one use and is no output.
    pub fn one_use(&self, v: ValueId) -> bool {
        matches!(self.value(v).uses.as_slice(), [Use::Node(..)])
    }
    /// The only node that uses `v`, if there is exactly one use.
    pub fn sole_user(&self, v: ValueId) -> Option<NodeId> {
        match self.value(v).uses.as_slice() {
            [Use::Node(n, _)] => Some(*n),
            _ => None,
        }
    }
    /// The nodes that use `v`, once for each slot.
    pub fn users(&self, v: ValueId) -> impl Iterator<Item = NodeId> + '_ {
        self.value(v).uses.iter().filter_map(|u| match u {
            Use::Node(n, _) => Some(*n),
            Use::Output(_) => None,
        })
    }
    /// The constant tensor that `v` is, if it is the result of a `const`.
    pub fn constant(&self, v: ValueId) -> Option<crate::Tensor> {
        self.def::<crate::ops::Const>(v)?.op.data.tensor(self.ty(v)).ok()
    }
    /// Whether `v` is the result of a `const`.
    pub fn is_const(&self, v: ValueId) -> bool {
        self.def_node(v).is_some_and(|n| matches!(self.op(n), Op::Const(_)))
    }
    /// The value with this bare name, if there is one; the last one in order of creation.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        let mut found = None;
        for (id, v) in self.values.iter() {
            if v.as_ref().is_some_and(|v| &*v.name == name) {
                found = Some(id);
            }
        }
        found
    }

    // ---- building

    /// Moves the graph to a later phase; the verifier then holds it to that phase's rules.
    pub fn advance(&mut self, phase: Phase) {
        assert!(phase >= self.phase, "phases move forward only");
        self.phase = phase;
    }
    /// Declares a symbol; an existing declaration stays.
    pub fn declare_dim(&mut self, name: &str, range: Range) {
        self.dims.0.entry(name.into()).or_insert(range);
    }
    /// Names a quantization for printing; an existing name stays.
    pub fn name_quant(&mut self, q: &Arc<Quant>, name: &str) {
        self.quant_names.entry(q.clone()).or_insert_with(|| name.into());
    }
    /// Says what the author of a node called, where its source does not.
    pub fn set_call(&mut self, n: NodeId, call: Call) {
        self.nodes[n].as_mut().expect("a live node").loc.call = Some(call);
    }
    /// Adds a graph input.
    pub fn input(&mut self, name: &str, ty: Type) -> ValueId {
        let ty = self.types.intern(ty);
        let def = Def::Input(self.inputs.len() as u32);
        let v = self.values.push(Some(Value { name: name.into(), ty, def, uses: SmallVec::new() }));
        self.inputs.push(v);
        v
    }
    /// Adds a graph output.
    pub fn output(&mut self, name: &str, value: ValueId) {
        let use_ = Use::Output(self.outputs.len() as u32);
        self.values[value].as_mut().expect("a live value").uses.push(use_);
        self.outputs.push(Output { name: name.into(), value });
    }

    /// Appends a node whose result types are inferred; returns its first result.
    ///
    /// `name` is the bare name of the first result (further ones get `.1`, `.2`).
    pub fn push<I>(&mut self, op: impl Into<Op>, ins: I, name: &str, loc: Loc) -> Result<ValueId, Diag>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        Ok(self.push_as(op, ins, &[], name, loc)?[0])
    }

    /// As [`Graph::push`], with declared result types for ops whose results their operands do not decide.
    pub fn push_as<I>(
        &mut self,
        op: impl Into<Op>,
        ins: I,
        declared: &[Type],
        name: &str,
        loc: Loc,
    ) -> Result<SmallVec<[ValueId; 1]>, Diag>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let op = op.into();
        let ins: Operands = ins.into_iter().map(Into::into).collect();
        let types = self.infer(&op, &ins, declared).map_err(|r| r.diag("type").at(&loc))?;
        let names: Vec<Name> = (0..types.len()).map(|i| result_name(name, i)).collect();
        Ok(self.insert(op, ins, types, names, loc, None).1)
    }

    /// Appends a constant.
    pub fn push_const(&mut self, t: crate::Tensor, name: &str, loc: Loc) -> ValueId {
        let ty = t.ty();
        let op = Op::Const(crate::ops::Const { data: crate::ops::ConstData::from(t) });
        self.insert(op, Operands::new(), vec![ty], vec![name.into()], loc, None).1[0]
    }

    /// Result types of `op` on these operands.
    pub fn infer(&self, op: &Op, ins: &Operands, declared: &[Type]) -> Result<Vec<Type>, Reason> {
        let types: SmallVec<[Option<&Type>; 4]> = ins.iter().map(|v| v.map(|v| self.ty(v))).collect();
        op.check_operands(&types)?;
        op.infer(&Infer { ins: &types, declared })
    }

    /// Inserts a node before `at` (or at the end) without inferring; operands must be live.
    pub(crate) fn insert(
        &mut self,
        op: Op,
        ins: Operands,
        types: Vec<Type>,
        names: Vec<Name>,
        loc: Loc,
        at: Option<NodeId>,
    ) -> (NodeId, SmallVec<[ValueId; 1]>) {
        let types: SmallVec<[TypeId; 1]> = types.into_iter().map(|t| self.types.intern(t)).collect();
        self.insert_typed(op, ins, &types, names, loc, at)
    }

    /// As [`Graph::insert`] with interned types: the parser looks each written type up only once.
    pub(crate) fn insert_typed(
        &mut self,
        op: Op,
        ins: Operands,
        types: &[TypeId],
        names: impl IntoIterator<Item = Name>,
        loc: Loc,
        at: Option<NodeId>,
    ) -> (NodeId, SmallVec<[ValueId; 1]>) {
        let id = NodeId::new(self.nodes.len());
        let outs: SmallVec<[ValueId; 1]> = types
            .iter()
            .zip(names)
            .enumerate()
            .map(|(i, (&ty, name))| {
                let def = Def::Node(id, i as u32);
                self.values.push(Some(Value { name, ty, def, uses: SmallVec::new() }))
            })
            .collect();
        let mut seen = SmallVec::new();
        for (slot, v) in ins.iter().enumerate() {
            let uses = v.map(|v| &mut self.values[v].as_mut().expect("a live operand").uses);
            seen.push(uses.as_ref().map_or(0, |uses| uses.len() as u32));
            if let Some(uses) = uses {
                uses.push(Use::Node(id, slot as u32));
            }
        }
        self.nodes.push(Some(Node { op, ins, outs: outs.clone(), loc, seen }));
        self.order.insert(id, at);
        (id, outs)
    }

    /// The element type with `storage` of value `v`'s quantization or plain storage.
    pub fn elem(&self, v: ValueId) -> &Elem {
        &self.ty(v).elem
    }
}

/// The bare name of result `i` of a node named `name`.
pub(crate) fn result_name(name: &str, i: usize) -> Name {
    if i == 0 { name.into() } else { format!("{name}.{i}").into() }
}

/// The name and the size; `Display` prints the text.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph @{} ({} nodes)", self.name, self.node_count())
    }
}
