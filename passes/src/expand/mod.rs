//! Modules taken apart, as PyTorch's observed forms (`torch.ao.nn.quantizable`) take them apart: a layer that is one op
//! in the model becomes the calls of smaller modules whose results can be observed and quantized.
//!
//! [`expand()`] does it and says what is to be observed under which name; [`observe()`] puts the observers in. A module that is called
//! once for each time step has one observer, which sees the results of all steps.

pub mod attention;
pub mod lstm;

use indexmap::IndexMap;
use quantir_ir::edit::Editor;
use quantir_ir::graph::Name;
use quantir_ir::loc::Path;
use quantir_ir::{Loc, ObserverSpec};
use smallvec::SmallVec;

use crate::prelude::*;

/// What an expanded module computes, by name of the observer (`lstm.layers.0.layer_fw.cell.gates.activation_post_process`).
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// Results that the activation's observer sees, all calls of a module under one name.
    pub results: IndexMap<String, Vec<ValueId>>,
    /// Results with parameters that are known before any data: scale and zero point.
    pub fixed: IndexMap<String, (Vec<ValueId>, f32, i32)>,
    /// Results that have the parameters of their first operand.
    pub like_first: IndexMap<String, ValueId>,
    /// Weights, by name of the parameter.
    pub weights: IndexMap<String, ValueId>,
    /// Modules that the expansion adds, with their classes.
    pub modules: IndexMap<Path, Path>,
}

/// The classes of the observed forms that this module knows.
pub const OBSERVED: &[&str] = &["nn.quantizable.LSTM", "nn.quantizable.MultiheadAttention"];

/// Whether [`expand()`] takes this op apart.
pub fn is_known(op: &Op) -> bool {
    matches!(op, Op::Lstm(_) | Op::MultiheadAttention(_))
}

/// Takes the module called at `n` apart.
///
/// # Errors
/// A reason with the node's place if the op is none that can be taken apart, or its sequence has no known length.
pub fn expand(g: &mut Graph, cx: &mut PassCx, n: NodeId) -> Result<Expanded, Diag> {
    let built = match g.op(n) {
        Op::Lstm(_) => lstm::build(g, n),
        Op::MultiheadAttention(_) => attention::build(g, n),
        other => Err(Reason::new(format!("`{}` has no observed form", other.name()))),
    };
    let (edit, expanded) = built.map_err(|r| r.diag("expand").at(&g.node(n).loc))?;
    if cx.apply(g, "expand", n, edit)?.is_none() {
        return Ok(Expanded::default());
    }
    for (path, class) in &expanded.modules {
        g.modules.insert(path.clone(), class.clone());
    }
    Ok(expanded)
}

/// Observes what [`expand()`] found, in a graph of phase `observed`: results with `activation`, weights with `weight`.
///
/// # Errors
/// An edit that does not fit, which is a defect.
pub fn observe(
    g: &mut Graph,
    cx: &mut PassCx,
    parts: &Expanded,
    activation: &ObserverSpec,
    weight: &ObserverSpec,
) -> Result<(), Diag> {
    for (name, values) in &parts.results {
        put(g, cx, name, activation, values)?;
    }
    for (name, (values, scale, zero)) in &parts.fixed {
        let mut spec = ObserverSpec::new("fixed", activation.storage);
        spec.args = vec![*scale, *zero as f32];
        put(g, cx, name, &spec, values)?;
    }
    for (name, value) in &parts.like_first {
        let spec =
            ObserverSpec { range: activation.range, ..ObserverSpec::new("reuse_input", activation.storage) };
        put(g, cx, name, &spec, &[*value])?;
    }
    for (name, value) in &parts.weights {
        put(g, cx, name, weight, &[*value])?;
    }
    Ok(())
}

