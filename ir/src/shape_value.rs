//! The contents of small integer tensors as dimensions: shape arithmetic, evaluated with symbols.
//!
//! Models compute shapes with ops (`shape`, `gather`, `mul`, `concat`, `reshape_to`); with the contents known as
//! expressions over the graph's symbols, importers type such nodes and a pass folds them.

use std::collections::{HashMap, HashSet};

use crate::ValueId;
use crate::diag::Reason;
use crate::dim::Dim;
use crate::graph::Graph;
use crate::ops::elementwise::Strided;
use crate::ops::reduce::Reduction;
use crate::ops::{Eval, Op};
use crate::tensor::{Tensor, checked_numel};
use crate::types::{Shape, Storage, Type};

/// Tensors of more elements are not looked into.
const LIMIT: usize = 256;
/// Longer expressions count as unknown, so that repeated arithmetic on symbols stays cheap.
const LONGEST: usize = 400;

/// Contents of integer and `bool` values, computed on demand and remembered.
///
/// What is remembered holds for the graph as it was; start afresh after an edit.
#[derive(Default)]
pub struct ShapeValues {
    known: HashMap<ValueId, Option<Vec<Item>>>,
}

/// One element.
#[derive(Clone, PartialEq, Debug)]
struct Item {
    dim: Dim,
    /// Whether it is known not to be negative, as a length is.
    natural: bool,
}

impl Item {
    fn new(dim: Dim, g: &Graph) -> Item {
        let natural = dim.bounds(&g.dims).0.is_some_and(|lo| lo >= 0);
        Item { dim, natural }
    }
    fn lit(n: i64) -> Item {
        Item { dim: Dim::Lit(n), natural: n >= 0 }
    }
}

impl ShapeValues {
    /// Nothing known yet.
    pub fn new() -> ShapeValues {
        ShapeValues::default()
    }

    /// The elements of `v` in row-major order; `None` if they are not integers, too many, or depend on data.
    ///
    /// Truth values are 0 and 1.
    pub fn content(&mut self, g: &Graph, v: ValueId) -> Option<Vec<Dim>> {
        // Depth first over operands with a stack of its own, since chains may be long.
        let (mut stack, mut waiting) = (vec![v], HashSet::new());
        while let Some(&v) = stack.last() {
            if self.known.contains_key(&v) {
                stack.pop();
                continue;
            }
            let missing: Vec<ValueId> =
                operands(g, v).into_iter().filter(|x| !self.known.contains_key(x)).collect();
            if missing.is_empty() {
                let found = self.compute(g, v);
                self.known.insert(v, found);
                stack.pop();
            } else if waiting.insert(v) {
                stack.extend(missing);
            } else {
                // It waits for itself: the graph is broken.
                return None;
            }
        }
        Some(self.known.get(&v)?.as_ref()?.iter().map(|i| i.dim.clone()).collect())
    }

    /// The one element of a value that has one.
    pub fn scalar(&mut self, g: &Graph, v: ValueId) -> Option<Dim> {
        match self.content(g, v)?.as_slice() {
            [d] => Some(d.clone()),
            _ => None,
        }
    }

    /// From the contents of operands, all of which are remembered.
    fn compute(&self, g: &Graph, v: ValueId) -> Option<Vec<Item>> {
        let ty = small(g, v)?;
        let node = g.node(g.def_node(v)?);
        let result = node.outs.iter().position(|&o| o == v)?;
        let item = |i: usize| -> Option<&Vec<Item>> { self.known.get(&(*node.ins.get(i)?)?)?.as_ref() };
        let items = match &node.op {
            Op::Const(_) => g.constant(v)?.ints().ok()?.into_iter().map(Item::lit).collect(),
            Op::ShapeOf(_) => {
                let dims = &g.ty(node.ins.first().copied()??).shape.0;
                dims.iter().map(|d| Item { dim: d.clone(), natural: true }).collect()
            }
            Op::Cast(c) => match (c.to, g.ty(node.ins.first().copied()??).elem.storage()) {
                (Storage::I64 | Storage::I32, Storage::I64 | Storage::I32 | Storage::Bool) => {
                    item(0)?.clone()
                }
                _ => return None,
            },
            Op::Identity(_) | Op::Dropout(_) => item(0)?.clone(),
            Op::Reduce(r) => {
                let x = g.ty(node.ins.first().copied()??).shape.concrete()?;
                reduce(r.kind, &x, &r.axes, item(0)?)?
            }
            Op::Add(_) => self.zip(g, v, sum)?,
            Op::Sub(_) => self.zip(g, v, |a, b| Some(Item::new(a.dim.sub(&b.dim), g)))?,
            Op::Mul(_) => self.zip(g, v, product)?,
            Op::Div(_) => self.zip(g, v, quotient)?,
            Op::Maximum(_) => self.zip(g, v, |a, b| {
                Some(Item { dim: a.dim.larger(&b.dim), natural: a.natural || b.natural })
            })?,
            Op::Minimum(_) => self.zip(g, v, |a, b| {
                Some(Item { dim: a.dim.smaller(&b.dim), natural: a.natural && b.natural })
            })?,
            Op::Equal(_) => self.zip(g, v, |a, b| equal(g, a, b))?,
            op => self.moved(g, op, v, result)?,
        };
        let fits = Some(items.len()) == ty.shape.concrete().and_then(|s| checked_numel(&s));
        let short = |i: &Item| i.dim.as_lit().is_some() || i.dim.to_string().len() <= LONGEST;
        (fits && items.iter().all(short)).then_some(items)
    }

