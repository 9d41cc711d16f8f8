//! [`XnnpackQuantizer`]: signed activations for XNNPACK's kernels.

use indexmap::IndexMap;
use quantir_quant::ObserverTemplate;

use super::embedding::EPS;
use super::{Annotations, EdgeOrNode, QuantizationAnnotation, QuantizationSpec, Quantizer, Spec};
use crate::prelude::*;

/// How one part of the model is quantized (`get_symmetric_quantization_config`).
#[derive(Clone, Debug)]
pub struct XnnpackConfig {
    /// Activations; `None` leaves ops float.
    pub activation: Option<QuantizationSpec>,
    /// Weights.
    pub weight: Option<QuantizationSpec>,
}

impl XnnpackConfig {
    /// Activations in −128..127 by histogram, or chosen anew in each run; weights in −127..127 by range.
    ///
    /// # Errors
    /// Never for these ranges.
    pub fn symmetric(is_per_channel: bool, is_dynamic: bool) -> Result<XnnpackConfig, Diag> {
        XnnpackConfig::symmetric_in(is_per_channel, is_dynamic, (-128, 127), (-127, 127))
    }
    /// The same over other ranges.
    ///
    /// # Errors
    /// A range that does not lie in `i8` or does not contain 0.
    pub fn symmetric_in(
        is_per_channel: bool,
        is_dynamic: bool,
        act: (i64, i64),
        weight: (i64, i64),
    ) -> Result<XnnpackConfig, Diag> {
        let activation = match is_dynamic {
            true => ObserverTemplate::new("placeholder", Storage::I8).dynamic(),
            false => ObserverTemplate::new("histogram", Storage::I8).args(&[2048.0, 256.0]),
        };
        let activation = activation.range(act.0, act.1).eps(EPS);
        let mut w =
            ObserverTemplate::new("minmax", Storage::I8).symmetric().range(weight.0, weight.1).eps(EPS);
        w.custom_range = true;
        w.per_channel = is_per_channel;
        Ok(XnnpackConfig {
            activation: Some(QuantizationSpec::new(activation)?),
            weight: Some(QuantizationSpec::new(w)?),
        })
    }
    fn is_dynamic(&self) -> bool {
        self.activation.as_ref().is_some_and(|a| a.observer.dynamic)
    }
}

/// Quantizes convolutions, linear layers, sums, products and what moves values between them.
///
/// The most particular setting that applies to a node decides: module name, module class, global.
#[derive(Clone, Debug, Default)]
pub struct XnnpackQuantizer {
    global: Option<XnnpackConfig>,
    classes: IndexMap<String, Option<XnnpackConfig>>,
    names: IndexMap<String, Option<XnnpackConfig>>,
}

impl XnnpackQuantizer {
    /// Nothing is quantized yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// For everything that no other setting speaks of.
    pub fn set_global(mut self, config: XnnpackConfig) -> Self {
        self.global = Some(config);
        self
    }
    /// For what is in modules of this class; `None` leaves it float.
    pub fn set_module_type(mut self, class: &str, config: Option<XnnpackConfig>) -> Self {
        self.classes.insert(quantir_quant::call_type::canonical(class), config);
        self
    }
    /// For the module at this path and what is inside; `None` leaves it float.
    pub fn set_module_name(mut self, path: &str, config: Option<XnnpackConfig>) -> Self {
        self.names.insert(path.into(), config);
        self
    }
}

/// The paths of the modules around a node, innermost first.
pub(crate) fn scopes(g: &Graph, n: NodeId) -> Vec<&str> {
    let Some(path) = g.node(n).loc.path.as_deref() else { return Vec::new() };
    std::iter::successors(Some(path), |p| p.rsplit_once('.').map(|(outer, _)| outer)).collect()
}

/// Whether a node is in a module of this class.
pub(crate) fn in_class(g: &Graph, n: NodeId, class: &str) -> bool {
    g.node(n).loc.call.as_deref() == Some(class)
        || scopes(g, n).iter().any(|p| g.modules.get(*p).is_some_and(|c| &**c == class))
}

