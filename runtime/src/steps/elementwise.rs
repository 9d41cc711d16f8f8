//! Float ops of one and two elements.

use std::ops::Range;

use quantir_ir::Reason;
use quantir_ir::ops::{Act, Op};

use super::strided::Loops;
use super::{Built, Io, Kernel, Site};
use crate::isa::Isa;
use crate::kernels::float::map::{self, Fun, Fun2, Run, Then};
use crate::kernels::float::{Width, normal};

struct Map<F> {
    width: Width,
    f: F,
}

impl<F: Fun> Kernel for Map<F> {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let Map { width, f } = *self;
        if io.in_place {
            io.par.rows_of(out.len(), 1, 1, out, &|_, out| map::map_in_place(width, out, f));
        } else {
            let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
            io.par.rows_of(out.len(), 1, 1, out, &|range, out| map::map(width, &x[range], out, f));
        }
        Ok(())
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// Builds a function of one number.
pub(super) fn unary(site: &Site) -> Result<Built, String> {
    fn of(site: &Site, f: impl Fun + 'static) -> Result<Built, String> {
        Built::kernel(Map { width: Width::of(site.isa), f }, &[0])
    }
    match site.op {
        Op::Relu(_) => of(site, map::Relu {}),
        Op::Clip(o) => of(site, map::Clip { lo: o.min.0, hi: o.max.0 }),
        Op::LeakyRelu(o) => of(site, map::LeakyRelu { alpha: o.alpha.0 }),
        Op::HardSigmoid(o) => of(site, map::HardSigmoid { alpha: o.alpha.0, beta: o.beta.0 }),
        Op::HardSwish(_) => of(site, map::HardSwish {}),
        Op::Elu(o) => of(site, map::Elu { alpha: o.alpha.0 }),
        Op::Gelu(o) if o.tanh => of(site, map::GeluTanh {}),
        Op::Gelu(_) => of(site, map::Gelu {}),
        Op::Sigmoid(_) => of(site, map::Sigmoid {}),
        Op::Tanh(_) => of(site, map::Tanh {}),
        Op::Neg(_) => of(site, map::Neg {}),
        Op::Abs(_) => of(site, map::Abs {}),
        Op::Exp(_) => of(site, map::Exp {}),
        Op::Sqrt(_) => of(site, map::Sqrt {}),
        Op::Reciprocal(_) => of(site, map::Reciprocal {}),
        Op::Erf(_) => of(site, map::Erf {}),
        Op::Floor(_) => of(site, map::Floor {}),
        Op::Ceil(_) => of(site, map::Ceil {}),
        Op::Round(_) => of(site, map::Round {}),
        _ => Err("not a function of one number".into()),
    }
}

struct Zip<F> {
    width: Width,
    f: F,
    loops: Loops,
}

impl<F: Fun2> Kernel for Zip<F> {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (a, b): (&[f32], &[f32]) = (bytemuck::cast_slice(io.ins[0]), bytemuck::cast_slice(io.ins[1]));
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        if out.is_empty() {
            return Ok(());
        }
        let (loops, inner) = (&self.loops, self.loops.inner());
        if loops.outer() == 1 {
            io.par.rows_of(inner, 1, 1, out, &|range, out| {
                let (a, b) = (part(a, loops.step(0), &range), part(b, loops.step(1), &range));
                map::zip(self.width, a, b, out, self.f);
            });
        } else {
            io.par.rows_of(loops.outer(), inner, inner, out, &|range, out| {
                for (n, out) in range.zip(out.chunks_exact_mut(inner)) {
                    let all = 0..out.len();
                    let (a, b) = (&a[loops.start(0, n)..], &b[loops.start(1, n)..]);
                    let (a, b) = (part(a, loops.step(0), &all), part(b, loops.step(1), &all));
                    map::zip(self.width, a, b, out, self.f);
                }
            });
        }
        Ok(())
    }
}

fn part<'a>(x: &'a [f32], step: usize, range: &Range<usize>) -> Run<'a> {
    if step == 0 { Run::All(x[0]) } else { Run::Each(&x[range.clone()]) }
}

/// Builds a function of two numbers.
pub(super) fn binary(site: &Site) -> Result<Built, String> {
    fn of(site: &Site, f: impl Fun2 + 'static) -> Result<Built, String> {
        let (a, b, y) = (site.operand(0)?, site.operand(1)?, site.out(0)?);
        let loops = Loops::new(&[&a.physical(), &b.physical()], &y.physical());
        if (0..2).any(|i| loops.step(i) > 1) {
            return Err("the operands do not lie side by side".into());
        }
        Built::kernel(Zip { width: Width::of(site.isa), f, loops }, &[0, 1])
    }
    fn then(site: &Site, f: impl Fun2 + 'static, act: &Act) -> Result<Built, String> {
        match act {
            Act::None => of(site, f),
            Act::Relu => of(site, Then(f, map::Relu {})),
            Act::Clip(lo, hi) => of(site, Then(f, map::Clip { lo: lo.0, hi: hi.0 })),
            Act::HardSwish => of(site, Then(f, map::HardSwish {})),
            Act::LeakyRelu(_) | Act::Tanh => Err("the activation is not fused".into()),
        }
    }
    match site.op {
        Op::Add(o) => then(site, map::Add {}, &o.act),
        Op::Mul(o) => then(site, map::Mul {}, &o.act),
        Op::Sub(_) => of(site, map::Sub {}),
        Op::Div(_) => of(site, map::Div {}),
        Op::Maximum(_) => of(site, map::Maximum {}),
        Op::Minimum(_) => of(site, map::Minimum {}),
        Op::Prelu(_) => of(site, map::Prelu {}),
        _ => Err("not a function of two numbers".into()),
    }
}

/// `batch_norm` as one multiplication and addition for each channel.
struct Affine {
    isa: Isa,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Kernel for Affine {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let channels = self.scale.len().max(1);
        let x: Option<&[f32]> = (!io.in_place).then(|| bytemuck::cast_slice(io.ins[0]));
        io.par.rows_of(out.len() / channels, channels, channels, out, &|range, out| {
            if let Some(x) = x {
                out.copy_from_slice(&x[range.start * channels..range.end * channels]);
            }
            normal::affine(self.isa, &self.scale, &self.shift, out);
        });
        Ok(())
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// Builds `batch_norm` on channels-last values.
pub(super) fn batch_norm(site: &Site) -> Result<Built, String> {
    let Op::BatchNorm(op) = site.op else { return Err("expected `batch_norm`".into()) };
    let floats = |i: usize| site.constant(i)?.floats().map_err(|r| r.message);
    let (gamma, beta, mean, var) = (floats(1)?, floats(2)?, floats(3)?, floats(4)?);
    let scale: Vec<f32> = gamma.iter().zip(var.iter()).map(|(g, v)| g / (v + op.eps.0).sqrt()).collect();
    let shift = beta.iter().zip(mean.iter()).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    Built::kernel(Affine { isa: site.isa, scale, shift }, &[0])
}
