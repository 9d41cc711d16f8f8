//! Removes `dropout`, which does nothing outside training.
//!
//! ```qir
//! input %x: f32[1,8]
//! %d = dropout %x : f32[1,8]
//! %y = relu %d : f32[1,8]
//! =>
//! %y = relu %x : f32[1,8]
//! ```

use crate::prelude::*;

/// The pass `dropout`.
pub struct Dropout;

impl Rewrite for Dropout {
    const INFO: PassInfo = PassInfo::new("dropout", "Remove dropout, which does nothing outside training")
        .phases(Phase::Float, Phase::Observed);

    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let d = g.get::<ops::Dropout>(at)?;
        Edit::forward(g, d.out, d.x)
    }
}
