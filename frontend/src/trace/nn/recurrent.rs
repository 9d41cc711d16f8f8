//! Recurrent layers and their cells.

use quantir_ir::ops;
use quantir_ir::ops::recurrent::Nonlinearity;

use super::bound;
use crate::trace::tuple::Tuple;
use crate::trace::{Call, Cx, Module, Traced};

#[derive(Clone, Debug)]
struct Layers {
    input: usize,
    hidden: usize,
    layers: usize,
    bias: bool,
    batch_first: bool,
    bidirectional: bool,
    nonlinearity: Nonlinearity,
}

impl Layers {
    /// The parameters of all layers and directions, in the order of the ops.
    fn params(&self, cx: &Cx, gates: usize) -> Vec<Traced> {
        let (rows, directions) = (gates * self.hidden, if self.bidirectional { 2 } else { 1 });
        let mut all = Vec::new();
        for layer in 0..self.layers {
            for suffix in ["", "_reverse"].iter().take(directions) {
                let input = if layer == 0 { self.input } else { directions * self.hidden };
                let mut param = |what: &str, shape: &[usize]| {
                    all.push(cx.param(&format!("{what}_l{layer}{suffix}"), shape, bound(self.hidden)));
                };
                param("weight_ih", &[rows, input]);
                param("weight_hh", &[rows, self.hidden]);
                if self.bias {
                    param("bias_ih", &[rows]);
                    param("bias_hh", &[rows]);
                }
            }
        }
        all
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident $class:literal $gates:literal $states:literal |$o:ident| $op:expr,
        $state:ty, |$s:ident| $list:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[allow(clippy::upper_case_acronyms)]
        pub struct $name(Layers);
        impl $name {
            /// From `input_size` to `hidden_size` features: one layer, forwards, with biases, time first.
            pub fn new(input_size: usize, hidden_size: usize) -> $name {
                $name(Layers {
                    input: input_size,
                    hidden: hidden_size,
                    layers: 1,
                    bias: true,
                    batch_first: false,
                    bidirectional: false,
                    nonlinearity: Nonlinearity::Tanh,
                })
            }
            /// Number of layers, each fed by the one before.
            pub fn num_layers(mut self, layers: usize) -> $name {
                self.0.layers = layers;
                self
            }
            /// Whether there are biases.
            pub fn bias(mut self, bias: bool) -> $name {
                self.0.bias = bias;
                self
            }
            /// Whether the batch comes before the time.
            pub fn batch_first(mut self, batch_first: bool) -> $name {
                self.0.batch_first = batch_first;
                self
            }
            /// Whether each layer also runs from the end.
            pub fn bidirectional(mut self, bidirectional: bool) -> $name {
                self.0.bidirectional = bidirectional;
                self
            }
            fn run(&self, cx: &Cx, x: &Traced, states: &[&Traced]) -> Tuple {
                let params = self.0.params(cx, $gates);
                let $o = &self.0;
                let mut ins: Vec<Option<&Traced>> = vec![Some(x)];
                ins.extend((0..$states).map(|i| states.get(i).copied()));
                ins.extend(params.iter().map(Some));
                let mut out = cx.site(Call::Module).finish_all($op, &ins, &[]).into_iter();
                match out.next() {
                    Some(y) => recurrent(cx, y, out.collect()),
                    None => Tuple::silent(cx),
                }
            }
        }
        impl Module<Traced, Tuple> for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Tuple {
                self.run(cx, &x, &[])
            }
        }
        impl Module<(Traced, $state), Tuple> for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, (x, $s): (Traced, $state)) -> Tuple {
                self.run(cx, &x, &$list)
            }
        }
    )*};
}

/// `(y, h)`, or `(y, (h, c))`.
fn recurrent(cx: &Cx, y: Traced, states: Vec<Traced>) -> Tuple {
    match states.len() {
        1 => Tuple::flat(cx, [vec![y], states].concat()),
        _ => Tuple::with_state(cx, y, states),
    }
}

