//! Modules, and the tracer that runs them.

use std::panic::Location;
use std::sync::Arc;

use quantir_ir::{Diag, Graph, Span, Type, ValueId};

use super::cx::Cx;
use super::traced::Traced;
use super::weights::Weights;
use crate::Error;

/// A part of a model: what `torch.nn.Module` is in PyTorch.
///
/// `In` and `Out` are [`Traced`], tuples of it, or any type of the author's own; a root module needs types that
/// implement [`Inputs`] and [`Outputs`].
///
/// ```
/// use quantir_frontend::trace::{Cx, Module, Traced, nn};
///
/// struct Block {
///     conv: nn::Conv2d,
///     relu: nn::ReLU,
/// }
/// impl Module for Block {
///     fn forward(&self, cx: &Cx, x: Traced) -> Traced {
///         let y = cx.call("conv", &self.conv, &x);
///         cx.call("relu", &self.relu, y + x)
///     }
/// }
/// ```
pub trait Module<In = Traced, Out = Traced> {
    /// Its class, on which rules of a `QConfigMapping` match; the name of the Rust type unless given.
    fn class(&self) -> String {
        let name = std::any::type_name::<Self>();
        let name = name.split('<').next().unwrap_or(name);
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }
    /// Whether passes shall treat everything inside as one unit, as FX treats a leaf module.
    fn is_leaf(&self) -> bool {
        false
    }
    /// What it computes. Children are called by [`Cx::call`], which gives them their path.
    fn forward(&self, cx: &Cx, x: In) -> Out;
}

impl<I, O, M: Module<I, O> + ?Sized> Module<I, O> for Box<M> {
    fn class(&self) -> String {
        (**self).class()
    }
    fn is_leaf(&self) -> bool {
        (**self).is_leaf()
    }
    fn forward(&self, cx: &Cx, x: I) -> O {
        (**self).forward(cx, x)
    }
}

/// Whatever can be passed where a module takes `I`: the value itself, a reference, a tuple of these.
pub trait Feed<I> {
    /// The module's input.
    fn feed(self) -> I;
}
impl Feed<Traced> for Traced {
    fn feed(self) -> Traced {
        self
    }
}
impl Feed<Traced> for &Traced {
    fn feed(self) -> Traced {
        self.clone()
    }
}
impl Feed<Vec<Traced>> for Vec<Traced> {
    fn feed(self) -> Vec<Traced> {
        self
    }
}

/// What a root module takes.
pub trait Inputs: Sized {
    /// Takes the graph's inputs; `None` if their number is another one.
    fn take(inputs: Vec<Traced>) -> Option<Self>;
    /// How many it takes, for the message; `None` if any number will do.
    fn count() -> Option<usize>;
}
impl Inputs for Traced {
    fn take(inputs: Vec<Traced>) -> Option<Traced> {
        <[Traced; 1]>::try_from(inputs).ok().map(|[x]| x)
    }
    fn count() -> Option<usize> {
        Some(1)
    }
}
impl Inputs for Vec<Traced> {
    fn take(inputs: Vec<Traced>) -> Option<Vec<Traced>> {
        Some(inputs)
    }
    fn count() -> Option<usize> {
        None
    }
}

/// What a root module returns, as named outputs: one is `out`, those of a tuple are `out.0`, `out.1` …, a list of
/// pairs is PyTorch's dictionary (`out.box`).
pub trait Outputs {
    /// The values under their names.
    fn named(self) -> Vec<(String, Traced)>;
}
impl Outputs for Traced {
    fn named(self) -> Vec<(String, Traced)> {
        vec![("out".into(), self)]
    }
}
impl Outputs for Vec<Traced> {
    fn named(self) -> Vec<(String, Traced)> {
        self.into_iter().enumerate().map(|(i, x)| (format!("out.{i}"), x)).collect()
    }
}
impl Outputs for Vec<(String, Traced)> {
    fn named(self) -> Vec<(String, Traced)> {
        self.into_iter().map(|(n, x)| (format!("out.{n}"), x)).collect()
    }
}

macro_rules! traced {
    ($x:ident) => {
        Traced
    };
}
macro_rules! tuples {
    ($($n:literal: $($x:ident $y:ident),*;)*) => {$(
        impl<$($x: Feed<$y>, $y),*> Feed<($($y,)*)> for ($($x,)*) {
            fn feed(self) -> ($($y,)*) {
                #[allow(non_snake_case)]
                let ($($x,)*) = self;
                ($($x.feed(),)*)
            }
        }
        impl Inputs for ($(traced!($x),)*) {
            #[allow(non_snake_case)]
            fn take(inputs: Vec<Traced>) -> Option<Self> {
                <[Traced; $n]>::try_from(inputs).ok().map(|[$($x),*]| ($($x,)*))
            }
            fn count() -> Option<usize> {
                Some($n)
            }
        }
        impl Outputs for ($(traced!($x),)*) {
            #[allow(non_snake_case)]
            fn named(self) -> Vec<(String, Traced)> {
                let ($($x,)*) = self;
                vec![$($x),*].named()
            }
        }
    )*};
}
tuples! {
    2: A P, B Q;
    3: A P, B Q, C R;
    4: A P, B Q, C R, D S;
    5: A P, B Q, C R, D S, E T;
    6: A P, B Q, C R, D S, E T, F U;
}

