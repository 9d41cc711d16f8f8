//! The patterns that PyTorch's back ends share, as families: what differs is the dtypes.

use super::super::{BackendPatternConfig, DTypeConfig, FuserMethod, ObservationType, Pattern};
use super::dtypes::{Dtypes, embeddings};
use ObservationType::{
    InputOutputNotObserved, OutputShareObserverWithInput as Share,
    OutputUseDifferentObserverAsInput as Different,
};

/// A list of entries.
pub(super) type Configs = Vec<BackendPatternConfig>;

const RELUS: [&str; 2] = ["nn.ReLU", "F.relu"];
const WEIGHT_BIAS: &[(&str, usize)] = &[("weight", 1), ("bias", 2)];

/// An entry with these dtypes.
pub(super) fn entry(pattern: impl Into<Pattern>, dtypes: &[DTypeConfig]) -> BackendPatternConfig {
    BackendPatternConfig::new(pattern).set_dtype_configs(dtypes.iter().cloned())
}

/// Modules fused by putting them into a container of class `fused`.
pub(super) fn sequential(pattern: &[&str], fused: &str, dtypes: &[DTypeConfig]) -> BackendPatternConfig {
    entry(Pattern::chain(pattern), dtypes).set_fuser_method(FuserMethod::Sequential).set_fused_module(fused)
}

fn reference(class: &str) -> String {
    format!("nn.quantized.reference.{class}")
}

/// An entry whose weights are those of `nn.{root}`.
pub(super) fn rooted(
    pattern: impl Into<Pattern>,
    root: &str,
    dtypes: &[DTypeConfig],
) -> BackendPatternConfig {
    entry(pattern, dtypes)
        .set_root_module(&format!("nn.{root}"))
        .set_reference_quantized_module(&reference(root))
}

/// A module and its twin for training.
fn module_and_qat(class: &str, dtypes: &[DTypeConfig]) -> Configs {
    let float = rooted(format!("nn.{class}").as_str(), class, dtypes);
    let qat = format!("nn.qat.{class}");
    let twin = rooted(qat.as_str(), class, dtypes);
    vec![float.set_qat_module(&qat), twin]
}

/// Convolutions of one rank with everything that is fused to them.
pub(super) fn conv(rank: usize, dtypes: &[DTypeConfig]) -> Configs {
    let class = |before: &str, after: &str| format!("{before}Conv{after}{rank}d");
    let (module, function) = (class("nn.", ""), format!("F.conv{rank}d"));
    let (module, function) = (module.as_str(), function.as_str());
    let bn = format!("nn.BatchNorm{rank}d");
    let root = class("", "");
    let fused = |after: &str| class("nn.intrinsic.", after);
    let qat = |after: &str| class("nn.intrinsic.qat.", after);
    let twin = |after: &str| rooted(qat(after).as_str(), &root, dtypes);

    let mut all = module_and_qat(&root, dtypes);
    all.push(entry(function, dtypes).set_input_type_to_index(WEIGHT_BIAS));
    all.extend(RELUS.map(|relu| sequential(&[module, relu], &fused("ReLU"), dtypes)));
    all.push(entry(fused("ReLU").as_str(), dtypes).set_qat_module(&qat("ReLU")));
    all.push(twin("ReLU"));
    all.extend(RELUS.map(|relu| entry([function, relu], dtypes)));
    all.push(
        entry([module, bn.as_str()], dtypes)
            .set_fuser_method(FuserMethod::ConvBn)
            .set_fused_module(&fused("Bn")),
    );
    let with_relu = |relu| {
        entry([module, bn.as_str(), relu], dtypes)
            .set_fuser_method(FuserMethod::ConvBnRelu)
            .set_fused_module(&fused("BnReLU"))
    };
    all.push(with_relu("nn.ReLU"));
    all.push(with_relu("F.relu").set_root_module(module));
    all.extend(["Bn", "BnReLU"].map(|f| entry(fused(f).as_str(), dtypes).set_qat_module(&qat(f))));
    all.extend(["Bn", "BnReLU"].map(twin));
    all
}

