//! Convolution and its transpose.

use quantir_ir::ValueId;
use quantir_ir::attr::PerAxis;
use quantir_ir::ops::{Act, Conv, ConvTranspose};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::Table;
use super::window::{Window, halves, spatial_rank};

pub(super) const OPS: Table = &[("Conv", conv), ("ConvTranspose", conv_transpose)];

/// Operands, window and groups of a convolution.
struct Parts {
    x: ValueId,
    weight: ValueId,
    bias: Option<ValueId>,
    window: Window,
    groups: u32,
}

fn parts<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<Parts, Fail> {
    let (x, weight, bias) = (cx.value(node, 0)?, cx.value(node, 1)?, cx.opt_value(node, 2)?);
    let shape = cx.shape(x);
    let rank = spatial_rank(shape.len())?;
    let kernel = cx.shape(weight);
    if kernel.len() != rank + 2 {
        return Err(Fail::invalid(format!(
            "its weight has {} dimensions, its operand {}",
            kernel.len(),
            rank + 2
        )));
    }
    let kernel: Option<Vec<u32>> =
        kernel[2..].iter().map(|d| d.as_lit().and_then(|n| u32::try_from(n).ok())).collect();
    let Some(kernel) = kernel else { return Err(Fail::unsupported("the size of its kernel is not known")) };
    if kernel.contains(&0) {
        return Err(Fail::invalid("its kernel is empty"));
    }
    let window = Window::of(node, &shape[2..], Some(kernel))?;
    let groups = node.int_or("group", 1)?;
    let groups = u32::try_from(groups).ok().filter(|g| *g > 0);
    let Some(groups) = groups else { return Err(Fail::invalid("`group` must be at least 1")) };
    Ok(Parts { x, weight, bias, window, groups })
}

fn conv<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let p = parts(cx, node)?;
    let op = Conv {
        rank: p.window.kernel.len() as u8,
        stride: p.window.stride(),
        pad: p.window.pads(),
        dilation: p.window.dilation(),
        groups: p.groups,
        act: Act::None,
    };
    cx.finish(node, op, [Some(p.x), Some(p.weight), p.bias])
}

fn conv_transpose<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let mut p = parts(cx, node)?;
    let rank = p.window.kernel.len();
    let mut out_pad = vec![0u32; rank];
    if let Some(extra) = node.ints("output_padding")? {
        if extra.len() != rank {
            return Err(Fail::invalid(format!(
                "`output_padding` has {} numbers for {rank} axes",
                extra.len()
            )));
        }
        for (to, n) in out_pad.iter_mut().zip(extra) {
            *to = u32::try_from(*n).map_err(|_| Fail::invalid(format!("`output_padding` is {extra:?}")))?;
        }
    }
    pads_from_output(cx, node, &mut p, &out_pad)?;
    let op = ConvTranspose {
        rank: rank as u8,
        stride: p.window.stride(),
        pad: p.window.pads(),
        out_pad: if rank == 0 { PerAxis::all(0) } else { PerAxis::of(&out_pad) },
        dilation: p.window.dilation(),
        groups: p.groups,
        act: Act::None,
    };
    cx.finish(node, op, [Some(p.x), Some(p.weight), p.bias])
}

/// The padding that gives the output the size that `output_shape` or `auto_pad` asks for.
fn pads_from_output<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    p: &mut Parts,
    out_pad: &[u32],
) -> Result<(), Fail> {
    let auto = node.str_or("auto_pad", "NOTSET")?;
    let wanted = node.ints("output_shape")?;
    let rank = out_pad.len();
    if wanted.is_some_and(|w| w.len() != rank) {
        return Err(Fail::invalid(format!("`output_shape` must have {rank} numbers")));
    }
    if wanted.is_none() && !auto.starts_with("SAME") {
        return Ok(());
    }
    let spatial = cx.shape(p.x)[2..].to_vec();
    for i in 0..rank {
        let stride = i64::from(p.window.stride[i]);
        let extent = p.window.extent(i);
        let total = match (wanted, spatial[i].as_lit()) {
            (Some(w), Some(size)) => (size - 1)
                .saturating_mul(stride)
                .saturating_add(i64::from(out_pad[i]) + extent)
                .saturating_sub(w[i]),
            (Some(_), None) => {
                return Err(Fail::unsupported("`output_shape` for an operand of unknown size"));
            }
            // The output is `size · stride` long whatever the size is.
            (None, _) => extent + i64::from(out_pad[i]) - stride,
        };
        p.window.pad[i] = halves(total.max(0), auto != "SAME_LOWER")?;
    }
    Ok(())
}
