//! Removes nodes whose results nobody uses.
//!
//! ```qir
//! input %x: f32[1,8]
//! %a = relu %x : f32[1,8]
//! %y = neg %x : f32[1,8]
//! return %y
//! =>
//! %y = neg %x : f32[1,8]
//! return %y
//! ```
//!
//! An edit removes what it leaves unused by itself; this pass removes what came unused from outside.

use crate::prelude::*;

/// The pass `dce`.
pub struct Dce;

const INFO: PassInfo =
    PassInfo::new("dce", "Remove nodes whose results nobody uses").phases(Phase::Float, Phase::Integer);

impl Pass for Dce {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let unused = |n: &NodeId| g.node(*n).outs.iter().all(|&v| g.value(v).uses.is_empty());
        let dead: Vec<NodeId> = g.nodes().filter(unused).collect();
        let mut removed = Vec::new();
        for n in dead {
            if !cx.count(g, INFO.name, n) {
                break;
            }
            g.remove_dead(vec![n], &mut removed);
        }
        Ok(Changed::from(!removed.is_empty()))
    }
}
