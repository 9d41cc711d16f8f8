//! Folds `batch_norm` into the convolution, transposed convolution or linear layer that feeds it.
//!
//! ```qir
//! input %x: f32[1,3,8,8]
//! %w = const {data=rand(1)} : f32[2,3,3,3]
//! %gamma = const {data=rand(2)} : f32[2]
//! %beta = const {data=rand(3)} : f32[2]
//! %mean = const {data=rand(4)} : f32[2]
//! %var = const {data=splat(1)} : f32[2]
//! %c = conv2d %x, %w : f32[1,2,6,6]
//! %y = batch_norm %c, %gamma, %beta, %mean, %var : f32[1,2,6,6]
//! =>
//! %y = conv2d %x, %w, %c.bias : f32[1,2,6,6]
//! ```
//!
//! The formulae are those of [`fold_batch_norm`]. Unlike PyTorch, transposed convolutions fold with groups too.
//! The result always has a bias. The convolution must have no other use and no activation.

use crate::constant::{float_tensor, numbers};
use crate::fuse::fold::{BatchNormStats, fold_batch_norm};
use crate::fuse::root::Root;
use crate::prelude::*;

/// The pass `fuse-conv-bn`.
pub struct FuseConvBn;

impl Rewrite for FuseConvBn {
    const INFO: PassInfo =
        PassInfo::new("fuse-conv-bn", "Fold a batch norm into the convolution or linear layer that feeds it")
            .rounding(5e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let bn = g.get::<BatchNorm>(at)?;
        let (weight, bias) = folded(g, at)?;
        Root::of(g, bn.x)?.replace(bn.out, Some(weight), bias)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        let bn = g.get::<BatchNorm>(at)?;
        let Some(root) = Root::of(g, bn.x) else {
            let before = g.def_node(bn.x).map_or("a graph input", |n| g.op(n).name());
            return Some(format!("it follows `{before}`, which is no f32 convolution or linear layer"));
        };
        let odd = "the folded parameters would not be finite, or the number of channels differs";
        obstacle(g, &bn, &root).or_else(|| Some(odd.into()))
    }
}

/// Weight and bias of what feeds the batch norm `at`, with it folded in; `None` if it cannot be.
pub(crate) fn folded(g: &Graph, at: NodeId) -> Option<(Tensor, Vec<f32>)> {
    let bn = g.get::<BatchNorm>(at)?;
    let root = Root::of(g, bn.x)?;
    if obstacle(g, &bn, &root).is_some() {
        return None;
    }
    let of = |v: ValueId| numbers(g, v);
    let (gamma, beta, mean, var) = (of(bn.gamma)?, of(bn.beta)?, of(bn.mean)?, of(bn.var)?);
    let eps = bn.op.eps.0;
    let stats = BatchNormStats { gamma: Some(&gamma), beta: Some(&beta), mean: &mean, var: &var, eps };
    let (shape, weight) = root.weight_data()?;
    let bias = root.bias_values()?;
    let (weight, bias) = fold_batch_norm(root.layer(), &shape, &weight, Some(&bias), &stats).ok()?;
    let finite = |v: &[f32]| v.iter().all(|x| x.is_finite());
    if !finite(&bias) || !finite(&stats.factors()) {
        return None;
    }
    Some((float_tensor(g.ty(root.weight).elem.storage(), &shape, weight).ok()?, bias))
}

fn obstacle(g: &Graph, bn: &ops::batch_norm::BatchNormView, root: &Root) -> Option<String> {
    if root.axis() != 1 {
        return Some("it normalizes axis 1, but the features of `linear` are its last axis".into());
    }
    let constants = [bn.gamma, bn.beta, bn.mean, bn.var, root.weight];
    if let Some(&v) = constants.iter().find(|&&v| !g.is_const(v)) {
        return Some(format!("%{} is not constant", g.name_of(v)));
    }
    root.obstacle()
}
