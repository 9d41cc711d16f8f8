//! Writes a `multihead_attention` as the calls of PyTorch's `quantizable.MultiheadAttention`.
//!
//! ```qir
//! input %q: f32[3,2,4]
//! %wi = const {data=rand(1)} : f32[12,4]
//! %bi = const {data=rand(2)} : f32[12]
//! %wo = const {data=rand(3)} : f32[4,4]
//! %y = multihead_attention %q, %q, %q, %wi, _, _, _, %bi, %wo {heads=2, need_weights=false} : f32[3,2,4]
//! ```
//!
//! The projections are `linear_Q`, `linear_K` and `linear_V`, with parts of in_proj as weights; the products of queries, keys
//! and values and the softmax between them stay float; their result and the probabilities are observed as
//! `quant_attn_output` and `quant_attn_output_weights`, and `out_proj` is a module of its own.

use crate::expand::{Builder, Expanded};
use crate::prelude::*;

/// The pass `expand-attention`.
pub struct ExpandAttention;

impl Rewrite for ExpandAttention {
    const INFO: PassInfo =
        PassInfo::new("expand-attention", "Write multi-head attention as the calls of its observed form")
            .rounding(1e-5);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        g.get::<MultiheadAttention>(at)?;
        build(g, at).ok().map(|(edit, _)| edit)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        g.get::<MultiheadAttention>(at)?;
        build(g, at).err().map(|r| r.message)
    }
}

/// Rows `first..first + rows` of a constant.
fn rows(g: &Graph, v: ValueId, first: usize, rows: usize) -> Result<Tensor, Reason> {
    let t = g.constant(v).ok_or_else(|| Reason::new("its projections are no constants"))?;
    let width: usize = t.shape.iter().skip(1).product();
    let data = t.floats()?;
    let part = data.get(first * width..(first + rows) * width).ok_or("a projection with fewer rows")?;
    let mut shape = t.shape.clone();
    shape[0] = rows;
    Tensor::new(&shape, part.to_vec())
}

