//! `convert_to_reference_fx`: every observer node becomes a pair of `quantize` and `dequantize`.
//!
//! | observer | becomes |
//! |---|---|
//! | of integers, of a value | `quantize`, `dequantize`, a pair for each node also where nodes share an observer |
//! | of integers, of a constant | a quantized constant, `dequantize` |
//! | of integers, dynamic | `fake_quantize_dynamic` |
//! | of `f16` | `cast` to `f16` and back; a constant is stored as `f16` |
//! | `placeholder` of `f32`, and where the mapping of the conversion leaves both sides float | nothing |
//!
//! Names of new values are PyTorch's: `quantize_per_tensor`, `quantize_per_tensor_1`, ..., `dequantize`, ...

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::graph::Name;
use quantir_ir::{Graph, Loc, ObserverSpec, Quant};
use quantir_quant::{BackendConfig, Calibration, OpRef};

use crate::convert::quants;
use crate::fx::custom::{ConvertCustomConfig, CustomCall};
use crate::fx::decide::{fused_rules, op_ref, path_of};
use crate::fx::view::{Id, Leaf, View};
use crate::prelude::*;

pub(super) fn run(
    g: &mut Graph,
    cx: &mut PassCx,
    calibration: &Calibration,
    custom: &ConvertCustomConfig,
) -> Result<(), Diag> {
    if g.phase() != Phase::Observed {
        return Err(Diag::error("convert", format!("the graph is of phase `{}`", g.phase()))
            .help("convert takes the graph that `prepare_fx` gave"));
    }
    switch_off(g, cx, custom)?;
    let leaves: Vec<Leaf> = g
        .modules
        .iter()
        .filter(|(_, class)| custom.observed_to_quantized.contains_key(&***class))
        .map(|(path, class)| Leaf::find(g, path, class))
        .filter(|l| !l.nodes.is_empty())
        .collect();
    let nodes: Vec<NodeId> = g.nodes().filter(|&n| matches!(g.op(n), Op::Observe(_))).collect();
    let with_params: Vec<NodeId> = nodes.iter().copied().filter(|&n| has_params(g, n)).collect();
    // As PyTorch has it: a range narrower than the dtype's decides the scale, but integers are clamped to the dtype.
    let whole = |q: Arc<Quant>| {
        let range = q.storage.int_range().unwrap_or(q.range);
        Arc::new(Quant { range, ..(*q).clone() })
    };
    let quants: IndexMap<Name, Arc<Quant>> =
        quants(g, &with_params, calibration)?.into_iter().map(|(n, q)| (n, whole(q))).collect();
    let mut names = Names::default();
    for (&i, quant) in &custom.input_quants {
        let Some(&v) = g.inputs().get(i) else {
            return Err(Diag::error("convert", format!("there is no input {i}")));
        };
        let ty = Type::new(Elem::Quant(quant.clone()), g.ty(v).shape.clone());
        let name = names.next("dequantize");
        g.retype_input(i, ty, Dequantize {}, &name).map_err(|r| r.diag("convert"))?;
    }
    let outputs_of: Vec<NodeId> = leaves.iter().filter_map(|l| output_observer(g, l)).collect();
    for n in nodes {
        let Some(o) = g.get::<Observe>(n) else { continue };
        if outputs_of.contains(&n) {
            let leaf = leaves.iter().find(|l| output_observer(g, l) == Some(n));
            let Some(leaf) = leaf else { continue };
            let quant = quants.get(&o.op.by.0).cloned();
            custom_module(g, cx, n, leaf, quant, custom, &mut names)?;
            continue;
        }
        let name = o.op.by.0.clone();
        let Some(spec) = g.observers.get(&name).cloned() else { continue };
        let quant = quants.get(&name).cloned();
        let edit = replace(g, n, &spec, quant.as_ref(), custom, &mut names).map_err(|r| {
            let message = format!("observer `${name}`: {}", r.message);
            let mut d = Diag::error("convert", message).at(&g.node(n).loc);
            d.help = r.help;
            d
        })?;
        if cx.apply(g, "convert", n, edit)?.is_none() {
            return Ok(());
        }
        if let Some(q) = quant {
            g.name_quant(&q, &name);
        }
    }
    g.observers.clear();
    g.advance(Phase::Reference);
    remove_unused(g);
    for &i in &custom.outputs {
        let Some(out) = g.outputs().get(i) else {
            return Err(Diag::error("convert", format!("there is no output {i}")));
        };
        if let Some(d) = g.def::<Dequantize>(out.value) {
            let x = d.x;
            g.set_output(i, x);
        }
    }
    Ok(())
}

