//! `embedding`, `embedding_bag`.

use crate::diag::Reason;
use crate::dim::Dim;
use crate::keyword_enum;
use crate::ops::operand::{agree, float, recheck, same_elem, store};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::tensor::Tensor;
use crate::types::{Shape, Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// The rows of a table that `indices` name (PyTorch `nn.Embedding`).
    ///
    /// Indices are `i64` or `i32` of any shape `[*]` and lie in `0..V`; the table is `[V,D]`, the result `[*,D]`.
    ///
    /// ```qir
    /// input %t: f32[5,3]
    /// %i = const {data=[0,4,2]} : i64[3]
    /// %y = embedding %i, %t : f32[3,3]
    /// ```
    pub struct Embedding {
    }
}
operands! { Embedding as EmbeddingView { indices: One, table: One } }
impl OpDef for Embedding {
    const NAMES: &'static [&'static str] = &["embedding"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let table = x.ty(1)?;
        float("embedding", "table", table, Some("qembedding"))?;
        one(table.with_shape(rows_shape("embedding", x.ty(0)?, table)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let table = x.tensor(1)?;
        let (v, d) = (table.shape[0], table.shape[1]);
        let data = table.floats()?;
        let mut out = Vec::new();
        for i in x.tensor(0)?.ints()? {
            out.extend_from_slice(&data[row(i, v)? * d..][..d]);
        }
        one(store(&table.elem, &x.shape(0)?, out)?)
    }
}

/// The shape of one row for each index; refuses indices that are no integers and tables that are no matrix.
pub(crate) fn rows_shape(op: &str, indices: &Type, table: &Type) -> Result<Shape, Reason> {
    check::plain(op, "`indices`", indices, &[Storage::I64, Storage::I32])?;
    if table.rank() != 2 {
        return Err(Reason::new(format!("`{op}` needs a table [V,D], found {table}")));
    }
    let mut dims = indices.shape.0.clone();
    dims.push(table.shape[1].clone());
    Ok(Shape(dims))
}

/// Index `i` as the number of a row; refuses one outside the table.
pub(crate) fn row(i: i64, rows: usize) -> Result<usize, Reason> {
    usize::try_from(i)
        .ok()
        .filter(|&i| i < rows)
        .ok_or_else(|| Reason::new(format!("index {i} lies outside the table of {rows} rows")))
}

keyword_enum! {
    /// How the rows of a bag become one.
    pub enum BagMode {
        /// Their sum, in order from 0.
        Sum = "sum",
        /// The sum divided by their number.
        Mean = "mean",
        /// The largest of each column.
        Max = "max",
    }
}

attrs! {
    /// Sums, means or maxima of bags of rows of a table (PyTorch `nn.EmbeddingBag`); an empty bag yields zeros.
    ///
    /// Indices are `i64` or `i32`: `[B,K]` without offsets (each row is a bag), or `[L]` with offsets `[B]`, the starts
    /// of the bags in ascending order from 0. The table is `[V,D]`, the result `[B,D]`. Weights have the shape of the
    /// indices and multiply the rows of a sum.
    ///
    /// ```qir
    /// input %t: f32[5,3]
    /// %i = const {data=[0,4,2]} : i64[3]
    /// %o = const {data=[0,2]} : i64[2]
    /// %y = embedding_bag %i, %t, %o {mode=mean} : f32[2,3]
    /// ```
    pub struct EmbeddingBag {
        /// What is done with the rows of a bag.
        mode: BagMode = BagMode::Sum,
        /// Whether the last offset is the end of the last bag instead of a start.
        include_last_offset: bool = false,
        /// The index whose entries are left out of bags; −1 for none.
        padding_idx: i64 = -1,
    }
}
operands! { EmbeddingBag as EmbeddingBagView { indices: One, table: One, offsets: Maybe, weights: Maybe } }
impl OpDef for EmbeddingBag {
    const NAMES: &'static [&'static str] = &["embedding_bag"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let table = x.ty(1)?;
        float("embedding_bag", "table", table, Some("qembedding_bag"))?;
        if let Some(w) = x.opt(3) {
            same_elem("weights", w, table)?;
        }
        one(table.with_shape(bags_shape("embedding_bag", x, (self.mode, self.include_last_offset))?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let table = x.tensor(1)?;
        let (v, d) = (table.shape[0], table.shape[1]);
        let data = table.floats()?;
        let bags = Bags::of(x, self.include_last_offset, |i| Ok((i != self.padding_idx).then_some(i)), v)?;
        let sums = bags.reduce(self.mode, d, |out, row, weight| {
            let row = &data[row * d..][..d];
            match weight {
                None => out.copy_from_slice(row),
                Some(w) => out.iter_mut().zip(row).for_each(|(o, r)| *o = r * w),
            }
        });
        one(store(&table.elem, &x.shape(0)?, sums)?)
    }
}

/// The result shape of a bag op with operands indices, table, offsets, weights.
pub(crate) fn bags_shape(op: &str, x: &Infer, (mode, last): (BagMode, bool)) -> Result<Shape, Reason> {
    let (indices, table) = (x.ty(0)?, x.ty(1)?);
    rows_shape(op, indices, table)?;
    let bags = match x.opt(2) {
        None if indices.rank() == 2 => indices.shape[0].clone(),
        None => {
            return Err(Reason::new(format!("`{op}` without offsets needs indices [B,K], found {indices}"))
                .help("give offsets, the starts of the bags"));
        }
        Some(offsets) => {
            check::plain(op, "`offsets`", offsets, &[Storage::I64, Storage::I32])?;
            if indices.rank() != 1 || offsets.rank() != 1 {
                return Err(Reason::new(format!(
                    "`{op}` with offsets needs vectors, found indices {indices} and offsets {offsets}"
                )));
            }
            offsets.shape[0].add_lit(if last { -1 } else { 0 })
        }
    };
    if bags.as_lit().is_some_and(|n| n < 0) {
        return Err(Reason::new(format!("`{op}` needs an offset that ends the last bag")));
    }
    if let Some(w) = x.opt(3) {
        if mode != BagMode::Sum {
            return Err(Reason::new(format!("weights of `{op}` need `mode=sum`"))
                .help("multiply by the weights first, or leave them out"));
        }
        let fits = w.rank() == indices.rank()
            && w.shape.0.iter().zip(&indices.shape.0).all(|(a, b): (&Dim, &Dim)| agree(a, b));
        if !fits {
            return Err(Reason::new(format!(
                "the weights {w} have not the shape of the indices {}",
                indices.shape
            )));
        }
    }
    Ok(Shape(vec![bags, table.shape[1].clone()]))
}

/// Rows (with weights) of each bag.
pub(crate) struct Bags(Vec<Vec<(usize, Option<f32>)>>);

impl Bags {
    /// From operands indices, table, offsets, weights; `find` maps an index, `None` for one that is left out.
    pub(crate) fn of(
        x: &Eval,
        last: bool,
        find: impl Fn(i64) -> Result<Option<i64>, Reason>,
        rows: usize,
    ) -> Result<Bags, Reason> {
        let t = x.tensor(0)?;
        let indices = t.ints()?;
        let weights = x.opt(3).map(|w| w.floats()).transpose()?;
        let mut starts = match x.opt(2) {
            Some(o) => o.ints()?,
            None => (0..t.shape[0] as i64).map(|b| b * t.shape[1] as i64).collect(),
        };
        if !(last && x.opt(2).is_some()) {
            starts.push(indices.len() as i64);
        }
        if starts.first().is_some_and(|&s| s != 0 && starts.len() > 1) {
            return Err(Reason::new("the first offset must be 0"));
        }
        let mut bags = Vec::new();
        for pair in starts.windows(2) {
            let range = usize::try_from(pair[0]).ok().zip(usize::try_from(pair[1]).ok());
            let (s, e) = range.filter(|&(s, e)| s <= e && e <= indices.len()).ok_or_else(|| {
                Reason::new(format!("offsets {} and {} bound no bag of {}", pair[0], pair[1], indices.len()))
            })?;
            let mut bag = Vec::new();
            for i in s..e {
                if let Some(found) = find(indices[i])? {
                    bag.push((row(found, rows)?, weights.as_ref().map(|w| w[i])));
                }
            }
            bags.push(bag);
        }
        Ok(Bags(bags))
    }

    /// One row of `width` for each bag; `read` writes a row of the table times a weight.
    pub(crate) fn reduce(
        &self,
        mode: BagMode,
        width: usize,
        read: impl Fn(&mut [f32], usize, Option<f32>),
    ) -> Vec<f32> {
        let mut out = vec![0.0; self.0.len() * width];
        let mut line = vec![0.0; width];
        for (bag, out) in self.0.iter().zip(out.chunks_exact_mut(width.max(1))) {
            for (i, &(row, weight)) in bag.iter().enumerate() {
                read(&mut line, row, weight);
                match mode {
                    BagMode::Max if i == 0 => out.copy_from_slice(&line),
                    BagMode::Max => out.iter_mut().zip(&line).for_each(|(o, v)| {
                        if *v > *o || v.is_nan() {
                            *o = *v;
                        }
                    }),
                    _ => out.iter_mut().zip(&line).for_each(|(o, v)| *o += v),
                }
            }
            if mode == BagMode::Mean && !bag.is_empty() {
                out.iter_mut().for_each(|o| *o /= bag.len() as f32);
            }
        }
        out
    }
}
