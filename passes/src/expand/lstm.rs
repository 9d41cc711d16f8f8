//! Writes an `lstm` as the cells of PyTorch's `quantizable.LSTM`, one for each step.
//!
//! ```qir
//! input %x: f32[1,2,3]
//! input %wi: f32[16,3]
//! input %wh: f32[16,4]
//! input %b: f32[16]
//! %y, %h, %c = lstm %x, _, _, %wi, %wh, %b, %b : f32[1,2,4], f32[1,2,4], f32[1,2,4]
//! ```
//!
//! Paths are those of the observed module: `layers.0.layer_fw.cell.igates` is the product with the input, `hgates` that with
//! the hidden state, `gates` their sum; `fgate_cx`, `igate_cgate`, `fgate_cx_igate_cgate` and `ogate_cy` are the products and
//! sums of the cell. The backward direction is `layer_bw`. The sequence must have a known length.

use crate::expand::{Builder, Expanded};
use crate::prelude::*;

/// The pass `expand-lstm`.
pub struct ExpandLstm;

impl Rewrite for ExpandLstm {
    const INFO: PassInfo =
        PassInfo::new("expand-lstm", "Write an LSTM as the cells of its observed form").rounding(1e-6);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        g.get::<Lstm>(at)?;
        build(g, at).ok().map(|(edit, _)| edit)
    }

    fn why_not(&self, g: &Graph, at: NodeId) -> Option<String> {
        g.get::<Lstm>(at)?;
        build(g, at).err().map(|r| r.message)
    }
}

/// Scale of a result between 0 and 1, and between −1 and 1, in `u8`.
const UNIT: f32 = 1.0 / 256.0;
const SIGNED: f32 = 2.0 / 256.0;

/// One direction of a layer.
struct Cell {
    /// Path below the LSTM's module.
    path: String,
    weights: [ValueId; 2],
    biases: [Option<ValueId>; 2],
    hidden: Dim,
}

