//! Removes two negations in a row.
//!
//! ```qir
//! input %x: f32[1,8]
//! %a = neg %x : f32[1,8]
//! %b = neg %a : f32[1,8]
//! %y = relu %b : f32[1,8]
//! =>
//! %y = relu %x : f32[1,8]
//! ```

use crate::prelude::*;

/// The pass `neg-neg`.
pub struct NegNeg;

impl Rewrite for NegNeg {
    const INFO: PassInfo = PassInfo::new("neg-neg", "Remove two negations in a row");

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let outer = g.get::<Neg>(at)?;
        let inner = g.def::<Neg>(outer.x)?;
        Edit::forward(g, outer.out, inner.x)
    }
}
