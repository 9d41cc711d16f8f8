//! What a pass is: [`Rewrite`] for local changes, [`Pass`] for whole graphs, [`PassCx`] for what passes share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::graph::Name;
use quantir_ir::loc::Path;
use quantir_ir::{Applied, Diag, Edit, Graph, NodeId, Phase};

use crate::driver::{Rule, drive};

/// How a pass preserves meaning. The filetest runner and `check-each` evaluate before and after and enforce it.
///
/// `0.0` and `-0.0` count as equal, and so do any two NaNs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Effect {
    /// Every output keeps its bits.
    Exact,
    /// With each edit, float outputs stay within `rel` times the largest magnitude of the output; quantized ones
    /// within one step.
    Rounding {
        /// The bound.
        rel: f32,
    },
    /// Outputs keep their types and stay finite where they were finite.
    Approximate,
}

impl Effect {
    /// The effect of `edits` edits.
    pub fn times(self, edits: u64) -> Effect {
        match self {
            Effect::Rounding { rel } => Effect::Rounding { rel: rel * edits.max(1) as f32 },
            other => other,
        }
    }

    /// The effect of both, one after the other.
    pub fn then(self, next: Effect) -> Effect {
        match (self, next) {
            (Effect::Approximate, _) | (_, Effect::Approximate) => Effect::Approximate,
            (Effect::Exact, e) | (e, Effect::Exact) => e,
            (Effect::Rounding { rel: a }, Effect::Rounding { rel: b }) => Effect::Rounding { rel: a + b },
        }
    }
}

/// An option that a pass takes in pipeline text: `const-fold{limit=1024}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionInfo {
    /// The key.
    pub name: &'static str,
    /// The value if it is not given.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// What is known of a pass without running it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PassInfo {
    /// The name in pipelines, in kebab case.
    pub name: &'static str,
    /// One sentence without a full stop.
    pub summary: &'static str,
    /// First and last phase of the graphs that it accepts.
    pub phases: (Phase, Phase),
    /// How it preserves meaning.
    pub effect: Effect,
    /// Options that it takes.
    pub options: &'static [OptionInfo],
}

impl PassInfo {
    /// An exact pass over float graphs that takes no options.
    pub const fn new(name: &'static str, summary: &'static str) -> PassInfo {
        let phases = (Phase::Float, Phase::Float);
        PassInfo { name, summary, phases, effect: Effect::Exact, options: &[] }
    }
    /// Accepts graphs from phase `first` to phase `last`.
    pub const fn phases(mut self, first: Phase, last: Phase) -> PassInfo {
        self.phases = (first, last);
        self
    }
    /// Changes float results by at most `rel` of an output's largest magnitude.
    pub const fn rounding(mut self, rel: f32) -> PassInfo {
        self.effect = Effect::Rounding { rel };
        self
    }
    /// Changes results as its policy says.
    pub const fn approximate(mut self) -> PassInfo {
        self.effect = Effect::Approximate;
        self
    }
    /// Takes options.
    pub const fn options(mut self, options: &'static [OptionInfo]) -> PassInfo {
        self.options = options;
        self
    }
}

/// A local change: looks at one node and proposes one edit. Every rewrite is a [`Pass`] through the driver.
pub trait Rewrite: Sync {
    /// Name, summary, phases, effect.
    const INFO: PassInfo;
    /// The edit for the pattern whose last node is `at`, if it matches.
    ///
    /// Must not match its own result again; the driver stops with an error after too many edits.
    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit>;
    /// Why a node that looks like the pattern does not match, in the user's words; asked once, at the end.
    fn why_not(&self, _g: &Graph, _at: NodeId) -> Option<String> {
        None
    }
}

/// Whether a pass changed the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    /// It did.
    Yes,
    /// The graph is as before.
    No,
}

impl From<bool> for Changed {
    fn from(changed: bool) -> Changed {
        if changed { Changed::Yes } else { Changed::No }
    }
}

/// A change of a whole graph.
pub trait Pass: Sync {
    /// Name, summary, phases, effect.
    fn info(&self) -> &PassInfo;
    /// Changes the graph. On error the graph may be half changed; the manager keeps a copy.
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag>;
}

impl<R: Rewrite> Pass for R {
    fn info(&self) -> &PassInfo {
        &R::INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let rule = Rule { name: R::INFO.name, apply: &|g, n| self.rewrite(g, n) };
        let changed = drive(g, cx, &[rule])?;
        for n in g.nodes() {
            if let Some(reason) = self.why_not(g, n) {
                cx.reject(g, n, reason);
            }
        }
        Ok(changed)
    }
}

/// A node that a pass left as it was, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The pass.
    pub pass: &'static str,
    /// The node's first result.
    pub node: Name,
    /// The node's module.
    pub path: Option<Path>,
    /// The reason, in the user's words.
    pub reason: String,
}