/// The edit that takes the `lstm` at `n` apart, and what is to be observed.
pub(super) fn build(g: &Graph, n: NodeId) -> Result<(Edit, Expanded), Reason> {
    let lstm = g.get::<Lstm>(n).ok_or("an `lstm` is expected")?;
    let op = lstm.op.clone();
    let outs = g.node(n).outs.clone();
    if g.ty(lstm.x).rank() != 3 {
        return Err(Reason::new("its input is one sample; give a batch [T,N,I]"));
    }
    let time_axis = usize::from(op.batch_first);
    let time = g.ty(lstm.x).shape[time_axis].as_lit().ok_or_else(|| {
        Reason::new("its sequence has no known length; the observed form has one cell for each step")
            .help("import the model with a fixed length")
    })?;
    let mut b = Builder::new(g, n, "nn.quantizable.LSTM");
    b.module("layers", "nn.ModuleList");
    let mut x = lstm.x;
    if op.batch_first {
        b.enter("", Some(".transpose"));
        x = b.op("x", Transpose { perm: vec![1, 0, 2] }, [x])?;
    }
    let directions = if op.bidirectional { 2 } else { 1 };
    let per = if op.bias { 4 } else { 2 };
    let batch = b.shape(x)[1].clone();
    // For each layer the last states, those of both directions joined.
    let (mut hs, mut cs) = (Vec::new(), Vec::new());
    for layer in 0..op.layers as usize {
        b.module(&format!("layers.{layer}"), "nn.quantizable._LSTMLayer");
        let mut results = Vec::new();
        let (mut last_h, mut last_c) = (Vec::new(), Vec::new());
        for d in 0..directions {
            let i = layer * directions + d;
            let w = &lstm.weights[i * per..][..per];
            let single = format!("layers.{layer}.layer_{}", if d == 0 { "fw" } else { "bw" });
            b.module(&single, "nn.quantizable._LSTMSingleLayer");
            let cell = Cell {
                path: format!("{single}.cell"),
                weights: [w[0], w[1]],
                biases: [w.get(2).copied(), w.get(3).copied()],
                hidden: g.ty(w[1]).shape[1].clone(),
            };
            cell.declare(&mut b);
            let mut h = cell.state(&mut b, lstm.h0, i, &batch, "h0")?;
            let mut c = cell.state(&mut b, lstm.c0, i, &batch, "c0")?;
            let mut steps = Vec::new();
            for step in 0..time {
                let t = if d == 0 { step } else { time - 1 - step };
                b.enter(&single, None);
                let cut = Slice { axis: 0, start: Dim::lit(t), end: Dim::lit(t + 1), step: 1 };
                let now = b.op(&format!("{single}.x{t}"), cut, [x])?;
                let shape = b.shape(now)[1..].to_vec();
                let now = b.op(&format!("{single}.x{t}.step"), Reshape { shape }, [now])?;
                (h, c) = cell.step(&mut b, now, h, c, t)?;
                steps.push(h);
            }
            if d == 1 {
                steps.reverse();
            }
            results.push(stack(&mut b, &single, "out", steps)?);
            last_h.push(h);
            last_c.push(c);
        }
        hs.push(stack(&mut b, &format!("layers.{layer}"), "h", last_h)?);
        cs.push(stack(&mut b, &format!("layers.{layer}"), "c", last_c)?);
        x = match results[..] {
            [fw, bw] => {
                let layer = format!("layers.{layer}");
                b.enter(&layer, Some("torch.cat"));
                let y = b.op(&format!("{layer}.cat"), Concat { axis: 2 }, [fw, bw])?;
                b.like_first(&format!("{layer}.cat"), y);
                y
            }
            _ => results[0],
        };
    }
    let mut y = x;
    if op.batch_first {
        b.enter("", Some(".transpose"));
        y = b.op("y", Transpose { perm: vec![1, 0, 2] }, [y])?;
    }
    let states = b.e.ty(hs[0]).shape.0.clone();
    let (mut h, mut c) = (hs[0], cs[0]);
    if op.layers > 1 {
        (h, c) = (stack(&mut b, "", "h", hs)?, stack(&mut b, "", "c", cs)?);
    }
    // [layers,directions,N,H], of which one direction has no axis.
    let shape = g.ty(outs[1]).shape.0.clone();
    if states != shape {
        b.enter("", Some(".reshape"));
        h = b.op("h.all", Reshape { shape: shape.clone() }, [h])?;
        c = b.op("c.all", Reshape { shape }, [c])?;
    }
    for (&old, new) in outs.iter().zip([y, h, c]) {
        if b.e.ty(new) != g.ty(old) {
            return Err(Reason::new(format!("its result would be {} instead of {}", b.e.ty(new), g.ty(old))));
        }
        b.e.replace(old, new);
    }
    Ok((b.e.finish(), b.parts))
}

/// Joins values along a new axis; the result has the parameters of the first.
fn stack(b: &mut Builder, below: &str, name: &str, parts: Vec<ValueId>) -> Result<ValueId, Reason> {
    b.enter(below, Some("torch.stack"));
    let name = if below.is_empty() { name.to_owned() } else { format!("{below}.{name}") };
    let v = b.op(&name, Stack { axis: 0 }, parts)?;
    b.like_first(&name, v);
    Ok(v)
}

impl Cell {
    /// The modules of the cell, and its weights.
    fn declare(&self, b: &mut Builder) {
        b.module(&self.path, "nn.quantizable.LSTMCell");
        for name in ["igates", "hgates"] {
            b.module(&format!("{}.{name}", self.path), "nn.Linear");
        }
        for name in ["gates", "fgate_cx", "igate_cgate", "fgate_cx_igate_cgate", "ogate_cy"] {
            b.module(&format!("{}.{name}", self.path), "nn.quantized.FloatFunctional");
        }
        for name in ["input_gate", "forget_gate", "output_gate"] {
            b.module(&format!("{}.{name}", self.path), "nn.Sigmoid");
        }
        b.module(&format!("{}.cell_gate", self.path), "nn.Tanh");
        for (name, w) in ["igates", "hgates"].into_iter().zip(self.weights) {
            let name = b.path(&format!("{}.{name}.weight", self.path));
            b.parts.weights.insert(name, w);
        }
    }