    /// An elementwise op on two operands that broadcast.
    fn zip(&self, g: &Graph, v: ValueId, f: impl Fn(&Item, &Item) -> Option<Item>) -> Option<Vec<Item>> {
        let node = g.node(g.def_node(v)?);
        let shape = g.ty(v).shape.concrete()?;
        let side = |i: usize| {
            let x = (*node.ins.get(i)?)?;
            let places = Strided::spread(&g.ty(x).shape.concrete()?, &shape).ok()?;
            Some((self.known.get(&x)?.as_ref()?, places))
        };
        let ((a, ia), (b, ib)) = (side(0)?, side(1)?);
        ia.zip(ib).map(|(i, j)| f(a.get(i)?, b.get(j)?)).collect()
    }

    /// An op that only moves elements: evaluated on the numbers of the elements instead of the elements.
    fn moved(&self, g: &Graph, op: &Op, v: ValueId, result: usize) -> Option<Vec<Item>> {
        let node = g.node(g.def_node(v)?);
        // Operands from here on say where elements go, so they must be numbers.
        let data = match op {
            Op::Concat(_) => 0..node.ins.len(),
            Op::Where(_) => 1..3,
            Op::Slice(_) | Op::Split(_) | Op::Gather(_) | Op::Transpose(_) => 0..1,
            Op::Reshape(_) | Op::ReshapeTo(_) | Op::Expand(_) => 0..1,
            _ => return None,
        };
        let mut all: Vec<&Item> = Vec::new();
        let mut tensors = Vec::new();
        for (i, x) in node.ins.iter().enumerate() {
            let x = (*x)?;
            let (ty, items) = (g.ty(x), self.known.get(&x)?.as_ref()?);
            let shape = ty.shape.concrete()?;
            let tensor = if data.contains(&i) {
                let first = all.len() as i64;
                all.extend(items);
                Tensor::new(&shape, (first..all.len() as i64).collect()).ok()?
            } else {
                let numbers: Option<Vec<i64>> = items.iter().map(|i| i.dim.as_lit()).collect();
                Tensor::from_ints(ty.elem.clone(), &shape, &numbers?).ok()?
            };
            tensors.push(tensor);
        }
        let outs: Option<Vec<Type>> =
            node.outs.iter().map(|&o| Some(Type::plain(Storage::I64, &g.ty(o).shape.concrete()?))).collect();
        let outs = outs?;
        let ins: Vec<Option<&Tensor>> = tensors.iter().map(Some).collect();
        let found = op.eval(&Eval { ins: &ins, outs: &outs }).ok()?;
        let places = found.get(result)?.ints().ok()?;
        places.into_iter().map(|i| Some((*all.get(usize::try_from(i).ok()?)?).clone())).collect()
    }
}

/// The type of `v` if its contents are worth looking into.
fn small(g: &Graph, v: ValueId) -> Option<&Type> {
    let ty = g.ty(v);
    let integer = matches!(ty.elem.storage(), Storage::I64 | Storage::I32 | Storage::Bool);
    let n = checked_numel(&ty.shape.concrete()?)?;
    (integer && ty.elem.quant().is_none() && n <= LIMIT).then_some(ty)
}

/// The operands whose contents decide those of `v`.
fn operands(g: &Graph, v: ValueId) -> Vec<ValueId> {
    match g.def_node(v).map(|n| g.node(n)) {
        Some(node) if small(g, v).is_some() && !matches!(node.op, Op::ShapeOf(_) | Op::Const(_)) => {
            node.ins.iter().flatten().copied().collect()
        }
        _ => Vec::new(),
    }
}

fn sum(a: &Item, b: &Item) -> Option<Item> {
    Some(Item { dim: a.dim.add(&b.dim), natural: a.natural && b.natural })
}

fn product(a: &Item, b: &Item) -> Option<Item> {
    Some(Item { dim: a.dim.mul(&b.dim), natural: a.natural && b.natural })
}

/// Integer division truncates and that of dimensions rounds down, which is the same unless something is negative.
fn quotient(a: &Item, b: &Item) -> Option<Item> {
    if let (Some(a), Some(b)) = (a.dim.as_lit(), b.dim.as_lit()) {
        return a.checked_div(b).map(Item::lit);
    }
    match b.dim.as_lit() {
        Some(c) if c >= 1 && a.natural => Some(Item { dim: a.dim.div_floor(c), natural: true }),
        Some(_) => None,
        // Exact quotients are the same either way.
        None => Some(Item { dim: a.dim.div_exact(&b.dim)?, natural: a.natural && b.natural }),
    }
}

