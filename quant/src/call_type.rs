//! Call types: one spelling for what a model's author called.
//!
//! PyTorch has many names for one thing: `torch.nn.Conv2d` prints as `torch.nn.modules.conv.Conv2d`, `F.conv2d` is the
//! very object `torch.conv2d`, and `F.gelu` is `torch._C._nn.gelu`. Rules and patterns compare [`canonical`] spellings, so users may type any.

/// Whole prefixes and what they become; the first that fits is taken. Prefixes end at a dot.
const PREFIXES: &[(&str, &str)] = &[
    ("torch.nn.functional.", "F."),
    ("nn.functional.", "F."),
    ("torch._C._nn.", "F."),
    ("torch.functional.", "F."),
    ("torch.nn.quantized.", "nn.quantized."),
    ("torch.ao.quantization.stubs.", "quantization."),
    ("torch.ao.quantization.", "quantization."),
    ("torch.quantization.", "quantization."),
    ("ao.quantization.", "quantization."),
    ("torch.ao.nn.", "nn."),
    ("ao.nn.", "nn."),
    ("torch.nn.", "nn."),
    ("torch._ops.ops.", "torch.ops."),
    ("torch._C._VariableFunctions.", "torch."),
    ("torch._C.TensorBase.", "."),
    ("torch._tensor.Tensor.", "."),
    ("torch.Tensor.", "."),
    ("Tensor.", "."),
    ("method:", "."),
    ("_operator.", "operator."),
    ("math.", "math."),
    ("nniqat.", "nn.intrinsic.qat."),
    ("nniqd.", "nn.intrinsic.quantized.dynamic."),
    ("nniq.", "nn.intrinsic.quantized."),
    ("nni.", "nn.intrinsic."),
    ("nnqatd.", "nn.qat.dynamic."),
    ("nnqat.", "nn.qat."),
    ("nnqr.", "nn.quantized.reference."),
    ("nnqd.", "nn.quantized.dynamic."),
    ("nnq.", "nn.quantized."),
];

/// Functions of `torch` that are the same object as one of `torch.nn.functional`.
const SAME_AS_FUNCTIONAL: &[&str] = &[
    "adaptive_avg_pool1d",
    "avg_pool1d",
    "bilinear",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_similarity",
    "hardshrink",
    "native_channel_shuffle",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu_",
    "rrelu_",
    "threshold_",
];

