//! The reference interpreter: evaluates a graph node by node, with a hook that sees every value.
//!
//! **Architecture invariant.** The interpreter defines meaning and is not fast; the runtime is fast and is
//! compared with it.

use smallvec::SmallVec;

use crate::bind::{bind, concrete, concrete_op};
use crate::diag::Diag;
use crate::dim::Binding;
use crate::entity::Entity;
use crate::graph::{Graph, Node};
use crate::ops::{Eval, Op};
use crate::tensor::{Tensor, checked_numel};
use crate::types::Type;
use crate::{NodeId, ValueId};

/// Sees a run as it happens: calibration, accuracy comparison, profiling, checking.
pub trait Hook {
    /// Whether [`Hook::value`] needs this value; an executor may skip the work of showing others.
    fn wants(&mut self, _g: &Graph, _v: ValueId) -> bool {
        true
    }
    /// Whether the places of this value's elements matter. If not, an executor may show the elements in any order
    /// under the value's shape, which saves it from undoing its layout.
    fn ordered(&mut self, _g: &Graph, _v: ValueId) -> bool {
        true
    }
    /// A value was computed, or given as an input.
    fn value(&mut self, _g: &Graph, _v: ValueId, _t: &Tensor) {}
    /// A node is about to be evaluated; its values follow.
    fn node(&mut self, _g: &Graph, _n: NodeId) {}
}
impl Hook for () {
    fn wants(&mut self, _g: &Graph, _v: ValueId) -> bool {
        false
    }
}

/// Why a run ended without results.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecError {
    /// The inputs do not fit the graph.
    #[error("{0}")]
    Input(Diag),
    /// A node cannot be evaluated; the diagnostic names it.
    #[error("{diag}")]
    Node {
        /// The node.
        node: NodeId,
        /// What is wrong there.
        diag: Diag,
    },
}

impl ExecError {
    /// The diagnostic.
    pub fn diag(&self) -> &Diag {
        match self {
            ExecError::Input(diag) | ExecError::Node { diag, .. } => diag,
        }
    }
}

/// Evaluates `g` on `inputs` and returns its outputs in order.
///
/// A constant is made when the first node that uses it runs, and every tensor is dropped after its last use, so
/// memory is that of the live values. Fails if an input does not fit its declared type, or if a node refuses its
/// operands' contents (an index out of range, an integer divided by 0) or yields another type than declared.
pub fn run(g: &Graph, inputs: &[Tensor], hook: &mut impl Hook) -> Result<Vec<Tensor>, ExecError> {
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
    let binding = bind(g, &shapes).map_err(ExecError::Input)?;
    let mut live = Live::new(g, &binding);
    for (&v, t) in g.inputs().iter().zip(inputs) {
        let want = &g.ty(v).elem;
        if *want != t.elem {
            let found = t.ty();
            return Err(ExecError::Input(
                Diag::error("input", format!("input `%{}` is {found}, expected {}", g.name_of(v), g.ty(v)))
                    .help("convert the elements before the run"),
            ));
        }
        if hook.wants(g, v) {
            hook.value(g, v, t);
        }
        live.put(v, t.clone());
    }
    for n in g.nodes() {
        // A constant waits for its first user.
        if !matches!(g.op(n), Op::Const(_)) {
            live.step(n, hook)?;
        }
    }
    let outputs = g.outputs().iter();
    outputs.map(|o| live.output(o.value, hook)).collect()
}

/// Evaluates one node on operands by slot; `b` holds the values of all symbols.
///
/// Fails with an error of kind `run` that names node, op and module.
pub fn eval_node(
    g: &Graph,
    n: NodeId,
    ins: &[Option<&Tensor>],
    b: &Binding,
) -> Result<Vec<Tensor>, ExecError> {
    let types: Result<Vec<Type>, String> = g.node(n).outs.iter().map(|&v| concrete(g.ty(v), b)).collect();
    let types = types.map_err(|why| fail(g, n, Diag::error("run", why)))?;
    eval(g, n, ins, &types, b)
}

