//! `qadd` and `qmul`, operands broadcast.

use quantir_ir::Reason;
use quantir_ir::ops::Op;

use super::quantized::{finite, output_range, per_tensor, unsigned, unsigned_zero};
use super::strided::Loops;
use super::{Built, Io, Kernel, Site};
use crate::isa::Isa;
use crate::kernels::add::Add;
use crate::kernels::mul::Mul;

enum Of {
    Add(Add),
    Mul(Mul),
}

struct Binary {
    isa: Isa,
    of: Of,
    loops: Loops,
    /// Whether every element has its own element of both operands.
    dense: bool,
    /// Whether one run of b serves `dims[1]` runs of a: the product with a gate for each channel.
    gated: bool,
    in_place: bool,
}

/// Elements at a time where an operand is a single element.
const BLOCK: usize = 256;

impl Binary {
    fn apply(&self, a: &[u8], b: &[u8], out: &mut [u8]) {
        match &self.of {
            Of::Add(add) => add.run(self.isa, a, b, out),
            Of::Mul(mul) => mul.run(self.isa, a, b, out),
        }
    }

    /// One innermost loop, from element `a` and `b` on.
    fn line(&self, a: &[u8], b: &[u8], out: &mut [u8]) {
        let (sa, sb) = (self.loops.step(0), self.loops.step(1));
        if (sa, sb) == (1, 1) {
            return self.apply(&a[..out.len()], &b[..out.len()], out);
        }
        let (same_a, same_b) = ([a[0]; BLOCK], [b[0]; BLOCK]);
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let a = if sa == 0 { &same_a[..out.len()] } else { &a[i * BLOCK..][..out.len()] };
            let b = if sb == 0 { &same_b[..out.len()] } else { &b[i * BLOCK..][..out.len()] };
            self.apply(a, b, out);
        }
    }
}

impl Kernel for Binary {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        if io.outs[0].is_empty() {
            return Ok(());
        }
        let (a, b, inner) = (io.ins[0], io.ins[1], self.loops.inner());
        if let (true, Of::Add(add)) = (io.in_place, &self.of) {
            io.par.rows_of(inner, 1, 1, io.outs[0], &|range, out| add.run_in_place(self.isa, out, &b[range]));
        } else if self.dense {
            io.par.rows_of(inner, 1, 1, io.outs[0], &|range, out| {
                self.apply(&a[range.clone()], &b[range], out)
            });
        } else if let (true, Of::Mul(mul)) = (self.gated, &self.of) {
            let rows = self.loops.dims[self.loops.dims.len() - 2];
            let all = self.loops.outer();
            io.par.rows_of(all, inner, inner, io.outs[0], &|range, out| {
                let mut at = range.start;
                while at < range.end {
                    let end = range.end.min((at / rows + 1) * rows);
                    let part = &mut out[(at - range.start) * inner..(end - range.start) * inner];
                    let (a, b) = (&a[at * inner..end * inner], &b[self.loops.start(1, at)..][..inner]);
                    mul.run_channels(self.isa, a, b, part);
                    at = end;
                }
            });
        } else {
            io.par.rows_of(self.loops.outer(), inner, inner, io.outs[0], &|range, out| {
                for (n, out) in range.zip(out.chunks_exact_mut(inner)) {
                    self.line(&a[self.loops.start(0, n)..], &b[self.loops.start(1, n)..], out);
                }
            });
        }
        Ok(())
    }
    fn in_place(&self) -> bool {
        self.in_place
    }
}

/// Builds `qadd` or `qmul`.
pub(super) fn build(site: &Site) -> Result<Built, String> {
    let (mut a, mut b, y) = (site.operand(0)?, site.operand(1)?, site.out(0)?);
    let mut uses = [0, 1];
    let is_mul = matches!(site.op, Op::Qmul(_));
    // A product does not change if its operands change places: the larger one comes first.
    if is_mul && b.shaped.numel() > a.shaped.numel() {
        (a, b) = (b, a);
        uses = [1, 0];
    }
    let (a_scale, _) = per_tensor(&a.shaped)?;
    let (b_scale, _) = per_tensor(&b.shaped)?;
    let (y_scale, _) = per_tensor(&y.shaped)?;
    let (a_zero, b_zero) = (unsigned_zero(&a.shaped)?, unsigned_zero(&b.shaped)?);
    let of = match site.op {
        Op::Qadd(op) => {
            let out = output_range(&y.shaped, &op.act)?;
            let inv = if out.hard_swish.is_some() { 1.0 } else { 1.0 / y_scale };
            finite((255.0 * a_scale + 255.0 * b_scale) * inv)?;
            Of::Add(Add { a_zero, a_scale, b_zero, b_scale, inv, out })
        }
        Op::Qmul(op) => {
            let out = output_range(&y.shaped, &op.act)?;
            let inv = if out.hard_swish.is_some() { 1.0 } else { 1.0 / y_scale };
            let mult = finite(a_scale * b_scale * inv)?;
            Of::Mul(Mul { a_zero, b_zero, mult, out })
        }
        _ => return Err("expected `qadd` or `qmul`".into()),
    };
    let loops = Loops::new(&[&a.physical(), &b.physical()], &y.physical());
    let ones = loops.step(0) == 1 && loops.step(1) == 1;
    let dense = loops.outer() == 1 && ones;
    let n = loops.dims.len();
    let gated = n >= 2
        && ones
        && loops.strides[1][n - 2] == 0
        && (0..n - 1).all(|i| loops.strides[0][i] == loops.dims[i + 1..].iter().product::<usize>());
    let in_place = dense && !is_mul;
    unsigned(site.isa, Binary { isa: site.isa, of, loops, dense, gated, in_place }, &[a, b], &uses, false)
}
