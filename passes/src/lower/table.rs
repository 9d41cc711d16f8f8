//! Elementwise functions of one 8-bit value become tables.

use std::collections::HashMap;

use quantir_ir::ops::Eval;
use quantir_quant::{KernelSupport, Role};

use crate::lower::{Island, integers, replaced};
use crate::prelude::*;
use crate::prepare::elementwise::{is_elementwise, is_scalar_const, is_unary};

/// A function deeper than this is left alone.
const DEEPEST: usize = 64;

/// Evaluates the function that ends at a `quantize` on every integer of its source, by the ops' own definition, so the
/// table holds exactly what the reference form computes.
pub(super) fn table(g: &Graph, at: NodeId, backend: &KernelSupport) -> Option<Edit> {
    let island = Island::ending(g, at)?;
    let mut f = Function { g, backend, source: None, done: HashMap::new(), height: HashMap::new() };
    let source = f.find(g.node(island.node).outs[0], 0).and(f.source)?;
    let (x, from) = integers(g, source)?;
    let entry = backend.entries().find(|e| e.role == Role::Table)?;
    let all = [from, island.quant];
    if all.iter().any(|q| q.per_tensor().is_none() || entry.check_activation(q.storage, q.range).is_err()) {
        return None;
    }
    let (lo, hi) = from.storage.int_range().filter(|(lo, hi)| hi - lo == 255)?;
    let ints: Vec<i64> = (lo..=hi).collect();
    let real = Tensor::from_ints(Elem::Quant(from.clone()), &[256], &ints).ok()?.dequantize().ok()?;
    f.done.insert(source, real);
    let result = f.eval(g.node(island.node).outs[0])?;
    let mut e = g.edit(at);
    e.loc_of(island.node);
    let table = e.constant(result.quantize(island.quant).ok()?, "table");
    e.name(table, &format!("{}.table", g.name_of(g.node(island.node).outs[0])));
    let new = e.op(Qlut {}, [x, table]).ok()?;
    replaced(e, island.out, new)
}

struct Function<'g> {
    g: &'g Graph,
    backend: &'g KernelSupport,
    source: Option<ValueId>,
    done: HashMap<ValueId, Tensor>,
    /// Longest way to the source of values that were found to be parts of the function.
    height: HashMap<ValueId, usize>,
}

impl Function<'_> {
    /// Walks back from `v` to the one dequantized value that it depends on; `None` if there is another thing.
    /// Returns the longest way there. Each value is looked into once, however often it is read.
    fn find(&mut self, v: ValueId, depth: usize) -> Option<usize> {
        if is_scalar_const(self.g, v) {
            return Some(0);
        }
        if let Some(&height) = self.height.get(&v) {
            return (depth + height <= DEEPEST).then_some(height);
        }
        if let Some((x, _)) = integers(self.g, v) {
            if self.source.is_some_and(|s| s != v) || self.g.is_const(x) {
                return None;
            }
            self.source = Some(v);
            return Some(0);
        }
        let node = self.g.node(self.g.def_node(v)?);
        let known = !is_unary(&node.op)
            || self.backend.get(node.op.name()).is_some_and(|s| s.role == Role::Table && s.refusal.is_none());
        if depth > DEEPEST || !is_elementwise(&node.op) || !known {
            return None;
        }
        let mut height = 0;
        for v in node.ins.iter().copied().flatten() {
            height = height.max(self.find(v, depth + 1)? + 1);
        }
        // A scalar of more dimensions would change the shape.
        if self.source.is_some_and(|s| self.g.ty(s) != self.g.ty(v)) {
            return None;
        }
        self.height.insert(v, height);
        Some(height)
    }

    /// The function's value at 256 places.
    fn eval(&mut self, v: ValueId) -> Option<Tensor> {
        if let Some(t) = self.done.get(&v) {
            return Some(t.clone());
        }
        if is_scalar_const(self.g, v) {
            let t = match integers(self.g, v) {
                Some((x, _)) => self.g.constant(x)?.dequantize().ok()?,
                None => self.g.constant(v)?,
            };
            return t.reshape(&[]).ok();
        }
        let node = self.g.node(self.g.def_node(v)?);
        let ins: Vec<Option<Tensor>> = node
            .ins
            .iter()
            .map(|v| v.map_or(Some(None), |v| self.eval(v).map(Some)))
            .collect::<Option<_>>()?;
        let ins: Vec<Option<&Tensor>> = ins.iter().map(Option::as_ref).collect();
        // A function of constants only stays one number.
        let len: &[usize] = if ins.iter().flatten().all(|t| t.shape.is_empty()) { &[] } else { &[256] };
        let t = node.op.eval(&Eval { ins: &ins, outs: &[Type::f32(len)] }).ok()?.pop()?;
        self.done.insert(v, t.clone());
        Some(t)
    }
}
