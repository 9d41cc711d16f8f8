//! `lstm`, `gru`, `rnn`.

use crate::diag::Reason;
use crate::ops::operand::{recheck, same_elem};
use crate::ops::recurrent::{Kind, Layers, Nonlinearity, float_linear};
use crate::ops::{Eval, Infer, OpDef};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

/// Declares recurrent layers over a sequence.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal |$op:ident| $kind:expr,
        {$($state:ident),*} {$($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),*})*) => {$(
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
                self.form().infer(x, |w, input| same_elem("weight", w, input))
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                recheck(self, x)?;
                self.form().eval(x, &float_linear)
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
    }
}
