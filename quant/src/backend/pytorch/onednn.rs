//! What only the oneDNN back end fuses: sums into convolutions, leaky relu and tanh into linear layers.

use super::super::{BackendPatternConfig, DTypeConfig, FuserMethod, Pattern};
use super::families::{Configs, entry, rooted, sequential};

const SUMS: [&str; 2] = ["torch.add", "operator.add"];

/// `Conv2d(+BN)+add(+ReLU)` with the convolution on either side of the sum.
pub(super) fn conv_add(dtypes: &[DTypeConfig]) -> Configs {
    let mut all = Vec::new();
    for (relu, fused) in [(false, "ConvAdd2d"), (true, "ConvAddReLU2d")] {
        for left in [true, false] {
            for bn in [true, false] {
                all.extend(SUMS.iter().map(|sum| one(sum, bn, left, relu, dtypes)));
            }
        }
        all.push(rooted(format!("nn.intrinsic.{fused}").as_str(), "Conv2d", dtypes));
    }
    all
}

fn one(sum: &str, bn: bool, left: bool, relu: bool, dtypes: &[DTypeConfig]) -> BackendPatternConfig {
    let bn_line = if bn { "%n = nn.BatchNorm2d %c; " } else { "" };
    let value = if bn { "%n" } else { "%c" };
    let operands = if left { format!("{value}, %y") } else { format!("%y, {value}") };
    let relu_line = if relu { "; %r = nn.ReLU %s" } else { "" };
    let text = format!("%c = nn.Conv2d %x; {bn_line}%s = {sum} {operands}{relu_line}");
    let (method, fused) = match (bn, relu) {
        (false, false) => (FuserMethod::ConvAdd, "nn.intrinsic.ConvAdd2d"),
        (true, false) => (FuserMethod::ConvBnAdd, "nn.intrinsic.ConvAdd2d"),
        (false, true) => (FuserMethod::ConvAddRelu, "nn.intrinsic.ConvAddReLU2d"),
        (true, true) => (FuserMethod::ConvBnAddRelu, "nn.intrinsic.ConvAddReLU2d"),
    };
    // The text is well formed for every choice; the fallback is never taken.
    let pattern = text.parse().unwrap_or_else(|_| Pattern::single(sum));
    entry(pattern, dtypes)
        .set_fuser_method(method)
        .set_fused_module(fused)
        .set_root_node("c")
        .set_extra_inputs(&["y"])
}

/// `Linear(+BN)+LeakyReLU` and `Linear+Tanh`.
pub(super) fn linear_activations(dtypes: &[DTypeConfig]) -> Configs {
    let mut all = Vec::new();
    for (acts, name) in
        [(["nn.LeakyReLU", "F.leaky_relu"], "LinearLeakyReLU"), (["nn.Tanh", "torch.tanh"], "LinearTanh")]
    {
        let fused = format!("nn.intrinsic.{name}");
        all.extend(acts.map(|act| sequential(&["nn.Linear", act], &fused, dtypes)));
        all.push(rooted(fused.as_str(), "Linear", dtypes));
        all.extend(acts.map(|act| entry(["F.linear", act], dtypes)));
        if name == "LinearLeakyReLU" {
            all.push(
                entry(["nn.Linear", "nn.BatchNorm1d", "nn.LeakyReLU"], dtypes)
                    .set_fuser_method(FuserMethod::LinearBnLeakyRelu)
                    .set_fused_module(&fused),
            );
        }
    }
    all
}
