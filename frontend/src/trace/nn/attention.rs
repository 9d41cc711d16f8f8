//! `MultiheadAttention`.

use quantir_ir::ops;

use super::bound;
use crate::trace::{Call, Cx, Init, Module, Traced, Tuple};

/// Multi-head attention: takes (query, key, value), returns the result and the probabilities.
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    embed: usize,
    heads: usize,
    bias: bool,
    batch_first: bool,
    need_weights: bool,
    kdim: Option<usize>,
    vdim: Option<usize>,
    bias_kv: bool,
    zero_attn: bool,
}
impl MultiheadAttention {
    /// `num_heads` heads over `embed_dim` features.
    pub fn new(embed_dim: usize, num_heads: usize) -> MultiheadAttention {
        MultiheadAttention {
            embed: embed_dim,
            heads: num_heads,
            bias: true,
            batch_first: false,
            need_weights: true,
            kdim: None,
            vdim: None,
            bias_kv: false,
            zero_attn: false,
        }
    }
    /// Whether the projections have biases.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }
    /// Whether the batch comes before the time.
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = batch_first;
        self
    }
    /// Whether the probabilities are returned too.
    pub fn need_weights(mut self, need: bool) -> Self {
        self.need_weights = need;
        self
    }
    /// Features of keys and values, if they have others than queries.
    pub fn kv_dims(mut self, kdim: usize, vdim: usize) -> Self {
        (self.kdim, self.vdim) = (Some(kdim), Some(vdim));
        self
    }
    /// Whether one more key and value are learned.
    pub fn add_bias_kv(mut self, add: bool) -> Self {
        self.bias_kv = add;
        self
    }
    /// Whether one more key and value of zeros is added.
    pub fn add_zero_attn(mut self, add: bool) -> Self {
        self.zero_attn = add;
        self
    }
}
impl Module<(Traced, Traced, Traced), Tuple> for MultiheadAttention {
    fn class(&self) -> String {
        "nn.MultiheadAttention".into()
    }
    fn forward(&self, cx: &Cx, (q, k, v): (Traced, Traced, Traced)) -> Tuple {
        let e = self.embed;
        let (kd, vd) = (self.kdim.unwrap_or(e), self.vdim.unwrap_or(e));
        // Xavier's bound for matrices, as PyTorch initializes the projections.
        let xavier = |rows: usize, cols: usize| Init::Uniform((6.0 / (rows + cols) as f32).sqrt());
        let one = kd == e && vd == e;
        let w = |name: &str, rows: usize, cols: usize| cx.param(name, &[rows, cols], xavier(rows, cols));
        let in_proj = one.then(|| w("in_proj_weight", 3 * e, e));
        let q_proj = (!one).then(|| w("q_proj_weight", e, e));
        let k_proj = (!one).then(|| w("k_proj_weight", e, kd));
        let v_proj = (!one).then(|| w("v_proj_weight", e, vd));
        let in_bias = self.bias.then(|| cx.param("in_proj_bias", &[3 * e], Init::Zeros));
        cx.module("out_proj", "nn.NonDynamicallyQuantizableLinear");
        let out = cx.param("out_proj.weight", &[e, e], bound(e));
        let out_bias = self.bias.then(|| cx.param("out_proj.bias", &[e], Init::Zeros));
        let bias_k = self.bias_kv.then(|| cx.param("bias_k", &[1, 1, e], Init::Zeros));
        let bias_v = self.bias_kv.then(|| cx.param("bias_v", &[1, 1, e], Init::Zeros));
        let op = ops::MultiheadAttention {
            heads: u32::try_from(self.heads).unwrap_or(0),
            batch_first: self.batch_first,
            need_weights: self.need_weights,
            average_weights: true,
            add_zero_attn: self.zero_attn,
        };
        let ins = [
            Some(&q),
            Some(&k),
            Some(&v),
            in_proj.as_ref(),
            q_proj.as_ref(),
            k_proj.as_ref(),
            v_proj.as_ref(),
            in_bias.as_ref(),
            Some(&out),
            out_bias.as_ref(),
            bias_k.as_ref(),
            bias_v.as_ref(),
        ];
        Tuple::flat(cx, cx.site(Call::Module).finish_all(op, &ins, &[]))
    }
}
