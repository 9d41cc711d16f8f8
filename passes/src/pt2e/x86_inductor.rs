//! [`X86InductorQuantizer`]: only what flows into convolutions and linear layers is quantized, the rest is left to a compiler.

use indexmap::IndexMap;
use quantir_quant::ObserverTemplate;

use super::embedding::EPS;
use super::xnnpack::{in_class, relu_after, scopes};
use super::{Annotations, EdgeOrNode, QuantizationAnnotation, QuantizationSpec, Quantizer, Spec};
use crate::prelude::*;

/// How one part of the model is quantized (`get_default_x86_inductor_quantization_config`).
#[derive(Clone, Debug)]
pub struct X86InductorConfig {
    /// Activations.
    pub activation: QuantizationSpec,
    /// Weights.
    pub weight: QuantizationSpec,
}

impl X86InductorConfig {
    /// Activations in 0..255 (0..127 with `reduce_range`) by histogram or chosen anew in each run, weights in −128..127 for each
    /// output channel.
    ///
    /// # Errors
    /// Never for these ranges.
    pub fn new(is_dynamic: bool, reduce_range: bool) -> Result<X86InductorConfig, Diag> {
        let activation = match is_dynamic {
            true => ObserverTemplate::new("placeholder", Storage::U8).dynamic(),
            false => ObserverTemplate::new("histogram", Storage::U8).args(&[2048.0, 256.0]),
        };
        let activation = match reduce_range {
            true => activation.reduce_range(),
            false => activation,
        };
        let weight = ObserverTemplate::new("minmax", Storage::I8).symmetric().per_channel().eps(EPS);
        Ok(X86InductorConfig {
            activation: QuantizationSpec::new(activation.eps(EPS))?,
            weight: QuantizationSpec::new(weight)?,
        })
    }
    fn is_dynamic(&self) -> bool {
        self.activation.observer.dynamic
    }
}

/// Quantizes the inputs of convolutions (with what a compiler fuses to them) and linear layers, and pools and joins between them.
///
/// The most particular setting that applies to a node decides: module name, module class, function, global.
#[derive(Clone, Debug, Default)]
pub struct X86InductorQuantizer {
    global: Option<X86InductorConfig>,
    functions: IndexMap<String, Option<X86InductorConfig>>,
    classes: IndexMap<String, Option<X86InductorConfig>>,
    names: IndexMap<String, Option<X86InductorConfig>>,
}

impl X86InductorQuantizer {
    /// Nothing is quantized yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// For everything that no other setting speaks of.
    pub fn set_global(mut self, config: X86InductorConfig) -> Self {
        self.global = Some(config);
        self
    }
    /// For ops of this name in the IR (`linear`, `matmul`); `None` leaves them float.
    pub fn set_function_type_qconfig(mut self, op: &str, config: Option<X86InductorConfig>) -> Self {
        self.functions.insert(op.into(), config);
        self
    }
    /// For what is in modules of this class; `None` leaves it float.
    pub fn set_module_type_qconfig(mut self, class: &str, config: Option<X86InductorConfig>) -> Self {
        self.classes.insert(quantir_quant::call_type::canonical(class), config);
        self
    }
    /// For the module at this path and what is inside; `None` leaves it float.
    pub fn set_module_name_qconfig(mut self, path: &str, config: Option<X86InductorConfig>) -> Self {
        self.names.insert(path.into(), config);
        self
    }

    fn config(&self, g: &Graph, n: NodeId) -> Option<&X86InductorConfig> {
        let scopes = scopes(g, n);
        let found = scopes
            .iter()
            .find_map(|p| self.names.get(*p))
            .or_else(|| self.classes.iter().find(|(c, _)| in_class(g, n, c)).map(|(_, c)| c))
            .or_else(|| self.functions.get(g.op(n).name()));
        let config = match found {
            Some(c) => c.as_ref(),
            None => self.global.as_ref(),
        };
        // One quantizer quantizes either way; parts that disagree with the global setting are left float.
        config.filter(|c| self.global.as_ref().is_none_or(|all| all.is_dynamic() == c.is_dynamic()))
    }
}

impl Quantizer for X86InductorQuantizer {
    fn annotate(&self, g: &Graph, to: &mut Annotations) -> Result<(), Diag> {
        let mut result: Vec<NodeId> = Vec::new();
        for n in g.nodes() {
            if let (Op::Conv(_), Some(c)) = (g.op(n), self.config(g, n))
                && !c.is_dynamic()
            {
                self.conv_add(g, to, c, n, &mut result);
            }
        }
        for n in g.nodes() {
            let Some(c) = self.config(g, n) else { continue };
            match g.op(n) {
                Op::Conv(_) if !c.is_dynamic() => layer(g, to, c, n, &mut result),
                Op::Linear(_) => layer(g, to, c, n, &mut result),
                Op::Matmul(_) if self.functions.contains_key("matmul") && !c.is_dynamic() => {
                    let mut a = QuantizationAnnotation::new();
                    for v in g.node(n).ins.iter().flatten().copied() {
                        a = a.input(v, c.activation.clone());
                    }
                    to.annotate(n, a);
                    result.push(n);
                }
                _ => {}
            }
        }
        self.follow(g, to, &mut result);
        Ok(())
    }
}