impl Quantizer for XnnpackQuantizer {
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag> {
        let mut free: Vec<NodeId> = g.nodes().collect();
        for (name, config) in &self.names {
            let (inside, rest): (Vec<_>, Vec<_>) =
                free.into_iter().partition(|&n| scopes(g, n).contains(&name.as_str()));
            annotate(g, to, config.as_ref(), &inside);
            free = rest;
        }
        for (class, config) in &self.classes {
            let (inside, rest): (Vec<_>, Vec<_>) = free.into_iter().partition(|&n| in_class(g, n, class));
            annotate(g, to, config.as_ref(), &inside);
            free = rest;
        }
        annotate(g, to, self.global.as_ref(), &free);
        propagate(g, to);
        Ok(())
    }
}

fn annotate(g: &Graph, to: &mut Annotations, config: Option<&XnnpackConfig>, nodes: &[NodeId]) {
    let Some(c) = config else { return };
    let each = |to: &mut Annotations, f: &dyn Fn(&mut Annotations, NodeId)| {
        nodes.iter().copied().for_each(|n| f(to, n));
    };
    each(to, &|to, n| weighted(g, to, c, n, |op| matches!(op, Op::Linear(_))));
    if c.is_dynamic() {
        return;
    }
    each(to, &|to, n| weighted(g, to, c, n, |op| matches!(op, Op::Conv(_))));
    each(to, &|to, n| weighted(g, to, c, n, |op| matches!(op, Op::ConvTranspose(_))));
    let Some(act) = &c.activation else { return };
    each(to, &|to, n| average(g, to, act, n));
    each(to, &|to, n| binary(g, to, act, n, |op| matches!(op, Op::Add(_))));
    each(to, &|to, n| binary(g, to, act, n, |op| matches!(op, Op::Mul(_))));
    each(to, &|to, n| concat(g, to, act, n));
}

/// The relu that alone reads the first result of `n`.
pub(crate) fn relu_after(g: &Graph, n: NodeId) -> Option<NodeId> {
    let user = g.sole_user(*g.node(n).outs.first()?)?;
    matches!(g.op(user), Op::Relu(_)).then_some(user)
}

/// Inputs of a layer with weights, and its result or that of the relu behind it.
fn weighted(g: &Graph, to: &mut Annotations, c: &XnnpackConfig, n: NodeId, is: fn(&Op) -> bool) {
    if !is(g.op(n)) || to.is_annotated(n) {
        return;
    }
    let relu = relu_after(g, n).filter(|r| !to.is_annotated(*r));
    let ins = &g.node(n).ins;
    let mut a = QuantizationAnnotation::new();
    for (slot, spec) in [(0, &c.activation), (1, &c.weight)] {
        if let Some(v) = ins.get(slot).copied().flatten() {
            let spec = spec.clone().map(|s| match (slot, g.op(n)) {
                (1, Op::ConvTranspose(_)) => s.ch_axis(1),
                _ => s,
            });
            a.input_qspec_map.insert(v, spec.map(Spec::Own));
        }
    }
    if let Some(bias) = ins.get(2).copied().flatten() {
        a.input_qspec_map.insert(bias, None);
    }
    let out = c.activation.clone().filter(|_| !c.is_dynamic()).map(Spec::Own);
    match relu {
        Some(r) => {
            to.annotate(n, a);
            let after = QuantizationAnnotation { output_qspec: out, ..QuantizationAnnotation::new() };
            if !c.is_dynamic() {
                to.annotate(r, after);
            }
        }
        None => to.annotate(n, QuantizationAnnotation { output_qspec: out, ..a }),
    }
}

