//! Evaluates shape arithmetic, with symbols.
//!
//! ```qir
//! input %x: f32[N,8,2,3]
//! %rest = const {data=[48]} : i64[1]
//! %s = shape %x : i64[4]
//! %n = slice %s {axis=0, end=1} : i64[1]
//! %t = concat %n, %rest {axis=0} : i64[2]
//! %y = reshape_to %x, %t : f32[N,48]
//! =>
//! %y = reshape %x {shape=[N,48]} : f32[N,48]
//! ```
//!
//! A small integer value whose elements are all known numbers becomes a constant; a `reshape_to` whose shape
//! is known, in symbols or numbers, becomes a `reshape`. What then remains of the arithmetic is unused and goes.

use quantir_ir::shape_value::ShapeValues;

use crate::prelude::*;

/// The pass `fold-shape`.
pub struct FoldShape;

const INFO: PassInfo = PassInfo::new("fold-shape", "Evaluate shape arithmetic, with symbols");

impl Pass for FoldShape {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        // Edits keep the contents of values, so what is known stays known.
        let mut values = ShapeValues::new();
        let mut changed = false;
        // From the end, so that arithmetic that only served a `reshape_to` is gone before it is folded itself.
        let nodes: Vec<NodeId> = g.nodes_rev().collect();
        for n in nodes {
            if g.try_node(n).is_none() {
                continue;
            }
            let edit = match g.get::<ReshapeTo>(n) {
                Some(r) => match reshape(g, &r, &mut values) {
                    Ok(edit) => Some(edit),
                    Err(reason) => {
                        cx.reject(g, n, reason);
                        None
                    }
                },
                None => constant(g, n, &mut values),
            };
            let Some(edit) = edit else { continue };
            if cx.apply(g, INFO.name, n, edit)?.is_none() {
                break;
            }
            changed = true;
        }
        Ok(Changed::from(changed))
    }
}

/// `reshape_to` as `reshape`, or why it stays.
fn reshape(g: &Graph, r: &ops::reshape_to::ReshapeToView, values: &mut ShapeValues) -> Result<Edit, String> {
    let depends = || format!("the shape %{} depends on data", g.name_of(r.shape));
    let content = values.content(g, r.shape).ok_or_else(depends)?;
    let (from, to) = (&g.ty(r.x).shape, &g.ty(r.out).shape);
    let means = |i: usize, d: &Dim| {
        *d == to[i] || d.is(-1) || (d.is(0) && from.0.get(i).is_some_and(|f| *f == to[i]))
    };
    if content.len() != to.rank() || !content.iter().enumerate().all(|(i, d)| means(i, d)) {
        let content: Vec<String> = content.iter().map(Dim::to_string).collect();
        return Err(format!("the shape is [{}], the declared result {to}", content.join(",")));
    }
    let mut e = g.edit(r.id);
    let new = e.op(Reshape { shape: to.0.clone() }, [r.x]).map_err(|r| r.message)?;
    if e.ty(new) != g.ty(r.out) {
        return Err(format!("`reshape` would yield {}", e.ty(new)));
    }
    e.replace(r.out, new);
    Ok(e.finish())
}

/// The results of node `n` as constants, if all their elements are known numbers.
fn constant(g: &Graph, n: NodeId, values: &mut ShapeValues) -> Option<Edit> {
    let node = g.node(n);
    if matches!(node.op, Op::Const(_)) {
        return None;
    }
    let mut e = g.edit(n);
    for &out in &node.outs {
        let ty = g.ty(out);
        let numbers: Vec<i64> = values.content(g, out)?.iter().map(Dim::as_lit).collect::<Option<_>>()?;
        let t = Tensor::from_ints(ty.elem.clone(), &ty.shape.concrete()?, &numbers).ok()?;
        let new = e.constant(t, g.name_of(out));
        e.replace(out, new);
    }
    Some(e.finish())
}