/// The layer's inputs; what a compiler fuses behind it is part of it.
fn layer(g: &Graph, to: &mut Annotations, c: &X86InductorConfig, n: NodeId, result: &mut Vec<NodeId>) {
    if to.is_annotated(n) {
        return;
    }
    to.annotate(n, inputs(g, c, n));
    match unary_after(g, n).filter(|u| !to.is_annotated(*u)) {
        Some(u) => {
            to.annotate(u, QuantizationAnnotation::new());
            result.push(u);
        }
        None => result.push(n),
    }
}

fn inputs(g: &Graph, c: &X86InductorConfig, n: NodeId) -> QuantizationAnnotation {
    let ins = &g.node(n).ins;
    let mut a = QuantizationAnnotation::new();
    if let [Some(x), Some(w), ..] = ins[..] {
        a = a.input(x, c.activation.clone()).input(w, c.weight.clone());
    }
    if let Some(bias) = ins.get(2).copied().flatten() {
        a.input_qspec_map.insert(bias, None);
    }
    a
}

/// The activation function that a compiler fuses behind `n`.
fn unary_after(g: &Graph, n: NodeId) -> Option<NodeId> {
    let user = g.sole_user(*g.node(n).outs.first()?)?;
    let fits = matches!(
        g.op(user),
        Op::Relu(_) | Op::LeakyRelu(_) | Op::Tanh(_) | Op::Gelu(_) | Op::HardSwish(_) | Op::Clip(_)
    );
    fits.then_some(user)
}

impl X86InductorQuantizer {
    /// A convolution whose sum with another value is fused: the other value is quantized too.
    fn conv_add(
        &self,
        g: &Graph,
        to: &mut Annotations,
        c: &X86InductorConfig,
        n: NodeId,
        result: &mut Vec<NodeId>,
    ) {
        let Some(add) = g.sole_user(g.node(n).outs[0]).filter(|&u| matches!(g.op(u), Op::Add(_))) else {
            return;
        };
        if to.is_annotated(n) || to.is_annotated(add) {
            return;
        }
        let other = g.node(add).ins.iter().flatten().copied().find(|&v| v != g.node(n).outs[0]);
        let Some(other) = other.filter(|&v| !g.is_const(v)) else { return };
        to.annotate(n, inputs(g, c, n));
        to.annotate(add, QuantizationAnnotation::new().input(other, c.activation.clone()));
        match relu_after(g, add).filter(|r| !to.is_annotated(*r)) {
            Some(r) => {
                to.annotate(r, QuantizationAnnotation::new());
                result.push(r);
            }
            None => result.push(add),
        }
    }

    /// Pools and joins of quantized results are quantized, and then their results are.
    fn follow(&self, g: &Graph, to: &mut Annotations, result: &mut Vec<NodeId>) {
        for n in g.nodes() {
            if to.is_annotated(n) || !in_out(g, n) {
                continue;
            }
            let Some(c) = self.config(g, n).filter(|c| !c.is_dynamic()) else { continue };
            let ins: Vec<ValueId> = g.node(n).ins.iter().flatten().copied().collect();
            let quantized = |v: &ValueId| g.def_node(*v).is_some_and(|d| result.contains(&d));
            if ins.is_empty() || !ins.iter().all(quantized) {
                continue;
            }
            match g.op(n) {
                Op::Concat(_) => super::xnnpack::concat(g, to, &c.activation, n),
                _ => {
                    let shared = Spec::Shared(EdgeOrNode::Edge(ins[0], n));
                    to.annotate(
                        n,
                        QuantizationAnnotation::new().input(ins[0], c.activation.clone()).output(shared),
                    );
                }
            }
            result.push(n);
        }
    }
}

/// Ops that give integers of the same quantization when they get them.
fn in_out(g: &Graph, n: NodeId) -> bool {
    let call = g.node(n).loc.call.as_deref();
    match g.op(n) {
        Op::MaxPool(_) | Op::AvgPool(_) | Op::Concat(_) => true,
        Op::Reshape(_) => call.is_none_or(|c| c.to_lowercase().contains("flatten")),
        _ => false,
    }
}