/// The edit that takes the `multihead_attention` at `n` apart, and what is to be observed.
pub(super) fn build(g: &Graph, n: NodeId) -> Result<(Edit, Expanded), Reason> {
    let mha = g.get::<MultiheadAttention>(n).ok_or("a `multihead_attention` is expected")?;
    let op = mha.op.clone();
    let outs = g.node(n).outs.clone();
    if mha.bias_k.is_some() || mha.attn_mask.is_some() || mha.key_padding_mask.is_some() || op.add_zero_attn {
        return Err(Reason::new("its observed form takes no masks and no further keys")
            .help("PyTorch's observed form in graph mode takes query, key and value only"));
    }
    if g.ty(mha.query).rank() != 3 {
        return Err(Reason::new("its query is one sample; give a batch [L,N,E]"));
    }
    let features = g.ty(mha.out_proj).shape[0].as_lit().and_then(|e| usize::try_from(e).ok());
    let features = features.ok_or("its number of features is not known")?;
    let heads = op.heads as usize;
    let d = Dim::from(features / heads);
    let mut b = Builder::new(g, n, "nn.quantizable.MultiheadAttention");
    let mut heads_of = Vec::new();
    let sources = [(mha.query, mha.q_proj), (mha.key, mha.k_proj), (mha.value, mha.v_proj)];
    for (i, (x, own)) in sources.into_iter().enumerate() {
        let name = ["linear_Q", "linear_K", "linear_V"][i];
        b.module(name, "nn.Linear");
        let mut x = x;
        if op.batch_first {
            b.enter("", Some(".transpose"));
            x = b.op(&format!("{name}.x"), Transpose { perm: vec![1, 0, 2] }, [x])?;
        }
        b.enter(name, Some("nn.Linear"));
        let weight = match (mha.in_proj, own) {
            (Some(all), _) => {
                let part = rows(g, all, i * features, features)?;
                b.e.constant(part, &b.path(&format!("{name}.weight")))
            }
            (None, Some(w)) => w,
            (None, None) => return Err("a projection is missing".into()),
        };
        let bias = match mha.in_bias {
            Some(all) => {
                let part = rows(g, all, i * features, features)?;
                Some(b.e.constant(part, &b.path(&format!("{name}.bias"))))
            }
            None => None,
        };
        b.parts.weights.insert(b.path(&format!("{name}.weight")), weight);
        let mut y = b.seen(name, "", Linear { act: Act::None }, [Some(x), Some(weight), bias])?;
        if i == 0 {
            b.module("q_scaling_product", "nn.quantized.FloatFunctional");
            b.enter("q_scaling_product", Some("nn.quantized.FloatFunctional"));
            let scale = (1.0 / (features / heads) as f64).sqrt() as f32;
            let scale = b.e.constant(Tensor::f32(&[], vec![scale]), &b.path("scaling"));
            y = b.op("q_scaling_product", Mul { act: Act::None }, [y, scale])?;
        }
        // [L,N,E] to [N,heads,L,d].
        b.enter("", None);
        let shape = b.shape(y);
        let split = vec![shape[0].clone(), shape[1].clone(), Dim::from(heads), d.clone()];
        let y = b.op(&format!("{name}.heads"), Reshape { shape: split }, [y])?;
        let perm = if i == 1 { vec![1, 2, 3, 0] } else { vec![1, 2, 0, 3] };
        heads_of.push(b.op(&format!("{name}.by_head"), Transpose { perm }, [y])?);
    }
    b.enter("", Some("torch.bmm"));
    let scores = b.op("scores", Matmul {}, [heads_of[0], heads_of[1]])?;
    b.enter("", Some("F.softmax"));
    let weights = b.op("softmax", Softmax { axis: 3 }, [scores])?;
    b.enter("", Some("torch.bmm"));
    let mixed = b.op("mixed", Matmul {}, [weights, heads_of[2]])?;
    b.enter("", Some(".transpose"));
    let perm = if op.batch_first { vec![0, 2, 1, 3] } else { vec![2, 0, 1, 3] };
    let mixed = b.op("joined", Transpose { perm }, [mixed])?;
    b.enter("quant_attn_output", Some("quantization.QuantStub"));
    b.module("quant_attn_output", "quantization.QuantStub");
    b.module("quant_attn_output_weights", "quantization.QuantStub");
    let shape = g.ty(outs[0]).shape.0.clone();
    let mixed = b.seen("quant_attn_output", "", Reshape { shape }, [mixed])?;
    b.module("out_proj", "nn.Linear");
    b.enter("out_proj", Some("nn.Linear"));
    b.parts.weights.insert(b.path("out_proj.weight"), mha.out_proj);
    let y =
        b.seen("out_proj", "", Linear { act: Act::None }, [Some(mixed), Some(mha.out_proj), mha.out_bias])?;
    let mut results = vec![y];
    if op.need_weights {
        let name = b.path("quant_attn_output_weights.activation_post_process");
        b.enter("quant_attn_output_weights", Some("quantization.QuantStub"));
        let weights = b.op("quant_attn_output_weights", Identity {}, [weights])?;
        b.parts.results.insert(name, vec![weights]);
        results.push(if op.average_weights {
            b.enter("", Some(".mean"));
            let mean = Reduce { kind: ops::reduce::Reduction::Mean, axes: vec![1], keep: false };
            let mean = b.op("weights", mean, [weights])?;
            b.like_first("weights", mean);
            mean
        } else {
            weights
        });
    }
    for (&old, new) in outs.iter().zip(results) {
        if b.e.ty(new) != g.ty(old) {
            return Err(Reason::new(format!("its result would be {} instead of {}", b.e.ty(new), g.ty(old))));
        }
        b.e.replace(old, new);
    }
    Ok((b.e.finish(), b.parts))
}
