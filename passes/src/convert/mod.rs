//! `convert`: replaces observers by `quantize` and `dequantize` with the parameters that calibration found.
//!
//! ```qir
//! // RUN: calibrate,convert
//! observer $act0 = fixed(0.05,128) u8[0:255] affine
//! observer $w0 = fixed(0.01,0) i8[-128:127] symmetric
//! input %x: f32[1,3,4,4]
//! %w = const {data=rand(1)} : f32[8,3,3,3]
//! %x.o = observe %x {by=$act0} : f32[1,3,4,4]
//! %w.o = observe %w {by=$w0} : f32[8,3,3,3]
//! %y = conv2d %x.o, %w.o : f32[1,8,2,2]
//! =>
//! quant !act0 = u8[0:255] scale 0.05 zp 128
//! quant !w0 = i8[-128:127] scale 0.01 zp 0
//! %x.q = quantize %x : u8!act0[1,3,4,4]
//! %x.dq = dequantize %x.q : f32[1,3,4,4]
//! %w.dq = dequantize %w : f32[8,3,3,3]
//! %y = conv2d %x.dq, %w.dq : f32[1,8,2,2]
//! ```
//!
//! A quantization is named after its observer. Constants become quantized constants; their parameters are
//! computed here from the constants themselves, unless the calibration has a line for their observer.

use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::Quant;
use quantir_ir::graph::Name;
use quantir_quant::{Calibration, Observer};

use crate::prelude::*;

/// Replaces observers, and advances the graph to phase `reference`.
///
/// Fails if an observer has no parameters, naming all of those, or if parameters do not fit a value.
pub fn convert(g: &mut Graph, calibration: &Calibration) -> Result<(), Diag> {
    run(g, &mut PassCx::new(), calibration)
}

fn run(g: &mut Graph, cx: &mut PassCx, calibration: &Calibration) -> Result<(), Diag> {
    let nodes: Vec<NodeId> = g.nodes().filter(|&n| matches!(g.op(n), Op::Observe(_))).collect();
    let quants = quants(g, &nodes, calibration)?;
    for n in nodes {
        let Some(o) = g.get::<Observe>(n) else { continue };
        let name = o.op.by.0.clone();
        let quant = quants[&name].clone();
        let edit = replace(g, n, &quant).map_err(|r| {
            let message = format!("observer `${name}`: {}", r.message);
            let mut d = Diag::error("convert", message).at(&g.node(n).loc);
            d.help = r.help;
            d
        })?;
        if cx.apply(g, "convert", n, edit)?.is_none() {
            // Observers are left, so the phase stays.
            return Ok(());
        }
        g.name_quant(&quant, &name);
    }
    g.observers.clear();
    g.advance(Phase::Reference);
    Ok(())
}

