//! Which calls are quantized and where observers go, step by step as PyTorch's `prepare` does it.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use quantir_ir::ObserverSpec;
use quantir_ir::loc::Path;
use quantir_quant::{
    BackendConfig, BackendPatternConfig, FuserMethod, ObservationType, ObserverTemplate, OpRef, Pattern,
    QConfig, QConfigMapping, Resolution, Rule,
};

use crate::expand;
use crate::fx::custom::{PrepareCustomConfig, Standalone};
use crate::fx::fuse::eval_class;
use crate::fx::insert::{self, Observers, Weight};
use crate::fx::matching::{Match, find_all};
use crate::fx::support;
use crate::fx::target::{Target, needs};
use crate::fx::view::{Arg, ArgRole, FxNode, Id, Kind, Leaf, View};
use crate::prelude::*;
use crate::prepare::{FloatOp, PrepareReport};

/// Observes all of `g`, parts that stand alone after the rest.
pub(super) fn prepare(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    backend: &BackendConfig,
    custom: &PrepareCustomConfig,
) -> Result<PrepareReport, Diag> {
    let mut report = PrepareReport::default();
    let mut unruled = Vec::new();
    part(g, cx, (mapping, backend, custom), None, &mut report, &mut unruled)?;
    for r in &report.float {
        cx.reject(g, r.node, r.reason.clone());
    }
    let marked = insert::mark_float(g, cx, &unruled)?;
    for r in &mut report.float {
        r.node = marked.get(&r.node).copied().unwrap_or(r.node);
    }
    g.advance(Phase::Observed);
    Ok(report)
}

type Config<'a> = (&'a QConfigMapping, &'a BackendConfig, &'a PrepareCustomConfig);

/// Observes the graph, or the nodes of a part of it that stands alone.
fn part(
    g: &mut Graph,
    cx: &mut PassCx,
    (mapping, backend, custom): Config,
    within: Option<&Leaf>,
    report: &mut PrepareReport,
    unruled: &mut Vec<NodeId>,
) -> Result<(), Diag> {
    let mapping = fused_rules(g, mapping, backend)?;
    for (rule, q) in mapping.rules() {
        if let Some(q) = q {
            q.check().map_err(|e| Diag::error("qconfig", e.to_string()).note(format!("in {rule}")))?;
        }
    }
    let leaves = leaves(g, custom, within);
    let view = View::new(g, within.map(|l| &l.nodes), &leaves);
    let calls: Vec<Id> = view.calls().collect();
    let names: Vec<String> = calls.iter().map(|&i| path_of(&view.nodes[i]).to_string()).collect();
    let refs: Vec<OpRef> = calls.iter().zip(&names).map(|(&i, p)| op_ref(g, &view.nodes[i], p)).collect();
    let resolved = mapping.resolve(&refs);
    report.warnings.extend(mapping.unmatched(&refs));
    let mut d = Decider::new(g, view, backend, custom);
    for (&id, r) in calls.iter().zip(&resolved) {
        d.qconfigs[id] = r.qconfig.clone();
    }
    let by_length = backend.by_length();
    let (matches, of) = find_all(g, &d.view, &by_length);
    (d.matches, d.of) = (matches, of);
    d.add_special(&leaves);
    d.set_targets();
    d.reset_unsupported();
    d.observe();
    d.weights();
    d.report(&calls, &resolved, report);
    let standalone: Vec<(Leaf, Standalone)> = d.standalone(&leaves);
    let prefix = within.map_or(String::new(), |l| format!("{}.", l.path));
    let observers = d.finish(prefix);
    insert::insert(g, cx, &observers)?;
    unruled.extend(&observers.float);
    for l in leaves.iter().filter(|l| has_observed_form(custom, &l.class)) {
        let Some(q) = d_qconfig(&calls, &resolved, &observers, l) else { continue };
        let nodes: Vec<NodeId> =
            g.nodes().filter(|n| l.nodes.contains(n) && expand::is_known(g.op(*n))).collect();
        for n in nodes {
            let parts = expand::expand(g, cx, n)?;
            expand::observe(g, cx, &parts, &q.activation.spec(0), &q.weight.spec(0))?;
        }
    }
    for l in &leaves {
        if let Some(observed) = custom.float_to_observed.get(&*l.class) {
            g.modules.insert(l.path.clone(), observed.as_str().into());
        }
    }
    for (leaf, config) in standalone {
        let own = match &config.qconfig_mapping {
            Some(m) => m.clone(),
            None => {
                let at = d_qconfig(&calls, &resolved, &observers, &leaf);
                let mut m = QConfigMapping::new();
                m.set_global(at);
                m
            }
        };
        let backend = config.backend_config.as_ref().unwrap_or(backend);
        part(g, cx, (&own, backend, &config.prepare_custom_config), Some(&leaf), report, unruled)?;
        insert::fence(g, cx, &leaf, &config.prepare_custom_config)?;
    }
    Ok(())
}

