//! `qembedding`, `qembedding_bag`, `embedding_bag_rowwise`.

use std::borrow::Cow;

use crate::diag::Reason;
use crate::dim::Dim;
use crate::ops::embedding::{BagMode, Bags, bags_shape, row, rows_shape};
use crate::ops::operand::{recheck, same_elem, valid};
use crate::ops::{Eval, Infer, OpDef, check, one};
use crate::quant::{QParams, Quant};
use crate::rowwise;
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Storage, Type};
use crate::{attrs, operands};

/// The quantization of a table: one scale, or one for each row.
fn table_quant<'a>(op: &str, t: &'a Type) -> Result<&'a Quant, Reason> {
    let q = t.elem.quant().ok_or_else(|| {
        Reason::new(format!("`{op}` needs a quantized table, found {t}")).help("insert a `quantize`")
    })?;
    if !matches!(q.params, QParams::Tensor { .. } | QParams::Axis { axis: 0, .. }) {
        return Err(Reason::new(format!(
            "`{op}` needs one scale for its table or one for each row, found `{q}`"
        )));
    }
    if q.storage.bytes() != 1 {
        return Err(Reason::new(format!("`{op}` needs a table of at most 8 bits, found `{}`", q.storage)));
    }
    valid(q, &t.shape)?;
    Ok(q)
}

/// The rows of a quantized table.
struct Rows<'a> {
    quant: &'a Quant,
    codes: Codes<'a>,
    width: usize,
}

