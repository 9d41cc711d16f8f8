//! `matmul`.

use crate::diag::Reason;
use crate::ops::elementwise::Strided;
use crate::ops::operand::{agree, float, recheck, store};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Matrix product with numpy's broadcasting of leading axes: a `[*,M,K]`, b `[*,K,N]`, result `[*,M,N]`.
    ///
    /// A vector as first operand is a row, as second one a column, and the result has not that axis. Operands have one
    /// element type: floating point, `i32` or `i64`. Each output starts from 0 and adds `a·b` (multiplied, then added)
    /// in the order of `K`, floats in `f32`; integers wrap.
    ///
    /// ```qir
    /// input %a: f32[2,3,4]
    /// input %b: f32[4,5]
    /// %y = matmul %a, %b : f32[2,3,5]
    /// ```
    pub struct Matmul {
    }
}
operands! { Matmul as MatmulView { a: One, b: One } }
impl OpDef for Matmul {
    const NAMES: &'static [&'static str] = &["matmul"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (a, b) = (x.ty(0)?, x.ty(1)?);
        if !matches!(a.elem, Elem::Plain(Storage::I32 | Storage::I64)) {
            float("matmul", "first operand", a, Some("qmatmul"))?;
        }
        if a.elem != b.elem {
            return Err(Reason::new(format!("the operands have different elements: {a} and {b}")));
        }
        one(a.with_shape(matmul_shape("matmul", a, b)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        match x.tensor(0)?.storage() {
            Storage::I32 => {
                let data = multiply(x, &x.tensor(0)?.data()?, &x.tensor(1)?.data()?, |s: i32, a: i32, b| {
                    s.wrapping_add(a.wrapping_mul(b))
                })?;
                one(Tensor::new(&x.shape(0)?, data)?)
            }
            Storage::I64 => {
                let data = multiply(x, &x.tensor(0)?.data()?, &x.tensor(1)?.data()?, |s: i64, a: i64, b| {
                    s.wrapping_add(a.wrapping_mul(b))
                })?;
                one(Tensor::new(&x.shape(0)?, data)?)
            }
            _ => {
                let (a, b) = (x.tensor(0)?, x.tensor(1)?);
                let data = multiply(x, &a.floats()?, &b.floats()?, |s, a, b| s + a * b)?;
                one(store(&a.elem, &x.shape(0)?, data)?)
            }
        }
    }
}

/// Result shape of a `[*,M,K]` times b `[*,K,N]`.
pub(crate) fn matmul_shape(op: &str, a: &Type, b: &Type) -> Result<Shape, Reason> {
    let (Some((ka, rows)), false) = (a.shape.0.split_last(), b.shape.0.is_empty()) else {
        return Err(Reason::new(format!("`{op}` needs at least one dimension, found {a} and {b}")));
    };
    let at = b.rank().saturating_sub(2);
    let kb = &b.shape[at];
    if !agree(ka, kb) {
        return Err(Reason::new(format!("{a} has {ka} columns but {b} has {kb} rows")));
    }
    let (row, batch_a) = match rows.split_last() {
        Some((r, batch)) => (Some(r), batch),
        None => (None, rows),
    };
    let leading = (Shape(batch_a.to_vec()), Shape(b.shape.0[..at].to_vec()));
    let mut dims = check::broadcast(op, &[&leading.0, &leading.1])?.0;
    dims.extend(row.cloned());
    if b.rank() > 1 {
        dims.push(b.shape[at + 1].clone());
    }
    Ok(Shape(dims))
}

/// Adds the product of a `[m,k]` and b `[k,n]` to `out` `[m,n]`, for each element in the order of `k`.
pub(crate) fn product<T: Copy>(
    out: &mut [T],
    a: &[T],
    b: &[T],
    (m, k, n): (usize, usize, usize),
    madd: impl Fn(T, T, T) -> T,
) {
    if n == 0 || k == 0 {
        return;
    }
    for i in 0..m {
        let out = &mut out[i * n..][..n];
        for (&a, b) in a[i * k..][..k].iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(b).for_each(|(s, &b)| *s = madd(*s, a, b));
        }
    }
}

/// The product of each pair of matrices, leading axes broadcast.
pub(crate) fn multiply<T: Copy + Default>(
    x: &Eval,
    a: &[T],
    b: &[T],
    madd: impl Fn(T, T, T) -> T + Copy,
) -> Result<Vec<T>, Reason> {
    let (sa, sb, shape) = (&x.tensor(0)?.shape, &x.tensor(1)?.shape, x.shape(0)?);
    let (batch_a, batch_b) = (&sa[..sa.len().saturating_sub(2)], &sb[..sb.len().saturating_sub(2)]);
    let m = if sa.len() > 1 { sa[sa.len() - 2] } else { 1 };
    let n = if sb.len() > 1 { sb[sb.len() - 1] } else { 1 };
    let k = sa[sa.len() - 1];
    let batch = &shape[..batch_a.len().max(batch_b.len())];
    let mut out = vec![T::default(); shape.iter().product()];
    let pairs = Strided::spread(batch_a, batch)?.zip(Strided::spread(batch_b, batch)?);
    for (out, (i, j)) in out.chunks_exact_mut((m * n).max(1)).zip(pairs) {
        product(out, &a[i * m * k..][..m * k], &b[j * k * n..][..k * n], (m, k, n), madd);
    }
    Ok(out)
}
