//! Calls of nodes whose source does not tell them: graphs from ONNX know ops only.

use crate::prelude::*;

/// In a graph that tells no call at all, gives each node the one that PyTorch users most likely wrote for its op, so that patterns
/// speak of it.
///
/// Where a module and a function are treated alike by PyTorch's back ends it does not matter which of them is named.
pub(crate) fn name_calls(g: &mut Graph) {
    let nodes: Vec<NodeId> = g.nodes().collect();
    if nodes.iter().any(|&n| g.node(n).loc.call.is_some()) {
        return;
    }
    for n in nodes {
        if let Some(call) = likely(g, n) {
            g.set_call(n, call.into());
        }
    }
}

fn likely(g: &Graph, n: NodeId) -> Option<String> {
    let node = g.node(n);
    let rank = |v: Option<ValueId>| v.map_or(0, |v| g.ty(v).rank());
    let x = node.ins.first().copied().flatten();
    // Spatial axes of `[N,C,*S]`.
    let spatial = rank(x).saturating_sub(2);
    let name = match &node.op {
        Op::Conv(_) => return Some(format!("nn.Conv{spatial}d")),
        Op::ConvTranspose(_) => return Some(format!("nn.ConvTranspose{spatial}d")),
        Op::BatchNorm(_) => return Some(format!("nn.BatchNorm{}d", spatial.max(1))),
        Op::InstanceNorm(_) => return Some(format!("nn.InstanceNorm{}d", spatial.max(1))),
        Op::MaxPool(_) => return Some(format!("nn.MaxPool{spatial}d")),
        Op::AvgPool(_) => return Some(format!("nn.AvgPool{spatial}d")),
        Op::Reduce(r) if node.op.name() == "mean" => match r.keep {
            true => return Some(format!("nn.AdaptiveAvgPool{spatial}d")),
            false => ".mean",
        },
        Op::Linear(_) => "nn.Linear",
        Op::Relu(_) => "nn.ReLU",
        Op::Clip(c) if (c.min.0, c.max.0) == (0.0, 6.0) => "nn.ReLU6",
        Op::Clip(_) => "nn.Hardtanh",
        Op::Sigmoid(_) => "nn.Sigmoid",
        Op::Tanh(_) => "nn.Tanh",
        Op::HardSigmoid(_) => "nn.Hardsigmoid",
        Op::HardSwish(_) => "nn.Hardswish",
        Op::LeakyRelu(_) => "nn.LeakyReLU",
        Op::Elu(_) => "nn.ELU",
        Op::Prelu(_) => "nn.PReLU",
        Op::Softmax(_) => "nn.Softmax",
        Op::Add(_) => "operator.add",
        Op::Mul(_) => "operator.mul",
        Op::Matmul(_) => "torch.matmul",
        Op::Concat(_) => "torch.cat",
        Op::Stack(_) => "torch.stack",
        Op::Transpose(_) => ".permute",
        Op::Resize(_) => "F.interpolate",
        Op::LayerNorm(_) => "nn.LayerNorm",
        Op::Embedding(_) => "nn.Embedding",
        Op::EmbeddingBag(_) => "nn.EmbeddingBag",
        Op::Lstm(_) => "nn.LSTM",
        Op::Gru(_) => "nn.GRU",
        Op::PixelShuffle(_) => "nn.PixelShuffle",
        Op::PixelUnshuffle(_) => "nn.PixelUnshuffle",
        Op::Dropout(_) => "nn.Dropout",
        Op::Identity(_) => "nn.Identity",
        Op::Reshape(_) => match rank(node.outs.first().copied()) {
            2 => "torch.flatten",
            _ => ".reshape",
        },
        _ => return None,
    };
    Some(name.into())
}