enum Codes<'a> {
    Unsigned(Cow<'a, [u8]>),
    Signed(Cow<'a, [i8]>),
}

impl<'a> Rows<'a> {
    fn of(table: &'a Tensor) -> Result<Rows<'a>, Reason> {
        let quant = table.quant().ok_or("a quantized table is expected")?;
        let codes = match table.storage() {
            Storage::I8 | Storage::I4 => Codes::Signed(table.data()?),
            _ => Codes::Unsigned(table.data()?),
        };
        Ok(Rows { quant, codes, width: table.shape[1] })
    }

    /// Writes the real numbers of row `r` to `out`.
    fn read(&self, r: usize, out: &mut [f32]) {
        let i = if self.quant.count().is_some_and(|n| n > 1) { r } else { 0 };
        let place = r * self.width..(r + 1) * self.width;
        let real = |(o, code): (&mut f32, i32)| *o = self.quant.decode(code, i);
        match &self.codes {
            Codes::Unsigned(c) => out.iter_mut().zip(c[place].iter().map(|&c| c.into())).for_each(real),
            Codes::Signed(c) => out.iter_mut().zip(c[place].iter().map(|&c| c.into())).for_each(real),
        }
    }
}

attrs! {
    /// The rows of a quantized table as floats (PyTorch `quantized::embedding_byte` and `_4bit`).
    ///
    /// As [`Embedding`](crate::ops::Embedding), with a table that has one scale and zero point for each row (real zero
    /// points also), or one for all.
    ///
    /// ```qir
    /// quant !row = u8[0:255] scale 0.1 zp 3
    /// input %t: u8!row[5,3]
    /// %i = const {data=[0,4,2]} : i64[3]
    /// %y = qembedding %i, %t : f32[3,3]
    /// ```
    pub struct Qembedding {
    }
}
operands! { Qembedding as QembeddingView { indices: One, table: One } }
impl OpDef for Qembedding {
    const NAMES: &'static [&'static str] = &["qembedding"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let table = x.ty(1)?;
        table_quant("qembedding", table)?;
        one(Type::new(Elem::F32, rows_shape("qembedding", x.ty(0)?, table)?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let table = x.tensor(1)?;
        let rows = Rows::of(table)?;
        let indices = x.tensor(0)?.ints()?;
        let width = table.shape[1];
        let mut out = vec![0.0; indices.len() * width];
        for (line, i) in out.chunks_exact_mut(width.max(1)).zip(indices) {
            rows.read(row(i, table.shape[0])?, line);
        }
        one(Tensor::new(&x.shape(0)?, out)?)
    }
}

attrs! {
    /// Bags of rows of a quantized table (PyTorch `quantized::embedding_bag_byte` and `_4bit`), as
    /// [`EmbeddingBag`](crate::ops::EmbeddingBag) of the real numbers that the table stands for.
    ///
    /// ```qir
    /// quant !row = u8[0:255] scale 0.1 zp 3
    /// input %t: u8!row[5,3]
    /// %i = const {data=[0,4,2]} : i64[3]
    /// %o = const {data=[0,2]} : i64[2]
    /// %y = qembedding_bag %i, %t, %o {mode=mean} : f32[2,3]
    /// ```
    pub struct QembeddingBag {
        /// What is done with the rows of a bag.
        mode: BagMode = BagMode::Sum,
        /// Whether the last offset is the end of the last bag instead of a start.
        include_last_offset: bool = false,
        /// The index whose entries are left out of bags; −1 for none.
        padding_idx: i64 = -1,
    }
}
operands! { QembeddingBag as QembeddingBagView { indices: One, table: One, offsets: Maybe, weights: Maybe } }
impl OpDef for QembeddingBag {
    const NAMES: &'static [&'static str] = &["qembedding_bag"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        table_quant("qembedding_bag", x.ty(1)?)?;
        float_weights(x)?;
        one(Type::new(Elem::F32, bags_shape("qembedding_bag", x, (self.mode, self.include_last_offset))?))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let table = x.tensor(1)?;
        let rows = Rows::of(table)?;
        let find = |i| Ok((i != self.padding_idx).then_some(i));
        let bags = Bags::of(x, self.include_last_offset, find, table.shape[0])?;
        let out = bags.reduce(self.mode, table.shape[1], |out, r, weight| {
            rows.read(r, out);
            times(out, weight);
        });
        one(Tensor::new(&x.shape(0)?, out)?)
    }
}

/// Refuses weights of another element type than `f32`.
fn float_weights(x: &Infer) -> Result<(), Reason> {
    match x.opt(3) {
        Some(w) => same_elem("weights", w, &Type::new(Elem::F32, w.shape.clone())),
        None => Ok(()),
    }
}

fn times(out: &mut [f32], weight: Option<f32>) {
    if let Some(w) = weight {
        out.iter_mut().for_each(|v| *v *= w);
    }
}

attrs! {
    /// Bags of rows of a packed table (PyTorch `quantized::embedding_bag_{byte,4bit}_rowwise_offsets`).
    ///
    /// The table is `u8[V,bytes]`: in each row the codes, then scale and minimum (see [`rowwise`]). Other operands as those
    /// of [`EmbeddingBag`](crate::ops::EmbeddingBag). With a mapping, `i32` or `i64` for each index, row
    /// `mapping[index]` is taken and nothing where it is −1: the format of pruned tables.
    ///
    /// ```qir
    /// %t = const {data=splat(0)} : u8[5,12]
    /// %i = const {data=[0,4,2]} : i64[3]
    /// %o = const {data=[0,2]} : i64[2]
    /// %y = embedding_bag_rowwise %i, %t, %o {bits=8} : f32[2,4]
    /// ```
    pub struct EmbeddingBagRowwise {
        /// Bits of a code: 8, 4 or 2.
        bits: u32,
        /// What is done with the rows of a bag.
        mode: BagMode = BagMode::Sum,
        /// Whether the last offset is the end of the last bag instead of a start.
        include_last_offset: bool = false,
    }
}
operands! { EmbeddingBagRowwise as EmbeddingBagRowwiseView {
    indices: One, table: One, offsets: Maybe, weights: Maybe, mapping: Maybe
} }

const ROWWISE: &str = "embedding_bag_rowwise";

impl OpDef for EmbeddingBagRowwise {
    const NAMES: &'static [&'static str] = &[ROWWISE];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        check::plain(ROWWISE, "the table", x.ty(1)?, &[Storage::U8])?;
        float_weights(x)?;
        if let Some(m) = x.opt(4) {
            check::plain(ROWWISE, "the mapping", m, &[Storage::I32, Storage::I64])?;
            if m.rank() != 1 {
                return Err(Reason::new(format!("the mapping of `{ROWWISE}` is a vector, found {m}")));
            }
        }
        let mut dims = bags_shape(ROWWISE, x, (self.mode, self.include_last_offset))?.0;
        if let Some(bytes) = dims[1].as_lit() {
            let bytes = usize::try_from(bytes).map_err(|_| Reason::new("a negative dimension"))?;
            dims[1] = Dim::from(rowwise::width(bytes, self.bits)?);
        } else {
            return Err(Reason::new(format!("`{ROWWISE}` needs a table of known width, found {}", x.ty(1)?)));
        }
        one(Type::new(Elem::F32, Shape(dims)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let table = x.tensor(1)?;
        let mapping = x.opt(4).map(Tensor::ints).transpose()?;
        let find = |i: i64| match &mapping {
            None => Ok(Some(i)),
            Some(m) => Ok(Some(m[row(i, m.len())?]).filter(|&r| r >= 0)),
        };
        let (v, bytes) = (table.shape[0], table.shape[1]);
        let data = table.data::<u8>()?;
        let bags = Bags::of(x, self.include_last_offset, find, v)?;
        let out = bags.reduce(self.mode, rowwise::width(bytes, self.bits)?, |out, r, weight| {
            rowwise::read_row(&data[r * bytes..][..bytes], self.bits, out);
            times(out, weight);
        });
        one(Tensor::new(&x.shape(0)?, out)?)
    }
}
