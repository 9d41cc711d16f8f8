//! Comparisons, selection, casts, and gathering by computed indices.

use quantir_ir::ops::Op;
use quantir_ir::{Reason, Storage};

use super::strided::Loops;
use super::{Built, Io, Kernel, Site};

#[derive(Clone, Copy)]
enum Order {
    Equal,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
}

/// A comparison of numbers with broadcasting.
struct Compare {
    order: Order,
    storage: Storage,
    loops: Loops,
}

impl Compare {
    fn typed<T: bytemuck::Pod + PartialOrd + Send + Sync>(&self, io: &mut Io<'_>) {
        macro_rules! by {
            ($op:tt) => { self.all(io, |a: T, b: T| a $op b) };
        }
        match self.order {
            Order::Equal => by!(==),
            Order::Less => by!(<),
            Order::Greater => by!(>),
            Order::LessEqual => by!(<=),
            Order::GreaterEqual => by!(>=),
        }
    }

    fn all<T: bytemuck::Pod + Send + Sync>(&self, io: &mut Io<'_>, f: impl Fn(T, T) -> bool + Sync) {
        let (a, b): (&[T], &[T]) = (bytemuck::cast_slice(io.ins[0]), bytemuck::cast_slice(io.ins[1]));
        if io.outs[0].is_empty() {
            return;
        }
        let (loops, inner) = (&self.loops, self.loops.inner());
        io.par.rows_of(loops.outer(), inner, inner, io.outs[0], &|range, out| {
            for (n, out) in range.zip(out.chunks_exact_mut(inner)) {
                let (a, b) = (&a[loops.start(0, n)..], &b[loops.start(1, n)..]);
                match (loops.step(0), loops.step(1)) {
                    (0, 0) => out.fill(u8::from(f(a[0], b[0]))),
                    (0, _) => out.iter_mut().zip(b).for_each(|(o, &b)| *o = u8::from(f(a[0], b))),
                    (_, 0) => out.iter_mut().zip(a).for_each(|(o, &a)| *o = u8::from(f(a, b[0]))),
                    _ => out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (&a, &b))| *o = u8::from(f(a, b))),
                }
            }
        });
    }
}

impl Kernel for Compare {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        match self.storage {
            Storage::F32 => self.typed::<f32>(&mut io),
            Storage::I64 => self.typed::<i64>(&mut io),
            Storage::I32 => self.typed::<i32>(&mut io),
            _ => self.typed::<u8>(&mut io),
        }
        Ok(())
    }
}

/// Builds `equal`, `less`, ….
pub(super) fn compare(site: &Site) -> Result<Built, String> {
    let order = match site.op {
        Op::Equal(_) => Order::Equal,
        Op::Less(_) => Order::Less,
        Op::Greater(_) => Order::Greater,
        Op::LessEqual(_) => Order::LessEqual,
        Op::GreaterEqual(_) => Order::GreaterEqual,
        _ => return Err("not a comparison".into()),
    };
    let (a, b, y) = (site.operand(0)?, site.operand(1)?, site.out(0)?);
    let loops = Loops::new(&[&a.physical(), &b.physical()], &y.physical());
    Built::kernel(Compare { order, storage: a.shaped.elem.storage(), loops }, &[0, 1])
}

/// Selection with broadcasting, of elements of 1, 4 or 8 bytes.
struct Select {
    size: usize,
    loops: Loops,
}

impl Select {
    fn typed<T: bytemuck::Pod + Send + Sync>(&self, io: &mut Io<'_>) {
        let test = io.ins[0];
        let (a, b): (&[T], &[T]) = (bytemuck::cast_slice(io.ins[1]), bytemuck::cast_slice(io.ins[2]));
        let out: &mut [T] = bytemuck::cast_slice_mut(io.outs[0]);
        if out.is_empty() {
            return;
        }
        let (loops, inner) = (&self.loops, self.loops.inner());
        let steps: [usize; 3] = std::array::from_fn(|i| loops.step(i));
        io.par.rows_of(loops.outer(), inner, inner, out, &|range, out| {
            for (n, out) in range.zip(out.chunks_exact_mut(inner)) {
                let at: [usize; 3] = std::array::from_fn(|i| loops.start(i, n));
                for (i, out) in out.iter_mut().enumerate() {
                    let (a, b) = (a[at[1] + i * steps[1]], b[at[2] + i * steps[2]]);
                    *out = if test[at[0] + i * steps[0]] != 0 { a } else { b };
                }
            }
        });
    }
}

