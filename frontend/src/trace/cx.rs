//! The state of one tracing: graph, scopes, names, errors.

use std::cell::{Ref, RefCell, RefMut};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::graph::Phase;
use quantir_ir::{Diag, Graph, Loc, Op, Span, Tensor, Type, ValueId};

use super::names::Names;
use super::site::{Call, Site};
use super::traced::Traced;
use super::tracer::{CallKind, CallRecord, Feed, Module, Trace};
use super::weights::{Init, Weights};
use crate::Error;

/// One module whose `forward` is running.
#[derive(Clone, Debug)]
struct Scope {
    path: String,
    class: Arc<str>,
    span: Span,
}

/// A call whose inside counts as one unit: a leaf module, or a wrapped function.
#[derive(Clone, Debug)]
struct Unit {
    name: String,
    loc: Loc,
}

pub(super) struct State {
    pub(super) graph: Graph,
    names: Names,
    scopes: Vec<Scope>,
    unit: Option<Unit>,
    pub(super) records: Vec<CallRecord>,
    modules: IndexMap<Arc<str>, Arc<str>>,
    errors: Vec<Diag>,
    pub(super) weights: Weights,
    params: IndexMap<String, Option<ValueId>>,
    attrs: Vec<String>,
    leaf_names: Vec<String>,
    leaf_classes: Vec<String>,
    eager: bool,
}

/// The handle through which modules add to the graph. Cheap to clone; all clones are one tracing.
#[derive(Clone)]
pub struct Cx(Rc<RefCell<State>>);

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = self.state();
        write!(f, "Cx({}, {} nodes)", s.graph.name, s.graph.node_count())
    }
}

/// More errors than this say nothing new; they are counted only.
const ERRORS: usize = 50;

#[track_caller]
pub(super) fn here() -> Span {
    let l = Location::caller();
    Span { file: l.file().into(), line: l.line(), col: l.column() }
}

impl Cx {
    /// An empty tracing; [`Tracer::begin`](super::Tracer::begin) is the way to one with weights and leaves.
    pub(super) fn new(
        name: &str,
        weights: Weights,
        leaf_names: Vec<String>,
        leaf_classes: Vec<String>,
        eager: bool,
    ) -> Cx {
        Cx(Rc::new(RefCell::new(State {
            graph: Graph::new(name, Phase::Float),
            names: Names::default(),
            scopes: Vec::new(),
            unit: None,
            records: Vec::new(),
            modules: IndexMap::new(),
            errors: Vec::new(),
            weights,
            params: IndexMap::new(),
            attrs: Vec::new(),
            leaf_names,
            leaf_classes,
            eager,
        })))
    }