fn eval(
    g: &Graph,
    n: NodeId,
    ins: &[Option<&Tensor>],
    types: &[Type],
    b: &Binding,
) -> Result<Vec<Tensor>, ExecError> {
    let error = |why: String| fail(g, n, Diag::error("run", why));
    for ty in types {
        let size = ty.shape.concrete().and_then(|s| checked_numel(&s)).and_then(|n| n.checked_mul(8));
        if size.is_none_or(|s| s > isize::MAX as usize) {
            return Err(error(format!("a tensor {ty} is too large")));
        }
    }
    let op = concrete_op(g.op(n), b).map_err(error)?;
    let outs = op.eval(&Eval { ins, outs: types }).map_err(|r| fail(g, n, r.diag("run")))?;
    if outs.len() != types.len() {
        return Err(error(format!("{} results were computed, {} declared", outs.len(), types.len())));
    }
    for (t, ty) in outs.iter().zip(types) {
        if t.elem != ty.elem || ty.shape.concrete().as_ref() != Some(&t.shape) {
            return Err(error(format!("{} was computed, but {ty} is declared", t.ty())));
        }
    }
    Ok(outs)
}

/// Adds the place to a diagnostic about a node.
fn fail(g: &Graph, n: NodeId, mut diag: Diag) -> ExecError {
    let node = g.node(n);
    let name = node.outs.first().map_or_else(|| "?".into(), |&v| g.name_of(v).clone());
    diag.message = format!("`{}` at `%{name}`: {}", node.op.name(), diag.message);
    for v in node.ins.iter().flatten() {
        diag = diag.note(format!("operand `%{}` : {}", g.name_of(*v), g.ty(*v)));
    }
    ExecError::Node { node: n, diag: diag.at(&node.loc) }
}

/// The tensors that are still needed.
struct Live<'g> {
    g: &'g Graph,
    binding: &'g Binding,
    tensors: Vec<Option<Tensor>>,
    /// Uses that are still to come, by value; a use as output never ends.
    uses: Vec<u32>,
    /// Types without symbols, by interned type.
    types: Vec<Option<Type>>,
}

impl<'g> Live<'g> {
    fn new(g: &'g Graph, binding: &'g Binding) -> Live<'g> {
        let uses = |i| g.try_value(ValueId::new(i)).map_or(0, |v| v.uses.len() as u32);
        Live {
            g,
            binding,
            tensors: vec![None; g.value_bound()],
            uses: (0..g.value_bound()).map(uses).collect(),
            types: Vec::new(),
        }
    }

    /// Keeps `t` as the value `v` if anything uses it.
    fn put(&mut self, v: ValueId, t: Tensor) {
        if self.uses[v.index()] > 0 {
            self.tensors[v.index()] = Some(t);
        }
    }

    fn types(&mut self, n: NodeId) -> Result<SmallVec<[Type; 1]>, ExecError> {
        let node = self.g.node(n);
        let mut out = SmallVec::new();
        for &v in &node.outs {
            let id = self.g.value(v).ty.index();
            if id >= self.types.len() {
                self.types.resize(id + 1, None);
            }
            if self.types[id].is_none() {
                let ty = concrete(self.g.ty(v), self.binding);
                self.types[id] = Some(ty.map_err(|why| fail(self.g, n, Diag::error("run", why)))?);
            }
            out.extend(self.types[id].clone());
        }
        Ok(out)
    }

    /// Makes the constant `v` if it is one and was not made yet.
    fn need(&mut self, v: ValueId, hook: &mut impl Hook) -> Result<(), ExecError> {
        match self.g.def_node(v) {
            Some(n) if self.tensors[v.index()].is_none() && matches!(self.g.op(n), Op::Const(_)) => {
                self.step(n, hook)
            }
            _ => Ok(()),
        }
    }

    fn step(&mut self, n: NodeId, hook: &mut impl Hook) -> Result<(), ExecError> {
        let g = self.g;
        let node: &'g Node = g.node(n);
        for &v in node.ins.iter().flatten() {
            self.need(v, hook)?;
        }
        hook.node(g, n);
        let types = self.types(n)?;
        let outs = {
            let ins: SmallVec<[Option<&Tensor>; 4]> =
                node.ins.iter().map(|v| v.and_then(|v| self.tensors[v.index()].as_ref())).collect();
            eval(g, n, &ins, &types, self.binding)?
        };
        for &v in node.ins.iter().flatten() {
            let left = &mut self.uses[v.index()];
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.tensors[v.index()] = None;
            }
        }
        for (&v, t) in node.outs.iter().zip(outs) {
            if hook.wants(g, v) {
                hook.value(g, v, &t);
            }
            self.put(v, t);
        }
        Ok(())
    }

    fn output(&mut self, v: ValueId, hook: &mut impl Hook) -> Result<Tensor, ExecError> {
        self.need(v, hook)?;
        self.tensors[v.index()].clone().ok_or_else(|| {
            let message = format!("output `%{}` was not computed", self.g.name_of(v));
            ExecError::Input(Diag::error("run", message).help("verify the graph first"))
        })
    }
}
