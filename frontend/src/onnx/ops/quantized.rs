//! Models that are quantized already: `QuantizeLinear` and `DequantizeLinear` become phase `reference`.

use std::sync::Arc;

use quantir_ir::ops::{Dequantize, Quantize};
use quantir_ir::{Elem, Phase, QParams, Quant, Storage, Tensor, Type, Zeros};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::super::tensor::storage_of;
use super::{Table, axis};

pub(super) const OPS: Table = &[("QuantizeLinear", quantize), ("DequantizeLinear", dequantize)];

/// The quantization that scale and zero point of a node say; `storage` if there is no zero point.
fn quant<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    rank: usize,
    storage: Storage,
) -> Result<Arc<Quant>, Fail> {
    if node.int_or("block_size", 0)? != 0 {
        return Err(Fail::unsupported("scales for blocks of an axis"));
    }
    let Some(scale) = cx.tensor(node, 1)? else {
        return Err(Fail::unsupported("its scale is computed from data"));
    };
    let zero = match node.input(2) {
        Some(_) => Some(
            cx.tensor(node, 2)?.ok_or_else(|| Fail::unsupported("its zero point is computed from data"))?,
        ),
        None => None,
    };
    let storage = zero.as_ref().map_or(storage, Tensor::storage);
    let Some(range) = storage.int_range().filter(|_| storage != Storage::I64) else {
        return Err(Fail::unsupported(format!("quantization to `{storage}`")));
    };
    let bad = |r: quantir_ir::Reason| Fail::invalid(r.message);
    let scales = scale.floats().map_err(bad)?.into_owned();
    if let Some(s) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(Fail::invalid(format!("a scale is {s}; scales are positive")));
    }
    let zeros = match &zero {
        Some(z) => z.ints().map_err(bad)?,
        None => vec![0; scales.len()],
    };
    let zeros: Option<Vec<i32>> = zeros.into_iter().map(|z| i32::try_from(z).ok()).collect();
    let Some(zeros) = zeros.filter(|z| z.len() == scales.len() && !z.is_empty()) else {
        return Err(Fail::invalid(format!("it has {} scales, but not as many zero points", scales.len())));
    };
    let params = if scales.len() == 1 && (scale.rank() == 0 || rank == 0) {
        QParams::Tensor { scale: scales[0], zero: zeros[0] }
    } else {
        let axis = axis(node.int_or("axis", 1)?, rank)?;
        let axis = u8::try_from(axis).map_err(|_| Fail::invalid(format!("axis {axis}")))?;
        let same = zeros.iter().all(|z| *z == zeros[0]);
        let zero = if same { Zeros::All(zeros[0]) } else { Zeros::Each(zeros.into()) };
        QParams::Axis { axis, scale: scales.into(), zero }
    };
    Ok(Arc::new(Quant { storage, range, params }))
}

fn quantize<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let storage = match node.int_or("output_dtype", 0)? {
        0 => Storage::U8,
        code => storage_of(i32::try_from(code).unwrap_or(0)).map_err(Fail::Unsupported)?.0,
    };
    let q = quant(cx, node, cx.rank(x), storage)?;
    if let Some(tensor) = cx.constant_of(x) {
        cx.charge(tensor.numel() as u64, "quantized constants")?;
        let quantized = tensor.quantize(&q).map_err(|r| Fail::invalid(r.message))?;
        cx.bind_tensor(node, quantized);
        return Ok(());
    }
    reference(cx);
    let ty = Type::new(Elem::Quant(q), cx.ty(x).shape);
    cx.finish_as(node, Quantize {}, &[x], ty)
}

fn dequantize<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let content = cx.tensor(node, 0)?;
    let x = match content {
        // A constant of plain integers gets its meaning here, where the scale is known.
        Some(t) if t.quant().is_none() => {
            let q = quant(cx, node, t.rank(), t.storage())?;
            let t = t.retype(Elem::Quant(q)).map_err(|r| Fail::invalid(r.message))?;
            cx.constant(node, t, "q")
        }
        _ => {
            let x = cx.value(node, 0)?;
            let ty = cx.ty(x);
            let Elem::Quant(q) = &ty.elem else {
                return Err(Fail::unsupported(
                    "it gives a scale to integers that the model computes or takes as input",
                ));
            };
            if quant(cx, node, ty.rank(), q.storage)? != *q {
                return Err(Fail::unsupported(
                    "it reads integers with another scale than they were quantized with",
                ));
            }
            x
        }
    };
    reference(cx);
    cx.finish(node, Dequantize {}, [x])
}

fn reference(cx: &mut Import) {
    if cx.graph.phase() < Phase::Reference {
        cx.graph.advance(Phase::Reference);
    }
}