    pub(super) fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }
    pub(super) fn edit(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
    pub(super) fn same(&self, other: &Cx) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Adds a graph input; its value is named as FX names the placeholder.
    pub fn input(&self, name: &str, ty: Type) -> Traced {
        let mut s = self.edit();
        let name = s.names.fresh(name);
        for d in &ty.shape.0 {
            d.symbols(&mut |symbol| s.graph.declare_dim(symbol, (1, None)));
        }
        let v = s.graph.input(&name, ty);
        s.records.push(CallRecord {
            name: name.clone(),
            kind: CallKind::Placeholder,
            target: name,
            path: None,
            value: Some(v),
        });
        drop(s);
        Traced::new(self, Some(v))
    }

    /// Adds a graph output under a name that survives every pass.
    pub fn output(&self, name: &str, x: &Traced) {
        if !x.cx().same(self) {
            self.foreign(x);
        } else if let Some(v) = x.value() {
            self.edit().graph.output(name, v);
        }
    }

    /// Records what is wrong; tracing goes on, so that all errors are reported at once.
    pub fn error(&self, diag: Diag) {
        let path = self.path();
        let mut s = self.edit();
        let diag = Diag { path: diag.path.or_else(|| (!path.is_empty()).then_some(path)), ..diag };
        if s.errors.len() < ERRORS && !s.errors.contains(&diag) {
            s.errors.push(diag);
        }
    }
    /// As [`Cx::error`] for a use of `x` that no tracing allows, at the caller's line; returns what may stand for the result.
    #[track_caller]
    pub(super) fn refuse(&self, message: impl Into<String>, help: impl Into<String>) -> Traced {
        let diag = Diag { span: Some(here()), ..Diag::error("trace", message).help(help) };
        self.error(diag);
        Traced::new(self, None)
    }

    /// Records that `x` is of another tracing, or why it is of none.
    pub(super) fn foreign(&self, x: &Traced) {
        if !self.adopt(x.cx()) {
            self.error(
                Diag::error("trace", "a value of another tracing is used")
                    .help("keep no traced values in modules; pass them to `forward` and return them"),
            );
        }
    }

    /// The path of the module whose `forward` is running; empty for the root.
    pub fn path(&self) -> String {
        self.state().scopes.last().map(|s| s.path.clone()).unwrap_or_default()
    }

    /// Calls a module under the name of the field that holds it, as `self.conv1(x)` does in PyTorch.
    ///
    /// A module that is called twice under one name shares its parameters; names of its values get `_1`, `_2`.
    #[track_caller]
    pub fn call<I, O, M: Module<I, O> + ?Sized>(&self, name: &str, module: &M, x: impl Feed<I>) -> O {
        let parent = self.path();
        let path = match parent.is_empty() {
            true => name.to_owned(),
            false => format!("{parent}.{name}"),
        };
        self.enter(path, module, x.feed(), here())
    }

    /// Runs the root module, whose path is empty.
    pub(super) fn root<I, O, M: Module<I, O> + ?Sized>(&self, module: &M, x: I, span: Span) -> O {
        self.enter(String::new(), module, x, span)
    }

    fn enter<I, O, M: Module<I, O> + ?Sized>(&self, path: String, module: &M, x: I, span: Span) -> O {
        let class: Arc<str> = module.class().into();
        let leaf = {
            let mut s = self.edit();
            s.modules.entry(path.as_str().into()).or_insert_with(|| class.clone());
            let inside = s.unit.is_some();
            let asked = s.leaf_names.contains(&path) || s.leaf_classes.iter().any(|c| **c == *class);
            s.scopes.push(Scope { path: path.clone(), class: class.clone(), span });
            !inside && (asked || module.is_leaf())
        };
        if leaf {
            let site = self.site(Call::Module);
            self.edit().unit = Some(Unit { name: site.name.clone(), loc: site.loc.clone() });
        }
        let y = module.forward(self, x);
        let mut s = self.edit();
        s.scopes.pop();
        if leaf {
            s.unit = None;
        }
        y
    }

    /// Notes a container that is never called itself, so that its class is known.
    pub fn module(&self, name: &str, class: &str) {
        let parent = self.path();
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        self.edit().modules.entry(path.into()).or_insert_with(|| class.into());
    }

    /// Runs a method of a module that is not called itself: in eager mode the nodes are one unit that carries the module's path
    /// and class, else they are plain calls of functions.
    #[track_caller]
    pub(super) fn functional(&self, name: &str, class: &str, f: impl FnOnce() -> Traced) -> Traced {
        self.module(name, class);
        let outer = self.state().unit.is_some();
        if !self.state().eager || outer {
            return f();
        }
        let parent = self.path();
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        let span = here();
        self.edit().scopes.push(Scope { path, class: class.into(), span });
        let site = self.site(Call::Module);
        self.edit().unit = Some(Unit { name: site.name.clone(), loc: site.loc.clone() });
        let y = f();
        let mut s = self.edit();
        s.unit = None;
        s.scopes.pop();
        y
    }

    /// Runs `f` as one opaque call of a function `name` (`torch.fx.wrap`): passes treat the nodes inside as one unit.
    #[track_caller]
    pub fn wrapped<O>(&self, name: &str, f: impl FnOnce() -> O) -> O {
        let outer = self.state().unit.is_some();
        if outer {
            return f();
        }
        let site = self.site(Call::Function(name));
        self.edit().unit = Some(Unit { name: site.name.clone(), loc: site.loc.clone() });
        let y = f();
        self.edit().unit = None;
        y
    }

    /// Begins one call of the author: gives it its name and its place. The nodes that it consists of are added through it.
    #[track_caller]
    pub fn site(&self, call: Call) -> Site {
        let at = here();
        let mut s = self.edit();
        if let Some(unit) = &s.unit {
            return Site { cx: self.clone(), name: unit.name.clone(), loc: unit.loc.clone() };
        }
        let scope = s.scopes.last();
        let path = scope.map(|s| s.path.clone()).unwrap_or_default();
        let (wish, kind, target, call_type, span) = match call {
            Call::Module => {
                let (class, span) = match scope {
                    Some(s) => (s.class.clone(), s.span.clone()),
                    None => ("Module".into(), at),
                };
                // The root has no path; its class names it.
                let wish = if path.is_empty() {
                    class.rsplit('.').next().unwrap_or("").into()
                } else {
                    path.clone()
                };
                (wish, CallKind::Module, path.clone(), class, span)
            }
            Call::Function(f) => {
                (f.rsplit('.').next().unwrap_or(f).into(), CallKind::Function, f.into(), f.into(), at)
            }
            Call::Method(m) => (m.into(), CallKind::Method, m.into(), format!(".{m}").into(), at),
        };
        let name = s.names.fresh(&wish);
        let path: Option<Arc<str>> = (!path.is_empty()).then(|| path.into());
        let loc = Loc { path: path.clone(), span: Some(span), call: Some(call_type), ..Loc::default() };
        s.records.push(CallRecord { name: name.clone(), kind, target, path, value: None });
        Site { cx: self.clone(), name, loc }
    }

    /// Adds one node for one call of the author.
    #[track_caller]
    pub fn emit(&self, op: impl Into<Op>, inputs: &[&Traced], call: Call) -> Traced {
        self.site(call).finish(op, inputs)
    }

    /// A parameter or buffer of the module whose `forward` is running, by its own name (`weight`).
    ///
    /// It is taken from the weights under the full path, or made by `init` if the tracer has no weights.
    #[track_caller]
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Traced {
        let scope = self.path();
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        let mut s = self.edit();
        if let Some(v) = s.params.get(&full) {
            let v = *v;
            drop(s);
            return Traced::new(self, v);
        }
        let span = s.scopes.last().map(|x| x.span.clone()).unwrap_or_else(here);
        let loc = Loc { path: (!scope.is_empty()).then(|| scope.into()), span: Some(span), ..Loc::default() };
        let value = match s.weights.take(&full, shape, init) {
            Ok(t) => Some(s.graph.push_const(t, &full, loc)),
            Err(reason) => {
                let diag = reason.diag("weights").at(&loc);
                s.errors.push(diag);
                None
            }
        };
        s.params.insert(full, value);
        drop(s);
        Traced::new(self, value)
    }

    /// As [`Cx::param`] for a parameter that `forward` itself reads (`self.w`), which FX shows as a `get_attr` node.
    #[track_caller]
    pub fn attr(&self, name: &str, shape: &[usize], init: Init) -> Traced {
        let x = self.param(name, shape, init);
        let scope = self.path();
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        let mut s = self.edit();
        if s.unit.is_none() && !s.attrs.contains(&full) {
            let fx = s.names.fresh(&full);
            s.attrs.push(full.clone());
            let path: Option<Arc<str>> = (!scope.is_empty()).then(|| scope.into());
            s.records.push(CallRecord {
                name: fx,
                kind: CallKind::Attr,
                target: full,
                path,
                value: x.value(),
            });
        }
        drop(s);
        x
    }

    /// A tensor that `forward` makes itself; FX names such constants `_tensor_constant0`, `_tensor_constant1` …
    #[track_caller]
    pub fn constant(&self, t: Tensor) -> Traced {
        let span = here();
        let mut s = self.edit();
        let n = s.records.iter().filter(|r| r.target.starts_with("_tensor_constant")).count();
        let target = format!("_tensor_constant{n}");
        let name = s.names.fresh(&target);
        let v = s.graph.push_const(t, &name, Loc { span: Some(span), ..Loc::default() });
        s.records.push(CallRecord { name, kind: CallKind::Attr, target, path: None, value: Some(v) });
        drop(s);
        Traced::new(self, Some(v))
    }

    /// Notes a call that computes on sizes or takes a part of a tuple: FX has a node for it, the graph needs none.
    #[track_caller]
    pub(super) fn note(&self, call: Call, value: Option<ValueId>) {
        let site = self.site(call);
        site.is(value);
    }

    /// Takes the errors of a tracing that exists only to hold them; whether there were any.
    fn adopt(&self, other: &Cx) -> bool {
        let errors = std::mem::take(&mut other.edit().errors);
        let any = !errors.is_empty();
        errors.into_iter().for_each(|e| self.error(e));
        any
    }

    /// Ends the tracing. Fails with everything that went wrong.
    pub fn finish(&self) -> Result<Trace, Error> {
        let mut s = self.edit();
        let unexpected = s.weights.unexpected();
        s.errors.extend(unexpected);
        let mut diags = std::mem::take(&mut s.errors);
        if diags.is_empty() {
            diags = quantir_ir::verify(&s.graph);
        }
        if !diags.is_empty() {
            return Err(Error::Graph { place: format!("tracing `{}`", s.graph.name), diags });
        }
        s.graph.modules = s.modules.clone();
        Ok(Trace { graph: s.graph.clone(), calls: s.records.clone() })
    }
}
