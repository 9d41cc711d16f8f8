//! What recurrent layers and cells share: shapes, the walk over layers, directions and time, and the gates.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::keyword_enum;
use crate::ops::activation::sigmoid;
use crate::ops::operand::{agree, float, same_elem, store, weight};
use crate::ops::{Eval, Infer};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Storage, Type};

keyword_enum! {
    /// The function of a simple recurrent layer.
    pub enum Nonlinearity {
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// `max(x, 0)`.
        Relu = "relu",
    }
}

/// The kind of a recurrence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Lstm,
    Gru,
    Rnn(Nonlinearity),
}

impl Kind {
    /// Blocks of rows in a weight.
    pub(crate) fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Rnn(_) => 1,
        }
    }
    /// Values that go from one step to the next.
    pub(crate) fn states(self) -> usize {
        if self == Kind::Lstm { 2 } else { 1 }
    }

    /// One step of one sample: `gx` and `gh` are the gates' shares of input and hidden state, biases included.
    fn step(self, gx: &[f32], gh: &[f32], h: &mut [f32], c: &mut [f32]) {
        let n = h.len();
        for i in 0..n {
            let gate = |k: usize| gx[k * n + i] + gh[k * n + i];
            h[i] = match self {
                Kind::Lstm => {
                    let (input, forget) = (sigmoid(gate(0)), sigmoid(gate(1)));
                    let (cell, output) = (libm::tanhf(gate(2)), sigmoid(gate(3)));
                    c[i] = forget * c[i] + input * cell;
                    output * libm::tanhf(c[i])
                }
                Kind::Gru => {
                    let (reset, update) = (sigmoid(gate(0)), sigmoid(gate(1)));
                    let new = libm::tanhf(gx[2 * n + i] + reset * gh[2 * n + i]);
                    (h[i] - new) * update + new
                }
                Kind::Rnn(Nonlinearity::Tanh) => libm::tanhf(gate(0)),
                Kind::Rnn(Nonlinearity::Relu) => crate::ops::act::relu(gate(0)),
            };
        }
    }
}

/// A recurrent layer's attributes and name.
pub(crate) struct Layers {
    pub op: &'static str,
    pub kind: Kind,
    pub layers: u32,
    pub bidirectional: bool,
    pub batch_first: bool,
    pub bias: bool,
}

/// `rows [n,k] · weightᵀ + bias` as a vector `[n,o]`.
pub(crate) type Linear<'a> = dyn Fn(&[f32], &Tensor, Option<&[f32]>) -> Result<Vec<f32>, Reason> + 'a;

/// Refuses a weight that is not `[rows,columns]`.
fn matrix(what: &str, t: &Type, rows: &Dim, columns: &Dim) -> Result<(), Reason> {
    if t.rank() == 2 && agree(&t.shape[0], rows) && agree(&t.shape[1], columns) {
        return Ok(());
    }
    Err(Reason::new(format!("{what} is {t} but must be [{rows},{columns}]")))
}