/// What FX would call a node of the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallKind {
    /// A graph input.
    Placeholder,
    /// A parameter or constant that `forward` reads itself.
    Attr,
    /// A call of a module.
    Module,
    /// A call of a function.
    Function,
    /// A call of a method.
    Method,
}

/// One call of the model's author, as FX would show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// The name that FX gives its node.
    pub name: String,
    /// What kind of call.
    pub kind: CallKind,
    /// The module's path, the function's call type, or the method's name.
    pub target: String,
    /// The path of the called module, or of the module that the call is in; absent at the top.
    pub path: Option<Arc<str>>,
    /// The value in the graph; absent for calls that compute on sizes, which the graph needs no nodes for.
    pub value: Option<ValueId>,
}

/// A traced model.
#[derive(Clone)]
pub struct Trace {
    /// The graph, of phase float.
    pub graph: Graph,
    /// Every call in the order of the program.
    pub calls: Vec<CallRecord>,
}

/// Traces models: `torch.fx.Tracer`.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    name: Option<String>,
    weights: Weights,
    inputs: Vec<(String, Type)>,
    leaf_names: Vec<String>,
    leaf_classes: Vec<String>,
    eager: bool,
}

impl Tracer {
    /// A tracer without inputs, whose parameters are made from seed 0.
    pub fn new() -> Tracer {
        Tracer::default()
    }
    /// Names the graph; the root module's class unless given.
    pub fn name(mut self, name: &str) -> Tracer {
        self.name = Some(name.into());
        self
    }
    /// Takes parameters from a state dict, or from another seed.
    pub fn weights(mut self, weights: Weights) -> Tracer {
        self.weights = weights;
        self
    }
    /// Adds an input of the root module.
    pub fn input(mut self, name: &str, ty: Type) -> Tracer {
        self.inputs.push((name.into(), ty));
        self
    }
    /// Keeps the module at this path whole: `PrepareCustomConfig.set_non_traceable_module_names`.
    pub fn leaf_name(mut self, path: &str) -> Tracer {
        self.leaf_names.push(path.into());
        self
    }
    /// Keeps modules of this class whole: `PrepareCustomConfig.set_non_traceable_module_classes`.
    pub fn leaf_class(mut self, class: &str) -> Tracer {
        self.leaf_classes.push(class.into());
        self
    }

    /// Keeps what marks a model for eager mode: calls of [`nn::FloatFunctional`](super::nn::FloatFunctional) carry its path.
    pub fn eager(mut self) -> Tracer {
        self.eager = true;
        self
    }

    /// Begins a tracing without a root module; [`Cx::finish`] ends it.
    pub fn begin(self) -> Cx {
        let name = self.name.unwrap_or_else(|| "model".into());
        Cx::new(&name, self.weights, self.leaf_names, self.leaf_classes, self.eager)
    }

    /// Runs `model` once on stand-ins of the inputs. Fails with everything that went wrong, not with the first of it.
    #[track_caller]
    pub fn trace<I: Inputs, O: Outputs, M: Module<I, O> + ?Sized>(
        mut self,
        model: &M,
    ) -> Result<Trace, Error> {
        let at = Location::caller();
        let span = Span { file: at.file().into(), line: at.line(), col: at.column() };
        let class = model.class();
        let inputs = std::mem::take(&mut self.inputs);
        self.name.get_or_insert_with(|| class.clone());
        let cx = self.begin();
        let given = inputs.len();
        let values: Vec<Traced> = inputs.into_iter().map(|(n, ty)| cx.input(&n, ty)).collect();
        match I::take(values) {
            Some(x) => {
                for (name, y) in cx.root(model, x, span).named() {
                    cx.output(&name, &y);
                }
            }
            None => {
                let want = I::count().map_or("any number of".into(), |n| n.to_string());
                let diag =
                    Diag::error("trace", format!("`{class}` takes {want} inputs, {given} are declared"));
                cx.error(Diag {
                    span: Some(span),
                    ..diag.help("declare each with `Tracer::input(name, type)`, in the order of `forward`")
                });
            }
        }
        cx.finish()
    }
}
