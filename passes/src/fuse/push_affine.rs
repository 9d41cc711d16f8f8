//! Moves a constant factor and offset into the convolution or linear layer that follows.
//!
//! ```qir
//! input %x: f32[1,3,4,4]
//! %s = const {data=[0.5,2.0,-1.0]} : f32[3,1,1]
//! %t = const {data=[1.0,0.0,2.0]} : f32[3,1,1]
//! %w = const {data=rand(1)} : f32[4,3,1,1]
//! %b = const {data=rand(2)} : f32[4]
//! %m = mul %x, %s : f32[1,3,4,4]
//! %a = add %m, %t : f32[1,3,4,4]
//! %y = conv2d %a, %w, %b : f32[1,4,4,4]
//! =>
//! %y = conv2d %x, %w, %b : f32[1,4,4,4]
//! ```
//!
//! Factor and offset may be scalars or differ along the input channels. A factor goes through padding, since zero
//! stays zero; an offset does not, so before a padded convolution only the factor moves and the offset is divided
//! by it: `s·x + t = s·(x + t/s)`. All users must be such layers, so that nothing is left behind.

use crate::fuse::root::Root;
use crate::prelude::*;

/// The pass `push-affine`.
pub struct PushAffine;

/// Dividing an offset by a smaller factor would lose digits.
const SMALLEST_FACTOR: f32 = 1e-3;

impl Rewrite for PushAffine {
    const INFO: PassInfo = PassInfo::new(
        "push-affine",
        "Move a constant factor and offset into the convolution or linear layer that follows",
    )
    .rounding(5e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let out = *g.node(at).outs.first()?;
        match Root::of(g, out) {
            Some(root) => into_root(g, &root),
            None => swap(g, at, out),
        }
    }
}

/// Moves the factor or offset before `root` into it.
fn into_root(g: &Graph, root: &Root) -> Option<Edit> {
    let users = users(g, root.x)?;
    if let Some((x, factors, _)) = product(g, root, root.x) {
        return root.replace_input(x, Some(root.input_scaled_weight(&factors)?), None);
    }
    if users.iter().any(Root::padded) {
        return None;
    }
    let (x, offsets, _) = sum(g, root, root.x)?;
    let moved = root.weight_times(&offsets)?;
    let bias = root.bias_values()?.iter().zip(&moved).map(|(b, m)| b + m).collect();
    root.replace_input(x, None, Some(bias))
}

/// The roots that take `v` as their input, if nothing else uses it and their weights are constant.
fn users(g: &Graph, v: ValueId) -> Option<Vec<Root<'_>>> {
    let root = |u: &Use| match *u {
        Use::Node(n, 0) => Root::of(g, *g.node(n).outs.first()?).filter(|r| g.is_const(r.weight)),
        _ => None,
    };
    g.value(v).uses.iter().map(root).collect()
}

/// Writes `s·x + t` before a padded root as `s·(x + t/s)`, so that the factor comes to stand before the root.
fn swap(g: &Graph, at: NodeId, out: ValueId) -> Option<Edit> {
    let users = users(g, out)?;
    let root = users.iter().find(|r| r.padded())?;
    let (scaled, offsets, offset) = sum(g, root, out)?;
    let (x, factors, factor) = product(g, root, scaled).filter(|_| g.one_use(scaled))?;
    let divided: Vec<f32> = offsets.iter().zip(&factors).map(|(t, s)| t / s).collect();
    if factors.iter().any(|s| s.abs() < SMALLEST_FACTOR) || divided.iter().any(|t| !t.is_finite()) {
        return None;
    }
    // Of the lower rank of both, or with all channels, whichever constant has them.
    let wide = |v: ValueId| g.ty(v).shape.concrete().filter(|s| s.iter().product::<usize>() == divided.len());
    let (shape, divided) = match wide(offset).or_else(|| wide(factor)) {
        Some(shape) => (shape, divided),
        None => (g.ty(offset).shape.concrete()?, vec![*divided.first()?]),
    };
    let mut e = g.edit(at);
    let constant = Tensor::new(&shape, divided).ok()?;
    let constant = e.constant(constant, &format!("{}.divided", g.name_of(offset)));
    let moved = e.op(Add { act: Act::None }, [x, constant]).ok()?;
    e.name(moved, &format!("{}.offset", g.name_of(out)));
    let new = e.op(Mul { act: Act::None }, [moved, factor]).ok()?;
    if e.ty(new) != g.ty(out) {
        return None;
    }
    e.replace(out, new);
    Some(e.finish())
}

/// The x, the factors and the constant of `x · constant`, if that is `v`.
fn product(g: &Graph, root: &Root, v: ValueId) -> Option<(ValueId, Vec<f32>, ValueId)> {
    let m = g.def::<Mul>(v).filter(|m| m.op.act == Act::None)?;
    affine(g, root, v, m.a, m.b).or_else(|| affine(g, root, v, m.b, m.a))
}

/// The x, the offsets and the constant of `x + constant`, if that is `v`.
fn sum(g: &Graph, root: &Root, v: ValueId) -> Option<(ValueId, Vec<f32>, ValueId)> {
    let a = g.def::<Add>(v).filter(|a| a.op.act == Act::None)?;
    affine(g, root, v, a.a, a.b).or_else(|| affine(g, root, v, a.b, a.a))
}

/// `x`, the number of each channel in the constant `c`, and `c`, if combining them to `v` keeps the type of x.
fn affine(
    g: &Graph,
    root: &Root,
    v: ValueId,
    x: ValueId,
    c: ValueId,
) -> Option<(ValueId, Vec<f32>, ValueId)> {
    let numbers = root.per_input_channel(c).filter(|_| g.ty(x) == g.ty(v))?;
    numbers.iter().all(|n| n.is_finite()).then_some((x, numbers, c))
}
