//! Turns a matrix product with a constant into a linear layer.
//!
//! ```qir
//! input %x: f32[1,8]
//! %w = const {data=rand(1)} : f32[8,4]
//! %y = matmul %x, %w : f32[1,4]
//! =>
//! %y = linear %x, %w : f32[1,4]
//! ```
//!
//! The constant `[I,O]` becomes the weight `[O,I]` under its name. Linear layers are what quantization, bias
//! fusion and activation fusion know.

use crate::prelude::*;

/// The pass `fuse-linear`.
pub struct FuseLinear;

impl Rewrite for FuseLinear {
    const INFO: PassInfo =
        PassInfo::new("fuse-linear", "Turn a matrix product with a constant into a linear layer")
            .rounding(1e-6);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let m = g.get::<Matmul>(at)?;
        if g.elem(m.a) != &Elem::F32 || g.elem(m.b) != &Elem::F32 || g.ty(m.b).rank() != 2 {
            return None;
        }
        let weight = transposed(&g.is_const(m.b).then(|| g.constant(m.b))??)?;
        let mut e = g.edit(at);
        e.loc_of(g.def_node(m.b)?);
        let weight = e.constant(weight, g.name_of(m.b));
        e.loc_of(at);
        let linear = e.op(Linear { act: Act::None }, [m.a, weight]).ok()?;
        if e.ty(linear) != g.ty(m.out) {
            return None;
        }
        e.replace(m.out, linear);
        Some(e.finish())
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        let m = g.get::<Matmul>(at)?;
        if !g.is_const(m.b) {
            return Some(format!("%{} is not constant", g.name_of(m.b)));
        }
        (g.ty(m.b).rank() != 2).then(|| format!("the constant {} is no matrix", g.ty(m.b)))
    }
}

/// The transpose of an `f32` matrix.
fn transposed(t: &Tensor) -> Option<Tensor> {
    let &[rows, cols] = t.shape.as_slice() else { return None };
    let data = t.floats().ok()?;
    let turned = (0..cols).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| data[r * cols + c]);
    Tensor::new(&[cols, rows], turned.collect::<Vec<f32>>()).ok()
}