/// What the model's mapping says about the call of a part that stands alone.
fn d_qconfig(calls: &[Id], resolved: &[Resolution], observers: &Observers, leaf: &Leaf) -> Option<QConfig> {
    let at = observers.leaf_calls.iter().find(|(path, _)| *path == leaf.path)?.1;
    let i = calls.iter().position(|&c| c == at)?;
    resolved[i].qconfig.clone()
}

/// Whether modules of this class are taken apart, with observers inside.
fn has_observed_form(custom: &PrepareCustomConfig, class: &str) -> bool {
    custom.float_to_observed.get(class).is_some_and(|o| expand::OBSERVED.contains(&o.as_str()))
}

/// Modules that are single calls: standalone, custom, and those that are not traced into.
fn leaves(g: &Graph, custom: &PrepareCustomConfig, within: Option<&Leaf>) -> Vec<Leaf> {
    let mut found: Vec<Leaf> = Vec::new();
    for (path, class) in &g.modules {
        let inside = |outer: &Path| path.strip_prefix(&**outer).is_some_and(|r| r.starts_with('.'));
        if within.is_some_and(|w| !inside(&w.path)) || found.iter().any(|l| inside(&l.path)) {
            continue;
        }
        let special = custom.standalone(path, class).is_some()
            || custom.is_leaf(path, class)
            || custom.float_to_observed.contains_key(&**class);
        if special {
            let leaf = Leaf::find(g, path, class);
            // A module of PyTorch's own is one call anyway.
            let one = |n: &NodeId| g.node(*n).loc.call.as_deref() == Some(&**class);
            if !(leaf.nodes.is_empty() || custom.is_leaf(path, class) && leaf.nodes.iter().all(one)) {
                found.push(leaf);
            }
        }
    }
    found
}

/// The path that rules see.
pub(crate) fn path_of(node: &FxNode) -> &str {
    node.path.as_deref().unwrap_or("")
}

pub(crate) fn op_ref<'a>(g: &'a Graph, node: &'a FxNode, path: &'a str) -> OpRef<'a> {
    let op = node.nodes.first().map_or("", |&n| g.op(n).name());
    let scope = match node.kind {
        Kind::Module => node.call.as_deref(),
        _ => g.modules.get(path).map(|c| &**c),
    };
    OpRef { op, path, call: node.call.as_deref(), scope }
}

