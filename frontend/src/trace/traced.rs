//! The values that stand for tensors while a model is traced.

use std::fmt;

use quantir_ir::{Diag, Dim, Type, ValueId};

use super::cx::Cx;
use super::weights::Weights;

/// A value of the graph that a model's `forward` computes with.
///
/// It has a type but no contents: tracing decides what is computed, not what comes out. One whose making failed is
/// silent; what depends on it is silent too, so one mistake is reported once.
///
/// It cannot be printed as a tensor (`{:?}` shows name and type), and Rust refuses what Python refuses at run time:
///
/// ```compile_fail
/// # fn f(x: quantir_frontend::trace::Traced) {
/// if x {} // the graph has no branches: compute both sides and select with `f::where_`
/// # }
/// ```
/// ```compile_fail
/// # fn f(x: quantir_frontend::trace::Traced) {
/// for row in x {} // a traced value cannot be iterated: use `x.select(0, i)` for the rows that you need
/// # }
/// ```
/// ```compile_fail
/// # fn f(mut x: quantir_frontend::trace::Traced) {
/// x[0] = 1.0; // no item assignment: make a new value with `f::cat` or `f::where_`
/// # }
/// ```
/// ```compile_fail
/// # fn f(x: quantir_frontend::trace::Traced) {
/// println!("{x}"); // there is nothing to print before the graph runs; `{x:?}` shows its type
/// # }
/// ```
#[derive(Clone)]
pub struct Traced {
    cx: Cx,
    value: Option<ValueId>,
}

impl Traced {
    pub(super) fn new(cx: &Cx, value: Option<ValueId>) -> Traced {
        Traced { cx: cx.clone(), value }
    }
    /// One that no tracing has made, because of `diag`, which the tracing that uses it reports.
    pub(super) fn broken(diag: Diag) -> Traced {
        let cx = Cx::new("", Weights::default(), Vec::new(), Vec::new(), false);
        cx.error(diag);
        Traced { cx, value: None }
    }
    /// The tracing that it belongs to.
    pub fn cx(&self) -> &Cx {
        &self.cx
    }
    /// Its value in the graph; `None` if its making failed, which is recorded.
    pub fn value(&self) -> Option<ValueId> {
        self.value
    }
    /// Its type; `None` if its making failed.
    pub fn ty(&self) -> Option<Type> {
        self.value.map(|v| self.cx.state().graph.ty(v).clone())
    }
    /// Its dimensions; none if its making failed.
    pub fn dims(&self) -> Vec<Dim> {
        self.ty().map(|t| t.shape.0).unwrap_or_default()
    }
    /// Number of dimensions, which is always known; 0 if its making failed.
    pub fn rank(&self) -> usize {
        self.dims().len()
    }
    /// Its name in the graph.
    pub fn name(&self) -> String {
        self.value.map(|v| self.cx.state().graph.name_of(v).to_string()).unwrap_or_default()
    }
}

impl From<&Traced> for Traced {
    fn from(x: &Traced) -> Traced {
        x.clone()
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty() {
            Some(t) => write!(f, "%{}: {t}", self.name()),
            None => f.write_str("a value that could not be traced"),
        }
    }
}
