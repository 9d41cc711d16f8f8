//! Recurrent layers.

use quantir_ir::ops::recurrent::Nonlinearity;
use quantir_ir::ops::{Flip, Gru, Lstm, Op, Reshape, Rnn, Transpose};
use quantir_ir::{Dim, Tensor, ValueId};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::Table;

pub(super) const OPS: Table = &[
    ("LSTM", |cx, n| recurrent(cx, n, Kind::Lstm)),
    ("GRU", |cx, n| recurrent(cx, n, Kind::Gru)),
    ("RNN", |cx, n| recurrent(cx, n, Kind::Rnn)),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lstm,
    Gru,
    Rnn,
}

impl Kind {
    /// For each gate in our order (PyTorch's), its position in ONNX's.
    fn gates(self) -> &'static [usize] {
        match self {
            Kind::Lstm => &[0, 2, 3, 1],
            Kind::Gru => &[1, 0, 2],
            Kind::Rnn => &[0],
        }
    }
    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Rnn => &["Tanh"],
        }
    }
}

fn recurrent<'m>(cx: &mut Import<'m>, node: &Node<'m>, kind: Kind) -> Result<(), Fail> {
    let no = |what: &str| Err(Fail::unsupported(what));
    if node.float("clip")?.is_some() {
        return no("it clips its gates");
    }
    if node.flag("input_forget", false)? {
        return no("it couples its input and forget gates");
    }
    if node.int_or("layout", 0)? != 0 {
        return no("its batch comes first (`layout=1`)");
    }
    if kind == Kind::Gru && !node.flag("linear_before_reset", false)? {
        return no("it resets before the product (`linear_before_reset=0`), which PyTorch's GRU does not");
    }
    if node.input(4).is_some() {
        return no("it has a length for each sequence");
    }
    if node.input(7).is_some() {
        return no("it has peepholes");
    }
    let (directions, reverse) = match node.str_or("direction", "forward")? {
        "forward" => (1, false),
        "reverse" => (1, true),
        "bidirectional" => (2, false),
        other => return Err(Fail::invalid(format!("direction `{}`", other.escape_default()))),
    };
    let mut nonlinearity = Nonlinearity::Tanh;
    if let Some(given) = node.strings("activations")? {
        let relu = kind == Kind::Rnn && given.iter().all(|a| *a == "Relu");
        if relu {
            nonlinearity = Nonlinearity::Relu;
        } else if given
            .iter()
            .enumerate()
            .any(|(i, a)| *a != kind.activations()[i % kind.activations().len()])
        {
            return no("its activations are not the usual ones");
        }
    }
    let mut x = cx.value(node, 0)?;
    if reverse {
        x = cx.helper(node, Flip { axes: vec![0] }, [x], "reversed")?;
    }
    let weights = weights(cx, node, kind, directions)?;
    let bias = weights.len() == 4 * directions;
    let mut ins = vec![Some(x), cx.opt_value(node, 5)?];
    if kind == Kind::Lstm {
        ins.push(cx.opt_value(node, 6)?);
    }
    ins.extend(weights.into_iter().map(Some));
    let (layers, bidirectional, batch_first) = (1, directions == 2, false);
    let op: Op = match kind {
        Kind::Lstm => Lstm { layers, bidirectional, batch_first, bias }.into(),
        Kind::Gru => Gru { layers, bidirectional, batch_first, bias }.into(),
        Kind::Rnn => Rnn { layers, bidirectional, batch_first, bias, nonlinearity }.into(),
    };
    let outs = cx.helpers(node, op, ins, "sequence")?;
    if let Some(name) = node.output(0) {
        let mut y = outs[0];
        if reverse {
            y = cx.helper(node, Flip { axes: vec![0] }, [y], "forward")?;
        }
        let shape = cx.shape(y);
        let [t, n, wide] = shape.as_slice() else {
            return Err(Fail::invalid("its operand has not three axes"));
        };
        let wide = wide.as_lit().ok_or_else(|| Fail::unsupported("its hidden size is not known"))?;
        let hidden = Dim::lit(wide / directions as i64);
        if directions == 1 {
            let shape = vec![t.clone(), Dim::lit(1), n.clone(), hidden];
            y = cx.helper(node, Reshape { shape }, [y], "directions")?;
        } else {
            let shape = vec![t.clone(), n.clone(), Dim::lit(2), hidden];
            y = cx.helper(node, Reshape { shape }, [y], "pairs")?;
            y = cx.helper(node, Transpose { perm: vec![0, 2, 1, 3] }, [y], "directions")?;
        }
        cx.bind_as(name, y);
    }
    for (i, v) in outs.iter().enumerate().skip(1) {
        if let Some(name) = node.output(i) {
            cx.bind_as(name, *v);
        }
    }
    Ok(())
}

/// weight_ih, weight_hh and, if there are biases, bias_ih and bias_hh of each direction, in our order of gates.
fn weights<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    kind: Kind,
    directions: usize,
) -> Result<Vec<ValueId>, Fail> {
    let mut read = |i: usize| match (node.input(i), cx.tensor(node, i)?) {
        (None, _) => Ok(None),
        (_, Some(t)) => Ok(Some(t)),
        _ => Err(Fail::unsupported(format!("operand {} is not a constant", i + 1))),
    };
    let missing = || Fail::invalid("a weight is missing");
    let (w, r, b) = (read(1)?.ok_or_else(missing)?, read(2)?.ok_or_else(missing)?, read(3)?);
    let gates = kind.gates();
    let (rows, hidden) = match *r.shape.as_slice() {
        [d, rows, hidden] if d == directions && rows == gates.len() * hidden && hidden > 0 => (rows, hidden),
        _ => return Err(Fail::invalid(format!("the recurrence weight is {}", r.ty()))),
    };
    let features = match *w.shape.as_slice() {
        [d, n, features] if d == directions && n == rows => features,
        _ => return Err(Fail::invalid(format!("the weight is {}", w.ty()))),
    };
    if b.as_ref().is_some_and(|b| b.shape != [directions, 2 * rows]) {
        return Err(Fail::invalid("the bias has not two numbers for each row of the weights"));
    }
    let bad = |r: quantir_ir::Reason| Fail::invalid(r.message);
    // Blocks of `hidden` rows of `width` numbers from row `first` on, reordered.
    let part = |t: &Tensor, first: usize, width: usize, shape: &[usize]| -> Result<Tensor, Fail> {
        let data = t.floats().map_err(bad)?;
        let mut out = Vec::with_capacity(rows * width);
        for gate in gates {
            out.extend_from_slice(&data[(first + gate * hidden) * width..][..hidden * width]);
        }
        Tensor::new(shape, out).map_err(bad)
    };
    let mut parts = Vec::new();
    for d in 0..directions {
        let suffix = if d == 1 { "_reverse" } else { "" };
        let mut add = |name: &str, t: Tensor| parts.push((format!("{name}{suffix}"), t));
        add("weight_ih", part(&w, d * rows, features, &[rows, features])?);
        add("weight_hh", part(&r, d * rows, hidden, &[rows, hidden])?);
        if let Some(b) = &b {
            add("bias_ih", part(b, d * 2 * rows, 1, &[rows])?);
            add("bias_hh", part(b, (d * 2 + 1) * rows, 1, &[rows])?);
        }
    }
    Ok(parts.into_iter().map(|(name, t)| cx.constant(node, t, &name)).collect())
}
