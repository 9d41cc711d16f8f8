//! Float ops of one and two elements.

use quantir_ir::Reason;
use quantir_ir::ops::act::{clip, hard_swish, relu};
use quantir_ir::ops::{Act, Op};

use super::strided::Loops;
use super::{Built, Io, Kernel, Site};
use crate::kernels::float::map::{Run, map, map_in_place, zip};
use crate::kernels::float::{Width, math};

/// A function of one number.
#[derive(Clone, Copy)]
enum Unary {
    Relu,
    Clip(f32, f32),
    LeakyRelu(f32),
    HardSigmoid(f32, f32),
    HardSwish,
    Elu(f32),
    Gelu,
    GeluTanh,
    Sigmoid,
    Tanh,
    Neg,
    Abs,
    Exp,
    Sqrt,
    Reciprocal,
    Erf,
    Floor,
    Ceil,
    Round,
}

/// Calls `$go` with the function as a closure, so that each becomes a loop of its own.
macro_rules! with_unary {
    ($unary:expr, $go:ident) => {
        match $unary {
            Unary::Relu => $go!(|x| relu(x)),
            Unary::Clip(lo, hi) => $go!(move |x| clip(x, lo, hi)),
            Unary::LeakyRelu(alpha) => $go!(move |x: f32| if x < 0.0 { alpha * x } else { x }),
            Unary::HardSigmoid(alpha, beta) => $go!(move |x| clip(alpha * x + beta, 0.0, 1.0)),
            Unary::HardSwish => $go!(|x| hard_swish(x)),
            Unary::Elu(alpha) => {
                $go!(move |x: f32| if x > 0.0 { x } else { alpha * (math::exp(x) - 1.0) })
            }
            Unary::Gelu => {
                $go!(|x: f32| 0.5 * x * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2)))
            }
            Unary::GeluTanh => {
                $go!(|x: f32| { 0.5 * x * (1.0 + math::tanh(0.797_884_6 * (x + 0.044715 * x * x * x))) })
            }
            Unary::Sigmoid => $go!(|x| math::sigmoid(x)),
            Unary::Tanh => $go!(|x| math::tanh(x)),
            Unary::Neg => $go!(|x: f32| -x),
            Unary::Abs => $go!(|x: f32| x.abs()),
            Unary::Exp => $go!(|x| math::exp(x)),
            Unary::Sqrt => $go!(|x: f32| x.sqrt()),
            Unary::Reciprocal => $go!(|x: f32| 1.0 / x),
            Unary::Erf => $go!(|x| math::erf(x)),
            Unary::Floor => $go!(|x: f32| x.floor()),
            Unary::Ceil => $go!(|x: f32| x.ceil()),
            Unary::Round => $go!(|x: f32| x.round_ties_even()),
        }
    };
}

struct Map {
    width: Width,
    f: Unary,
}

