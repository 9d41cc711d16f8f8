//! Embeddings with quantized tables: rows are looked up as integers and come out as floats.
//!
//! Bags over tables of 4 bits have PyTorch's packed rows, whose scale and minimum are `f16`.

use quantir_ir::{Loc, QParams, Zeros};

use super::calls;
use crate::lower::integers;
use crate::prelude::*;

pub(super) fn lower(g: &mut Graph, cx: &mut PassCx) -> Result<(), Diag> {
    for n in g.nodes().collect::<Vec<_>>() {
        if g.try_node(n).is_some()
            && let Some(edit) = one(g, n)
            && cx.apply(g, "lower-embedding", n, edit)?.is_none()
        {
            break;
        }
    }
    Ok(())
}

fn one(g: &Graph, n: NodeId) -> Option<Edit> {
    let node = g.node(n);
    let call = node.loc.call.as_deref().filter(|c| matches!(*c, "nn.Embedding" | "nn.EmbeddingBag"))?;
    let (table, q) = integers(g, node.ins.get(1).copied().flatten()?)?;
    let mut e = g.edit(n);
    e.loc(Loc { call: Some(calls::quantized(call, false).into()), ..node.loc.clone() });
    let mut ins: Vec<Option<ValueId>> = node.ins.to_vec();
    ins[1] = Some(table);
    let op: Op = match &node.op {
        Op::Embedding(_) => Qembedding {}.into(),
        Op::EmbeddingBag(o) if q.storage == Storage::U4 && o.padding_idx < 0 => {
            let packed = rows_of_4_bits(&g.constant(table)?)?;
            ins[1] = Some(e.constant(packed, g.name_of(table)));
            EmbeddingBagRowwise { bits: 4, mode: o.mode, include_last_offset: o.include_last_offset }.into()
        }
        Op::EmbeddingBag(o) => QembeddingBag {
            mode: o.mode,
            include_last_offset: o.include_last_offset,
            padding_idx: o.padding_idx,
        }
        .into(),
        _ => return None,
    };
    let new = e.op(op, ins).ok()?;
    let out = *node.outs.first()?;
    e.name(new, g.name_of(out)).replace_uses(out, new, g.value(out).uses.to_vec());
    Some(e.finish())
}

/// Codes two in a byte, the earlier one low, then scale and `−zero·scale` as `f16`.
fn rows_of_4_bits(t: &Tensor) -> Option<Tensor> {
    let q = t.quant()?;
    let &[rows, width] = t.shape.as_slice() else { return None };
    let QParams::Axis { zero: Zeros::Float(zeros), scale, .. } = &q.params else { return None };
    let codes = t.ints().ok()?;
    let mut out: Vec<u8> = Vec::new();
    for r in 0..rows {
        for pair in codes[r * width..][..width].chunks(2) {
            out.push(pair[0] as u8 | (pair.get(1).map_or(0, |&c| c as u8) << 4));
        }
        for x in [scale[r], -zeros[r] * scale[r]] {
            out.extend(half::f16::from_f32(x).to_le_bytes());
        }
    }
    let bytes = out.len() / rows.max(1);
    Tensor::new(&[rows, bytes], out).ok()
}
