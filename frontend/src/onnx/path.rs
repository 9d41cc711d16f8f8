//! Module paths: where in the author's model a node comes from.

/// The module path of a node, from its name, else from its first named weight.
///
/// PyTorch names a node by the chain of modules that led to it, each component repeating what identifies the module in
/// its parent: `/b1/body/body.0/body.0.1/Conv` is the op `Conv` of module `b1.body.0.1`.
pub fn of_node(name: &str, op: &str, weights: &[&str]) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty()).collect();
    if parts.last().is_some_and(|p| is_op(p, op)) {
        parts.pop();
    }
    // A name of one component, such as `n12` or `Conv@3`, is no chain of modules.
    let chain = join(&parts);
    if name.contains('/') && !chain.is_empty() {
        return Some(chain);
    }
    if let Some(module) = weights.iter().find_map(|w| of_weight(w)) {
        return Some(module);
    }
    let bare = name.trim_matches('/');
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// The module that owns a weight: `conv1.weight` belongs to `conv1`.
pub fn of_weight(name: &str) -> Option<String> {
    // A name that an exporter made up, such as `onnx::Conv_193`, says nothing.
    if name.contains("::") {
        return None;
    }
    let name = name.trim_matches('/');
    let owner = match name.rsplit_once('.') {
        Some((owner, _)) => owner,
        None => SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?,
    };
    let parts: Vec<&str> = owner.split('/').filter(|p| !p.is_empty()).collect();
    Some(join(&parts)).filter(|p| !p.is_empty())
}

/// What weights are called within their module by exporters that use no points.
const SUFFIXES: [&str; 11] = [
    "_w_0", "_b_0", "_s_0", "_weights", "_weight", "_bias", "_scale", "_offset", "/kernel", "/weight",
    "/bias",
];

/// Whether `part` is `op` or `op_12`.
fn is_op(part: &str, op: &str) -> bool {
    part.strip_prefix(op).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Joins components with points; one that continues its parent (`body`, `body.0`) takes the parent's place.
fn join(parts: &[&str]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in parts {
        match kept.last() {
            Some(last) if part.strip_prefix(*last).is_some_and(|rest| rest.starts_with('.')) => {
                kept.pop();
                kept.push(part);
            }
            _ => kept.push(part),
        }
    }
    kept.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pytorch_lead_to_modules() {
        let path = |name, op| of_node(name, op, &[]);
        assert_eq!(path("/c1/c1.0/Conv", "Conv").as_deref(), Some("c1.0"));
        assert_eq!(path("/b1/body/body.0/body.0.1/Conv", "Conv").as_deref(), Some("b1.body.0.1"));
        assert_eq!(path("/layers.0/attn/MatMul_3", "MatMul").as_deref(), Some("layers.0.attn"));
        assert_eq!(path("/Relu_1", "Relu").as_deref(), Some("Relu_1"));
        assert_eq!(path("", "Relu"), None);
    }

    #[test]
    fn weights_name_the_module_where_the_node_does_not() {
        assert_eq!(of_node("Conv_7", "Conv", &["x", "encoder.0.weight"]).as_deref(), Some("encoder.0"));
        assert_eq!(of_node("", "Conv", &["gpu_0/conv1_w_0"]).as_deref(), Some("gpu_0.conv1"));
        assert_eq!(of_node("Conv@0", "Conv", &["conv1_weights"]).as_deref(), Some("conv1"));
        assert_eq!(of_node("Conv_7", "Conv", &["onnx::Conv_193"]).as_deref(), Some("Conv_7"));
        assert_eq!(of_node("model/block/conv2d", "Conv", &[]).as_deref(), Some("model.block.conv2d"));
    }
}