/// Rules for fused classes: that of the first member, which all members must have.
pub(crate) fn fused_rules(
    g: &Graph,
    mapping: &QConfigMapping,
    backend: &BackendConfig,
) -> Result<QConfigMapping, Diag> {
    let mut out = mapping.clone();
    let own: IndexMap<String, Option<QConfig>> = mapping
        .rules()
        .into_iter()
        .filter_map(|(r, q)| if let Rule::ObjectType(t) = r { Some((t, q.clone())) } else { None })
        .collect();
    if own.is_empty() {
        return Ok(out);
    }
    let used: HashSet<&str> = g.nodes().filter_map(|n| g.node(n).loc.call.as_deref()).collect();
    for (fused, members) in fused_classes(backend) {
        if !used.contains(fused.as_str()) {
            continue;
        }
        let of = |class: &String| own.get(class).cloned().flatten();
        let Some(first) = members.first() else { continue };
        let wanted = of(first);
        if let Some(other) = members.iter().skip(1).find(|m| of(m) != wanted) {
            let message = format!("`{first}` and `{other}` are fused to `{fused}`, but their rules differ");
            return Err(Diag::error("qconfig", message).help(format!(
                "give both the same qconfig, or set one for the module by its name: no rule for `{other}` \
                    counts as a rule that leaves it float"
            )));
        }
        if wanted.is_some() {
            out.set_object_type(&fused, wanted);
        }
    }
    Ok(out)
}

/// Fused classes with the classes of their members, batch norms that are folded left out.
fn fused_classes(backend: &BackendConfig) -> IndexMap<String, Vec<String>> {
    let mut all: IndexMap<String, Vec<String>> = IndexMap::new();
    for c in backend.configs() {
        let Some(fused) = eval_class(c) else { continue };
        let folds = c.fuser_method.is_some_and(FuserMethod::folds_batch_norm);
        // Functions become modules of their own in a fused class.
        let module = |op: &str| match op {
            "F.relu" | "torch.relu" => "nn.ReLU".to_string(),
            "torch.tanh" => "nn.Tanh".to_string(),
            other => other.to_string(),
        };
        let is_sum = |op: &str| matches!(op, "torch.add" | "operator.add");
        let members = c.pattern.ops().filter(|op| !(is_sum(op) || folds && op.contains("BatchNorm")));
        all.entry(fused).or_insert_with(|| members.map(module).collect());
    }
    all
}

/// An observer node of the view.
pub(crate) struct Observed {
    pub id: Id,
    /// The observer whose object it is: its own, or that of another node.
    pub instance: usize,
    pub template: ObserverTemplate,
}

struct Decider<'a> {
    g: &'a Graph,
    view: View,
    backend: &'a BackendConfig,
    custom: &'a PrepareCustomConfig,
    qconfigs: Vec<Option<QConfig>>,
    matches: Vec<Match<'a>>,
    of: Vec<Option<usize>>,
    /// Calls that stand alone, with the indexes of inputs that they take quantized.
    standalone_inputs: IndexMap<Id, Vec<usize>>,
    /// Calls whose input is a list of the fused class, by path.
    leaf_calls: Vec<(Path, Id)>,
    targets: Vec<Target>,
    weight_calls: HashSet<String>,
    observers: Vec<Observed>,
    weights: IndexMap<ValueId, Weight>,
    /// Calls that are quantized.
    done: HashSet<Id>,
    why: IndexMap<Id, String>,
}

impl<'a> Decider<'a> {
    fn new(g: &'a Graph, view: View, backend: &'a BackendConfig, custom: &'a PrepareCustomConfig) -> Self {
        let takes_weight = |c: &&BackendPatternConfig| c.input_type_to_index.contains_key("weight");
        let weight_calls =
            backend.configs().filter(takes_weight).map(|c| c.pattern.last().op.clone()).collect();
        let len = view.len;
        Decider {
            g,
            view,
            backend,
            custom,
            qconfigs: vec![None; len],
            matches: Vec::new(),
            of: Vec::new(),
            standalone_inputs: IndexMap::new(),
            leaf_calls: Vec::new(),
            targets: vec![Target::float(); len],
            weight_calls,
            observers: Vec::new(),
            weights: IndexMap::new(),
            done: HashSet::new(),
            why: IndexMap::new(),
        }
    }

