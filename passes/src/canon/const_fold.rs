//! Evaluates nodes whose operands are all constants.
//!
//! ```qir
//! %a = const {data=[1.0,2.0]} : f32[2]
//! %y = neg %a : f32[2]
//! =>
//! %y = const {data=[-1.0,-2.0]} : f32[2]
//! ```
//!
//! Evaluation is the definition of meaning, so the result keeps its bits. A result of more than `limit`
//! elements is left alone if it is larger than all operands together, so that models do not grow. Quantize,
//! dequantize and observe stay: they say how a constant is to be quantized.

use smallvec::SmallVec;

use crate::prelude::*;

/// The pass `const-fold`.
pub struct ConstFold;

const INFO: PassInfo = PassInfo::new("const-fold", "Evaluate nodes whose operands are all constants")
    .phases(Phase::Float, Phase::Integer)
    .options(&[OptionInfo {
        name: "limit",
        default: "65536",
        doc: "largest number of elements of a result that is larger than its operands",
    }]);

impl Pass for ConstFold {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let limit: usize = cx.option("limit")?;
        let mut changed = false;
        // One walk in order suffices: operands come before their users.
        let nodes: Vec<NodeId> = g.nodes().collect();
        for n in nodes {
            if g.try_node(n).is_none() || !foldable(g, n) {
                continue;
            }
            match fold(g, n, limit) {
                Ok(edit) => {
                    if cx.apply(g, INFO.name, n, edit)?.is_none() {
                        break;
                    }
                    changed = true;
                }
                Err(reason) => cx.reject(g, n, reason.message),
            }
        }
        Ok(Changed::from(changed))
    }
}

/// Whether all operands are constants and the op is one to evaluate now.
fn foldable(g: &Graph, n: NodeId) -> bool {
    let node = g.node(n);
    let stays = matches!(
        node.op,
        Op::Const(_) | Op::Observe(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_)
    );
    !stays && !node.ins.is_empty() && node.ins.iter().flatten().all(|&v| g.is_const(v))
}

fn fold(g: &Graph, n: NodeId, limit: usize) -> Result<Edit, Reason> {
    let node = g.node(n);
    let numel = |v: ValueId| g.ty(v).shape.concrete().map(|s| s.iter().product::<usize>());
    let operands: usize = node.ins.iter().flatten().filter_map(|&v| numel(v)).sum();
    let results: Option<usize> = node.outs.iter().map(|&v| numel(v)).sum();
    let results = results.ok_or_else(|| Reason::new("the result has symbolic dimensions"))?;
    if results > limit && results > operands {
        return Err(Reason::new(format!(
            "the result would have {results} elements, more than limit={limit}"
        )));
    }
    let constant = |v: ValueId| g.constant(v).ok_or_else(|| Reason::new("a constant is not loaded"));
    let ins: Vec<Option<Tensor>> =
        node.ins.iter().map(|v| v.map(constant).transpose()).collect::<Result<_, _>>()?;
    let ins: SmallVec<[Option<&Tensor>; 4]> = ins.iter().map(Option::as_ref).collect();
    let outs: Vec<Type> = node.outs.iter().map(|&v| g.ty(v).clone()).collect();
    let values = node.op.eval(&Eval { ins: &ins, outs: &outs })?;
    let mut e = g.edit(n);
    for (&old, t) in node.outs.iter().zip(values) {
        let new = e.constant(t, g.name_of(old));
        if e.ty(new) != g.ty(old) {
            return Err(Reason::new(format!("evaluation gave {}, expected {}", e.ty(new), g.ty(old))));
        }
        e.replace(old, new);
    }
    Ok(e.finish())
}
