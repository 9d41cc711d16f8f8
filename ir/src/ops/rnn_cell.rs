//! `lstm_cell`, `gru_cell`, `rnn_cell`, and their dynamic forms.

use crate::diag::Reason;
use crate::ops::operand::{recheck, same_elem};
use crate::ops::recurrent::{Cell, Kind, Nonlinearity, dynamic_weight, float_linear};
use crate::ops::{Eval, Infer, OpDef, dynamic};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::{attrs, operands};

/// Declares single steps of recurrent layers.
macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident as $view:ident = $word:literal |$op:ident| $kind:expr,
        {$($state:ident),*} {$($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),*}
        weight $weight:expr, linear $linear:expr;)*) => {$(
        attrs! {
            $(#[$doc])*
            pub struct $name {
                $($(#[$fdoc])* $field: $ty = $default),*
            }
        }
        operands! { $name as $view {
            x: One, $($state: Maybe,)* weight_ih: One, weight_hh: One, bias_ih: Maybe, bias_hh: Maybe
        } }
        impl $name {
            fn form(&self) -> Cell {
                let $op = self;
                let _ = $op;
                Cell { op: $word, kind: $kind }
            }
        }
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$word];
            fn results(&self) -> usize {
                self.form().kind.states()
            }
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
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

cells! {
    /// One step of an [`Lstm`](crate::ops::Lstm) (PyTorch `nn.LSTMCell`): x `[N,I]` or `[I]`, states `[N,H]`, zeros where
    /// absent. Results: the next h, the next c.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %h: f32[2,4]
    /// input %wi: f32[16,3]
    /// input %wh: f32[16,4]
    /// input %b: f32[16]
    /// %h1, %c1 = lstm_cell %x, %h, %h, %wi, %wh, %b, %b : f32[2,4], f32[2,4]
    /// ```
    LstmCell as LstmCellView = "lstm_cell" |op| Kind::Lstm, {h, c} {}
        weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// One step of a [`Gru`](crate::ops::Gru) (PyTorch `nn.GRUCell`): x `[N,I]` or `[I]`, state `[N,H]`, zeros where absent.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %wi: f32[12,3]
    /// input %wh: f32[12,4]
    /// %h = gru_cell %x, _, %wi, %wh : f32[2,4]
    /// ```
    GruCell as GruCellView = "gru_cell" |op| Kind::Gru, {h} {}
        weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// One step of an [`Rnn`](crate::ops::Rnn) (PyTorch `nn.RNNCell`): x `[N,I]` or `[I]`, state `[N,H]`, zeros where absent.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %wi: f32[4,3]
    /// input %wh: f32[4,4]
    /// %h = rnn_cell %x, _, %wi, %wh {nonlinearity=relu} : f32[2,4]
    /// ```
    RnnCell as RnnCellView = "rnn_cell" |op| Kind::Rnn(op.nonlinearity), {h} {
        /// What stands for tanh.
        nonlinearity: Nonlinearity = Nonlinearity::Tanh
    } weight |w, input| same_elem("weight", w, input), linear float_linear;

    /// [`LstmCell`] with weights of `i8` or `f16` (PyTorch `nn.quantized.dynamic.LSTMCell`); computed as
    /// [`LstmDynamic`](crate::ops::LstmDynamic) is.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %wi: f16[16,3]
    /// input %wh: f16[16,4]
    /// %h1, %c1 = lstm_cell_dynamic %x, _, _, %wi, %wh : f32[2,4], f32[2,4]
    /// ```
    LstmCellDynamic as LstmCellDynamicView = "lstm_cell_dynamic" |op| Kind::Lstm, {h, c} {
        /// Whether input and states use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("lstm_cell_dynamic", true, w), linear dynamic::rows(op.reduce_range);

    /// [`GruCell`] with weights of `i8` or `f16` (PyTorch `nn.quantized.dynamic.GRUCell`); computed as
    /// [`LstmDynamic`](crate::ops::LstmDynamic) is.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %wi: f16[12,3]
    /// input %wh: f16[12,4]
    /// %h = gru_cell_dynamic %x, _, %wi, %wh : f32[2,4]
    /// ```
    GruCellDynamic as GruCellDynamicView = "gru_cell_dynamic" |op| Kind::Gru, {h} {
        /// Whether input and state use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("gru_cell_dynamic", true, w), linear dynamic::rows(op.reduce_range);

    /// [`RnnCell`] with weights of `i8` or `f16` (PyTorch `nn.quantized.dynamic.RNNCell`); computed as
    /// [`LstmDynamic`](crate::ops::LstmDynamic) is.
    ///
    /// ```qir
    /// input %x: f32[2,3]
    /// input %wi: f16[4,3]
    /// input %wh: f16[4,4]
    /// %h = rnn_cell_dynamic %x, _, %wi, %wh : f32[2,4]
    /// ```
    RnnCellDynamic as RnnCellDynamicView = "rnn_cell_dynamic" |op| Kind::Rnn(op.nonlinearity), {h} {
        /// What stands for tanh.
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// Whether input and state use half of the integers.
        reduce_range: bool = true
    } weight |w, _| dynamic_weight("rnn_cell_dynamic", true, w), linear dynamic::rows(op.reduce_range);
}
