//! Which calls PyTorch's native lowering knows, and how.

/// Classes with weights that have a static quantized form, without their package.
const WEIGHTED: &[&str] = &[
    "nn.Linear",
    "nn.Conv1d",
    "nn.Conv2d",
    "nn.Conv3d",
    "nn.intrinsic.LinearReLU",
    "nn.intrinsic.ConvReLU1d",
    "nn.intrinsic.ConvReLU2d",
    "nn.intrinsic.ConvReLU3d",
    "nn.ConvTranspose1d",
    "nn.ConvTranspose2d",
    "nn.ConvTranspose3d",
];

/// Functions with weights that have one.
const FUNCTIONAL: &[&str] = &[
    "F.linear",
    "F.conv1d",
    "F.conv2d",
    "F.conv3d",
    "F.conv_transpose1d",
    "F.conv_transpose2d",
    "F.conv_transpose3d",
];

/// Calls that run on the quantized tensor and keep its parameters.
const COPY: &[&str] = &[
    "F.adaptive_avg_pool1d",
    "F.adaptive_avg_pool2d",
    "F.adaptive_avg_pool3d",
    "F.hardtanh",
    "F.hardtanh_",
    "F.interpolate",
    "F.max_pool1d",
    "F.max_pool2d",
    "F.max_pool3d",
    "F.relu",
    "F.relu6",
    "F.avg_pool1d",
    "F.avg_pool2d",
    "F.avg_pool3d",
    "F.channel_shuffle",
    "F.pixel_shuffle",
    "F.pixel_unshuffle",
    "torch.clamp",
    "torch.flatten",
    "torch.mean",
    ".clamp",
    ".mean",
    ".relu",
    ".relu_",
    "nn.AdaptiveAvgPool1d",
    "nn.AdaptiveAvgPool2d",
    "nn.AdaptiveAvgPool3d",
    "nn.AvgPool1d",
    "nn.AvgPool2d",
    "nn.AvgPool3d",
    "nn.Hardtanh",
    "nn.MaxPool1d",
    "nn.MaxPool2d",
    "nn.MaxPool3d",
    "nn.ReLU",
    "nn.ReLU6",
    "nn.ChannelShuffle",
    "nn.PixelShuffle",
    "nn.PixelUnshuffle",
    // Shapes only.
    "torch.narrow",
    "torch.transpose",
    "torch.repeat_interleave",
    "torch.squeeze",
    "torch.stack",
    "torch.unsqueeze",
    ".contiguous",
    ".detach",
    ".detach_",
    ".permute",
    ".repeat",
    ".repeat_interleave",
    ".reshape",
    ".resize_",
    ".squeeze",
    ".squeeze_",
    ".transpose",
    ".unsqueeze",
    ".unsqueeze_",
    ".view",
    "nn.Identity",
    "torch.cat",
    // Without effect, and in quantized form without parameters of its own.
    "nn.Dropout",
    "F.dropout",
];

/// Calls that compute the integers asked for.
const COMPUTED: &[&str] = &[
    "F.hardsigmoid",
    "F.sigmoid",
    "torch.sigmoid",
    "torch.tanh",
    ".hardsigmoid",
    ".hardsigmoid_",
    ".sigmoid",
    ".sigmoid_",
    ".tanh",
    ".tanh_",
    "nn.Hardsigmoid",
    "nn.Sigmoid",
    "nn.Tanh",
    "nn.Softmax",
    "F.elu",
    "F.hardswish",
    "F.leaky_relu",
    "nn.ELU",
    "nn.LeakyReLU",
    "nn.Hardswish",
    "nn.PReLU",
    "F.instance_norm",
    "F.layer_norm",
    "F.group_norm",
    "nn.InstanceNorm1d",
    "nn.InstanceNorm2d",
    "nn.InstanceNorm3d",
    "nn.LayerNorm",
    "nn.BatchNorm2d",
    "nn.BatchNorm3d",
    "nn.intrinsic.BNReLU2d",
    "nn.intrinsic.BNReLU3d",
    "torch.matmul",
    "nn.intrinsic.ConvAdd2d",
    "nn.intrinsic.ConvAddReLU2d",
    "nn.intrinsic.LinearLeakyReLU",
    "nn.intrinsic.LinearTanh",
];

pub(super) fn is_weighted_module(call: &str) -> bool {
    WEIGHTED.contains(&call)
}
pub(super) fn is_weighted_function(call: &str) -> bool {
    FUNCTIONAL.contains(&call)
}
pub(super) fn is_copy(call: &str) -> bool {
    COPY.contains(&call)
}
pub(super) fn is_computed(call: &str) -> bool {
    COMPUTED.contains(&call)
}
pub(super) fn is_binary(call: &str) -> bool {
    matches!(call, "operator.add" | "torch.add" | "operator.mul" | "torch.mul")
}

/// Whether a relu behind the call belongs to the quantized form.
pub(super) fn takes_relu(call: &str) -> bool {
    let weighted = is_weighted_function(call) || (is_weighted_module(call) && !call.contains("intrinsic"));
    is_binary(call) || (weighted && !call.to_lowercase().contains("transpose"))
}

/// The class of the quantized form: `nn.intrinsic.ConvReLU2d` → `nn.intrinsic.quantized.ConvReLU2d`.
pub(super) fn quantized(call: &str, dynamic: bool) -> String {
    let package = if dynamic { "quantized.dynamic." } else { "quantized." };
    match (call.strip_prefix("nn.intrinsic."), call.strip_prefix("nn."), call.strip_prefix("F.")) {
        (Some(class), _, _) => format!("nn.intrinsic.{package}{class}"),
        (_, Some(class), _) => format!("nn.{package}{class}"),
        (_, _, Some(f)) => format!("quantized.{f}{}", if dynamic { "_dynamic" } else { "" }),
        _ => call.into(),
    }
}