impl Kernel for Select {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        match self.size {
            1 => self.typed::<u8>(&mut io),
            2 => self.typed::<u16>(&mut io),
            4 => self.typed::<u32>(&mut io),
            _ => self.typed::<u64>(&mut io),
        }
        Ok(())
    }
}

/// Builds `where`.
pub(super) fn select(site: &Site) -> Result<Built, String> {
    let (c, a, b, y) = (site.operand(0)?, site.operand(1)?, site.operand(2)?, site.out(0)?);
    let loops = Loops::new(&[&c.physical(), &a.physical(), &b.physical()], &y.physical());
    Built::kernel(Select { size: y.shaped.elem.storage().bytes(), loops }, &[0, 1, 2])
}

/// A conversion to `f32`.
struct ToFloat {
    from: Storage,
}

impl ToFloat {
    fn typed<T: bytemuck::Pod + Send + Sync>(&self, io: &mut Io<'_>, f: impl Fn(T) -> f32 + Sync) {
        let x: &[T] = bytemuck::cast_slice(io.ins[0]);
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.outs[0]);
        io.par.rows_of(x.len(), 1, 1, out, &|range, out| {
            out.iter_mut().zip(&x[range]).for_each(|(o, &x)| *o = f(x));
        });
    }
}

impl Kernel for ToFloat {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        match self.from {
            Storage::I64 => self.typed(&mut io, |x: i64| x as f32),
            Storage::I32 => self.typed(&mut io, |x: i32| x as f32),
            Storage::I8 => self.typed(&mut io, |x: i8| x.into()),
            _ => self.typed(&mut io, |x: u8| x.into()),
        }
        Ok(())
    }
}

/// Builds `cast` of integers and truth values to `f32`.
pub(super) fn to_float(site: &Site) -> Result<Built, String> {
    let x = site.operand(0)?;
    Built::kernel(ToFloat { from: x.shaped.elem.storage() }, &[0])
}

/// Entries along an axis by indices that the run computes.
struct Gather {
    axis: usize,
    outer: usize,
    len: usize,
    /// Bytes after the axis.
    inner: usize,
    wide: bool,
}

impl Gather {
    fn place(&self, i: i64) -> Result<usize, Reason> {
        let from_start = if i < 0 { i.saturating_add(self.len as i64) } else { i };
        usize::try_from(from_start).ok().filter(|&i| i < self.len).ok_or_else(|| {
            Reason::new(format!("index {i} lies outside axis {} of length {}", self.axis, self.len))
        })
    }
}

impl Kernel for Gather {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let x = io.ins[0];
        let (short, long): (&[i32], &[i64]) = match self.wide {
            true => (&[], bytemuck::cast_slice(io.ins[1])),
            false => (bytemuck::cast_slice(io.ins[1]), &[]),
        };
        let count = short.len() + long.len();
        let index = |k: usize| if self.wide { long[k] } else { short[k].into() };
        if self.inner == 0 || count == 0 {
            return Ok(());
        }
        let mut lines = io.outs[0].chunks_exact_mut(self.inner);
        for o in 0..self.outer {
            for k in 0..count {
                let from = (o * self.len + self.place(index(k))?) * self.inner;
                if let Some(line) = lines.next() {
                    line.copy_from_slice(&x[from..from + self.inner]);
                }
            }
        }
        Ok(())
    }
}

/// Builds `gather` by indices of any shape.
pub(super) fn gather(site: &Site) -> Result<Built, String> {
    let Op::Gather(op) = site.op else { return Err("expected `gather`".into()) };
    let (x, indices) = (site.operand(0)?, site.operand(1)?);
    let axis = op.axis as usize;
    let size = x.shaped.elem.storage().bytes();
    let kernel = Gather {
        axis,
        outer: x.dims()[..axis].iter().product(),
        len: x.dims()[axis],
        inner: x.dims()[axis + 1..].iter().product::<usize>() * size,
        wide: indices.shaped.elem.storage() == Storage::I64,
    };
    Built::kernel(kernel, &[0, 1])
}