    /// State number `i` of the operand, or zeros.
    ///
    /// PyTorch gives zeros the scale 1. They are exact under any, and a finer one keeps biases fine that are rounded to the
    /// accumulator's scale.
    fn state(
        &self,
        b: &mut Builder,
        given: Option<ValueId>,
        i: usize,
        batch: &Dim,
        what: &str,
    ) -> Result<ValueId, Reason> {
        let name = format!("{}.{what}", self.path);
        let shape = vec![batch.clone(), self.hidden.clone()];
        b.enter(&self.path, None);
        if let Some(all) = given {
            let (start, end) = (Dim::from(i), Dim::from(i + 1));
            let cut = b.op(&format!("{name}.part"), Slice { axis: 0, start, end, step: 1 }, [all])?;
            return b.op(&name, Reshape { shape }, [cut]);
        }
        let hidden = self
            .hidden
            .as_lit()
            .and_then(|h| usize::try_from(h).ok())
            .ok_or("its hidden size is not known")?;
        let zeros =
            b.e.constant(Tensor::f32(&[1, hidden], vec![0.0; hidden]), &b.path(&format!("{name}.zero")));
        let v = b.op(&name, Expand { shape }, [zeros])?;
        b.fixed(&format!("{}.zero_state", self.path), v, UNIT, 0);
        Ok(v)
    }

    /// The next hidden and cell state.
    fn step(
        &self,
        b: &mut Builder,
        x: ValueId,
        h: ValueId,
        c: ValueId,
        t: i64,
    ) -> Result<(ValueId, ValueId), Reason> {
        let at = |name: &str| format!("{}.{name}", self.path);
        let step = format!(".t{t}");
        let functional = Some("nn.quantized.FloatFunctional");
        let mut linear = |name: &str, x: ValueId, k: usize| {
            b.enter(&at(name), Some("nn.Linear"));
            let op = Linear { act: Act::None };
            b.seen(&at(name), &step, op, [Some(x), Some(self.weights[k]), self.biases[k]])
        };
        let (from_x, from_h) = (linear("igates", x, 0)?, linear("hgates", h, 1)?);
        b.enter(&at("gates"), functional);
        let gates = b.seen(&at("gates"), &step, Add { act: Act::None }, [from_x, from_h])?;
        b.enter(&self.path, Some(".chunk"));
        let sizes = vec![self.hidden.clone(); 4];
        let parts = b.ops(&format!("{}{step}", at("chunk")), Split { axis: 1, sizes }, [gates])?;
        let mut sigmoid = |name: &str, x: ValueId| {
            b.enter(&at(name), Some("nn.Sigmoid"));
            let v = b.op(&format!("{}{step}", at(name)), Sigmoid {}, [x])?;
            b.fixed(&at(name), v, UNIT, 0);
            Ok::<_, Reason>(v)
        };
        let (input, forget) = (sigmoid("input_gate", parts[0])?, sigmoid("forget_gate", parts[1])?);
        let output = sigmoid("output_gate", parts[3])?;
        b.enter(&at("cell_gate"), Some("nn.Tanh"));
        let cell = b.op(&format!("{}{step}", at("cell_gate")), Tanh {}, [parts[2]])?;
        b.fixed(&at("cell_gate"), cell, SIGNED, 128);
        let mut binary = |name: &str, op: Op, x: ValueId, y: ValueId| {
            b.enter(&at(name), functional);
            b.seen(&at(name), &step, op, [x, y])
        };
        let mul = || Op::from(Mul { act: Act::None });
        let kept = binary("fgate_cx", mul(), forget, c)?;
        let added = binary("igate_cgate", mul(), input, cell)?;
        let c = binary("fgate_cx_igate_cgate", Add { act: Act::None }.into(), kept, added)?;
        b.enter(&self.path, Some("torch.tanh"));
        let bent = b.op(&format!("{}{step}", at("tanh_cy")), Tanh {}, [c])?;
        b.fixed(&at("tanh_cy"), bent, SIGNED, 128);
        b.enter(&at("ogate_cy"), functional);
        let h = b.seen(&at("ogate_cy"), &step, mul(), [output, bent])?;
        Ok((h, c))
    }
}
