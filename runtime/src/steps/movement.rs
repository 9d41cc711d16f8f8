//! Ops that move elements without looking at them, whatever these are.

use quantir_ir::ops::{Eval, Op};
use quantir_ir::{Elem, Reason, Tensor, Type};

use super::fallback::ty;
use super::{Built, Io, Kernel, Operand, Site};
use crate::plan::{Layout, Shaped};

/// Copies runs of bytes; the source of each run is the sum of an entry of two tables.
struct Pick {
    parts: Vec<Part>,
}

/// One result.
struct Part {
    /// Offsets of whole lines and of runs within a line; `None` where the filling stands.
    lines: Vec<Option<usize>>,
    runs: Vec<Option<usize>>,
    /// Bytes of a run.
    run: usize,
    /// A run of filling.
    fill: Vec<u8>,
}

impl Part {
    /// Looks up the index along each physical axis of x in that axis' table.
    fn new(dims: &[usize], tables: &[Vec<Option<usize>>], size: usize, fill: &[u8]) -> Part {
        let whole =
            |i: usize| tables[i].len() == dims[i] && tables[i].iter().enumerate().all(|(k, t)| *t == Some(k));
        let mut inner = dims.len();
        let mut run = size;
        while inner > 0 && whole(inner - 1) {
            inner -= 1;
            run *= dims[inner];
        }
        let steps: Vec<usize> =
            (0..dims.len()).map(|i| dims[i + 1..].iter().product::<usize>() * size).collect();
        let mut runs = vec![Some(0)];
        let mut lines = vec![Some(0)];
        if inner > 0 {
            let table = &tables[inner - 1];
            let first = table.first().copied().flatten();
            let contiguous = first.is_some_and(|f| table.iter().enumerate().all(|(k, t)| *t == Some(f + k)));
            match (contiguous, first) {
                (true, Some(f)) => {
                    runs = vec![Some(f * steps[inner - 1])];
                    run *= table.len();
                }
                _ => runs = table.iter().map(|t| t.map(|t| t * steps[inner - 1])).collect(),
            }
            for (table, step) in tables[..inner - 1].iter().zip(&steps) {
                let next = |at: Option<usize>| table.iter().map(move |t| Some(at? + (*t)? * step));
                lines = lines.into_iter().flat_map(next).collect();
            }
        }
        let filled = lines.iter().chain(&runs).any(Option::is_none);
        let fill = if filled { fill.iter().copied().cycle().take(run).collect() } else { Vec::new() };
        Part { lines, runs, run, fill }
    }
}

impl Kernel for Pick {
    fn run(&self, io: Io<'_>) -> Result<(), Reason> {
        let x = io.ins[0];
        for (part, out) in self.parts.iter().zip(io.outs) {
            if part.run == 0 || out.is_empty() {
                continue;
            }
            let line = part.runs.len() * part.run;
            io.par.rows_of(part.lines.len(), line, line / 8 + part.runs.len(), out, &|range, out| {
                for (start, out) in part.lines[range].iter().zip(out.chunks_exact_mut(line)) {
                    for (at, out) in part.runs.iter().zip(out.chunks_exact_mut(part.run)) {
                        match (start, at) {
                            (Some(start), Some(at)) => copy(&x[start + at..][..part.run], out),
                            _ => copy(&part.fill, out),
                        }
                    }
                }
            });
        }
        Ok(())
    }
}

/// Copies; single elements without a call.
#[inline(always)]
fn copy(x: &[u8], out: &mut [u8]) {
    match x.len() {
        1 => out[0] = x[0],
        4 => out[..4].copy_from_slice(&x[..4]),
        _ => out.copy_from_slice(x),
    }
}

/// For each logical axis, the index that each result index shows.
type Tables = Vec<Vec<Option<usize>>>;

fn whole(dims: &[usize]) -> Tables {
    dims.iter().map(|&d| (0..d).map(Some).collect()).collect()
}

/// A step from tables by logical axis.
fn step(x: &Operand, tables: Vec<Tables>, fill: &[u8]) -> Result<Built, String> {
    let rank = x.dims().len();
    let size = x.shaped.elem.storage().bytes();
    let parts = tables.into_iter().map(|tables| {
        let mut physical = vec![Vec::new(); rank];
        for (axis, table) in tables.into_iter().enumerate() {
            physical[x.layout.axis(axis, rank)] = table;
        }
        Part::new(&x.physical(), &physical, size, fill)
    });
    Built::kernel(Pick { parts: parts.collect() }, &[0])
}

