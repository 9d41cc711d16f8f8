//! `multihead_attention`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::operand::{agree, float, recheck, same_elem, store};
use crate::ops::recurrent::float_linear;
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Multi-head attention (PyTorch `nn.MultiheadAttention` in evaluation mode).
    ///
    /// query is `[L,N,E]`, key `[S,N,Ek]`, value `[S,N,Ev]` (without N for one sample). The projections are in_proj
    /// `[3E,E]`, or q_proj `[E,E]`, k_proj `[E,Ek]` and v_proj `[E,Ev]`; in_bias is `[3E]`, out_proj `[E,E]`, out_bias `[E]`.
    /// bias_k and bias_v `[1,1,E]` are one more key and value. For each head of `d = E/heads` features
    /// `softmax(q·k/√d + mask)·v`; a `bool` mask leaves out where it is true, a float one is added: attn_mask `[L,S]` or
    /// `[N·heads,L,S]`, key_padding_mask `[N,S]`. Results: `[L,N,E]`, and with `need_weights` the probabilities `[N,L,S]`
    /// (mean over the heads), or `[N,heads,L,S]`.
    ///
    /// ```qir
    /// input %q: f32[3,2,4]
    /// input %wi: f32[12,4]
    /// input %bi: f32[12]
    /// input %wo: f32[4,4]
    /// input %bo: f32[4]
    /// %y, %w = multihead_attention %q, %q, %q, %wi, _, _, _, %bi, %wo, %bo {heads=2} : f32[3,2,4], f32[2,3,3]
    /// ```
    pub struct MultiheadAttention {
        /// Number of heads; divides the features.
        heads: u32,
        /// Whether query, key and value are `[N,L,E]` instead of `[L,N,E]`.
        batch_first: bool = false,
        /// Whether the probabilities are a second result.
        need_weights: bool = true,
        /// Whether they are averaged over the heads.
        average_weights: bool = true,
        /// Whether one more key and value of zeros is added.
        add_zero_attn: bool = false,
    }
}
operands! { MultiheadAttention as MultiheadAttentionView {
    query: One, key: One, value: One,
    in_proj: Maybe, q_proj: Maybe, k_proj: Maybe, v_proj: Maybe, in_bias: Maybe,
    out_proj: One, out_bias: Maybe,
    bias_k: Maybe, bias_v: Maybe, attn_mask: Maybe, key_padding_mask: Maybe
} }

const OP: &str = "multihead_attention";

/// Refuses an operand that has not these dimensions.
fn shaped(what: &str, t: &Type, dims: &[&Dim]) -> Result<(), Reason> {
    if t.rank() == dims.len() && t.shape.0.iter().zip(dims).all(|(a, b)| agree(a, b)) {
        return Ok(());
    }
    let want = Shape(dims.iter().map(|&d| d.clone()).collect());
    Err(Reason::new(format!("{what} of `{OP}` is {t} but must be {want}")))
}

impl MultiheadAttention {
    /// (time, batch, features) of query, key or value; batch is absent without that axis.
    fn axes(&self, t: &Type) -> Result<(Dim, Option<Dim>, Dim), Reason> {
        match t.shape.0.as_slice() {
            [l, e] => Ok((l.clone(), None, e.clone())),
            [n, l, e] if self.batch_first => Ok((l.clone(), Some(n.clone()), e.clone())),
            [l, n, e] => Ok((l.clone(), Some(n.clone()), e.clone())),
            _ => Err(Reason::new(format!("`{OP}` needs operands of two or three axes, found {t}"))),
        }
    }

    /// Keys beside those of the operand.
    fn more(&self, bias_k: bool) -> i64 {
        i64::from(bias_k) + i64::from(self.add_zero_attn)
    }
}