/// Classes and functions that PyTorch's back ends and mappings speak of, to recognise slips.
pub const KNOWN: &[&str] = &[
    "F.adaptive_avg_pool1d",
    "F.adaptive_avg_pool2d",
    "F.adaptive_avg_pool3d",
    "F.avg_pool1d",
    "F.avg_pool2d",
    "F.avg_pool3d",
    "F.conv1d",
    "F.conv2d",
    "F.conv3d",
    "F.conv_transpose1d",
    "F.conv_transpose2d",
    "F.conv_transpose3d",
    "F.dropout",
    "F.elu",
    "F.embedding",
    "F.group_norm",
    "F.hardsigmoid",
    "F.hardswish",
    "F.hardtanh",
    "F.hardtanh_",
    "F.instance_norm",
    "F.interpolate",
    "F.layer_norm",
    "F.leaky_relu",
    "F.leaky_relu_",
    "F.linear",
    "F.max_pool1d",
    "F.max_pool2d",
    "F.max_pool3d",
    "F.pad",
    "F.pixel_shuffle",
    "F.pixel_unshuffle",
    "F.relu",
    "F.relu6",
    "nn.AdaptiveAvgPool1d",
    "nn.AdaptiveAvgPool2d",
    "nn.AdaptiveAvgPool3d",
    "nn.AvgPool1d",
    "nn.AvgPool2d",
    "nn.AvgPool3d",
    "nn.BatchNorm1d",
    "nn.BatchNorm2d",
    "nn.BatchNorm3d",
    "nn.ConstantPad2d",
    "nn.Conv1d",
    "nn.Conv2d",
    "nn.Conv3d",
    "nn.ConvTranspose1d",
    "nn.ConvTranspose2d",
    "nn.ConvTranspose3d",
    "nn.Dropout",
    "nn.ELU",
    "nn.Embedding",
    "nn.EmbeddingBag",
    "nn.Flatten",
    "nn.GELU",
    "nn.GRU",
    "nn.GRUCell",
    "nn.Hardsigmoid",
    "nn.Hardswish",
    "nn.Hardtanh",
    "nn.Identity",
    "nn.InstanceNorm1d",
    "nn.InstanceNorm2d",
    "nn.InstanceNorm3d",
    "nn.LSTM",
    "nn.LSTMCell",
    "nn.LayerNorm",
    "nn.LeakyReLU",
    "nn.Linear",
    "nn.MaxPool1d",
    "nn.MaxPool2d",
    "nn.MaxPool3d",
    "nn.Module",
    "nn.ModuleList",
    "nn.MultiheadAttention",
    "nn.PReLU",
    "nn.PixelShuffle",
    "nn.PixelUnshuffle",
    "nn.RNNCell",
    "nn.ReLU",
    "nn.ReLU6",
    "nn.Sequential",
    "nn.SiLU",
    "nn.Sigmoid",
    "nn.Softmax",
    "nn.Softplus",
    "nn.Tanh",
    "nn.intrinsic.BNReLU2d",
    "nn.intrinsic.BNReLU3d",
    "nn.intrinsic.ConvAdd2d",
    "nn.intrinsic.ConvAddReLU2d",
    "nn.intrinsic.ConvBn1d",
    "nn.intrinsic.ConvBn2d",
    "nn.intrinsic.ConvBn3d",
    "nn.intrinsic.ConvBnReLU1d",
    "nn.intrinsic.ConvBnReLU2d",
    "nn.intrinsic.ConvBnReLU3d",
    "nn.intrinsic.ConvReLU1d",
    "nn.intrinsic.ConvReLU2d",
    "nn.intrinsic.ConvReLU3d",
    "nn.intrinsic.LinearBn1d",
    "nn.intrinsic.LinearLeakyReLU",
    "nn.intrinsic.LinearReLU",
    "nn.intrinsic.LinearTanh",
    "torch.add",
    "torch.addmm",
    "torch.cat",
    "torch.clamp",
    "torch.concat",
    "torch.concatenate",
    "torch.flatten",
    "torch.matmul",
    "torch.mean",
    "torch.mul",
    "torch.narrow",
    "torch.permute",
    "torch.permute_copy",
    "torch.relu",
    "torch.repeat_interleave",
    "torch.sigmoid",
    "torch.squeeze",
    "torch.stack",
    "torch.sub",
    "torch.tanh",
    "torch.transpose",
    "torch.unsqueeze",
];

/// Names that differ in more than their place.
const RENAMED: &[(&str, &str)] = &[("F.log_sigmoid", "F.logsigmoid")];

/// The one spelling of a class (`nn.Conv2d`), a function (`F.relu`, `torch.add`, `operator.add`) or a method (`.reshape`).
///
/// ```
/// use quantir_quant::call_type::canonical;
///
/// for spelling in ["torch.nn.Conv2d", "nn.Conv2d", "torch.nn.modules.conv.Conv2d"] {
///     assert_eq!(canonical(spelling), "nn.Conv2d");
/// }
/// assert_eq!(canonical("torch.conv2d"), "F.conv2d");
/// assert_eq!(canonical("torch.Tensor.reshape"), ".reshape");
/// ```
///
/// Names of ops of the text format (`conv2d`) and of a user's own classes stay as they are.
pub fn canonical(name: &str) -> String {
    let name = name.trim().trim_start_matches("<built-in function ").trim_start_matches("<class '");
    let name = name.trim_end_matches('>').trim_end_matches('\'');
    let mut s = match PREFIXES.iter().find(|(from, _)| name.starts_with(from)) {
        Some((from, to)) => format!("{to}{}", &name[from.len()..]),
        None => name.to_owned(),
    };
    if s.starts_with("nn.") {
        s = without_files(&s);
    }
    if let Some(f) = s.strip_prefix("torch.")
        && SAME_AS_FUNCTIONAL.contains(&f)
    {
        s = format!("F.{f}");
    }
    match RENAMED.iter().find(|(from, _)| *from == s) {
        Some((_, to)) => (*to).into(),
        None => s,
    }
}

