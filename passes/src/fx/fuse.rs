//! `fuse_fx`: joins calls by the fusions of a back end.
//!
//! A batch norm is folded into the convolution or linear layer before it, an activation becomes its attribute; the result keeps the
//! path of the layer and says the fused class as its call (`nn.intrinsic.ConvReLU2d`). Where the IR has no such attribute the ops
//! stay as they are and share path and call, so that they are one call to what follows.
//!
//! Each call is fused on its own, also where a module is called more than once: PyTorch exchanges the module itself there, and
//! so gives the other calls an activation too.

use std::collections::{HashMap, HashSet};

use quantir_ir::Loc;
use quantir_ir::loc::{Call, Path};
use quantir_quant::backend::FuseMode;
use quantir_quant::{BackendConfig, BackendPatternConfig, FuserMethod};

use crate::fuse::conv_bn::{FuseConvBn, folded};
use crate::fx::matching::{Match, find_all};
use crate::fx::view::{Id, View};
use crate::prelude::*;

/// A fusion that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FusedCall {
    /// The module that holds the weights.
    pub path: Option<Path>,
    /// The class that it is now.
    pub call: Call,
    /// What was fused, in order.
    pub members: Vec<String>,
}

/// Joins calls of a float graph by the fusions of `backend` (PyTorch's `fuse_fx` on a model in evaluation mode).
///
/// # Errors
/// A batch norm that cannot be folded: its parameters are no constants or do not fit.
pub fn fuse_fx(g: &mut Graph, backend: &BackendConfig) -> Result<Vec<FusedCall>, Diag> {
    run(g, &mut PassCx::new(), backend)
}

pub(super) fn run(g: &mut Graph, cx: &mut PassCx, backend: &BackendConfig) -> Result<Vec<FusedCall>, Diag> {
    super::calls::name_calls(g);
    let configs: Vec<&BackendPatternConfig> =
        backend.by_length().into_iter().filter(|c| c.fuser_method.is_some()).collect();
    let mut done = Vec::new();
    let mut tried: HashSet<NodeId> = HashSet::new();
    // One match at a time, from the last one: an edit changes what the view was made from.
    loop {
        let view = View::new(g, None, &[]);
        let (found, _) = find_all(g, &view, &configs);
        let next = found.into_iter().find(|m| !tried.contains(&head(&view, m.root())));
        let Some(m) = next else { return Ok(done) };
        let root = head(&view, m.root());
        let Some(c) = m.config else { return Ok(done) };
        match fuse(g, cx, &view, &m, c)? {
            Some((fused, nodes)) => {
                tried.extend(nodes);
                done.push(fused);
            }
            None => {
                tried.insert(root);
            }
        }
    }
}

fn head(view: &View, id: Id) -> NodeId {
    view.nodes[id].nodes[0]
}

/// The class that a fusion gives for evaluation; `None`: that of the root, since all else is folded into it.
pub(super) fn eval_class(c: &BackendPatternConfig) -> Option<String> {
    let fusion = c.fusion(FuseMode::Eval).ok()?;
    (!fusion.inner.is_empty()).then_some(fusion.class)
}

/// Makes one fusion; `None` at the limit of edits. Returns the nodes that it consists of now.
fn fuse(
    g: &mut Graph,
    cx: &mut PassCx,
    view: &View,
    m: &Match,
    c: &BackendPatternConfig,
) -> Result<Option<(FusedCall, Vec<NodeId>)>, Diag> {
    let root = &view.nodes[m.root()];
    let path = root.path.clone();
    let call: Call = match (eval_class(c), &root.call) {
        (Some(class), _) => class.into(),
        (None, Some(call)) => call.clone(),
        (None, None) => "".into(),
    };
    let members: Vec<String> = c.pattern.ops().map(str::to_string).collect();
    let n = head(view, m.root());
    let last = head(view, m.last());
    let reason = |r: Reason| r.diag("fuse").at(&g.node(n).loc);
    let name = g.name_of(g.node(n).outs[0]).to_string();
    let folds = c.fuser_method.is_some_and(FuserMethod::folds_batch_norm);

    let mut e = g.edit(last);
    let mut op = g.op(n).clone();
    let mut ins: Vec<Option<ValueId>> = g.node(n).ins.to_vec();
    let mut loc = g.node(n).loc.clone();
    (loc.path, loc.call) = (path.clone(), Some(call.clone()));
    // What the result of each member is now: that of the op which is being put together, or of a new node.
    let mut now: HashMap<ValueId, Option<ValueId>> = HashMap::from([(g.node(n).outs[0], None)]);
    for &id in m.nodes.iter().filter(|&&id| id != m.root()) {
        let at = head(view, id);
        let out = g.node(at).outs[0];
        loc.fuse(&g.node(at).loc);
        if folds && matches!(g.op(at), Op::BatchNorm(_)) {
            let (weight, bias) = folded(g, at).ok_or_else(|| {
                let why = FuseConvBn.why_not(g, at).unwrap_or_else(|| "its parameters do not fit".into());
                Diag::error("fuse", format!("this batch norm cannot be folded: {why}")).at(&g.node(at).loc)
            })?;
            let of = |slot: usize| ins.get(slot).copied().flatten();
            let weight_name = of(1).map_or_else(|| format!("{name}.weight"), |v| g.name_of(v).to_string());
            let bias_name = of(2).map_or_else(|| format!("{name}.bias"), |v| g.name_of(v).to_string());
            e.loc(Loc { path: path.clone(), ..Loc::default() });
            ins.truncate(1);
            ins.push(Some(e.constant(weight, &weight_name)));
            ins.push(Some(e.constant(Tensor::f32(&[bias.len()], bias), &bias_name)));
            now.insert(out, None);
            continue;
        }
        if matches!(g.op(at), Op::Relu(_))
            && let Some(act) = act_mut(&mut op)
            && *act == Act::None
        {
            *act = Act::Relu;
            now.insert(out, None);
            continue;
        }
        // The op before it stays one of its own.
        e.loc(loc.clone());
        let before = e.op(op, ins).map_err(reason)?;
        e.name(before, &name);
        op = g.op(at).clone();
        ins = g
            .node(at)
            .ins
            .iter()
            .map(|v| v.map(|v| now.get(&v).map_or(v, |v| v.unwrap_or(before))))
            .collect();
        now.values_mut().for_each(|v| *v = v.or(Some(before)));
        now.insert(out, None);
    }
    e.loc(loc);
    let new = e.op(op, ins).map_err(reason)?;
    let old = g.node(last).outs[0];
    e.name(new, &name).replace_uses(old, new, g.value(old).uses.to_vec());
    let edit = e.finish();
    let Some(done) = cx.apply(g, "fuse-fx", last, edit)? else { return Ok(None) };
    Ok(Some((FusedCall { path, call, members }, done.new)))
}

fn act_mut(op: &mut Op) -> Option<&mut Act> {
    Some(match op {
        Op::Conv(o) => &mut o.act,
        Op::Linear(o) => &mut o.act,
        Op::Add(o) => &mut o.act,
        _ => return None,
    })
}