/// The quantization of each observer that a node uses.
pub(crate) fn quants(
    g: &Graph,
    nodes: &[NodeId],
    calibration: &Calibration,
) -> Result<IndexMap<Name, Arc<Quant>>, Diag> {
    let mut found = IndexMap::new();
    let mut constants: IndexMap<Name, Observer> = IndexMap::new();
    let mut bad: Vec<String> = Vec::new();
    let told = |bad: &[String], name: &str| bad.iter().any(|b| b.starts_with(&format!("`${name}`")));
    for &n in nodes {
        let Some(o) = g.get::<Observe>(n) else { continue };
        let name = &o.op.by.0;
        if let Some(q) = calibration.quant(name) {
            found.insert(name.clone(), q.clone());
            continue;
        }
        // These take the parameters of another observer, which are looked up when all others are known.
        if g.observers.get(name).is_some_and(|spec| spec.kind == REUSE) {
            continue;
        }
        let Some(spec) = g.observers.get(name) else {
            bad.push(format!("`${name}` is not declared"));
            continue;
        };
        let mut observer = match constants.swap_remove(name).map_or_else(|| Observer::new(spec), Ok) {
            Ok(o) => o,
            Err(e) => {
                bad.push(format!("`${name}`: {e}"));
                continue;
            }
        };
        if let Some(t) = g.constant(o.x) {
            match t.floats() {
                Ok(data) => observer.see(&data, &t.shape),
                Err(r) => bad.push(format!("`${name}`: {}", r.message)),
            }
        } else if spec.kind != "fixed" && !told(&bad, name) {
            bad.push(format!("`${name}` at `%{}` has seen 0 samples", g.name_of(o.out)));
        }
        constants.insert(name.clone(), observer);
    }
    for (name, observer) in constants {
        match observer.params(&g.observers[&name]) {
            Ok(q) => drop(found.insert(name, q.into())),
            Err(e) if !told(&bad, &name) => bad.push(format!("`${name}`: {e}")),
            Err(_) => {}
        }
    }
    for &n in nodes {
        let Some(o) = g.get::<Observe>(n) else { continue };
        let name = &o.op.by.0;
        if found.contains_key(name) || g.observers.get(name).is_none_or(|spec| spec.kind != REUSE) {
            continue;
        }
        match first_observed(g, o.x).and_then(|by| found.get(by)) {
            Some(q) => drop(found.insert(name.clone(), q.clone())),
            None if told(&bad, name) => {}
            None => bad.push(format!("`${name}`: nothing before `%{}` is quantized", g.name_of(o.out))),
        }
    }
    if bad.is_empty() {
        return Ok(found);
    }
    let d = Diag::error("convert", format!("{} observers have no parameters", bad.len()))
        .help("calibrate the graph that `prepare` gave, and convert with that calibration");
    Err(bad.into_iter().fold(d, Diag::note))
}

/// The kind of observers whose values have the parameters of what they are computed from.
const REUSE: &str = "reuse_input";

/// The nearest observer on the way back from `v` along first operands.
fn first_observed(g: &Graph, mut v: ValueId) -> Option<&Name> {
    loop {
        let def = g.def_node(v)?;
        match g.get::<Observe>(def) {
            Some(o) => return Some(&o.op.by.0),
            None => v = g.node(def).ins.first().copied().flatten()?,
        }
    }
}

fn replace(g: &Graph, n: NodeId, quant: &Arc<Quant>) -> Result<Edit, Reason> {
    let o = g.get::<Observe>(n).ok_or("an observer without operand")?;
    let shape = &g.ty(o.x).shape;
    quant.check(|a| shape.0.get(a).and_then(|d| d.as_lit()))?;
    let mut e = g.edit(n);
    let (base, q) = match g.constant(o.x) {
        Some(t) => {
            let base = g.name_of(o.x).to_string();
            (base.clone(), e.constant(t.quantize(quant)?, &base))
        }
        None => {
            let name: &str = g.name_of(o.out);
            let base = name.strip_suffix(".o").unwrap_or(name).to_string();
            let ty = Type::new(Elem::Quant(quant.clone()), shape.clone());
            let q = e.op_as(Quantize {}, [o.x], &[ty])?[0];
            e.name(q, &format!("{base}.q"));
            (base, q)
        }
    };
    let dq = e.op(Dequantize {}, [q])?;
    e.name(dq, &format!("{base}.dq"));
    // Naming the uses keeps the new name instead of the observer's.
    e.replace_uses(o.out, dq, g.value(o.out).uses.to_vec());
    Ok(e.finish())
}

/// The pass `convert`. Reads a [`Calibration`] from the context.
pub struct Convert;

const INFO: PassInfo = PassInfo::new("convert", "Replace observers by quantize and dequantize")
    .phases(Phase::Observed, Phase::Observed)
    .approximate();

impl Pass for Convert {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let calibration = cx.input::<Calibration>().unwrap_or_default();
        run(g, cx, &calibration)?;
        Ok(Changed::Yes)
    }
}