/// `nn.intrinsic.qat.modules.conv_fused.ConvBn2d` without the files that hold the class: `nn.intrinsic.qat.ConvBn2d`.
fn without_files(path: &str) -> String {
    match path.split_once(".modules.") {
        Some((package, rest)) => {
            let class = rest.rsplit_once('.').map_or(rest, |(_, class)| class);
            format!("{package}.{class}")
        }
        None => path.to_owned(),
    }
}

/// Whether a canonical call type is a class, so that its node stands for a call of a module of its own.
///
/// Functions start with `F.`, `torch.`, `operator.`, `math.` or `_` and methods with a dot; all else is the name of a class.
pub fn is_module(call: &str) -> bool {
    let function = ["F.", "torch.", "operator.", "math.", "builtins.", "."];
    if function.iter().any(|p| call.starts_with(p)) {
        return false;
    }
    // By convention classes begin with a capital letter, functions of a user's own modules do not.
    let last = call.rsplit('.').next().unwrap_or(call);
    last.trim_start_matches('_').starts_with(|c: char| c.is_uppercase())
}

/// Whether a canonical call type is a method: `.reshape`.
pub fn is_method(call: &str) -> bool {
    call.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_canonical_form() {
        for (spelling, want) in [
            ("torch.nn.Conv2d", "nn.Conv2d"),
            ("torch.ao.quantization.stubs.QuantStub", "quantization.QuantStub"),
            ("torch.nn.modules.conv.Conv2d", "nn.Conv2d"),
            ("<class 'torch.nn.modules.linear.Linear'>", "nn.Linear"),
            ("torch.ao.nn.intrinsic.modules.fused.ConvReLU2d", "nn.intrinsic.ConvReLU2d"),
            ("torch.nn.intrinsic.ConvReLU2d", "nn.intrinsic.ConvReLU2d"),
            ("nni.ConvReLU2d", "nn.intrinsic.ConvReLU2d"),
            ("torch.ao.nn.qat.modules.conv.Conv2d", "nn.qat.Conv2d"),
            ("nniqat.ConvBn2d", "nn.intrinsic.qat.ConvBn2d"),
            ("torch.ao.nn.intrinsic.qat.modules.conv_fused.ConvBn2d", "nn.intrinsic.qat.ConvBn2d"),
            ("torch.ao.nn.quantized.reference.modules.conv.Conv2d", "nn.quantized.reference.Conv2d"),
            ("torch.ao.nn.quantizable.modules.rnn.LSTM", "nn.quantizable.LSTM"),
            ("torch.nn.functional.relu", "F.relu"),
            ("torch._C._nn.gelu", "F.gelu"),
            ("torch._C._nn.log_sigmoid", "F.logsigmoid"),
            ("torch.conv_transpose1d", "F.conv_transpose1d"),
            ("torch.nn.functional.conv_transpose1d", "F.conv_transpose1d"),
            ("torch.relu", "torch.relu"),
            ("torch.add", "torch.add"),
            ("_operator.add", "operator.add"),
            ("method:reshape", ".reshape"),
            ("torch.Tensor.reshape", ".reshape"),
            ("conv2d", "conv2d"),
            ("gen.resolution.Block", "gen.resolution.Block"),
        ] {
            assert_eq!(canonical(spelling), want);
            assert_eq!(canonical(want), want);
        }
    }

    #[test]
    fn classes_are_told_from_functions() {
        for class in ["nn.Conv2d", "nn.intrinsic.ConvReLU2d", "gen.resolution.Block", "_Block"] {
            assert!(is_module(class));
        }
        for function in ["F.relu", "torch.add", "operator.add", ".reshape", "mymodel.scale", "torch.Tensor"] {
            assert!(!is_module(function));
        }
    }
}