    /// Calls of standalone and custom modules are matches whatever the patterns say.
    fn add_special(&mut self, leaves: &[Leaf]) {
        for leaf in leaves {
            let is_leaf = |n: &FxNode| n.is_call() && n.nodes.iter().all(|m| leaf.nodes.contains(m));
            let ids: Vec<Id> = (0..self.view.len).filter(|&i| is_leaf(&self.view.nodes[i])).collect();
            for id in ids {
                self.leaf_calls.push((leaf.path.clone(), id));
                let standalone = self.custom.standalone(&leaf.path, &leaf.class);
                if let Some(s) = standalone {
                    self.standalone_inputs.insert(id, s.prepare_custom_config.inputs.clone());
                } else if !self.custom.float_to_observed.contains_key(&*leaf.class) {
                    continue;
                }
                self.of[id] = Some(self.matches.len());
                self.matches.push(Match { config: None, nodes: vec![id], root: 0 });
            }
        }
    }

    fn standalone(&self, leaves: &[Leaf]) -> Vec<(Leaf, Standalone)> {
        let of = |l: &Leaf| Some((l.clone(), self.custom.standalone(&l.path, &l.class)?.clone()));
        leaves.iter().filter_map(of).collect()
    }

    /// Whether nothing that the node reads is a float tensor.
    fn no_tensors(&self, id: Id) -> bool {
        let node = &self.view.nodes[id];
        if node.nodes.iter().any(|&n| matches!(self.g.op(n), Op::ShapeOf(_))) {
            return true;
        }
        let tensor = |a: &Arg| a.from.is_some_and(|f| self.is_tensor(f));
        !node.args.iter().any(tensor)
    }

    fn is_tensor(&self, id: Id) -> bool {
        match self.view.nodes[id].kind {
            Kind::Module | Kind::Function => !self.no_tensors(id),
            _ => true,
        }
    }

    /// How the result of a match is observed.
    fn observation(&self, m: &Match) -> ObservationType {
        let Some(c) = m.config else { return ObservationType::OutputUseDifferentObserverAsInput };
        let root = &self.view.nodes[m.root()];
        let tensors = match root.list {
            true => 0,
            false => root.args.iter().filter(|a| a.from.is_some_and(|f| self.is_tensor(f))).count(),
        };
        c.observation_type_for(tensors)
    }

    fn set_targets(&mut self) {
        let mut seen = HashSet::new();
        for i in 0..self.matches.len() {
            let m = self.matches[i].clone();
            let observation = self.observation(&m);
            let share = observation == ObservationType::OutputShareObserverWithInput;
            // The qconfig of the last call speaks for the whole pattern.
            let qconfig = self.qconfigs[m.last()].clone();
            for &n in &m.nodes {
                if !seen.insert(n) {
                    continue;
                }
                let Some(q) = &qconfig else { continue };
                self.targets[n] =
                    match self.no_tensors(n) || observation == ObservationType::InputOutputNotObserved {
                        true => Target::nothing(),
                        false => Target::of(q, share, self.standalone_inputs.contains_key(&n)),
                    };
            }
        }
        for id in 0..self.view.len {
            match self.view.nodes[id].kind {
                Kind::Input(i) if self.custom.inputs.contains(&(i as usize)) => {
                    self.targets[id] = Target::quantized();
                }
                Kind::Module | Kind::Function if self.no_tensors(id) => self.targets[id] = Target::nothing(),
                _ => {}
            }
        }
        self.known_types();
    }

    /// Operands that are no activations, such as the mask of a `where`, are not observed, nor what they were moved from.
    fn known_types(&mut self) {
        for id in 0..self.view.len {
            for k in 0..self.view.nodes[id].args.len() {
                let a = self.view.nodes[id].args[k];
                let Some(from) = a.from else { continue };
                let float = self.view.nodes[from].value.is_none_or(|v| *self.g.elem(v) == Elem::F32);
                if !float {
                    self.no_dtype(from);
                }
            }
        }
    }

