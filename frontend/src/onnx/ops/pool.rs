//! Pooling.

use quantir_ir::ops::reduce::Reduction;
use quantir_ir::ops::{AvgPool, MaxPool, Reduce};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::window::{Window, spatial_rank};
use super::{Table, only_results};

pub(super) const OPS: Table = &[
    ("MaxPool", max_pool),
    ("AveragePool", average_pool),
    ("GlobalAveragePool", |cx, n| global(cx, n, Reduction::Mean)),
    ("GlobalMaxPool", |cx, n| global(cx, n, Reduction::Max)),
];

fn max_pool<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    only_results(cx, node, 1)?;
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    spatial_rank(shape.len())?;
    let w = Window::of(node, &shape[2..], None)?;
    let op = MaxPool {
        kernel: w.kernel(),
        stride: w.stride(),
        pad: w.pads(),
        dilation: w.dilation(),
        ceil: node.flag("ceil_mode", false)?,
    };
    cx.finish(node, op, [x])
}

fn average_pool<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    spatial_rank(shape.len())?;
    let w = Window::of(node, &shape[2..], None)?;
    if !w.dilation().is(1) {
        return Err(Fail::unsupported("average pooling with a dilation"));
    }
    let op = AvgPool {
        kernel: w.kernel(),
        stride: w.stride(),
        pad: w.pads(),
        ceil: node.flag("ceil_mode", false)?,
        count_pad: node.flag("count_include_pad", false)?,
    };
    cx.finish(node, op, [x])
}

fn global<'m>(cx: &mut Import<'m>, node: &Node<'m>, kind: Reduction) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let rank = cx.rank(x);
    if rank < 3 {
        return Err(Fail::invalid(format!("its operand has {rank} dimensions, no spatial one among them")));
    }
    cx.finish(node, Reduce { kind, axes: (2..rank as u32).collect(), keep: true }, [x])
}
