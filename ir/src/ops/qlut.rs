//! `qlut`.

use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::integer::store;
use crate::ops::operand::{per_tensor, recheck};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Storage, Type};
use crate::{attrs, operands};

attrs! {
    /// Any function of one 8-bit value: `table[q − smallest integer of the storage]`.
    ///
    /// x is quantized with one scale, `i8` or `u8`; the table has 256 entries of the result's element type.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.1 zp 0
    /// input %x: u8!x[1,3,4,4]
    /// input %table: u8!y[256]
    /// %y = qlut %x, %table : u8!y[1,3,4,4]
    /// ```
    pub struct Qlut {
    }
}
operands! { Qlut as QlutView { x: One, table: One } }
impl OpDef for Qlut {
    const NAMES: &'static [&'static str] = &["qlut"];
    const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let (input, table) = (x.ty(0)?, x.ty(1)?);
        let q = per_tensor("qlut", "input", input)?;
        if !matches!(q.storage, Storage::I8 | Storage::U8) {
            return Err(Reason::new(format!("`qlut` needs 8 bits in its input, found `{}`", q.storage)));
        }
        per_tensor("qlut", "table", table)?;
        if table.rank() != 1 || !table.shape[0].is(256) {
            return Err(Reason::new(format!("`qlut` needs a table of 256 entries, found {table}")));
        }
        one(table.with_shape(input.shape.clone()))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let (input, table) = (x.tensor(0)?, x.tensor(1)?.ints()?);
        let least = input.storage().int_range().map_or(0, |r| r.0);
        store(x, input.ints()?.into_iter().map(|q| table[(q - least) as usize] as i32))
    }
}