    fn no_dtype(&mut self, id: Id) {
        let mut at = Some(id);
        while let Some(i) = at.take() {
            if i >= self.targets.len() {
                return;
            }
            (self.targets[i].input, self.targets[i].output) = (None, None);
            let follows = self.of[i].is_some_and(|m| self.targets[i].share && self.matches[m].last() == i);
            if follows {
                at = self.view.nodes[i].args.first().and_then(|a| a.from);
            }
        }
    }

    /// Whether the back end takes the pattern that `id` is in with `qconfig`.
    fn supported(&self, id: Id, qconfig: Option<&QConfig>) -> Result<(), String> {
        let Some(m) = self.of[id].map(|m| &self.matches[m]) else { return Ok(()) };
        let Some(c) = m.config else { return Ok(()) };
        if c.observation_type == ObservationType::InputOutputNotObserved {
            return Ok(());
        }
        let Some(q) = qconfig else { return Err("it has no qconfig".into()) };
        // The node that takes the input, by the last operand again and again.
        let root = m.nodes[c.pattern.default_root()];
        support::check(c, (&self.roles(root), &self.targets[root]), &self.targets[m.last()], q)
    }

    /// The node with the roles of its arguments as the back end knows them.
    fn roles(&self, id: Id) -> FxNode {
        let mut node = self.view.nodes[id].clone();
        let knows = node.call.as_deref().is_some_and(|c| self.weight_calls.contains(c));
        if !knows && node.kind == Kind::Function {
            for a in node.args.iter_mut().filter(|a| a.role != ArgRole::Literal) {
                a.role = ArgRole::Activation;
            }
        }
        node
    }

    fn reset_unsupported(&mut self) {
        let mut seen = HashSet::new();
        for i in 0..self.matches.len() {
            let m = self.matches[i].clone();
            for &entry in m.nodes.iter().rev() {
                let Err(why) = self.supported(entry, self.qconfigs[entry].as_ref()) else { continue };
                if self.qconfigs[entry].is_some() {
                    self.why.entry(entry).or_insert(why);
                }
                for &n in &m.nodes {
                    if seen.insert(n) {
                        self.targets[n] = Target::float();
                    }
                }
            }
        }
    }

    fn observe(&mut self) {
        let calls: Vec<Id> = self.view.calls().collect();
        for id in calls {
            let Some(qconfig) = self.qconfigs[id].clone() else { continue };
            let Some(m) = self.of[id].map(|m| self.matches[m].clone()) else { continue };
            if self.supported(id, Some(&qconfig)).is_err() {
                continue;
            }
            self.done.extend(m.nodes.iter().copied());
            let default_root = m.config.map_or(0, |c| c.pattern.default_root());
            if m.nodes[default_root] == id {
                self.observe_inputs(id, &qconfig);
            }
            if m.last() == id {
                self.observe_output(id);
            }
        }
    }

    /// What is observed about the value of `id` by its own call.
    fn output_of(&self, id: Id) -> Option<&ObserverTemplate> {
        let mut at = id;
        while let Kind::Observer(_) = self.view.nodes[at].kind {
            at = self.view.nodes[at].args[0].from?;
        }
        if self.view.nodes[at].kind == Kind::Item {
            // What a custom module gives is quantized already.
            let call = self.view.nodes[at].args[0].from?;
            let custom = self.of[call].is_some_and(|m| self.matches[m].config.is_none());
            at = if custom { call } else { at };
        }
        self.targets.get(at).and_then(|t| t.output.as_ref())
    }