impl Kernel for Map {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        let width = self.width;
        if io.in_place {
            macro_rules! go {
                ($f:expr) => {
                    io.par.rows_of(out.len(), 1, 1, out, &|_, out| map_in_place(width, out, $f))
                };
            }
            with_unary!(self.f, go);
        } else {
            let x: &[f32] = bytemuck::cast_slice(io.ins[0]);
            macro_rules! go {
                ($f:expr) => {
                    io.par.rows_of(out.len(), 1, 1, out, &|range, out| map(width, &x[range], out, $f))
                };
            }
            with_unary!(self.f, go);
        }
        Ok(())
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// Builds a function of one number.
pub(super) fn unary(site: &Site) -> Result<Built, String> {
    let f = match site.op {
        Op::Relu(_) => Unary::Relu,
        Op::Clip(o) => Unary::Clip(o.min.0, o.max.0),
        Op::LeakyRelu(o) => Unary::LeakyRelu(o.alpha.0),
        Op::HardSigmoid(o) => Unary::HardSigmoid(o.alpha.0, o.beta.0),
        Op::HardSwish(_) => Unary::HardSwish,
        Op::Elu(o) => Unary::Elu(o.alpha.0),
        Op::Gelu(o) if o.tanh => Unary::GeluTanh,
        Op::Gelu(_) => Unary::Gelu,
        Op::Sigmoid(_) => Unary::Sigmoid,
        Op::Tanh(_) => Unary::Tanh,
        Op::Neg(_) => Unary::Neg,
        Op::Abs(_) => Unary::Abs,
        Op::Exp(_) => Unary::Exp,
        Op::Sqrt(_) => Unary::Sqrt,
        Op::Reciprocal(_) => Unary::Reciprocal,
        Op::Erf(_) => Unary::Erf,
        Op::Floor(_) => Unary::Floor,
        Op::Ceil(_) => Unary::Ceil,
        Op::Round(_) => Unary::Round,
        _ => return Err("not a function of one number".into()),
    };
    Built::kernel(Map { width: Width::of(site.isa), f }, &[0])
}

/// A function of two numbers.
#[derive(Clone, Copy)]
enum Binary {
    Add,
    Mul,
    Sub,
    Div,
    Prelu,
}

struct Zip {
    width: Width,
    f: Binary,
    act: Act,
    loops: Loops,
}

impl Zip {
    /// Innermost loop `n`.
    fn run<'a>(&self, n: usize, a: &'a [f32], b: &'a [f32], out: &mut [f32]) {
        let part = |i: usize, x: &'a [f32]| {
            let at = self.loops.start(i, n);
            match self.loops.step(i) {
                0 => Run::All(x[at]),
                _ => Run::Each(&x[at..at + out.len()]),
            }
        };
        let (a, b) = (part(0, a), part(1, b));
        self.apply(a, b, out);
    }

    fn apply(&self, a: Run, b: Run, out: &mut [f32]) {
        macro_rules! go {
            ($f:expr) => {
                match self.act {
                    Act::None => zip(self.width, a, b, out, $f),
                    Act::Relu => zip(self.width, a, b, out, |a, b| relu($f(a, b))),
                    Act::Clip(lo, hi) => zip(self.width, a, b, out, |a, b| clip($f(a, b), lo.0, hi.0)),
                    Act::HardSwish => zip(self.width, a, b, out, |a, b| hard_swish($f(a, b))),
                }
            };
        }
        match self.f {
            Binary::Add => go!(|a: f32, b: f32| a + b),
            Binary::Mul => go!(|a: f32, b: f32| a * b),
            Binary::Sub => zip(self.width, a, b, out, |a, b| a - b),
            Binary::Div => zip(self.width, a, b, out, |a, b| a / b),
            Binary::Prelu => zip(self.width, a, b, out, |x, s| if x < 0.0 { s * x } else { x }),
        }
    }
}

impl Kernel for Zip {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let (a, b): (&[f32], &[f32]) = (bytemuck::cast_slice(io.ins[0]), bytemuck::cast_slice(io.ins[1]));
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        if out.is_empty() {
            return Ok(());
        }
        let inner = self.loops.inner();
        if self.loops.outer() == 1 {
            let run = |i: usize, x, range: &std::ops::Range<usize>| part(x, self.loops.step(i), range);
            io.par.rows_of(inner, 1, 1, out, &|range, out| {
                self.apply(run(0, a, &range), run(1, b, &range), out);
            });
        } else {
            io.par.rows_of(self.loops.outer(), inner, inner, out, &|range, out| {
                for (n, out) in range.zip(out.chunks_exact_mut(inner)) {
                    self.run(n, a, b, out);
                }
            });
        }
        Ok(())
    }
}

fn part<'a>(x: &'a [f32], step: usize, range: &std::ops::Range<usize>) -> Run<'a> {
    if step == 0 { Run::All(x[0]) } else { Run::Each(&x[range.clone()]) }
}

/// Builds a function of two numbers.
pub(super) fn binary(site: &Site) -> Result<Built, String> {
    let (f, act) = match site.op {
        Op::Add(o) => (Binary::Add, o.act.clone()),
        Op::Mul(o) => (Binary::Mul, o.act.clone()),
        Op::Sub(_) => (Binary::Sub, Act::None),
        Op::Div(_) => (Binary::Div, Act::None),
        Op::Prelu(_) => (Binary::Prelu, Act::None),
        _ => return Err("not a function of two numbers".into()),
    };
    let (a, b, y) = (site.operand(0)?, site.operand(1)?, site.out(0)?);
    let loops = Loops::new(&[&a.physical(), &b.physical()], &y.physical());
    if (0..2).any(|i| loops.step(i) > 1) {
        return Err("the operands do not lie side by side".into());
    }
    Built::kernel(Zip { width: Width::of(site.isa), f, act, loops }, &[0, 1])
}

/// `batch_norm` as one multiplication and addition for each channel.
struct Affine {
    width: Width,
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
            crate::kernels::float::map::compiled(self.width, || {
                for pixel in out.chunks_exact_mut(channels) {
                    for ((x, &m), &s) in pixel.iter_mut().zip(&self.scale).zip(&self.shift) {
                        *x = *x * m + s;
                    }
                }
            });
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
    Built::kernel(Affine { width: Width::of(site.isa), scale, shift }, &[0])
}
