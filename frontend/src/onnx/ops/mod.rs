//! What each ONNX op becomes: one file for each family, one table in each file.

mod activation;
mod bag;
mod constant;
mod conv;
mod elementwise;
mod linear;
mod movement;
mod norm;
mod pool;
mod quantized;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod select;
mod window;

use quantir_ir::ValueId;

use super::ctx::Import;
use super::node::{Fail, Node};

/// Imports one node.
pub type Handler = for<'a, 'm> fn(&'a mut Import<'m>, &'a Node<'m>) -> Result<(), Fail>;
/// Ops of one family by name.
pub type Table = &'static [(&'static str, Handler)];

const FAMILIES: [Table; 15] = [
    activation::OPS,
    bag::OPS,
    constant::OPS,
    conv::OPS,
    elementwise::OPS,
    linear::OPS,
    movement::OPS,
    norm::OPS,
    pool::OPS,
    quantized::OPS,
    recurrent::OPS,
    reduce::OPS,
    reshape::OPS,
    resize::OPS,
    select::OPS,
];

/// The importer of the standard op `name`.
pub fn find(name: &str) -> Option<Handler> {
    FAMILIES.iter().flat_map(|f| f.iter()).find(|(n, _)| *n == name).map(|(_, h)| *h)
}

/// All standard ops that have an importer, in the order of the families.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|f| f.iter()).map(|(n, _)| *n)
}

/// `axis` of a tensor of `rank` dimensions, counted from the front.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Fail> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(from_front) {
        Ok(a) if a < rank => Ok(a),
        _ => Err(Fail::invalid(format!("axis {axis} does not exist in a tensor of {rank} dimensions"))),
    }
}

/// Different axes of a tensor of `rank` dimensions, counted from the front, in the order given.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Fail> {
    let out: Vec<usize> = list.iter().map(|a| axis(*a, rank)).collect::<Result<_, _>>()?;
    let mut seen = vec![false; rank];
    for a in &out {
        if std::mem::replace(&mut seen[*a], true) {
            return Err(Fail::invalid(format!("axis {a} is given twice")));
        }
    }
    Ok(out)
}

/// Refuses a node if something uses one of its results beyond the first `known`.
pub(super) fn only_results(cx: &Import, node: &Node, known: usize) -> Result<(), Fail> {
    match node.proto.output.iter().skip(known).find(|o| cx.is_used(o)) {
        Some(_) => Err(Fail::unsupported(format!(
            "it returns more than {known} result{}",
            if known == 1 { "" } else { "s" }
        ))),
        None => Ok(()),
    }
}

/// `x` in the shape of these dimensions.
pub(super) fn reshape<'m>(
    cx: &mut Import<'m>,
    node: &Node<'m>,
    x: ValueId,
    shape: Vec<quantir_ir::Dim>,
    suffix: &str,
) -> Result<ValueId, Fail> {
    if cx.shape(x) == shape {
        Ok(x)
    } else {
        cx.helper(node, quantir_ir::ops::Reshape { shape }, [x], suffix)
    }
}
