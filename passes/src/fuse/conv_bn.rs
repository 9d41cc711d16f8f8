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
//! With `r = 1 / sqrt(var + eps)`, in PyTorch's order of operations and in `f32`:
//! `w' = w · (gamma · r)` for each output channel and `b' = (b − mean) · r · gamma + beta`; a linear layer has
//! `b' = (b − mean) · (gamma · r) + beta`. Unlike PyTorch, transposed convolutions fold with groups too.
//! The result always has a bias. The convolution must have no other use and no activation.

use crate::constant::numbers;
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
    let linear = matches!(g.op(root.id), Op::Linear(_));
    let stats = Stats::of(g, &bn)?;
    let bias = stats.fold_bias(&root.bias_values()?, linear);
    let weight = root.scaled_weight(&stats.factors())?;
    let finite = |v: &[f32]| v.iter().all(|x| x.is_finite());
    (finite(&bias) && finite(&stats.factors())).then_some((weight, bias))
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

/// The statistics and parameters of a batch norm.
struct Stats {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    /// `1 / sqrt(var + eps)`.
    r: Vec<f32>,
}

impl Stats {
    fn of(g: &Graph, bn: &ops::batch_norm::BatchNormView) -> Option<Stats> {
        let eps = bn.op.eps.0;
        let r = numbers(g, bn.var)?.into_iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        let (gamma, beta, mean) = (numbers(g, bn.gamma)?, numbers(g, bn.beta)?, numbers(g, bn.mean)?);
        Some(Stats { gamma, beta, mean, r })
    }

    /// `gamma · r`.
    fn factors(&self) -> Vec<f32> {
        self.gamma.iter().zip(&self.r).map(|(g, r)| g * r).collect()
    }

    fn fold_bias(&self, bias: &[f32], linear: bool) -> Vec<f32> {
        let one = |(i, b): (usize, &f32)| {
            let (gamma, r, centred) = (self.gamma[i], self.r[i], b - self.mean[i]);
            let scaled = if linear { centred * (gamma * r) } else { centred * r * gamma };
            scaled + self.beta[i]
        };
        bias.iter().take(self.r.len()).enumerate().map(one).collect()
    }
}