    fn observe_inputs(&mut self, id: Id, qconfig: &QConfig) {
        let roles = self.roles(id);
        let alone = self.standalone_inputs.get(&id).cloned();
        for i in 0..roles.args.len() {
            let arg = roles.args[i];
            let Some(from) = arg.from else { continue };
            let target = &self.targets[id];
            let zeroth = !roles.list && roles.args.first().and_then(|a| a.from) == Some(from);
            let wants = match (&alone, arg.role) {
                (Some(_), _) => Some(qconfig.activation.clone()),
                (None, ArgRole::Activation) => target.input.clone(),
                (None, ArgRole::Weight) => target.weight.clone(),
                (None, ArgRole::Bias) => target.bias.clone(),
                (None, ArgRole::NormWeight | ArgRole::Literal) => None,
            };
            let first = roles.args.iter().position(|a| a.from == Some(from)).unwrap_or(i);
            let needed = match &alone {
                Some(quantized) => {
                    let u8s = self.output_of(from).is_some_and(|t| t.storage == Storage::U8);
                    quantized.contains(&first) && !u8s
                }
                None => needs(self.output_of(from), wants.as_ref(), target.reuse, zeroth),
            };
            let float = self.view.nodes[from].value.is_some_and(|v| *self.g.elem(v) == Elem::F32);
            let needed = needed && !self.is_taken_apart(from);
            let Some(wants) = wants.filter(|_| needed && float) else { continue };
            let to = self.existing(from, &wants).unwrap_or_else(|| self.add(from, wants));
            self.view.set_arg(id, i, to);
        }
    }

    /// The observer of the same class and dtype that `from` has already.
    fn existing(&self, from: Id, t: &ObserverTemplate) -> Option<Id> {
        let same = |o: &ObserverTemplate| {
            (&o.kind, o.per_channel, o.fake, o.storage) == (&t.kind, t.per_channel, t.fake, t.storage)
        };
        self.view.nodes[from].users.iter().copied().find(|&u| match self.view.nodes[u].kind {
            Kind::Observer(k) => same(&self.observers[self.observers[k].instance].template),
            _ => false,
        })
    }

    fn add(&mut self, from: Id, template: ObserverTemplate) -> Id {
        let number = self.observers.len();
        let id = self.view.observe(from, number);
        self.observers.push(Observed { id, instance: number, template });
        id
    }

    /// Whether it is the call of a module that is taken apart, or one of its results: the module observes them itself.
    fn is_taken_apart(&self, mut id: Id) -> bool {
        while let (Kind::Item, Some(call)) =
            (self.view.nodes[id].kind, self.view.nodes[id].args.first().and_then(|a| a.from))
        {
            id = call;
        }
        let leaf = self.leaf_calls.iter().find(|(_, call)| *call == id);
        let class = leaf.and_then(|(path, _)| self.g.modules.get(path));
        class.is_some_and(|c| has_observed_form(self.custom, c))
    }

    fn observe_output(&mut self, id: Id) {
        if self.is_taken_apart(id) {
            return;
        }
        let target = self.targets[id].clone();
        let float = self.view.nodes[id].value.is_some_and(|v| *self.g.elem(v) == Elem::F32);
        let Some(template) = target.output.clone().filter(|t| !t.dynamic && !target.standalone && float)
        else {
            return;
        };
        if !needs(Target::float().output.as_ref(), Some(&template), false, false) {
            return;
        }
        let users: Vec<Id> = self.view.nodes[id].users.iter().copied().collect();
        let observer = self.add(id, template.clone());
        for user in users {
            self.view.replace_input(user, id, observer);
        }
        let first = self.view.nodes[id].args.first().filter(|_| !self.view.nodes[id].list);
        let given =
            first.and_then(|a| a.from).is_some_and(|f| matches!(self.view.nodes[f].kind, Kind::Input(_)));
        let elsewhere = given && template.storage == Storage::U8;
        if ((target.share && !elsewhere) || target.reuse) && !self.share(id) {
            for o in self.observers_of(id) {
                self.view.remove_observer(o);
            }
        }
    }

    fn observers_of(&self, id: Id) -> Vec<Id> {
        self.view.nodes[id].users.iter().copied().collect()
    }

