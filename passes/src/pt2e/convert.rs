//! `convert_pt2e`: quantize and dequantize in the place of observers.

use quantir_quant::{Calibration, KernelSupport};

use super::Prepared;
use crate::fx::ConvertCustomConfig;
use crate::prelude::*;

/// Replaces observers by `quantize` and `dequantize`: phase `reference`. Constants become integers, and each node that reads
/// a quantized value has a `dequantize` of its own, so that a back end sees whole patterns.
///
/// # Errors
/// An observer that saw nothing, naming all of them; parameters that cannot be derived.
pub fn convert_pt2e(g: &mut Graph, prepared: &Prepared, calibration: &Calibration) -> Result<(), Diag> {
    let all = prepared.complete(g, calibration)?;
    crate::fx::convert_to_reference_fx(g, &all, &ConvertCustomConfig::new())?;
    duplicate_dequantize(g)
}

/// As [`convert_pt2e`], then to integer arithmetic where there is a kernel (`use_reference_representation`).
///
/// # Errors
/// As [`convert_pt2e`].
pub fn convert_pt2e_to_integers(
    g: &mut Graph,
    prepared: &Prepared,
    calibration: &Calibration,
    kernels: &KernelSupport,
) -> Result<(), Diag> {
    convert_pt2e(g, prepared, calibration)?;
    crate::lower::lower(g, kernels)
}

/// One `dequantize` for each node that reads it.
fn duplicate_dequantize(g: &mut Graph) -> Result<(), Diag> {
    let mut cx = PassCx::new();
    let nodes: Vec<NodeId> = g.nodes().filter(|&n| matches!(g.op(n), Op::Dequantize(_))).collect();
    for n in nodes {
        let Some(d) = g.get::<Dequantize>(n) else { continue };
        let mut readers: Vec<NodeId> = Vec::new();
        for u in g.users(d.out) {
            if !readers.contains(&u) {
                readers.push(u);
            }
        }
        let returned = g.value(d.out).uses.iter().any(|u| matches!(u, Use::Output(_)));
        let mine = usize::from(!returned);
        let (out, x, name) = (d.out, d.x, g.name_of(d.out).clone());
        for (i, reader) in readers.into_iter().enumerate().skip(mine) {
            let uses: Vec<Use> = g
                .value(out)
                .uses
                .iter()
                .copied()
                .filter(|u| matches!(u, Use::Node(m, _) if *m == reader))
                .collect();
            let mut e = g.edit(n);
            let own = e.op(Dequantize {}, [x]).map_err(|r| r.diag("convert"))?;
            e.name(own, &format!("{name}.{i}")).replace_uses(out, own, uses);
            let edit = e.finish();
            if cx.apply(g, "duplicate-dequantize", n, edit)?.is_none() {
                return Ok(());
            }
        }
    }
    Ok(())
}