/// Builds `slice`.
pub(super) fn slice(site: &Site) -> Result<Built, String> {
    let Op::Slice(op) = site.op else { return Err("expected `slice`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let axis = op.axis as usize;
    let start = op.start.as_lit().ok_or("the start is not known")?;
    let mut tables = whole(x.dims());
    let at = |k: usize| usize::try_from(start + k as i64 * op.step).ok();
    tables[axis] = (0..y.dims()[axis]).map(at).collect();
    let inside = |t: &Option<usize>| t.is_some_and(|t| t < x.dims()[axis]);
    if !tables[axis].iter().all(inside) {
        return Err("the slice reaches outside".into());
    }
    step(x, vec![tables], &[])
}

/// Builds `split`.
pub(super) fn split(site: &Site) -> Result<Built, String> {
    let Op::Split(op) = site.op else { return Err("expected `split`".into()) };
    let x = site.operand(0)?;
    let axis = op.axis as usize;
    let mut all = Vec::new();
    let mut at = 0;
    for y in site.outs {
        let mut tables = whole(x.dims());
        tables[axis] = (at..at + y.dims()[axis]).map(Some).collect();
        at += y.dims()[axis];
        all.push(tables);
    }
    if at != x.dims()[axis] {
        return Err("the parts do not cover the axis".into());
    }
    step(x, all, &[])
}

/// Builds `expand`.
pub(super) fn expand(site: &Site) -> Result<Built, String> {
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let mut x = x.clone();
    if x.dims().len() < y.dims().len() {
        let pad = y.dims().len() - x.dims().len();
        x.shaped.dims = std::iter::repeat_n(1, pad).chain(x.dims().iter().copied()).collect();
    }
    let table =
        |(&from, &to): (&usize, &usize)| (0..to).map(|i| Some(if from == 1 { 0 } else { i })).collect();
    let tables = x.dims().iter().zip(y.dims()).map(table).collect();
    step(&x, vec![tables], &[])
}

/// Builds `gather` along constant indices.
pub(super) fn gather(site: &Site) -> Result<Built, String> {
    let Op::Gather(op) = site.op else { return Err("expected `gather`".into()) };
    let (x, indices) = (site.operand(0)?, site.constant(1)?);
    if indices.rank() > 1 {
        return Err("indices of several dimensions are left to the interpreter".into());
    }
    let (axis, n) = (op.axis as usize, x.dims()[op.axis as usize] as i64);
    let mut tables = whole(x.dims());
    let indices = indices.ints().map_err(|r| r.message)?;
    let index = |i: i64| usize::try_from(if i < 0 { i + n } else { i }).ok().filter(|&i| (i as i64) < n);
    let table: Option<Vec<usize>> = indices.into_iter().map(index).collect();
    tables[axis] = table.ok_or("an index lies outside")?.into_iter().map(Some).collect();
    step(x, vec![tables], &[])
}

/// Builds `pad` and `resize` by nearest element: the op itself, evaluated on indices, says what goes where.
pub(super) fn by_index(site: &Site) -> Result<Built, String> {
    let (x, y) = (site.operand(0)?, site.out(0)?);
    if let Op::Resize(op) = site.op
        && op.mode != quantir_ir::ops::resize::ResizeMode::Nearest
    {
        return Err("only the nearest element is copied".into());
    }
    let rank = x.dims().len();
    let mut tables = Vec::new();
    for axis in 0..rank {
        tables.push(along(site.op, x, y, axis)?);
    }
    let fill = match site.op {
        Op::Pad(op) => filling(op.value.0, &x.shaped.elem)?,
        _ => Vec::new(),
    };
    step(x, vec![tables], &fill)
}

/// The index of x that each index of y along `axis` shows, found by evaluating the op on a line of indices.
fn along(op: &Op, x: &Operand, y: &Operand, axis: usize) -> Result<Vec<Option<usize>>, String> {
    let line =
        |d: usize| -> Vec<usize> { (0..x.dims().len()).map(|i| if i == axis { d } else { 1 }).collect() };
    let (from, to) = (line(x.dims()[axis]), line(y.dims()[axis]));
    let one = match op {
        Op::Pad(p) => {
            let mut p = p.clone();
            for (i, pads) in p.pads.iter_mut().enumerate() {
                if i != axis {
                    *pads = vec![0, 0];
                }
            }
            p.value = quantir_ir::attr::F32(-1.0);
            Op::Pad(p)
        }
        Op::Resize(r) => {
            let mut r = r.clone();
            r.scales.iter_mut().enumerate().filter(|(i, _)| *i != axis).for_each(|(_, s)| s.0 = 1.0);
            r.sizes.iter_mut().enumerate().filter(|(i, _)| *i != axis).for_each(|(_, s)| *s = 1i64.into());
            Op::Resize(r)
        }
        _ => return Err("not a movement by index".into()),
    };
    let numbers =
        Tensor::new(&from, (0..x.dims()[axis] as i32).collect::<Vec<i32>>()).map_err(|r| r.message)?;
    let shaped = Shaped { elem: numbers.elem.clone(), dims: to.into() };
    let out: Type = ty(&shaped);
    let result = one.eval(&Eval { ins: &[Some(&numbers)], outs: &[out] }).map_err(|r| r.message)?;
    let indices = result.first().ok_or("no result")?.ints().map_err(|r| r.message)?;
    Ok(indices.into_iter().map(|i| usize::try_from(i).ok()).collect())
}

/// One element that stands for the real number `value`.
fn filling(value: f32, elem: &Elem) -> Result<Vec<u8>, String> {
    let one = Tensor::f32(&[1], vec![value]);
    let t = match elem {
        Elem::Quant(q) => one.quantize(q),
        Elem::Plain(quantir_ir::Storage::F32) => Ok(one),
        Elem::Plain(s) if s.is_float() => return Err("half floats are left to the interpreter".into()),
        Elem::Plain(_) => Tensor::from_ints(elem.clone(), &[1], &[value as i64]),
    };
    Ok(t.map_err(|r| r.message)?.bytes().to_vec())
}

/// Joins parts; `blocks` bytes of each part follow each other for each of `outer` positions.
struct Join {
    outer: usize,
    blocks: Vec<usize>,
}

impl Kernel for Join {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        let line: usize = self.blocks.iter().sum();
        let ins = &io.ins;
        io.par.rows_of(self.outer, line, line / 8, io.outs[0], &|range, out| {
            for (i, out) in range.zip(out.chunks_exact_mut(line.max(1))) {
                let mut at = 0;
                for (x, &block) in ins.iter().zip(&self.blocks) {
                    out[at..at + block].copy_from_slice(&x[i * block..][..block]);
                    at += block;
                }
            }
        });
        Ok(())
    }
}

/// Builds `concat`.
pub(super) fn concat(site: &Site) -> Result<Built, String> {
    let Op::Concat(op) = site.op else { return Err("expected `concat`".into()) };
    let y = site.out(0)?;
    let rank = y.dims().len();
    let axis = y.layout.axis(op.axis as usize, rank);
    let size = y.shaped.elem.storage().bytes();
    let outer = y.physical()[..axis].iter().product();
    let mut blocks = Vec::new();
    for i in 0..site.ins.len() {
        blocks.push(site.operand(i)?.physical()[axis..].iter().product::<usize>() * size);
    }
    let uses: Vec<usize> = (0..site.ins.len()).collect();
    Built::kernel(Join { outer, blocks }, &uses)
}

/// Reorders axes.
struct Transpose {
    /// Dimensions of the result and the strides of x along them, in elements.
    dims: Vec<usize>,
    strides: Vec<usize>,
    size: usize,
}

impl Transpose {
    fn typed<T: bytemuck::Pod + Send + Sync>(&self, io: &mut Io<'_>) {
        let (x, out): (&[T], &mut [T]) =
            (bytemuck::cast_slice(io.ins[0]), bytemuck::cast_slice_mut(io.outs[0]));
        let (Some((&inner, outer)), Some((&step, steps))) =
            (self.dims.split_last(), self.strides.split_last())
        else {
            return out.copy_from_slice(x);
        };
        let lines = outer.iter().product();
        io.par.rows_of(lines, inner, inner, out, &|range, out| {
            for (mut n, out) in range.zip(out.chunks_exact_mut(inner.max(1))) {
                let mut at = 0;
                for (&d, &s) in outer.iter().zip(steps).rev() {
                    at += n % d * s;
                    n /= d;
                }
                if step == 1 {
                    out.copy_from_slice(&x[at..at + inner]);
                } else {
                    out.iter_mut().zip(x[at..].iter().step_by(step)).for_each(|(o, &x)| *o = x);
                }
            }
        });
    }
}

impl Kernel for Transpose {
    fn run(&self, mut io: Io<'_>) -> Result<(), Reason> {
        if io.outs[0].is_empty() {
            return Ok(());
        }
        match self.size {
            1 => self.typed::<u8>(&mut io),
            2 => self.typed::<u16>(&mut io),
            4 => self.typed::<u32>(&mut io),
            _ => self.typed::<u64>(&mut io),
        }
        Ok(())
    }
}

/// Builds `transpose` of row-major values.
pub(super) fn transpose(site: &Site) -> Result<Built, String> {
    let Op::Transpose(op) = site.op else { return Err("expected `transpose`".into()) };
    let (x, y) = (site.operand(0)?, site.out(0)?);
    let long: Vec<u32> = op.perm.iter().copied().filter(|&p| x.dims()[p as usize] != 1).collect();
    if long.is_sorted() {
        return Ok(Built::Alias(0));
    }
    debug_assert_eq!(x.layout, Layout::RowMajor);
    let from = x.dims();
    let steps: Vec<usize> = (0..from.len()).map(|i| from[i + 1..].iter().product()).collect();
    let (mut dims, mut strides): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (&d, &p) in y.dims().iter().zip(&op.perm) {
        let step = steps[p as usize];
        match (dims.last_mut(), strides.last_mut()) {
            // Neighbours that stay neighbours are one axis.
            (Some(last), Some(s)) if *s == step * d => {
                *last *= d;
                *s = step;
            }
            _ if d == 1 => {}
            _ => {
                dims.push(d);
                strides.push(step);
            }
        }
    }
    let size = x.shaped.elem.storage().bytes();
    Built::kernel(Transpose { dims, strides, size }, &[0])
}
