//! Writes a `batch_norm` that could not be folded as a multiplication and an addition.
//!
//! ```qir
//! input %x: f32[1,2,4,4]
//! %gamma = const {data=rand(1)} : f32[2]
//! %beta = const {data=rand(2)} : f32[2]
//! %mean = const {data=rand(3)} : f32[2]
//! %var = const {data=splat(1)} : f32[2]
//! %y = batch_norm %x, %gamma, %beta, %mean, %var : f32[1,2,4,4]
//! =>
//! %y.scaled = mul %x, %y.scale : f32[1,2,4,4]
//! %y = add %y.scaled, %y.shift : f32[1,2,4,4]
//! ```
//!
//! `scale = gamma / sqrt(var + eps)` and `shift = beta − mean · scale`, constants of shape `[C,1,…]`. Quantized
//! graphs have no batch norm, but they have both of these.

use crate::constant::numbers;
use crate::prelude::*;

/// The pass `decompose-batch-norm`.
pub struct DecomposeBatchNorm;

impl Rewrite for DecomposeBatchNorm {
    const INFO: PassInfo =
        PassInfo::new("decompose-batch-norm", "Write a batch norm as a multiplication and an addition")
            .rounding(5e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let bn = g.get::<BatchNorm>(at)?;
        if g.elem(bn.x) != &Elem::F32 || !constant(g, &bn) {
            return None;
        }
        let (gamma, beta) = (numbers(g, bn.gamma)?, numbers(g, bn.beta)?);
        let (mean, var) = (numbers(g, bn.mean)?, numbers(g, bn.var)?);
        let scale: Vec<f32> = gamma.iter().zip(&var).map(|(g, v)| g / (v + bn.op.eps.0).sqrt()).collect();
        let shift: Vec<f32> = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        // [C,1,…]: aligned from the right, C meets axis 1.
        let mut shape = vec![1; g.ty(bn.x).rank().checked_sub(1)?];
        *shape.first_mut()? = scale.len();

        let name = g.name_of(bn.out);
        let mut e = g.edit(at);
        let scale = e.constant(Tensor::new(&shape, scale).ok()?, &format!("{name}.scale"));
        let shift = e.constant(Tensor::new(&shape, shift).ok()?, &format!("{name}.shift"));
        let product = e.op(Mul { act: Act::None }, [bn.x, scale]).ok()?;
        e.name(product, &format!("{name}.scaled"));
        let sum = e.op(Add { act: Act::None }, [product, shift]).ok()?;
        if e.ty(sum) != g.ty(bn.out) {
            return None;
        }
        e.replace(bn.out, sum);
        Some(e.finish())
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        let bn = g.get::<BatchNorm>(at)?;
        Some(match constant(g, &bn) {
            true => format!("its elements are {}, not f32", g.ty(bn.x)),
            false => "its parameters are not constant".into(),
        })
    }
}

fn constant(g: &Graph, bn: &ops::batch_norm::BatchNormView) -> bool {
    [bn.gamma, bn.beta, bn.mean, bn.var].into_iter().all(|v| g.is_const(v))
}