    /// Lets all inputs and the result of `id` have the observer of the first input; false if that has none.
    fn share(&mut self, id: Id) -> bool {
        let node = &self.view.nodes[id];
        let Some(first) = node.args.iter().find_map(|a| a.from) else { return false };
        let (list, parts) = (node.list, node.args.clone());
        let mut at = first;
        let number = loop {
            let n = &self.view.nodes[at];
            match n.kind {
                Kind::Observer(k) => break k,
                Kind::Input(_) => return false,
                // PyTorch does not look into lists.
                _ if n.list => return false,
                _ => {}
            }
            match n.args.iter().find_map(|a| a.from) {
                Some(next) => at = next,
                None => return false,
            }
        };
        let instance = self.observers[number].instance;
        if list {
            for a in parts.iter().skip(1) {
                let Some(mut at) = a.from else { continue };
                loop {
                    if let Kind::Observer(k) = self.view.nodes[at].kind {
                        self.observers[k].instance = instance;
                        break;
                    }
                    match self.view.nodes[at].args.first().and_then(|a| a.from) {
                        Some(next) => at = next,
                        None => return false,
                    }
                }
            }
        }
        for o in self.observers_of(id) {
            if let Kind::Observer(k) = self.view.nodes[o].kind {
                self.observers[k].instance = instance;
            }
        }
        true
    }

    /// Weights that modules hold, where the module becomes a reference module.
    fn weights(&mut self) {
        let mut by_path: HashSet<Path> = HashSet::new();
        for pass in 0..2 {
            for id in self.view.calls().collect::<Vec<_>>() {
                let node = &self.view.nodes[id];
                let (Some(call), Some(path)) = (&node.call, &node.path) else { continue };
                let params: Vec<_> = node.params.iter().filter(|p| p.weight).copied().collect();
                if params.is_empty() {
                    continue;
                }
                // A module that is called several times is one object: one quantized call quantizes all.
                let ready = match pass {
                    0 => self.done.contains(&id) && self.becomes_reference(id, call),
                    _ => by_path.contains(path),
                };
                let Some(q) = self.qconfigs[id].clone().filter(|_| ready) else { continue };
                by_path.insert(path.clone());
                for p in params {
                    let Use::Node(n, _) = p.at else { continue };
                    let axis = u8::from(matches!(self.g.op(n), Op::ConvTranspose(_)));
                    let spec = q.weight.spec(axis);
                    let name = self.g.name_of(p.value).to_string();
                    let w = self.weights.entry(p.value).or_insert(Weight { name, spec, uses: Vec::new() });
                    if !w.uses.contains(&p.at) {
                        w.uses.push(p.at);
                    }
                }
            }
        }
    }

    fn becomes_reference(&self, id: Id, call: &str) -> bool {
        let (Some(q), Some(c)) = (&self.qconfigs[id], self.backend.get(&Pattern::single(call))) else {
            return false;
        };
        let fused = || self.backend.configs().any(|c| c.fused_module.as_deref() == Some(call));
        let root = c.reference_quantized_module.is_some() || fused();
        root && support::weighted(&c.dtype_configs, q) && q.weight.storage != Storage::F32
    }

    fn report(&self, calls: &[Id], resolved: &[Resolution], report: &mut PrepareReport) {
        for (&id, r) in calls.iter().zip(resolved) {
            let node = &self.view.nodes[id];
            if self.done.contains(&id) {
                report.quantized += 1;
                continue;
            }
            let Some(&n) = node.nodes.last() else { continue };
            let Some(&out) = self.g.node(n).outs.first() else { continue };
            if !self.g.elem(out).is_float() {
                continue;
            }
            let what = node.call.as_deref().unwrap_or(self.g.op(n).name());
            let reason = match (&r.qconfig, &r.rule, self.of[id]) {
                (None, Some(rule), _) => format!("left float by {rule}"),
                (None, None, _) => "no rule of the mapping applies to it".into(),
                (Some(_), _, None) => {
                    format!("back end `{}` has no pattern with `{what}`", self.backend.name)
                }
                (Some(_), _, Some(m)) => {
                    let of = self.matches[m].nodes.iter().rev().find_map(|n| self.why.get(n));
                    self.why
                        .get(&id)
                        .or(of)
                        .cloned()
                        .unwrap_or_else(|| "another call of its pattern is float".into())
                }
            };
            report.float.push(FloatOp {
                node: n,
                name: self.g.name_of(out).clone(),
                op: self.g.op(n).name(),
                path: node.path.clone(),
                reason,
            });
        }
    }

