//! `pad`.

use crate::attr::F32;
use crate::diag::Reason;
use crate::keyword_enum;
use crate::ops::operand::{pass_through, recheck, store};
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Shape, Type};
use crate::{attrs, operands};

keyword_enum! {
    /// What padding holds.
    pub enum PadMode {
        /// One value.
        Constant = "constant",
        /// The nearest element.
        Edge = "edge",
        /// Mirrored without repeating the border.
        Reflect = "reflect",
    }
}

attrs! {
    /// Adds `[before, after]` elements to each axis (ONNX `Pad`); negative numbers cut.
    ///
    /// Any plain elements and quantized ones with one scale, which stay as they are; `value` is a real number and is
    /// quantized like them.
    ///
    /// ```qir
    /// input %x: f32[1,3,4,4]
    /// %y = pad %x {pads=[[0,0],[0,0],[1,1],[0,2]], mode=edge} : f32[1,3,6,6]
    /// ```
    pub struct Pad {
        /// Elements before and after each axis.
        pads: Vec<Vec<i64>>,
        /// What `constant` padding holds.
        value: F32 = F32(0.0),
        /// What padding holds.
        mode: PadMode = PadMode::Constant,
    }
}
operands! { Pad as PadView { x: One } }
impl OpDef for Pad {
    const NAMES: &'static [&'static str] = &["pad"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        let input = x.ty(0)?;
        pass_through("pad", "input", input)?;
        if self.pads.len() != input.rank() || self.pads.iter().any(|p| p.len() != 2) {
            return Err(Reason::new(format!(
                "`pads` needs one `[before, after]` for each of the {} axes of {input}",
                input.rank()
            )));
        }
        if self.pads.iter().flatten().any(|p| p.unsigned_abs() > 1 << 40) {
            return Err(Reason::new("`pads` are larger than any tensor"));
        }
        let mut dims = Vec::with_capacity(input.rank());
        for (i, (d, p)) in input.shape.0.iter().zip(&self.pads).enumerate() {
            let out = d.add_lit(p[0]).add_lit(p[1]);
            if out.as_lit().is_some_and(|n| n < 0) {
                return Err(Reason::new(format!("`pads` {p:?} cut more than the {d} elements of axis {i}")));
            }
            let most = p[0].max(p[1]);
            let least = match self.mode {
                PadMode::Reflect if most > 0 => most.saturating_add(1),
                PadMode::Edge if most > 0 => 1,
                _ => 0,
            };
            if d.as_lit().is_some_and(|n| n < least) {
                return Err(Reason::new(format!(
                    "`pads` {p:?} with this mode need at least {least} elements along axis {i}, found {d}"
                )));
            }
            dims.push(out);
        }
        one(input.with_shape(Shape(dims)))
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        recheck(self, x)?;
        let input = x.tensor(0)?;
        let tables: Vec<Vec<Option<usize>>> = (input.shape.iter().zip(&self.pads))
            .map(|(&n, p)| {
                let n = n as i64;
                (0..n + p[0] + p[1]).map(|o| self.mode.source(o - p[0], n)).collect()
            })
            .collect();
        let fill = match &input.elem {
            Elem::Quant(q) => Tensor::f32(&[1], vec![self.value.0]).quantize(q)?,
            Elem::Plain(s) if s.is_float() => store(&input.elem, &[1], vec![self.value.0])?,
            Elem::Plain(_) => Tensor::from_ints(input.elem.clone(), &[1], &[self.value.0 as i64])?,
        };
        one(pick(input, &tables, &fill)?)
    }
}

impl PadMode {
    /// The element of an axis of `n` that stands at position `i`, which may lie outside; `None` for the value.
    fn source(self, i: i64, n: i64) -> Option<usize> {
        let at = match self {
            _ if (0..n).contains(&i) => i,
            PadMode::Constant => return None,
            PadMode::Edge => i.clamp(0, n - 1),
            // The axis and its mirror image repeat every 2·(n−1) positions.
            PadMode::Reflect => {
                let period = (2 * (n - 1)).max(1);
                let i = i.rem_euclid(period);
                i.min(period - i)
            }
        };
        usize::try_from(at).ok()
    }
}

/// The tensor whose index along each axis is looked up in that axis' table; `fill` where a table has no entry.
pub(crate) fn pick(t: &Tensor, tables: &[Vec<Option<usize>>], fill: &Tensor) -> Result<Tensor, Reason> {
    let shape: Vec<usize> = tables.iter().map(Vec::len).collect();
    let mut from: Vec<Option<usize>> = vec![Some(0)];
    for (table, n) in tables.iter().zip(&t.shape) {
        let next = |at: Option<usize>| table.iter().map(move |i| Some(at? * n + (*i)?));
        from = from.into_iter().flat_map(next).collect();
    }
    let width = t.storage().bytes();
    let mut out = Vec::with_capacity(from.len() * width);
    for at in from {
        match at {
            Some(i) => out.extend_from_slice(&t.bytes()[i * width..(i + 1) * width]),
            None => out.extend_from_slice(fill.bytes()),
        }
    }
    Tensor::from_bytes(t.elem.clone(), &shape, out.into())
}
