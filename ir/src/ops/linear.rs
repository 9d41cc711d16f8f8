//! `linear`.

use crate::diag::Reason;
use crate::ops::act::Act;
use crate::ops::conv::finish;
use crate::ops::matmul::product;
use crate::ops::operand::{agree, float, recheck, same_elem, store, vector};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Type};
use crate::{attrs, operands};

attrs! {
    /// `y = x · weightᵀ + bias`: x `[*,I]`, weight `[O,I]`, bias `[O]`, result `[*,O]` (PyTorch `linear`, ONNX `Gemm` with
    /// `transB=1`).
    ///
    /// Operands have one floating-point element type; arithmetic is in `f32`. Each output starts from 0 and adds `x·w`
    /// (multiplied, then added, each rounded) in the order of `I`; then comes the bias, then `act`.
    ///
    /// ```qir
    /// input %x: f32[2,8]
    /// input %w: f32[4,8]
    /// input %b: f32[4]
    /// %y = linear %x, %w, %b {act=relu} : f32[2,4]
    /// ```
    pub struct Linear {
        /// Applied to the result.
        act: Act = Act::None,
    }
}
operands! { Linear as LinearView { x: One, weight: One, bias: Maybe } }
impl OpDef for Linear {
    const NAMES: &'static [&'static str] = &["linear"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, w) = (x.ty(0)?, x.ty(1)?);
        float("linear", "input", input, Some("qlinear"))?;
        same_elem("weight", w, input)?;
        let shape = linear_shape("linear", input, w)?;
        if let Some(b) = x.opt(2) {
            same_elem("bias", b, input)?;
            vector("bias", b, &w.shape[0])?;
        }
        one(input.with_shape(shape))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, w) = (x.tensor(0)?, x.tensor(1)?);
        let shape = x.shape(0)?;
        let sums = linear_sums((input, w), &input.floats()?, &w.floats()?, |a, x, w| a + x * w);
        one(store(&input.elem, &shape, finish(x, &self.act, sums, w.shape[0], 1)?)?)
    }
}

/// Result shape of x `[*,I]` times the transpose of w `[O,I]`.
pub(crate) fn linear_shape(op: &str, x: &Type, w: &Type) -> Result<Shape, Reason> {
    let Some((last, leading)) = x.shape.0.split_last() else {
        return Err(Reason::new(format!("`{op}` needs an input of at least one dimension, found {x}")));
    };
    if w.rank() != 2 {
        return Err(Reason::new(format!("`{op}` needs a weight of two dimensions, found {w}")));
    }
    if !agree(last, &w.shape[1]) {
        return Err(Reason::new(format!(
            "input {x} has {last} features but the weight {w} expects {}",
            w.shape[1]
        )));
    }
    let mut dims = leading.to_vec();
    dims.push(w.shape[0].clone());
    Ok(Shape(dims))
}

/// For each row of x and each row of the weight, the sum of products in the order of the features.
pub(crate) fn linear_sums<T: Copy + Default>(
    (x, w): (&Tensor, &Tensor),
    data: &[T],
    weight: &[T],
    madd: impl Fn(T, T, T) -> T,
) -> Vec<T> {
    let (outputs, inner) = (w.shape[0], w.shape[1]);
    let mut transposed = vec![T::default(); weight.len()];
    for o in 0..outputs {
        for i in 0..inner {
            transposed[i * outputs + o] = weight[o * inner + i];
        }
    }
    let rows = x.shape[..x.rank() - 1].iter().product();
    let mut sums = vec![T::default(); rows * outputs];
    product(&mut sums, data, &transposed, (rows, inner, outputs), madd);
    sums
}