layers! {
    /// Long short-term memory: `let (y, state) = cx.call("lstm", &self.lstm, &x).with_states();`.
    LSTM "nn.LSTM" 4 2 |o| ops::Lstm {
        layers: o.layers as u32,
        bidirectional: o.bidirectional,
        batch_first: o.batch_first,
        bias: o.bias,
    }, (Traced, Traced), |s| [&s.0, &s.1];
    /// Gated recurrent unit: `let [y, h] = cx.call("gru", &self.gru, &x).unpack();`.
    GRU "nn.GRU" 3 1 |o| ops::Gru {
        layers: o.layers as u32,
        bidirectional: o.bidirectional,
        batch_first: o.batch_first,
        bias: o.bias,
    }, Traced, |s| [&s];
    /// Simple recurrent layer with tanh, or with relu.
    RNN "nn.RNN" 1 1 |o| ops::Rnn {
        layers: o.layers as u32,
        bidirectional: o.bidirectional,
        batch_first: o.batch_first,
        bias: o.bias,
        nonlinearity: o.nonlinearity,
    }, Traced, |s| [&s];
}
impl RNN {
    /// With `max(x, 0)` instead of tanh.
    pub fn relu(mut self) -> RNN {
        self.0.nonlinearity = Nonlinearity::Relu;
        self
    }
}

macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident $class:literal $gates:literal |$o:ident| $op:expr, $out:ty, $state:ty,
        |$s:ident| $list:expr, |$cx:ident, $y:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            input: usize,
            hidden: usize,
            bias: bool,
        }
        impl $name {
            /// From `input_size` to `hidden_size` features, with biases.
            pub fn new(input_size: usize, hidden_size: usize) -> $name {
                $name { input: input_size, hidden: hidden_size, bias: true }
            }
            /// Whether there are biases.
            pub fn bias(mut self, bias: bool) -> $name {
                self.bias = bias;
                self
            }
        }
        impl Module<(Traced, $state), $out> for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, $cx: &Cx, (x, $s): (Traced, $state)) -> $out {
                let rows = $gates * self.hidden;
                let wi = $cx.param("weight_ih", &[rows, self.input], bound(self.hidden));
                let wh = $cx.param("weight_hh", &[rows, self.hidden], bound(self.hidden));
                let bi = self.bias.then(|| $cx.param("bias_ih", &[rows], bound(self.hidden)));
                let bh = self.bias.then(|| $cx.param("bias_hh", &[rows], bound(self.hidden)));
                let mut ins: Vec<Option<&Traced>> = vec![Some(&x)];
                ins.extend($list.map(Some));
                ins.extend([Some(&wi), Some(&wh), bi.as_ref(), bh.as_ref()]);
                let $y = $cx.site(Call::Module).finish_all($op, &ins, &[]);
                $result
            }
        }
    )*};
}
cells! {
    /// One step of an LSTM: takes `(x, (h, c))`, returns the next `(h, c)`.
    LSTMCell "nn.LSTMCell" 4 |o| ops::LstmCell {}, Tuple, (Traced, Traced), |s| [&s.0, &s.1],
        |cx, y| Tuple::flat(cx, y);
    /// One step of a GRU: takes `(x, h)`, returns the next h.
    GRUCell "nn.GRUCell" 3 |o| ops::GruCell {}, Traced, Traced, |s| [&s],
        |cx, y| first(cx, y);
    /// One step of a simple recurrent layer with tanh: takes `(x, h)`, returns the next h.
    RNNCell "nn.RNNCell" 1 |o| ops::RnnCell { nonlinearity: Nonlinearity::Tanh }, Traced, Traced, |s| [&s],
        |cx, y| first(cx, y);
}

fn first(cx: &Cx, y: Vec<Traced>) -> Traced {
    y.into_iter().next().unwrap_or_else(|| Traced::new(cx, None))
}