/// Adaptive average pooling has the quantization of what it reads.
fn average(g: &Graph, to: &mut Annotations, act: &QuantizationSpec, n: NodeId) {
    let adaptive = g.node(n).loc.call.as_deref().is_some_and(|c| c.to_lowercase().contains("adaptive"));
    let Some(x) = g.node(n).ins.first().copied().flatten().filter(|_| adaptive && !to.is_annotated(n)) else {
        return;
    };
    let shared = Spec::Shared(EdgeOrNode::Edge(x, n));
    to.annotate(n, QuantizationAnnotation::new().input(x, act.clone()).output(shared));
}

/// Constants beyond this are no quantities: masks such as −3.4e38.
const HUGE: f32 = 3.4e15;

/// Whether an operand can be quantized: a float that holds no huge constant.
pub(crate) fn is_quantity(g: &Graph, v: ValueId) -> bool {
    let float = *g.elem(v) == Elem::F32;
    let huge = |t: Tensor| t.floats().is_ok_and(|d| d.iter().any(|x| x.abs() > HUGE));
    float && !g.constant(v).is_some_and(huge)
}

fn binary(g: &Graph, to: &mut Annotations, act: &QuantizationSpec, n: NodeId, is: fn(&Op) -> bool) {
    if !is(g.op(n)) || to.is_annotated(n) {
        return;
    }
    let ins: Vec<ValueId> = g.node(n).ins.iter().flatten().copied().collect();
    if !ins.iter().all(|&v| is_quantity(g, v)) {
        return;
    }
    let mut a = QuantizationAnnotation::new();
    for v in ins {
        a = a.input(v, act.clone());
    }
    match relu_after(g, n).filter(|r| !to.is_annotated(*r)) {
        Some(r) => {
            to.annotate(n, a);
            to.annotate(r, QuantizationAnnotation::new().output(act.clone()));
        }
        None => to.annotate(n, a.output(act.clone())),
    }
}

/// All parts and the result of a join share the first part's observer.
pub(crate) fn concat(g: &Graph, to: &mut Annotations, act: &QuantizationSpec, n: NodeId) {
    let is = matches!(g.op(n), Op::Concat(_));
    let Some(first) = g.node(n).ins.first().copied().flatten().filter(|_| is && !to.is_annotated(n)) else {
        return;
    };
    let shared = Spec::Shared(EdgeOrNode::Edge(first, n));
    let mut a = QuantizationAnnotation::new().input(first, act.clone());
    for v in g.node(n).ins.iter().flatten().copied().filter(|&v| v != first) {
        a = a.input(v, shared.clone());
    }
    to.annotate(n, a.output(shared));
}

/// Ops that move values have the quantization of what they read; a slice, a transposition or a relu does not pass it on.
fn propagate(g: &Graph, to: &mut Annotations) {
    for n in g.nodes() {
        if to.is_annotated(n) || !passes_on(g, n) {
            continue;
        }
        let Some(x) = g.node(n).ins.first().copied().flatten() else { continue };
        let from = g.def_node(x).and_then(|d| to.get(d));
        if from.is_none_or(|a| a.output_qspec.is_none()) {
            continue;
        }
        let shared = Spec::Shared(EdgeOrNode::Node(x));
        to.annotate(n, QuantizationAnnotation::new().input(x, shared.clone()).output(shared));
    }
}

fn passes_on(g: &Graph, n: NodeId) -> bool {
    let call = g.node(n).loc.call.as_deref();
    let named = |words: &[&str]| call.is_none_or(|c| words.iter().any(|w| c.to_lowercase().contains(w)));
    match g.op(n) {
        Op::Clip(_) => named(&["hardtanh", "relu6"]),
        Op::MaxPool(_) => true,
        Op::AvgPool(_) => call.is_some_and(|c| c.to_lowercase().contains("adaptive")),
        Op::Reduce(_) => g.op(n).name() == "mean",
        Op::Transpose(_) => named(&["permute"]),
        Op::Reshape(_) => {
            named(&["view", "flatten", "squeeze"]) && !call.is_some_and(|c| c.contains("unsqueeze"))
        }
        _ => false,
    }
}