    /// For each observer that several nodes have: the number of the first of them in the graph, which names it.
    fn labels(&self) -> HashMap<usize, usize> {
        let place: HashMap<NodeId, usize> = self.g.nodes().enumerate().map(|(i, n)| (n, i + 1)).collect();
        let mut order = Vec::new();
        for (k, o) in self.observers.iter().enumerate() {
            let value = self.view.nodes[o.id].args[0].from.and(self.view.nodes[o.id].value);
            let Some(v) = value else { continue };
            let at = self.g.def_node(v).and_then(|d| place.get(&d).copied()).unwrap_or(0);
            let result = self.g.def_node(v).and_then(|d| self.g.node(d).outs.iter().position(|&o| o == v));
            order.push(((at, result), k));
        }
        order.sort_by_key(|&(at, _)| at);
        let mut label = HashMap::new();
        for (_, k) in order {
            label.entry(self.observers[k].instance).or_insert(k);
        }
        label
    }

    fn finish(self, prefix: String) -> Observers {
        let mut all = Observers { prefix, ..Observers::default() };
        let label = self.labels();
        for (k, o) in self.observers.iter().enumerate() {
            let Some(from) = self.view.nodes[o.id].args[0].from else { continue };
            let Some(value) = self.view.nodes[o.id].value else { continue };
            let behind = match self.view.nodes[from].kind {
                Kind::Observer(j) => Some(j),
                _ => None,
            };
            let mut uses = Vec::new();
            for &user in &self.view.nodes[o.id].users {
                let args = self.view.nodes[user].args.iter().filter(|a| a.from == Some(o.id));
                if !matches!(self.view.nodes[user].kind, Kind::Observer(_)) {
                    uses.extend(args.map(|a| a.at));
                }
            }
            let template = &self.observers[o.instance].template;
            // A parameter of a function has its output channels along the axis that its op says.
            let transposed = uses
                .iter()
                .any(|u| matches!(u, Use::Node(n, 1) if matches!(self.g.op(*n), Op::ConvTranspose(_))));
            let spec: ObserverSpec = template.spec(u8::from(transposed));
            all.slots.push(insert::Slot {
                number: k,
                instance: label[&o.instance],
                value,
                behind,
                uses,
                spec,
            });
        }
        // In the order of the graph; of several observers of one value the newest stands first, as FX inserts them.
        let place: HashMap<NodeId, usize> = self.g.nodes().enumerate().map(|(i, n)| (n, i + 1)).collect();
        all.slots.sort_by_key(|s| {
            let def = self.g.def_node(s.value);
            let at = def.and_then(|d| place.get(&d).copied()).unwrap_or(0);
            let result = def.and_then(|d| self.g.node(d).outs.iter().position(|&o| o == s.value));
            (at, result, s.behind.is_some(), std::cmp::Reverse(s.number))
        });
        let observed = |a: &Arg| a.from.is_some_and(|f| matches!(self.view.nodes[f].kind, Kind::Observer(_)));
        for id in self.view.calls().filter(|&i| self.qconfigs[i].is_none()) {
            let node = &self.view.nodes[id];
            let sum = matches!(
                node.call.as_deref(),
                Some("operator.add" | "torch.add" | "operator.mul" | "torch.mul" | "torch.matmul")
            );
            if sum && node.args.iter().any(observed) {
                all.float.extend(node.nodes.iter().copied());
            }
        }
        all.weights = self.weights.into_iter().collect();
        all.leaf_calls = self.leaf_calls;
        all
    }
}