/// What no output needs: `eliminate_dead_code`.
pub(super) fn remove_unused(g: &mut Graph) {
    let dead: Vec<NodeId> =
        g.nodes_rev().filter(|&n| g.node(n).outs.iter().all(|&v| g.value(v).uses.is_empty())).collect();
    g.remove_dead(dead, &mut Vec::new());
}

/// Names as FX gives them: the first without a number.
#[derive(Default)]
pub(super) struct Names(HashMap<&'static str, usize>);

impl Names {
    pub fn next(&mut self, base: &'static str) -> String {
        let n = self.0.entry(base).or_default();
        *n += 1;
        if *n == 1 { base.into() } else { format!("{base}_{}", *n - 1) }
    }
}

fn spec_of(g: &Graph, n: NodeId) -> Option<&ObserverSpec> {
    g.observers.get(&g.get::<Observe>(n)?.op.by.0)
}

/// Whether the observer yields parameters of integers.
fn has_params(g: &Graph, n: NodeId) -> bool {
    spec_of(g, n).is_none_or(|s| s.storage.int_range().is_some() && !s.dynamic)
}

fn replace(
    g: &Graph,
    n: NodeId,
    spec: &ObserverSpec,
    quant: Option<&Arc<Quant>>,
    custom: &ConvertCustomConfig,
    names: &mut Names,
) -> Result<Edit, Reason> {
    let o = g.get::<Observe>(n).ok_or("an observer without operand")?;
    let shape = &g.ty(o.x).shape;
    let uses = g.value(o.out).uses.to_vec();
    let constant = g.constant(o.x);
    let mut e = g.edit(n);
    let new = match (constant, quant) {
        (Some(t), Some(quant)) => {
            quant.check(|a| shape.0.get(a).and_then(|d| d.as_lit()))?;
            let base = g.name_of(o.x).to_string();
            let q = e.constant(t.quantize(quant)?, &base);
            let dq = e.op(Dequantize {}, [q])?;
            e.name(dq, &format!("{base}.dq"));
            dq
        }
        (None, Some(quant)) => {
            quant.check(|a| shape.0.get(a).and_then(|d| d.as_lit()))?;
            let ty = Type::new(Elem::Quant(quant.clone()), shape.clone());
            let q = e.op_as(Quantize {}, [o.x], &[ty])?[0];
            let per_tensor = quant.per_tensor().is_some();
            e.name(q, &names.next(if per_tensor { "quantize_per_tensor" } else { "quantize_per_channel" }));
            let dq = e.op(Dequantize {}, [q])?;
            e.name(dq, &names.next("dequantize"));
            dq
        }
        (constant, None) if spec.storage == Storage::F16 => {
            let half = match constant {
                Some(t) => {
                    let base = g.name_of(o.x).to_string();
                    e.constant(ops::cast::convert(&t, Storage::F16)?, &base)
                }
                None => {
                    let half = e.op(Cast { to: Storage::F16 }, [o.x])?;
                    e.name(
                        half,
                        &names.next(if spec.dynamic { "quantize_per_tensor_dynamic" } else { "to" }),
                    );
                    half
                }
            };
            let back = e.op(Cast { to: Storage::F32 }, [half])?;
            e.name(back, &names.next("dequantize"));
            back
        }
        (_, None) if spec.dynamic && spec.storage.int_range().is_some() => {
            let _ = names.next("quantize_per_tensor_dynamic");
            let new = e.op(FakeQuantizeDynamic { reduce_range: custom.reduce_range }, [o.x])?;
            e.name(new, &names.next("dequantize"));
            new
        }
        (_, None) => o.x,
    };
    // Naming the uses keeps the new name instead of the observer's.
    e.replace_uses(o.out, new, uses);
    Ok(e.finish())
}

/// The observer of the one result of a custom module.
fn output_observer(g: &Graph, leaf: &Leaf) -> Option<NodeId> {
    let outside = |u: &Use| !matches!(u, Use::Node(n, _) if leaf.nodes.contains(n));
    let mut found = g.nodes().filter(|n| leaf.nodes.contains(n) && !matches!(g.op(*n), Op::Observe(_)));
    let v =
        found.find_map(|n| g.node(n).outs.iter().copied().find(|&v| g.value(v).uses.iter().any(outside)))?;
    g.users(v).find(|&u| matches!(g.op(u), Op::Observe(_)))
}

fn custom_module(
    g: &mut Graph,
    cx: &mut PassCx,
    observer: NodeId,
    leaf: &Leaf,
    quant: Option<Arc<Quant>>,
    custom: &ConvertCustomConfig,
    names: &mut Names,
) -> Result<(), Diag> {
    let refuse = |r: Reason| {
        let mut d = Diag::error("convert", format!("custom module `{}`: {}", leaf.path, r.message));
        d.help = r.help;
        d
    };
    let Some(o) = g.get::<Observe>(observer) else { return Ok(()) };
    let (from, out) = (o.x, o.out);
    let quant = quant.ok_or_else(|| refuse("its result's observer gives no parameters".into()))?;
    let Some(build) = custom.observed_to_quantized.get(&*leaf.class) else { return Ok(()) };
    let (mut inputs, mut params) = (Vec::new(), Vec::new());
    for n in g.nodes().filter(|n| leaf.nodes.contains(n)) {
        for &v in g.node(n).ins.iter().flatten() {
            let inner = g.def_node(v).is_some_and(|d| leaf.nodes.contains(&d));
            let to = if g.is_const(v) { &mut params } else { &mut inputs };
            let v = g.def::<Dequantize>(v).map_or(v, |d| d.x);
            if !inner && !to.contains(&v) {
                to.push(v);
            }
        }
    }
    let ty = g.ty(from).clone();
    let mut e = g.edit(observer);
    e.loc(Loc::at(leaf.path.clone()).by(leaf.class.clone()));
    let call = CustomCall { path: &leaf.path, inputs, params, output: &quant, ty: &ty };
    let q = build(&mut e, &call).map_err(refuse)?;
    e.name(q, &leaf.path.replace('.', "_")).loc(Loc::default());
    let dq = e.op(Dequantize {}, [q]).map_err(refuse)?;
    e.name(dq, &names.next("dequantize")).replace_uses(out, dq, g.value(out).uses.to_vec());
    let edit = e.finish();
    cx.apply(g, "convert-custom", observer, edit)?;
    Ok(())
}

/// Takes observers out where the mapping of the conversion leaves float what computes the value and what uses it.
fn switch_off(g: &mut Graph, cx: &mut PassCx, custom: &ConvertCustomConfig) -> Result<(), Diag> {
    let Some(mapping) = &custom.mapping else { return Ok(()) };
    let native = BackendConfig::new("none");
    let mapping = fused_rules(g, mapping, custom.backend.as_ref().unwrap_or(&native))?;
    let view = View::new(g, None, &[]);
    let observes = |id: Id| view.nodes[id].nodes.iter().any(|&n| matches!(g.op(n), Op::Observe(_)));
    let calls: Vec<Id> = view.calls().filter(|&i| !observes(i)).collect();
    let paths: Vec<String> = calls.iter().map(|&i| path_of(&view.nodes[i]).to_string()).collect();
    let refs: Vec<OpRef> = calls.iter().zip(&paths).map(|(&i, p)| op_ref(g, &view.nodes[i], p)).collect();
    let resolved = mapping.resolve(&refs);
    let on: HashSet<NodeId> = calls
        .iter()
        .zip(&resolved)
        .filter(|(_, r)| r.qconfig.is_some())
        .flat_map(|(&i, _)| view.nodes[i].nodes.iter().copied())
        .collect();
    let mut off: IndexMap<NodeId, Name> = IndexMap::new();
    for n in g.nodes() {
        let Some(o) = g.get::<Observe>(n) else { continue };
        let is_on = |n: NodeId| on.contains(&n) || matches!(g.op(n), Op::Observe(_));
        let produced = g.def_node(o.x).is_some_and(is_on);
        if !produced && !g.users(o.out).any(is_on) {
            off.insert(n, o.op.by.0.clone());
        }
    }
    drop(refs);
    for n in off.into_keys() {
        let Some(o) = g.get::<Observe>(n) else { continue };
        if let Some(edit) = Edit::forward(g, o.out, o.x) {
            cx.apply(g, "switch-off", n, edit)?;
        }
    }
    Ok(())
}