/// One edit: where it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditRecord {
    /// Its number, from 1, over the whole run.
    pub number: u64,
    /// The pass.
    pub pass: &'static str,
    /// The rule of the pass.
    pub rule: &'static str,
    /// The first result of the node that it was applied at.
    pub node: Name,
    /// That node's module.
    pub path: Option<Path>,
}

impl std::fmt::Display for EditRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "edit {}: pass `{}`", self.number, self.pass)?;
        if self.rule != self.pass {
            write!(f, ", rule `{}`", self.rule)?;
        }
        write!(f, ", at %{}", self.node)?;
        match &self.path {
            Some(p) => write!(f, " @{p}"),
            None => Ok(()),
        }
    }
}

/// Options of one pass in a pipeline, by key.
pub type Options = IndexMap<String, String>;

/// What passes of one run share: options, typed inputs, the count of edits, the log of rejections.
#[derive(Default)]
pub struct PassCx {
    pub(crate) info: Option<PassInfo>,
    pub(crate) options: Options,
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    edits: u64,
    limit: Option<u64>,
    at_limit: Option<EditRecord>,
    /// How often each rule was applied.
    pub counts: IndexMap<&'static str, u64>,
    /// What was left as it was, in order.
    pub rejections: Vec<Rejection>,
}

impl PassCx {
    /// A context without inputs and without a limit of edits.
    pub fn new() -> PassCx {
        PassCx::default()
    }

    /// Stops all passes after `limit` edits: later edits are not made.
    pub fn with_limit(mut self, limit: Option<u64>) -> PassCx {
        self.limit = limit;
        self
    }

    /// Starts a pass.
    pub(crate) fn enter(&mut self, info: &PassInfo, options: &Options) {
        self.info = Some(*info);
        self.options.clone_from(options);
    }

    /// The name of the pass that runs.
    pub fn pass(&self) -> &'static str {
        self.info.map_or("", |i| i.name)
    }

    // ---- configuration

    /// Hands a value (a configuration, a `Calibration`) to passes; one for each type.
    pub fn provide<T: Any + Send + Sync>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }
    /// The value of this type, if one was provided.
    pub fn input<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.values.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
    /// The option `key` of this pass, or its declared default. Fails if the text does not fit `T`.
    pub fn option<T: FromStr>(&self, key: &str) -> Result<T, Diag>
    where
        T::Err: std::fmt::Display,
    {
        let default = || self.info.iter().flat_map(|i| i.options).find(|o| o.name == key).map(|o| o.default);
        let text = self.options.get(key).map(String::as_str).or_else(default).unwrap_or("");
        text.parse().map_err(|e| {
            Diag::error("pass-option", format!("option `{key}={text}` of pass `{}`: {e}", self.pass()))
        })
    }

    // ---- edits

    /// Applies an edit of `rule` at a node and counts it; `None` if the limit of edits is reached.
    pub fn apply(
        &mut self,
        g: &mut Graph,
        rule: &'static str,
        at: NodeId,
        edit: Edit,
    ) -> Result<Option<Applied>, Diag> {
        if !self.count(g, rule, at) {
            return Ok(None);
        }
        let applied = g.apply(edit);
        applied.map(Some).map_err(|d| d.note(format!("in rule `{rule}` of pass `{}`", self.pass())))
    }

    /// Counts a change of a pass that changes the graph by other means than [`PassCx::apply`]; false if the
    /// limit of edits is reached and the change must not be made.
    pub fn count(&mut self, g: &Graph, rule: &'static str, at: NodeId) -> bool {
        if self.limit.is_some_and(|l| self.edits >= l) {
            return false;
        }
        self.edits += 1;
        *self.counts.entry(rule).or_default() += 1;
        if self.limit == Some(self.edits) {
            let node = g.node(at);
            let name = node.outs.first().map_or_else(|| node.op.name().into(), |&v| g.name_of(v).clone());
            let path = node.loc.path.clone();
            let (number, pass) = (self.edits, self.pass());
            self.at_limit = Some(EditRecord { number, pass, rule, node: name, path });
        }
        true
    }

    /// Edits so far.
    pub fn edits(&self) -> u64 {
        self.edits
    }
    /// The edit that reached the limit.
    pub fn edit_at_limit(&self) -> Option<&EditRecord> {
        self.at_limit.as_ref()
    }

    /// Records why a node was left as it was.
    pub fn reject(&mut self, g: &Graph, n: NodeId, reason: impl Into<String>) {
        let node = g.node(n);
        let name = node.outs.first().map_or_else(|| node.op.name().into(), |&v| g.name_of(v).clone());
        self.rejections.push(Rejection {
            pass: self.pass(),
            node: name,
            path: node.loc.path.clone(),
            reason: reason.into(),
        });
    }
}
