//! Facts about quantized operands that the integer steps share, and signed bytes for unsigned kernels.

use std::ops::Range;

use quantir_ir::ops::Act;
use quantir_ir::{Reason, Storage, quant};

use super::{Built, Io, Kernel, Operand};
use crate::isa::Isa;
use crate::kernels::OutputRange;
use crate::kernels::quantize::flip_sign;
use crate::par::Par;
use crate::plan::Shaped;

/// Scale and zero point, one for the whole tensor.
pub(super) fn per_tensor(shaped: &Shaped) -> Result<(f32, i32), String> {
    let q = shaped.elem.quant().ok_or("a quantized operand is expected")?;
    q.per_tensor().ok_or_else(|| "one scale for the whole tensor is expected".into())
}

/// Zero point of the same values as unsigned bytes.
pub(super) fn unsigned_zero(shaped: &Shaped) -> Result<i32, String> {
    let (_, zero) = per_tensor(shaped)?;
    Ok(if is_signed(shaped) { zero + 128 } else { zero })
}

/// Whether elements are `i8`.
pub(super) fn is_signed(shaped: &Shaped) -> bool {
    shaped.elem.storage() == Storage::I8
}

/// Where integers of a result may lie.
pub(super) fn output_range(shaped: &Shaped, act: &Act) -> Result<OutputRange, String> {
    let q = shaped.elem.quant().ok_or("a quantized result is expected")?;
    let (_, zero) = per_tensor(shaped)?;
    let (lo, hi) = act.int_range(q);
    let hard_swish = (*act == Act::HardSwish).then(|| 1.0 / q.scale(0));
    Ok(OutputRange { zero, lo, hi, signed: is_signed(shaped), hard_swish })
}

/// The multiplier that takes integers of scale `from` to steps of the result, or to real numbers if `range` has
/// a curve to apply to these.
pub(super) fn factor(from: f32, y_scale: f32, range: &OutputRange) -> Result<f32, String> {
    finite(if range.hard_swish.is_some() { from } else { quant::multiplier(from, y_scale) })
}

/// Refuses a multiplier that kernels cannot use.
pub(super) fn finite(m: f32) -> Result<f32, String> {
    if m.is_finite() { Ok(m) } else { Err(format!("the multiplier {m} is not finite")) }
}

/// A kernel of unsigned bytes whose operands or result are signed.
struct Flipped {
    inner: Box<dyn Kernel>,
    isa: Isa,
    /// Bytes of each operand; 0 for those that are unsigned already.
    ins: Vec<usize>,
    out: bool,
}

impl Flipped {
    fn bytes(&self) -> usize {
        self.ins.iter().map(|b| b.next_multiple_of(64)).sum()
    }
}

impl Kernel for Flipped {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (mut copies, scratch) = io.scratch.split_at_mut(self.bytes());
        for (x, &bytes) in io.ins.iter_mut().zip(&self.ins) {
            if bytes > 0 {
                let (copy, rest) = std::mem::take(&mut copies).split_at_mut(bytes.next_multiple_of(64));
                let copy = &mut copy[..bytes];
                flip(self.isa, x, copy, io.par);
                *x = copy;
                copies = rest;
            }
        }
        if !self.out {
            return self.inner.run(Io { scratch, ..io });
        }
        let inner = Io {
            ins: io.ins.iter().copied().collect(),
            outs: io.outs.iter_mut().map(|out| &mut **out).collect(),
            scratch,
            in_place: false,
            par: io.par,
        };
        self.inner.run(inner)?;
        for out in &mut io.outs {
            io.par
                .rows_of(out.len(), 1, 1, out, &|_, out: &mut [u8]| out.iter_mut().for_each(|b| *b ^= 0x80));
        }
        Ok(())
    }
    fn scratch(&self, threads: usize) -> usize {
        self.bytes() + self.inner.scratch(threads)
    }
    fn isa(&self) -> Option<Isa> {
        self.inner.isa()
    }
}

fn flip(isa: Isa, x: &[u8], out: &mut [u8], par: Par) {
    par.rows_of(x.len(), 1, 1, out, &|range: Range<usize>, out| flip_sign(isa, &x[range], out));
}

/// The step of a kernel that reads unsigned bytes from `uses`; `out` tells whether the result must be flipped too.
pub(super) fn unsigned(
    isa: Isa,
    kernel: impl Kernel + 'static,
    ins: &[&Operand],
    uses: &[usize],
    out: bool,
) -> Result<Built, String> {
    if !out && !ins.iter().any(|x| is_signed(&x.shaped)) {
        return Built::kernel(kernel, uses);
    }
    let bytes = |x: &&Operand| if is_signed(&x.shaped) { x.shaped.bytes() } else { 0 };
    let ins = ins.iter().map(bytes).collect();
    Built::kernel(Flipped { inner: Box::new(kernel), isa, ins, out }, uses)
}
