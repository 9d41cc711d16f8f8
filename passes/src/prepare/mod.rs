//! `prepare`: decides what is quantized and puts observers there.
//!
//! ```qir
//! input %x: f32[1,3,4,4]
//! %w = const {data=rand(1)} : f32[8,3,3,3]
//! %c = conv2d %x, %w {act=relu} : f32[1,8,2,2]
//! =>
//! %x.o = observe %x {by=$act0} : f32[1,3,4,4]
//! %w.o = observe %w {by=$w0} : f32[8,3,3,3]
//! %c = conv2d %x.o, %w.o {act=relu} : f32[1,8,2,2]
//! %c.o = observe %c {by=$act1} : f32[1,8,2,2]
//! ```
//!
//! Rules, those of PyTorch's `prepare_fx` where nothing else is said:
//!
//! 1. An op is quantized if the mapping gives it a qconfig and the back end accepts op, storages and schemes. Ops
//!    with weights, `add` and `mul` are then always quantized; others only if their input is quantized already, is
//!    a graph input, or something quantized uses the result. Whatever stays float has its reason in the report.
//! 2. Inputs, results and constant weights of quantized ops are observed, biases are not. A result that was observed is
//!    read from its observer by all users, since it will exist as integers only; an input that a float op
//!    computed is read from its observer by quantized ops only.
//! 3. Ops that only move or select values share the observer of their input; `concat` shares one among all parts and the
//!    result. A part that was only moved here leaves the observer of where it comes from, or whole networks of joins would
//!    share one range. Other ops have an observer of their own: also `mean`, `avg_pool`, `relu` and `clip` that PyTorch
//!    lets share ([`KernelSupport::pytorch`] does too), since their integer forms rescale anyway and their ranges are narrower.
//! 4. Elementwise ops that together are a function of one value get one observer at its result, since a table
//!    computes the whole function.
//! 5. Where an op wants another storage than the value was observed for, it has an observer of its own on it.
//! 6. Constants among activations are observed like weights, by their range.
//! 7. An activation that was fused into an op whose kernel does not apply it is an op of its own again, which a table computes.
//! 8. What feeds only `hard_swish` or `hard_sigmoid` is clamped to where these are not constant.
//! 9. A scale and shift for each channel becomes a depthwise convolution, which has a scale for each channel.

mod affine;
mod bound;
mod decide;
pub(crate) mod elementwise;
mod insert;
mod split_act;

pub use decide::resolve;
pub(crate) use decide::{act_word, fits};

use std::fmt;

use quantir_ir::Path;
use quantir_ir::graph::Name;
use quantir_quant::{KernelSupport, QConfigMapping};

use crate::prelude::*;

/// An op that stays float.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FloatOp {
    /// The node.
    pub node: NodeId,
    /// Its first result.
    pub name: Name,
    /// The op's name.
    pub op: &'static str,
    /// Its module.
    pub path: Option<Path>,
    /// Why, in the user's words.
    pub reason: String,
}

/// What `prepare` decided.
#[derive(Clone, Default, Debug)]
pub struct PrepareReport {
    /// Every op that stays float, in order.
    pub float: Vec<FloatOp>,
    /// Ops that will be integer, counted.
    pub quantized: usize,
    /// Rules of the mapping that no op answers to.
    pub warnings: Vec<Diag>,
}

/// One line for each op that stays float.
impl fmt::Display for PrepareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ops quantized, {} stay float", self.quantized, self.float.len())?;
        for r in &self.float {
            let path = r.path.as_deref().map(|p| format!(" @{p}")).unwrap_or_default();
            writeln!(f, "  %{} = {}{path}: {}", r.name, r.op, r.reason)?;
        }
        Ok(())
    }
}

/// Puts observers into a float graph, which advances to phase `observed`.
///
/// Fails if a qconfig of the mapping makes no sense, or if a shape is computed at run time (`reshape_to`).
pub fn prepare(
    g: &mut Graph,
    mapping: &QConfigMapping,
    backend: &KernelSupport,
) -> Result<PrepareReport, Diag> {
    run(g, &mut PassCx::new(), mapping, backend)
}

fn run(
    g: &mut Graph,
    cx: &mut PassCx,
    mapping: &QConfigMapping,
    backend: &KernelSupport,
) -> Result<PrepareReport, Diag> {
    for (rule, q) in mapping.rules() {
        if let Some(q) = q {
            q.check().map_err(|e| Diag::error("qconfig", e.to_string()).note(format!("in {rule}")))?;
        }
    }
    let nodes: Vec<NodeId> = g.nodes().collect();
    for n in nodes {
        if let Some(d) = g.get::<ops::Dropout>(n) {
            let edit = Edit::forward(g, d.out, d.x)
                .ok_or_else(|| Diag::error("prepare", "dropout without result"))?;
            if cx.apply(g, "drop-dropout", n, edit)?.is_none() {
                return Ok(PrepareReport::default());
            }
        } else if matches!(g.op(n), Op::ReshapeTo(_)) {
            return Err(Diag::error("prepare", "the shape of `reshape_to` is computed at run time")
                .at(&g.node(n).loc)
                .help("run the pipeline `canon` first; if the shape stays unknown, give the model fixed input sizes"));
        }
    }
    split_act::split(g, cx, mapping, backend)?;
    affine::affine(g, cx, mapping, backend)?;
    bound::bound(g, cx, mapping, backend)?;
    let decided = decide::decide(g, mapping, backend);
    for r in &decided.report.float {
        cx.reject(g, r.node, r.reason.clone());
    }
    insert::insert(g, cx, &decided.slots)?;
    g.advance(Phase::Observed);
    Ok(decided.report)
}

/// The pass `prepare`. Reads a [`QConfigMapping`] and a [`KernelSupport`] from the context if they were provided;
/// leaves the [`PrepareReport`] there.
pub struct Prepare;

const INFO: PassInfo = PassInfo::new("prepare", "Decide what is quantized and observe it").options(&[
    OptionInfo {
        name: "mapping",
        default: "native",
        doc: "which named mapping, unless one was provided: native, x86, minmax",
    },
    OptionInfo {
        name: "backend",
        default: "native",
        doc: "which back end, unless one was provided: native, pytorch",
    },
]);

impl Pass for Prepare {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let mapping = match cx.input::<QConfigMapping>() {
            Some(m) => m,
            None => {
                let name: String = cx.option("mapping")?;
                let named = QConfigMapping::named(&name)
                    .ok_or_else(|| unknown("mapping", &name, "native, x86, minmax"))?;
                named.into()
            }
        };
        let backend = backend(cx)?;
        let report = run(g, cx, &mapping, &backend)?;
        cx.provide(report);
        Ok(Changed::Yes)
    }
}

/// The provided back end, or the one that option `backend` names.
pub(crate) fn backend(cx: &PassCx) -> Result<std::sync::Arc<KernelSupport>, Diag> {
    if let Some(b) = cx.input::<KernelSupport>() {
        return Ok(b);
    }
    let name: String = cx.option("backend")?;
    match name.as_str() {
        "native" => Ok(KernelSupport::native().into()),
        "pytorch" => Ok(KernelSupport::pytorch().into()),
        _ => Err(unknown("backend", &name, "native, pytorch")),
    }
}

fn unknown(what: &str, name: &str, known: &str) -> Diag {
    Diag::error("pass-option", format!("unknown {what} `{name}`")).help(format!("known are: {known}"))
}