/// Transposed convolutions of one rank.
pub(super) fn conv_transpose(rank: usize, dtypes: &[DTypeConfig]) -> Configs {
    let root = format!("ConvTranspose{rank}d");
    let module = format!("nn.{root}");
    let bn = format!("nn.BatchNorm{rank}d");
    vec![
        rooted(module.as_str(), &root, dtypes),
        rooted([module.as_str(), bn.as_str()], &root, dtypes).set_fuser_method(FuserMethod::ConvTransposeBn),
        entry(format!("F.conv_transpose{rank}d").as_str(), dtypes).set_input_type_to_index(WEIGHT_BIAS),
    ]
}

/// Both for ranks 1 to 3.
pub(super) fn convs(dtypes: &[DTypeConfig]) -> Configs {
    (1..=3).flat_map(|rank| [conv(rank, dtypes), conv_transpose(rank, dtypes)].concat()).collect()
}

/// `nn.Linear`, its twin for training, and the function.
pub(super) fn linear_alone(dtypes: &[DTypeConfig]) -> Configs {
    let mut all = module_and_qat("Linear", dtypes);
    all.push(entry("F.linear", dtypes).set_input_type_to_index(WEIGHT_BIAS));
    all
}

/// Linear layers with everything that is fused to them.
pub(super) fn linear(dtypes: &[DTypeConfig]) -> Configs {
    let fused = |name: &str| {
        let qat = format!("nn.intrinsic.qat.{name}");
        let float = rooted(format!("nn.intrinsic.{name}").as_str(), "Linear", dtypes);
        [float.set_qat_module(&qat), rooted(qat.as_str(), "Linear", dtypes)]
    };
    let mut all = linear_alone(dtypes);
    all.extend(RELUS.map(|relu| sequential(&["nn.Linear", relu], "nn.intrinsic.LinearReLU", dtypes)));
    all.extend(fused("LinearReLU"));
    all.extend(RELUS.map(|relu| entry(["F.linear", relu], dtypes)));
    all.push(
        entry(["nn.Linear", "nn.BatchNorm1d"], dtypes)
            .set_fuser_method(FuserMethod::LinearBn)
            .set_fused_module("nn.intrinsic.LinearBn1d"),
    );
    all.extend(fused("LinearBn1d"));
    all
}

/// `add`, `mul`, ... of module `operator` and of `torch`, each alone and with a relu after it. With a number in the place of one
/// operand the result shares the observer of the other.
pub(super) fn binary(ops: &[&str], dtypes: &[DTypeConfig]) -> Configs {
    let by_count = [(0, Different), (1, Share), (2, Different)];
    let set = |e: BackendPatternConfig| e.set_num_tensor_args_to_observation_type(by_count);
    let mut all = Vec::new();
    for op in ops {
        for call in [format!("operator.{op}"), format!("torch.{op}")] {
            let relus = RELUS.into_iter().chain(["torch.relu"]);
            all.extend(relus.map(|relu| set(entry([call.as_str(), relu], dtypes))));
            all.push(set(entry(call.as_str(), dtypes)));
        }
    }
    all
}

/// Calls whose result has an observer of its own.
pub(super) fn different(calls: &[&str], dtypes: &[DTypeConfig]) -> Configs {
    calls.iter().map(|&c| entry(c, dtypes)).collect()
}

/// Calls whose result shares the observer of the input.
pub(super) fn share(calls: &[&str], dtypes: &[DTypeConfig]) -> Configs {
    calls.iter().map(|&c| entry(c, dtypes).set_observation_type(Share)).collect()
}

/// Calls that ask about a tensor, not its values.
pub(super) fn tensor_info(dtypes: &[DTypeConfig]) -> Configs {
    let calls = [".shape", ".size"];
    calls.map(|c| entry(c, dtypes).set_observation_type(InputOutputNotObserved)).to_vec()
}

/// The ops that PyTorch calls default ops.
pub(super) fn default_ops(dtypes: &[DTypeConfig]) -> Configs {
    let mut all = different(
        &[
            "nn.ELU",
            "nn.LeakyReLU",
            "nn.Hardswish",
            "nn.InstanceNorm1d",
            "nn.InstanceNorm2d",
            "nn.InstanceNorm3d",
            "nn.Dropout",
            "nn.PReLU",
            "F.elu",
            "F.hardswish",
            "F.leaky_relu",
            "F.dropout",
        ],
        dtypes,
    );
    all.push(entry("F.group_norm", dtypes).set_input_type_to_index(&[("weight", 2), ("bias", 3)]));
    all.push(entry("F.instance_norm", dtypes).set_input_type_to_index(&[("weight", 3), ("bias", 4)]));
    all
}