impl OpDef for MultiheadAttention {
    const NAMES: &'static [&'static str] = &[OP];
    fn results(&self) -> usize {
        if self.need_weights { 2 } else { 1 }
    }
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let query = x.ty(0)?;
        float(OP, "query", query, None)?;
        for (i, what) in [(1, "key"), (2, "value"), (8, "out_proj")] {
            same_elem(what, x.ty(i)?, query)?;
        }
        for i in [3, 4, 5, 6, 7, 9, 10, 11] {
            if let Some(t) = x.opt(i) {
                same_elem("parameter", t, query)?;
            }
        }
        let (l, n, e) = self.axes(query)?;
        let (s, kn, ek) = self.axes(x.ty(1)?)?;
        let (vs, vn, ev) = self.axes(x.ty(2)?)?;
        let same = |a: &Option<Dim>, b: &Option<Dim>| match (a, b) {
            (Some(a), Some(b)) => agree(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same(&n, &kn) || !same(&n, &vn) || !agree(&s, &vs) {
            return Err(Reason::new(format!(
                "query {query}, key {} and value {} of `{OP}` do not fit each other",
                x.ty(1)?,
                x.ty(2)?
            )));
        }
        if self.heads == 0 || e.as_lit().is_some_and(|e| e % i64::from(self.heads) != 0) {
            return Err(Reason::new(format!("{} heads do not divide {e} features", self.heads)));
        }
        let triple = e.mul_lit(3);
        match x.opt(3) {
            Some(w) => {
                shaped("in_proj", w, &[&triple, &e])?;
                if !agree(&ek, &e) || !agree(&ev, &e) {
                    return Err(Reason::new(format!("key and value need {e} features for one in_proj"))
                        .help("give q_proj, k_proj and v_proj instead"));
                }
            }
            None => {
                for (i, (what, k)) in
                    [("q_proj", &e), ("k_proj", &ek), ("v_proj", &ev)].into_iter().enumerate()
                {
                    let w =
                        x.opt(4 + i).ok_or_else(|| Reason::new(format!("`{OP}` needs in_proj or {what}")))?;
                    shaped(what, w, &[&e, k])?;
                }
            }
        }
        shaped("out_proj", x.ty(8)?, &[&e, &e])?;
        if let Some(b) = x.opt(7) {
            shaped("in_bias", b, &[&triple])?;
        }
        if let Some(b) = x.opt(9) {
            shaped("out_bias", b, &[&e])?;
        }
        let one = Dim::lit(1);
        for (i, what) in [(10, "bias_k"), (11, "bias_v")] {
            if let Some(b) = x.opt(i) {
                shaped(what, b, &[&one, &one, &e])?;
            }
        }
        if x.opt(10).is_some() != x.opt(11).is_some() {
            return Err(Reason::new(format!("`{OP}` needs both of bias_k and bias_v, or none")));
        }
        let samples = n.clone().unwrap_or(Dim::lit(1));
        for i in [12, 13] {
            let Some(m) = x.opt(i) else { continue };
            if !m.elem.is_float() && m.elem != Elem::Plain(Storage::Bool) {
                return Err(Reason::new(format!("a mask of `{OP}` is `bool` or floating point, found {m}")));
            }
        }
        if let Some(m) = x.opt(12) {
            let each = samples.mul_lit(self.heads.into());
            match m.rank() {
                2 => shaped("attn_mask", m, &[&l, &s])?,
                _ => shaped("attn_mask", m, &[&each, &l, &s])?,
            }
        }
        if let Some(m) = x.opt(13) {
            match &n {
                Some(n) => shaped("key_padding_mask", m, &[n, &s])?,
                None => shaped("key_padding_mask", m, &[&s])?,
            }
        }
        let mut types = vec![query.clone()];
        if self.need_weights {
            let mut dims: Vec<Dim> = n.into_iter().collect();
            if !self.average_weights {
                dims.push(Dim::lit(self.heads.into()));
            }
            dims.extend([l, s.add_lit(self.more(x.opt(10).is_some()))]);
            types.push(query.with_shape(Shape(dims)));
        }
        Ok(types)
    }

    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let dims = |i: usize| -> Result<(usize, usize, usize), Reason> {
            Ok(match *x.tensor(i)?.shape.as_slice() {
                [l, e] => (l, 1, e),
                [n, l, e] if self.batch_first => (l, n, e),
                [l, n, e] => (l, n, e),
                _ => return Err("an operand of two or three axes is expected".into()),
            })
        };
        let (l, n, e) = dims(0)?;
        let (s0, ..) = dims(1)?;
        let s = s0 + self.more(x.opt(10).is_some()) as usize;
        let (heads, d) = (self.heads as usize, e / self.heads as usize);
        let in_bias = x.opt(7).map(Tensor::floats).transpose()?;
        // Row `t` of sample `n` stands at `(n·len + t)·e`, whatever the order of the operand.
        let project = |i: usize| -> Result<Vec<f32>, Reason> {
            let (len, batch, features) = dims(i)?;
            let data = x.tensor(i)?.floats()?;
            let mut rows = Vec::with_capacity(data.len());
            for b in 0..batch {
                for t in 0..len {
                    let at = if self.batch_first { b * len + t } else { t * batch + b };
                    rows.extend_from_slice(&data[at * features..][..features]);
                }
            }
            let w = match x.opt(3) {
                Some(w) => Tensor::f32(&[e, e], w.floats()?[i * e * e..][..e * e].to_vec()),
                None => x.tensor(4 + i)?.clone(),
            };
            float_linear(&rows, &w, in_bias.as_ref().map(|b| &b[i * e..][..e]))
        };
        let q = project(0)?;
        let lengthen = |data: Vec<f32>, bias: Option<&Tensor>| -> Result<Vec<f32>, Reason> {
            let bias = bias.map(Tensor::floats).transpose()?;
            let mut out = Vec::with_capacity(n * s * e);
            for b in 0..n {
                out.extend_from_slice(&data[b * s0 * e..][..s0 * e]);
                out.extend_from_slice(bias.as_deref().unwrap_or_default());
                out.resize((b + 1) * s * e, 0.0);
            }
            Ok(out)
        };
        let k = lengthen(project(1)?, x.opt(10))?;
        let v = lengthen(project(2)?, x.opt(11))?;
        let attn_mask = x.opt(12).map(additive).transpose()?;
        let padding = x.opt(13).map(additive).transpose()?;
        let each = x.opt(12).is_some_and(|m| m.rank() == 3);
        let scale = (1.0 / d as f64).sqrt() as f32;
        let mut mixed = vec![0.0; n * l * e];
        let mut weights = vec![0.0; n * heads * l * s];
        for b in 0..n {
            for h in 0..heads {
                for i in 0..l {
                    let query = &q[(b * l + i) * e + h * d..][..d];
                    let row = &mut weights[((b * heads + h) * l + i) * s..][..s];
                    for (j, score) in row.iter_mut().enumerate() {
                        let key = &k[(b * s + j) * e + h * d..][..d];
                        *score = query.iter().zip(key).fold(0.0, |sum, (q, k)| sum + q * scale * k);
                        if j < s0 {
                            if let Some(m) = &attn_mask {
                                let first = if each { b * heads + h } else { 0 };
                                *score += m[(first * l + i) * s0 + j];
                            }
                            if let Some(m) = &padding {
                                *score += m[b * s0 + j];
                            }
                        }
                    }
                    softmax(row);
                    let out = &mut mixed[(b * l + i) * e + h * d..][..d];
                    for (j, p) in row.iter().enumerate() {
                        let value = &v[(b * s + j) * e + h * d..][..d];
                        out.iter_mut().zip(value).for_each(|(o, v)| *o += p * v);
                    }
                }
            }
        }
        let out_bias = x.opt(9).map(Tensor::floats).transpose()?;
        let out = float_linear(&mixed, x.tensor(8)?, out_bias.as_deref())?;
        let elem = &x.out(0)?.elem;
        let mut rows = Vec::with_capacity(out.len());
        let (outer, inner) = if self.batch_first { (n, l) } else { (l, n) };
        for a in 0..outer {
            for b in 0..inner {
                let at = if self.batch_first { a * l + b } else { b * l + a };
                rows.extend_from_slice(&out[at * e..][..e]);
            }
        }
        let mut results = vec![store(elem, &x.shape(0)?, rows)?];
        if self.need_weights {
            if self.average_weights {
                let mut mean = vec![0.0; n * l * s];
                for (i, m) in mean.iter_mut().enumerate() {
                    let (b, rest) = (i / (l * s), i % (l * s));
                    let sum = (0..heads).fold(0.0, |sum, h| sum + weights[(b * heads + h) * l * s + rest]);
                    *m = sum / heads as f32;
                }
                weights = mean;
            }
            results.push(store(elem, &x.shape(1)?, weights)?);
        }
        Ok(results)
    }
}

/// A mask as numbers to add: −∞ where a `bool` one is true.
fn additive(m: &Tensor) -> Result<Vec<f32>, Reason> {
    Ok(match m.storage() {
        Storage::Bool => m.ints()?.iter().map(|&b| if b == 0 { 0.0 } else { f32::NEG_INFINITY }).collect(),
        _ => m.floats()?.into_owned(),
    })
}

/// As [`Softmax`](crate::ops::Softmax) over one run.
fn softmax(run: &mut [f32]) {
    let max = run.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m });
    run.iter_mut().for_each(|v| *v = libm::expf(*v - max));
    let sum = run.iter().fold(0.0, |s, v| s + v);
    run.iter_mut().for_each(|v| *v /= sum);
}