impl Layers {
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }
    fn per_direction(&self) -> usize {
        if self.bias { 4 } else { 2 }
    }

    /// Types of the sequence of outputs and of the last states. Operands: x, states, weights. `weight` refuses weights
    /// of the wrong element type.
    pub(crate) fn infer(
        &self,
        x: &Infer,
        weight: impl Fn(&Type, &Type) -> Result<(), Reason>,
    ) -> Result<Vec<Type>, Reason> {
        let op = self.op;
        let input = x.ty(0)?;
        float(op, "input", input, None)?;
        if !matches!(input.rank(), 2 | 3) {
            return Err(Reason::new(format!("`{op}` needs an input [T,N,I] or [T,I], found {input}")));
        }
        let first = 1 + self.kind.states();
        let want = self.layers as usize * self.directions() * self.per_direction();
        if self.layers == 0 || x.ins.len() != first + want {
            return Err(Reason::new(format!(
                "`{op}` of {} layers needs {want} weights, found {}",
                self.layers,
                x.ins.len().saturating_sub(first)
            ))
            .help("each layer and direction has weight_ih, weight_hh and, unless `bias=false`, bias_ih, bias_hh"));
        }
        let hidden = match x.ty(first + 1)?.shape.0.as_slice() {
            [_, h] => h.clone(),
            _ => return Err(Reason::new(format!("weight_hh of `{op}` is no matrix: {}", x.ty(first + 1)?))),
        };
        let rows = hidden.mul_lit(self.kind.gates() as i64);
        let wide = hidden.mul_lit(self.directions() as i64);
        let mut features = input.shape[input.rank() - 1].clone();
        for (i, at) in (first..x.ins.len()).step_by(self.per_direction()).enumerate() {
            if i == self.directions() {
                features = wide.clone();
            }
            for (k, (what, columns)) in [("weight_ih", &features), ("weight_hh", &hidden)].iter().enumerate()
            {
                let w = x.ty(at + k)?;
                weight(w, input)?;
                matrix(what, w, &rows, columns)?;
            }
            for (k, what) in ["bias_ih", "bias_hh"].into_iter().enumerate().take(self.per_direction() - 2) {
                let b = x.ty(at + 2 + k)?;
                same_elem(what, b, input)?;
                if b.rank() != 1 || !agree(&b.shape[0], &rows) {
                    return Err(Reason::new(format!("{what} is {b} but must be [{rows}]")));
                }
            }
        }
        let mut out = input.shape.0.clone();
        *out.last_mut().ok_or("an input without axes")? = wide;
        let mut state = vec![Dim::from(self.layers as usize * self.directions())];
        if input.rank() == 3 {
            state.push(input.shape[if self.batch_first { 0 } else { 1 }].clone());
        }
        state.push(hidden);
        let state = Shape(state);
        for i in 0..self.kind.states() {
            let Some(t) = x.opt(1 + i) else { continue };
            same_elem("initial state", t, input)?;
            if t.rank() != state.rank() || !t.shape.0.iter().zip(&state.0).all(|(a, b)| agree(a, b)) {
                return Err(Reason::new(format!("the initial state is {t} but must be {state}")));
            }
        }
        let mut types = vec![input.with_shape(Shape(out))];
        types.resize(1 + self.kind.states(), input.with_shape(state));
        Ok(types)
    }

    /// Outputs and last states. The share of the input in the gates is one call of `linear` for the whole sequence, that of
    /// the hidden state one for each step.
    pub(crate) fn eval(&self, x: &Eval, linear: &Linear) -> Result<Vec<Tensor>, Reason> {
        let input = x.tensor(0)?;
        let swapped = self.batch_first && input.rank() == 3;
        let (time, batch) = match *input.shape.as_slice() {
            [t, _] => (t, 1),
            [a, b, _] => {
                if swapped {
                    (b, a)
                } else {
                    (a, b)
                }
            }
            _ => return Err("an input of two or three axes is expected".into()),
        };
        let (states, directions) = (self.kind.states(), self.directions());
        let hidden = x.tensor(2 + states)?.shape[1];
        let mut sequence = input.floats()?.into_owned();
        if swapped {
            sequence = swap(&sequence, batch, time);
        }
        let size = batch * hidden;
        let mut last = vec![vec![0.0f32; self.layers as usize * directions * size]; 2];
        for (i, last) in last.iter_mut().enumerate().take(states) {
            if let Some(t) = x.opt(1 + i) {
                last.copy_from_slice(&t.floats()?);
            }
        }
        for layer in 0..self.layers as usize {
            let mut out = vec![0.0; time * size * directions];
            for d in 0..directions {
                let i = layer * directions + d;
                let at = 1 + states + i * self.per_direction();
                let (w_ih, w_hh) = (x.tensor(at)?, x.tensor(at + 1)?);
                let bias = |k| match self.bias {
                    true => Ok(Some(x.tensor(at + k)?.floats()?)),
                    false => Ok::<_, Reason>(None),
                };
                let (b_ih, b_hh) = (bias(2)?, bias(3)?);
                let gx = linear(&sequence, w_ih, b_ih.as_deref())?;
                let [h, c] = last.as_mut_slice() else { return Err("two states are expected".into()) };
                let (h, c) = (&mut h[i * size..][..size], &mut c[i * size..][..size]);
                let wide = self.kind.gates() * hidden;
                for step in 0..time {
                    let t = if d == 1 { time - 1 - step } else { step };
                    let gh = linear(h, w_hh, b_hh.as_deref())?;
                    for n in 0..batch {
                        let (h, c) = (&mut h[n * hidden..][..hidden], &mut c[n * hidden..][..hidden]);
                        self.kind.step(&gx[(t * batch + n) * wide..][..wide], &gh[n * wide..][..wide], h, c);
                        out[((t * batch + n) * directions + d) * hidden..][..hidden].copy_from_slice(h);
                    }
                }
            }
            sequence = out;
        }
        if swapped {
            sequence = swap(&sequence, time, batch);
        }
        let mut results = vec![store(&input.elem, &x.shape(0)?, sequence)?];
        for (i, data) in last.into_iter().enumerate().take(states) {
            results.push(store(&input.elem, &x.shape(1 + i)?, data)?);
        }
        Ok(results)
    }
}

/// `[a,b,*]` to `[b,a,*]`.
fn swap(data: &[f32], a: usize, b: usize) -> Vec<f32> {
    let run = data.len() / (a * b).max(1);
    let mut out = Vec::with_capacity(data.len());
    for j in 0..b {
        for i in 0..a {
            out.extend_from_slice(&data[(i * b + j) * run..][..run]);
        }
    }
    out
}

/// One step of a recurrence: operands x, states, weight_ih, weight_hh, bias_ih, bias_hh.
pub(crate) struct Cell {
    pub op: &'static str,
    pub kind: Kind,
}