/// Ops whose results lie in known ranges: dtypes for 0 to 1, dtypes for −1 to 1.
pub(super) fn fixed_ranges(zero_to_one: &[DTypeConfig], minus_one_to_one: &[DTypeConfig]) -> Configs {
    let sigmoids = [
        "nn.Hardsigmoid",
        "F.hardsigmoid",
        ".hardsigmoid",
        ".hardsigmoid_",
        "nn.Sigmoid",
        "torch.sigmoid",
        ".sigmoid",
        ".sigmoid_",
        "nn.Softmax",
    ];
    let mut all = different(&sigmoids, zero_to_one);
    all.extend(different(&["nn.Tanh", "torch.tanh", ".tanh", ".tanh_"], minus_one_to_one));
    all
}

/// Ops that move, select or average values, and so share the observer of their input.
pub(super) const SHARING: &[&str] = &[
    "nn.AdaptiveAvgPool1d",
    "nn.AdaptiveAvgPool2d",
    "nn.AdaptiveAvgPool3d",
    "nn.AvgPool1d",
    "nn.AvgPool2d",
    "nn.AvgPool3d",
    "nn.Hardtanh",
    "nn.Identity",
    "nn.MaxPool1d",
    "nn.MaxPool2d",
    "nn.MaxPool3d",
    "nn.PixelShuffle",
    "nn.PixelUnshuffle",
    "nn.ReLU",
    "nn.ReLU6",
    "F.adaptive_avg_pool1d",
    "F.adaptive_avg_pool2d",
    "F.adaptive_avg_pool3d",
    "F.hardtanh",
    "F.hardtanh_",
    "F.interpolate",
    "F.max_pool1d",
    "F.max_pool2d",
    "F.max_pool3d",
    "F.pixel_shuffle",
    "F.pixel_unshuffle",
    "F.relu",
    "F.relu6",
    "F.avg_pool1d",
    "F.avg_pool2d",
    "F.avg_pool3d",
    "torch.clamp",
    "torch.flatten",
    "torch.mean",
    "torch.narrow",
    "torch.repeat_interleave",
    "torch.transpose",
    "torch.squeeze",
    "torch.stack",
    "torch.unsqueeze",
    "operator.floordiv",
    ".contiguous",
    ".clamp",
    ".detach",
    ".detach_",
    ".mean",
    ".permute",
    ".repeat",
    ".repeat_interleave",
    ".reshape",
    ".resize_",
    ".relu",
    ".relu_",
    ".squeeze",
    ".squeeze_",
    ".transpose",
    ".unsqueeze",
    ".unsqueeze_",
    ".view",
];

/// Batch norms that are not folded.
pub(super) fn batch_norms(dtypes: &[DTypeConfig]) -> Configs {
    let mut all = Vec::new();
    for rank in [2, 3] {
        let bn = format!("nn.BatchNorm{rank}d");
        let fused = format!("nn.intrinsic.BNReLU{rank}d");
        all.extend(RELUS.map(|relu| sequential(&[&bn, relu], &fused, dtypes)));
        all.push(entry(bn.as_str(), dtypes));
    }
    all.extend(different(&["nn.intrinsic.BNReLU2d", "nn.intrinsic.BNReLU3d"], dtypes));
    all
}

/// Layer norms.
pub(super) fn layer_norms(dtypes: &[DTypeConfig]) -> Configs {
    let function = entry("F.layer_norm", dtypes).set_input_type_to_index(&[("weight", 2), ("bias", 3)]);
    vec![entry("nn.LayerNorm", dtypes), function]
}

/// Recurrent modules.
pub(super) fn rnns(dtypes: &[DTypeConfig]) -> Configs {
    let class = |c: &str| rooted(format!("nn.{c}").as_str(), c, dtypes);
    ["GRUCell", "LSTMCell", "RNNCell", "LSTM", "GRU"].map(class).to_vec()
}

/// Embedding tables.
pub(super) fn embedding_modules(dtypes: &[DTypeConfig]) -> Configs {
    [module_and_qat("Embedding", dtypes), module_and_qat("EmbeddingBag", dtypes)].concat()
}

/// Embedding tables in both formats.
pub(super) fn embedding_tables() -> Configs {
    let dtypes: Dtypes = embeddings();
    embedding_modules(&dtypes)
}