/// 1 or 0 if the answer does not depend on the values of symbols.
fn equal(g: &Graph, a: &Item, b: &Item) -> Option<Item> {
    let apart = |a: &Item, b: &Item| {
        let (lo, hi) = (a.dim.bounds(&g.dims).0, b.dim.bounds(&g.dims).1);
        let lo = if a.natural { lo.max(Some(0)) } else { lo };
        lo.zip(hi).is_some_and(|(lo, hi)| lo > hi)
    };
    match a.dim.sub(&b.dim).as_lit() {
        Some(d) => Some(Item::lit(i64::from(d == 0))),
        None if apart(a, b) || apart(b, a) => Some(Item::lit(0)),
        None => None,
    }
}

fn reduce(kind: Reduction, shape: &[usize], axes: &[u32], items: &[Item]) -> Option<Vec<Item>> {
    let reduced = |a: usize| axes.contains(&(a as u32));
    // Strides of the result: 0 along reduced axes, so that all their elements meet in one place.
    let (mut strides, mut count) = (vec![0; shape.len()], 1);
    for a in (0..shape.len()).rev().filter(|&a| !reduced(a)) {
        strides[a] = count;
        count *= shape[a];
    }
    let mut out: Vec<Option<Item>> = vec![None; count];
    for (item, at) in items.iter().zip(Strided::new(shape, strides)) {
        let next = match (&out[at], kind) {
            (None, _) => item.clone(),
            (Some(x), Reduction::Sum) => sum(x, item)?,
            (Some(x), Reduction::Prod) => product(x, item)?,
            (Some(x), Reduction::Max) => {
                Item { dim: x.dim.larger(&item.dim), natural: x.natural || item.natural }
            }
            (Some(x), Reduction::Min) => {
                Item { dim: x.dim.smaller(&item.dim), natural: x.natural && item.natural }
            }
            _ => return None,
        };
        out[at] = Some(next);
    }
    match kind {
        Reduction::Sum => Some(out.into_iter().map(|i| i.unwrap_or(Item::lit(0))).collect()),
        Reduction::Prod => Some(out.into_iter().map(|i| i.unwrap_or(Item::lit(1))).collect()),
        Reduction::Max | Reduction::Min => out.into_iter().collect(),
        _ => None,
    }
}

/// The dimensions that a reshape to `wanted` yields: 0 copies the input's dimension (unless `allow_zero`), one −1
/// stands for what remains.
///
/// Fails if there is nothing to copy, if −1 occurs twice or does not come out even, or if the numbers of elements
/// are known to differ.
pub fn reshape_dims(input: &Shape, wanted: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, Reason> {
    let mut out = wanted.to_vec();
    let mut rest = None;
    for (i, d) in out.iter_mut().enumerate() {
        match d.as_lit() {
            Some(0) if !allow_zero => {
                *d = input.0.get(i).cloned().ok_or_else(|| {
                    Reason::new(format!("dimension {i} of the new shape is 0, which copies, but {input} has only {} dimensions", input.rank()))
                        .help("write the length itself")
                })?;
            }
            Some(-1) => {
                if let Some(first) = rest.replace(i) {
                    return Err(Reason::new(format!(
                        "dimensions {first} and {i} of the new shape are both -1"
                    ))
                    .help("only one can be computed from the others"));
                }
            }
            Some(n) if n < 0 => {
                return Err(Reason::new(format!("dimension {i} of the new shape is {n}"))
                    .help("a dimension is a length, or -1 for what remains"));
            }
            _ => {}
        }
    }
    // What occurs on both sides cancels, which also divides sums that `div_exact` cannot.
    let (mut have, mut want) = (input.0.clone(), Vec::new());
    for (i, d) in out.iter().enumerate() {
        if Some(i) == rest {
            continue;
        }
        match have.iter().position(|h| h == d && !d.is(0)) {
            Some(at) => drop(have.swap_remove(at)),
            None => want.push(d.clone()),
        }
    }
    let (have, want) = (Shape(have).numel(), Shape(want).numel());
    let new = || Shape(wanted.to_vec());
    match rest {
        Some(i) => {
            out[i] = have.div_exact(&want).ok_or_else(|| {
                let r = Reason::new(format!(
                    "{input} cannot be reshaped to {}: {have} elements do not divide by {want}",
                    new()
                ));
                match (&have, &want) {
                    (_, Dim::Lit(0)) => {
                        r.help("next to a dimension of length 0, -1 has no value; write the length itself")
                    }
                    (Dim::Lit(_), Dim::Lit(_)) => {
                        r.help("the other dimensions must divide the number of elements")
                    }
                    _ => r.help("write -1 as a dimension expression, or give the symbols fixed values"),
                }
            })?;
        }
        None => {
            if have.sub(&want).as_lit().is_some_and(|d| d != 0) {
                return Err(Reason::new(format!(
                    "{input} has {} elements, but {} has {}",
                    input.numel(),
                    new(),
                    Shape(out).numel()
                ))
                .help("the number of elements must stay the same"));
            }
        }
    }
    Ok(out)
}
