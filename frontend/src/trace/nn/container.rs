//! `Sequential`, `ModuleList`.

use crate::trace::{Cx, Feed, Module, Traced};

/// Modules one after the other.
///
/// ```
/// use quantir_frontend::trace::nn;
///
/// let body = nn::Sequential::new().add(nn::Conv2d::new(3, 8, 3)).add(nn::ReLU).named("head", nn::Conv2d::new(8, 4, 1));
/// assert_eq!(body.len(), 3);
/// ```
#[derive(Default)]
pub struct Sequential(Vec<(String, Box<dyn Module>)>);

impl Sequential {
    /// None yet.
    pub fn new() -> Sequential {
        Sequential::default()
    }
    /// Adds one under its number.
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, module: impl Module + 'static) -> Sequential {
        let name = self.0.len().to_string();
        self.named(&name, module)
    }
    /// Adds one under a name, as `Sequential(OrderedDict(…))`.
    pub fn named(mut self, name: &str, module: impl Module + 'static) -> Sequential {
        self.0.push((name.into(), Box::new(module)));
        self
    }
    /// Number of modules.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
impl Module for Sequential {
    fn class(&self) -> String {
        "nn.Sequential".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        self.0.iter().fold(x, |x, (name, m)| cx.call(name, m.as_ref(), x))
    }
}

/// A list of modules, which the author's `forward` calls one by one.
///
/// ```
/// # use quantir_frontend::trace::{Cx, Module, Traced, nn};
/// struct Net {
///     layers: nn::ModuleList<nn::Linear>,
/// }
/// impl Module for Net {
///     fn forward(&self, cx: &Cx, mut x: Traced) -> Traced {
///         for i in 0..self.layers.len() {
///             x = self.layers.call(cx, "layers", i, x);
///         }
///         x
///     }
/// }
/// ```
pub struct ModuleList<M>(Vec<M>);

impl<M> ModuleList<M> {
    /// Of these modules.
    pub fn new(modules: impl IntoIterator<Item = M>) -> ModuleList<M> {
        ModuleList(modules.into_iter().collect())
    }
    /// Number of modules.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The modules.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.0.iter()
    }
    /// Calls module `i` under the path `name.i`; `name` is that of the field that holds the list.
    ///
    /// # Panics
    /// If there is no module `i`, as indexing does.
    #[track_caller]
    pub fn call<I, O>(&self, cx: &Cx, name: &str, i: usize, x: impl Feed<I>) -> O
    where
        M: Module<I, O>,
    {
        cx.module(name, "nn.ModuleList");
        cx.call(&format!("{name}.{i}"), &self.0[i], x)
    }
}
