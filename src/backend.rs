//! What this project's runtime computes on integers, derived from its kernel table, so that "supported" cannot differ
//! from "implemented".

use quantir_ir::Storage;
use quantir_quant::support::{SAME_OPS, TABLE_OPS};
use quantir_quant::{BackendConfig, Ends, KernelSupport, OpSupport, Role, WeightSupport};
use quantir_runtime::KernelRecord;
use quantir_runtime::table::{Accept, Fuses, Scheme, records};

/// Float ops, the integer ops that stand for them, and how they take part.
const COUNTERPARTS: &[(&str, &str, Role)] = &[
    ("conv1d", "qconv1d", Role::Weighted { axis: 0 }),
    ("conv2d", "qconv2d", Role::Weighted { axis: 0 }),
    ("conv3d", "qconv3d", Role::Weighted { axis: 0 }),
    ("conv_transpose1d", "qconv_transpose1d", Role::Weighted { axis: 1 }),
    ("conv_transpose2d", "qconv_transpose2d", Role::Weighted { axis: 1 }),
    ("conv_transpose3d", "qconv_transpose3d", Role::Weighted { axis: 1 }),
    ("linear", "qlinear", Role::Weighted { axis: 0 }),
    ("add", "qadd", Role::Compute),
    ("mul", "qmul", Role::Compute),
    ("mean", "qmean", Role::Unary),
    ("avg_pool", "qavg_pool", Role::Unary),
    ("concat", "qconcat", Role::Joined),
];

/// The runtime of this project.
pub fn native() -> KernelSupport {
    let mut entries = Vec::new();
    for &(float, integer, role) in COUNTERPARTS {
        entries.push(support(float, integer, role));
    }
    for op in TABLE_OPS {
        entries.push(support(op, "qlut", Role::Table));
    }
    for op in SAME_OPS {
        entries.push(support(op, op, Role::Same));
    }
    KernelSupport::from_entries("native", entries)
}

/// The same as patterns over ops of the IR, for the FX way of preparing.
pub fn runtime() -> BackendConfig {
    BackendConfig::runtime(&native())
}

/// What the kernels of op `kernel` accept, for op `op`.
fn support(op: &str, kernel: &str, role: Role) -> OpSupport {
    let serving: Vec<&KernelRecord> = records()
        .iter()
        .filter(|r| r.ops.contains(&kernel) && !storages(r.operands.first()).is_empty())
        .collect();
    let mut support = OpSupport::new(op, role);
    if serving.is_empty() {
        return support.refuse(&format!("there is no kernel for `{kernel}`"));
    }
    let mut activation: Vec<Ends> = Vec::new();
    for e in serving.iter().flat_map(|r| storages(r.operands.first())).map(Ends::full) {
        if !activation.contains(&e) {
            activation.push(e);
        }
    }
    support.activation = activation;
    if serving.iter().any(|r| r.fuses != Fuses::Nothing) {
        support.acts.extend(["relu", "clip"].map(String::from));
    }
    if serving.iter().any(|r| r.fuses == Fuses::Any) {
        support.acts.push("hard_swish".into());
    }
    if let Role::Weighted { .. } = role {
        let weights: Vec<&Accept> = serving.iter().filter_map(|r| r.operands.get(1)).collect();
        support.weight = Some(WeightSupport {
            integers: weights.iter().flat_map(|a| storages(Some(a))).map(Ends::full).collect(),
            zero_points: false,
            per_channel: weights
                .iter()
                .any(|a| matches!(a.scheme, Scheme::PerChannel | Scheme::PerColumn | Scheme::Any)),
        });
    }
    support
}

/// The 8-bit storages of quantized elements that an operand may have.
fn storages(accept: Option<&Accept>) -> Vec<Storage> {
    let Some(a) = accept.filter(|a| a.scheme != Scheme::Plain) else { return Vec::new() };
    let all = [Storage::U8, Storage::I8];
    all.into_iter().filter(|s| a.storages.is_empty() || a.storages.contains(s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_listed_is_served_by_a_kernel() {
        let backend = native();
        for &(float, integer, _) in COUNTERPARTS {
            let listed = backend.get(float).is_some_and(|e| e.refusal.is_none());
            let served = records().iter().any(|r| r.ops.contains(&integer));
            assert_eq!(listed, served, "{float}");
        }
    }

    /// Every pattern of the runtime's back end begins with an op that a kernel serves with the dtypes listed.
    #[test]
    fn every_pattern_of_the_runtime_is_served_by_a_kernel() {
        let (kernels, patterns) = (native(), runtime());
        assert!(patterns.configs().len() > 30);
        for c in patterns.configs() {
            let ops: Vec<&str> = c.pattern.ops().collect();
            let op = kernels.get(ops[0]).unwrap_or_else(|| panic!("`{}` has no kernel", ops[0]));
            for act in &ops[1..] {
                assert_eq!(op.check_act(act), Ok(()), "{}", c.pattern);
            }
            assert!(!c.dtype_configs.is_empty(), "{}", c.pattern);
            for d in &c.dtype_configs {
                let ends = |d: &quantir_quant::DTypeWithConstraints| {
                    let storage = d.dtype.and_then(|d| d.storage()).unwrap();
                    let full = storage.int_range().unwrap();
                    let lo = d.quant_min_lower_bound.unwrap_or(full.0);
                    (storage, (lo, d.quant_max_upper_bound.unwrap_or(full.1)))
                };
                for d in [&d.input_dtype, &d.output_dtype] {
                    let (storage, range) = ends(d);
                    assert_eq!(op.check_activation(storage, range), Ok(()), "{}", c.pattern);
                }
                if !d.weight_dtype.is_any() {
                    let (storage, range) = ends(&d.weight_dtype);
                    assert_eq!(op.check_weight(storage, range, false, false), Ok(()), "{}", c.pattern);
                }
            }
        }
    }

    /// Filetests of `prepare` and `lower` use the list that `quantir-quant` writes down; it must not promise more than
    /// the kernels here.
    #[test]
    fn the_written_list_promises_nothing_that_no_kernel_serves() {
        let served = native();
        for written in KernelSupport::native().entries().filter(|e| e.refusal.is_none()) {
            let op = &written.op;
            let have = served.get(op).unwrap_or_else(|| panic!("`{op}` has no kernel"));
            for e in &written.activation {
                assert_eq!(have.check_activation(e.storage, e.range), Ok(()), "{op}");
            }
            for act in &written.acts {
                assert_eq!(have.check_act(act), Ok(()), "{op}");
            }
            for e in written.weight.iter().flat_map(|w| &w.integers) {
                let w = written.weight.as_ref().unwrap();
                assert_eq!(
                    have.check_weight(e.storage, e.range, w.zero_points, w.per_channel),
                    Ok(()),
                    "{op}"
                );
            }
        }
    }
}
