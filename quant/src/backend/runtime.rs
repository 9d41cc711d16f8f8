//! The back end of this project's runtime, derived from what its kernels accept.

use super::{
    BackendConfig, BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints, ObservationType, Pattern,
};
use crate::{Ends, KernelSupport, OpSupport, Role};

impl BackendConfig {
    /// Patterns over ops of the IR (`conv2d`, and `conv2d, relu` where the kernel applies the activation) for everything
    /// that `support` accepts, so that nothing is listed that no kernel serves.
    ///
    /// Activations come and go in one storage; weights in any that the kernels take.
    pub fn runtime(support: &KernelSupport) -> BackendConfig {
        let served = support.entries().filter(|e| e.refusal.is_none());
        BackendConfig::new("runtime").set_backend_pattern_configs(served.flat_map(entries))
    }
}

fn entries(op: &OpSupport) -> Vec<BackendPatternConfig> {
    let mut dtypes = Vec::new();
    for a in op.activation.iter().filter_map(ends) {
        match &op.weight {
            None => dtypes.push(DTypeConfig::new(a, a)),
            Some(w) => dtypes.extend(
                w.integers
                    .iter()
                    .filter_map(ends)
                    .map(|w| DTypeConfig::new(a, a).weight(w).bias(DType::Float32)),
            ),
        }
    }
    let observation = match op.role {
        Role::Weighted { .. } | Role::Compute | Role::Unary | Role::Table => {
            ObservationType::OutputUseDifferentObserverAsInput
        }
        Role::Same | Role::Joined => ObservationType::OutputShareObserverWithInput,
    };
    let entry = |pattern: Pattern| {
        let e = BackendPatternConfig::new(pattern)
            .set_dtype_configs(dtypes.iter().cloned())
            .set_observation_type(observation);
        match op.role {
            Role::Weighted { .. } => e.set_input_type_to_index(&[("weight", 1), ("bias", 2)]),
            _ => e,
        }
    };
    let fused = op.acts.iter().map(|act| entry(Pattern::chain(&[&op.op, act])));
    fused.chain([entry(Pattern::single(&op.op))]).collect()
}

/// The storage with its range where that is narrower than the whole.
fn ends(e: &Ends) -> Option<DTypeWithConstraints> {
    let dtype = DTypeWithConstraints::new(DType::of_storage(e.storage)?);
    Some(if Some(e.range) == e.storage.int_range() { dtype } else { dtype.range(e.range.0, e.range.1) })
}
