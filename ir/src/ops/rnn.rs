//! `lstm`, `gru`, `rnn`, and their dynamic forms.

use crate::diag::Reason;
use crate::ops::operand::{recheck, same_elem};
use crate::ops::recurrent::{Kind, Layers, Nonlinearity, dynamic_weight, float_linear};
use crate::ops::{Eval, Infer, OpDef, dynamic};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

/// Declares recurrent layers over a sequence.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal |$op:ident| $kind:expr,
        {$($state:ident),*} {$($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),*}
        weight $weight:expr, linear $linear:expr;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
                /// Number of layers, each fed by the one before.
                layers: u32 = 1,
                /// Whether each layer also runs from the end; features of both directions are joined.
                bidirectional: bool = false,
                /// Whether input and output are `[N,T,*]` instead of `[T,N,*]`; states are not affected.
                batch_first: bool = false,
                /// Whether there are biases.
                bias: bool = true,
                $($(#[$fdoc])* $field: $ty = $default),*
            }
        }
        operands! { $name as $view { x: One, $($state: Maybe,)* weights: Many } }
        impl $name {
            fn form(&self) -> Layers {
                let $op = self;
                Layers {
                    op: $word,
                    kind: $kind,
                    layers: $op.layers,
                    bidirectional: $op.bidirectional,
                    batch_first: $op.batch_first,
                    bias: $op.bias,
                }
            }
        }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn results(&self) -> usize {
                1 + self.form().kind.states()
            }
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                let $op = self;
                let _ = $op;
                self.form().infer(x, $weight)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                recheck(self, x)?;
                let $op = self;
                let _ = $op;
                self.form().eval(x, &$linear)
            }
        }
    )*};
}

layers! {
    /// Long short-term memory over a sequence (PyTorch `nn.LSTM` in evaluation mode).
    ///
    /// x is `[T,N,I]` (or `[T,I]`), the states `[layers·D,N,H]` with D directions, zeros where absent. Weights for each
    /// layer and direction: weight_ih `[4H,I]` (`[4H,D·H]` from the second layer on), weight_hh `[4H,H]`, bias_ih, bias_hh
    /// `[4H]`, rows in the order of the gates i, f, g, o. With `σ` the sigmoid:
    /// `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`. Results: outputs `[T,N,D·H]`, last h, last c.
    ///
    /// ```qir
    /// input %x: f32[5,2,3]
    /// input %wi: f32[16,3]
    /// input %wh: f32[16,4]
    /// input %b: f32[16]
    /// %y, %h, %c = lstm %x, _, _, %wi, %wh, %b, %b : f32[5,2,4], f32[1,2,4], f32[1,2,4]
    /// ```
    Lstm as LstmView = "lstm" |op| Kind::Lstm, {h0, c0} {}
        weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// Gated recurrent unit over a sequence (PyTorch `nn.GRU` in evaluation mode).
    ///
    /// Shapes as those of [`Lstm`] with `3H` rows in the order of the gates r, z, n and one state:
    /// `n' = tanh(n_x + σ(r)·n_h)`, `h' = (h − n')·σ(z) + n'`, where `n_x` and `n_h` are the shares of input and state.
    ///
    /// ```qir
    /// input %x: f32[2,5,3]
    /// input %wi: f32[12,3]
    /// input %wh: f32[12,4]
    /// %y, %h = gru %x, _, %wi, %wh {batch_first=true, bias=false} : f32[2,5,4], f32[1,2,4]
    /// ```
    Gru as GruView = "gru" |op| Kind::Gru, {h0} {}
        weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// Simple recurrent layer over a sequence (PyTorch `nn.RNN` in evaluation mode): `h' = tanh(x·W_ihᵀ + h·W_hhᵀ + b)`.
    ///
    /// Shapes as those of [`Lstm`] with `H` rows and one state.
    ///
    /// ```qir
    /// input %x: f32[5,2,3]
    /// input %wi: f32[4,3]
    /// input %wh: f32[4,4]
    /// input %b: f32[4]
    /// %y, %h = rnn %x, _, %wi, %wh, %b, %b {nonlinearity=relu} : f32[5,2,4], f32[1,2,4]
    /// ```
    Rnn as RnnView = "rnn" |op| Kind::Rnn(op.nonlinearity), {h0} {
        /// What stands for tanh.
        nonlinearity: Nonlinearity = Nonlinearity::Tanh
    } weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// [`Lstm`] with weights of `i8` or `f16` (PyTorch `nn.quantized.dynamic.LSTM`).
    ///
    /// Input, states, biases and results are floats. The gates' shares are products as
    /// `linear_dynamic` computes them: one for the input of the whole sequence of a layer and
    /// direction, and one for the hidden state of each step, each with parameters from its own data; weights of `f16`
    /// multiply in `f32`. The rest is computed in `f32`. Biases are needed.
    ///
    /// ```qir
    /// input %x: f32[5,2,3]
    /// input %wi: f16[16,3]
    /// input %wh: f16[16,4]
    /// input %b: f32[16]
    /// %y, %h, %c = lstm_dynamic %x, _, _, %wi, %wh, %b, %b : f32[5,2,4], f32[1,2,4], f32[1,2,4]
    /// ```
    LstmDynamic as LstmDynamicView = "lstm_dynamic" |op| Kind::Lstm, {h0, c0} {
        /// Whether input and states use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("lstm_dynamic", op.bias, w), linear dynamic::rows(op.reduce_range);

    /// [`Gru`] with weights of `i8` or `f16` (PyTorch `nn.quantized.dynamic.GRU`); computed as [`LstmDynamic`] is.
    ///
    /// ```qir
    /// input %x: f32[5,2,3]
    /// input %wi: f16[12,3]
    /// input %wh: f16[12,4]
    /// input %b: f32[12]
    /// %y, %h = gru_dynamic %x, _, %wi, %wh, %b, %b : f32[5,2,4], f32[1,2,4]
    /// ```
    GruDynamic as GruDynamicView = "gru_dynamic" |op| Kind::Gru, {h0} {
        /// Whether input and states use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("gru_dynamic", op.bias, w), linear dynamic::rows(op.reduce_range);

    /// [`Rnn`] with weights of `i8` or `f16`; computed as [`LstmDynamic`] is.
    ///
    /// ```qir
    /// input %x: f32[5,2,3]
    /// input %wi: f16[4,3]
    /// input %wh: f16[4,4]
    /// input %b: f32[4]
    /// %y, %h = rnn_dynamic %x, _, %wi, %wh, %b, %b : f32[5,2,4], f32[1,2,4]
    /// ```
    RnnDynamic as RnnDynamicView = "rnn_dynamic" |op| Kind::Rnn(op.nonlinearity), {h0} {
        /// What stands for tanh.
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// Whether input and states use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("rnn_dynamic", op.bias, w), linear dynamic::rows(op.reduce_range);
}