impl Cell {
    /// Types of the next states.
    pub(crate) fn infer(
        &self,
        x: &Infer,
        weight: impl Fn(&Type, &Type) -> Result<(), Reason>,
    ) -> Result<Vec<Type>, Reason> {
        let (op, states) = (self.op, self.kind.states());
        let input = x.ty(0)?;
        float(op, "input", input, None)?;
        if !matches!(input.rank(), 1 | 2) {
            return Err(Reason::new(format!("`{op}` needs an input [N,I] or [I], found {input}")));
        }
        let hidden = match x.ty(2 + states)?.shape.0.as_slice() {
            [_, h] => h.clone(),
            _ => return Err(Reason::new(format!("weight_hh of `{op}` is no matrix: {}", x.ty(2 + states)?))),
        };
        let rows = hidden.mul_lit(self.kind.gates() as i64);
        let features = &input.shape[input.rank() - 1];
        for (k, (what, columns)) in [("weight_ih", features), ("weight_hh", &hidden)].iter().enumerate() {
            let w = x.ty(1 + states + k)?;
            weight(w, input)?;
            matrix(what, w, &rows, columns)?;
        }
        for (k, what) in ["bias_ih", "bias_hh"].into_iter().enumerate() {
            let Some(b) = x.opt(3 + states + k) else { continue };
            same_elem(what, b, input)?;
            if b.rank() != 1 || !agree(&b.shape[0], &rows) {
                return Err(Reason::new(format!("{what} is {b} but must be [{rows}]")));
            }
        }
        let mut state = input.shape.clone();
        *state.0.last_mut().ok_or("an input without axes")? = hidden;
        for i in 0..states {
            let Some(t) = x.opt(1 + i) else { continue };
            same_elem("state", t, input)?;
            if t.rank() != state.rank() || !t.shape.0.iter().zip(&state.0).all(|(a, b)| agree(a, b)) {
                return Err(Reason::new(format!("the state is {t} but must be {state}")));
            }
        }
        Ok(vec![input.with_shape(state); states])
    }

    /// The next states.
    pub(crate) fn eval(&self, x: &Eval, linear: &Linear) -> Result<Vec<Tensor>, Reason> {
        let states = self.kind.states();
        let (input, shape) = (x.tensor(0)?, x.shape(0)?);
        let hidden = *shape.last().ok_or("a state without axes")?;
        let size: usize = shape.iter().product();
        let mut now = vec![vec![0.0f32; size]; 2];
        for (i, state) in now.iter_mut().enumerate().take(states) {
            if let Some(t) = x.opt(1 + i) {
                state.copy_from_slice(&t.floats()?);
            }
        }
        let bias = |k: usize| x.opt(3 + states + k).map(Tensor::floats).transpose();
        let gx = linear(&input.floats()?, x.tensor(1 + states)?, bias(0)?.as_deref())?;
        let gh = linear(&now[0], x.tensor(2 + states)?, bias(1)?.as_deref())?;
        let [h, c] = now.as_mut_slice() else { return Err("two states are expected".into()) };
        let wide = (self.kind.gates() * hidden).max(1);
        let samples = h.chunks_exact_mut(hidden.max(1)).zip(c.chunks_exact_mut(hidden.max(1)));
        for ((h, c), (gx, gh)) in samples.zip(gx.chunks_exact(wide).zip(gh.chunks_exact(wide))) {
            self.kind.step(gx, gh, h, c);
        }
        now.into_iter().take(states).map(|s| store(&input.elem, &shape, s)).collect()
    }
}

/// The float product, as [`Linear`](crate::ops::Linear) computes it.
pub(crate) fn float_linear(rows: &[f32], w: &Tensor, bias: Option<&[f32]>) -> Result<Vec<f32>, Reason> {
    let (outputs, inner) = (w.shape[0], w.shape[1]);
    let x = Tensor::f32(&[rows.len() / inner.max(1), inner], rows.to_vec());
    let mut sums = crate::ops::linear::linear_sums((&x, w), rows, &w.floats()?, |a, x, w| a + x * w);
    if let Some(b) = bias {
        sums.chunks_exact_mut(outputs.max(1)).for_each(|r| r.iter_mut().zip(b).for_each(|(v, b)| *v += b));
    }
    Ok(sums)
}

/// Refuses weights of a dynamic form that are neither `f16` nor `i8` with one scale or one for each row; and layers
/// without biases, which PyTorch refuses too.
pub(crate) fn dynamic_weight(op: &str, bias: bool, w: &Type) -> Result<(), Reason> {
    if !bias {
        return Err(Reason::new(format!("`{op}` needs biases")).help("give biases of zeros"));
    }
    if w.elem == Elem::Plain(Storage::F16) {
        return Ok(());
    }
    weight(op, w).map(|_| ())
}