/// Observes each of `values` with one observer.
fn put(
    g: &mut Graph,
    cx: &mut PassCx,
    name: &str,
    spec: &ObserverSpec,
    values: &[ValueId],
) -> Result<(), Diag> {
    for &v in values {
        let uses = g.value(v).uses.to_vec();
        let def = g.def_node(v);
        let next = match def {
            Some(def) => g.nodes().skip_while(|&n| n != def).nth(1),
            None => g.nodes().next(),
        };
        let Some(mark) = def.or(next) else { continue };
        let mut e = match next {
            Some(at) => g.edit(at),
            None => g.edit_end(),
        };
        let path = def.and_then(|def| g.node(def).loc.path.clone());
        e.loc(Loc { path, ..Loc::default() });
        let op = Observe { by: ops::observe::ObserverName(name.into()) };
        let seen = e.op(op, [v]).map_err(|r| r.diag("expand"))?;
        e.name(seen, &format!("{}.o", g.name_of(v))).replace_uses(v, seen, uses);
        let edit = e.finish();
        g.observers.entry(Name::from(name)).or_insert_with(|| spec.clone());
        if cx.apply(g, "expand", mark, edit)?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Adds calls of modules below a module, and collects what is to be observed.
struct Builder<'g> {
    e: Editor<'g>,
    root: String,
    at: Loc,
    parts: Expanded,
}

impl<'g> Builder<'g> {
    /// At the place of `n`, whose module `class` becomes; a node without a module is called after its first result.
    fn new(g: &'g Graph, n: NodeId, class: &str) -> Builder<'g> {
        let node = g.node(n);
        let root = match &node.loc.path {
            Some(p) => p.to_string(),
            None => node.outs.first().map_or_else(String::new, |&v| g.name_of(v).to_string()),
        };
        let mut b = Builder { e: g.edit(n), root, at: node.loc.clone(), parts: Expanded::default() };
        b.at.call = None;
        b.parts.modules.insert(b.root.as_str().into(), class.into());
        b
    }

    /// A module below the root.
    fn module(&mut self, path: &str, class: &str) {
        let path = self.path(path);
        self.parts.modules.insert(path.into(), class.into());
    }

    fn path(&self, below: &str) -> String {
        format!("{}.{below}", self.root)
    }

    /// Nodes from here on are calls of `call`, of the module at `below` (or in it, for a function).
    fn enter(&mut self, below: &str, call: Option<&str>) {
        let path = if below.is_empty() { self.root.clone() } else { self.path(below) };
        let loc = Loc { path: Some(path.into()), call: call.map(Into::into), ..self.at.clone() };
        self.e.loc(loc);
    }

    fn op<I>(&mut self, name: &str, op: impl Into<Op>, ins: I) -> Result<ValueId, Reason>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        Ok(self.ops(name, op, ins)?[0])
    }

    fn ops<I>(&mut self, name: &str, op: impl Into<Op>, ins: I) -> Result<SmallVec<[ValueId; 1]>, Reason>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let outs = self.e.op_as(op, ins, &[])?;
        for (i, &v) in outs.iter().enumerate() {
            let name = if i == 0 { self.path(name) } else { self.path(&format!("{name}.{i}")) };
            self.e.name(v, &name);
        }
        Ok(outs)
    }

    /// As `op`, for a module whose result is observed.
    fn seen<I>(&mut self, below: &str, step: &str, op: impl Into<Op>, ins: I) -> Result<ValueId, Reason>
    where
        I: IntoIterator,
        I::Item: Into<Option<ValueId>>,
    {
        let v = self.op(&format!("{below}{step}"), op, ins)?;
        let name = self.path(&format!("{below}.activation_post_process"));
        self.parts.results.entry(name).or_default().push(v);
        Ok(v)
    }

    /// Marks a result with known parameters.
    fn fixed(&mut self, below: &str, v: ValueId, scale: f32, zero: i32) {
        let name = self.path(&format!("{below}.activation_post_process"));
        self.parts.fixed.entry(name).or_insert((Vec::new(), scale, zero)).0.push(v);
    }

    /// A result that has the parameters of its first operand.
    fn like_first(&mut self, below: &str, v: ValueId) {
        let name = self.path(&format!("{below}.activation_post_process"));
        self.parts.like_first.insert(name, v);
    }

    fn shape(&self, v: ValueId) -> Vec<Dim> {
        self.e.ty(v).shape.0.clone()
    }
}
