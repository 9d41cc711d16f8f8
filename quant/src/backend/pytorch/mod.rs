//! PyTorch's back ends, composed of families of patterns in the order in which PyTorch registers them.

mod dtypes;
mod families;
mod onednn;

use quantir_ir::diag::did_you_mean;

use super::{BackendConfig, DType, ObservationType, Pattern};
use crate::{Error, KernelSupport};
use dtypes::{
    Dtypes, activations, embedding, embeddings, float_weight, half_dynamic, minus_one_to_one, signed,
    signed_activations, symmetric, symmetric_activations, symmetric_dynamic, weighted, weighted_dynamic,
    with_weight, zero_to_one,
};
use families::*;

impl BackendConfig {
    /// The names that [`BackendConfig::named`] knows.
    pub const NAMES: &'static [&'static str] = &[
        "native",
        "x86",
        "fbgemm",
        "qnnpack",
        "onednn",
        "executorch",
        "tensorrt",
        "qnnpack_pt2e",
        "runtime",
    ];

    /// A back end by its name: PyTorch's (`get_native_backend_config()` and so on), or `runtime`, this project's.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<BackendConfig, Error> {
        Ok(match name {
            "native" => BackendConfig::native(),
            "x86" => x86(),
            "fbgemm" => fbgemm(),
            "qnnpack" => qnnpack(),
            "onednn" => onednn(),
            "executorch" => executorch(),
            "tensorrt" => tensorrt(),
            "qnnpack_pt2e" => qnnpack_pt2e(),
            "runtime" => BackendConfig::runtime(&KernelSupport::native()),
            _ => {
                let help = match did_you_mean(name, Self::NAMES.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are: {}", Self::NAMES.join(", ")),
                };
                return Err(Error::Declaration(format!("unknown back end `{name}`; {help}")));
            }
        })
    }

    /// PyTorch's native back end: everything that fbgemm or qnnpack computes (`get_native_backend_config`).
    pub fn native() -> BackendConfig {
        let a = [activations()];
        compose(
            "native",
            [
                convs(&[weighted()]),
                linear(&linear_dtypes()),
                binary(&["add", "mul"], &a),
                different(&["torch.matmul"], &a),
                share(&["torch.cat"], &a),
                default_ops(&a),
                fixed_ranges(&[zero_to_one()], &[minus_one_to_one()]),
                share(SHARING, &a),
                tensor_info(&a),
                batch_norms(&a),
                layer_norms(&[float_weight()]),
                rnns(&rnn_dtypes()),
                embedding_tables(),
            ],
        )
    }
}

fn compose<const N: usize>(name: &str, families: [Configs; N]) -> BackendConfig {
    BackendConfig::new(name).set_backend_pattern_configs(families.into_iter().flatten())
}

fn linear_dtypes() -> Dtypes {
    vec![weighted(), weighted_dynamic(), half_dynamic()]
}
fn rnn_dtypes() -> Dtypes {
    vec![weighted_dynamic(), half_dynamic()]
}

fn fbgemm() -> BackendConfig {
    BackendConfig::native().set_name("fbgemm").remove_operator("nn.LayerNorm").remove_operator("F.layer_norm")
}

/// As fbgemm; binary ops, `matmul` and ops of known ranges have combinations with weights, which they ignore.
fn x86() -> BackendConfig {
    let a = [activations()];
    let w = [weighted()];
    compose(
        "x86",
        [
            convs(&w),
            linear(&linear_dtypes()),
            binary(&["add", "mul"], &w),
            different(&["torch.matmul"], &w),
            share(&["torch.cat"], &a),
            default_ops(&a),
            fixed_ranges(&[with_weight(zero_to_one())], &[with_weight(minus_one_to_one())]),
            share(SHARING, &a),
            tensor_info(&a),
            batch_norms(&a),
            rnns(&rnn_dtypes()),
            embedding_tables(),
        ],
    )
}

/// Signed symmetric kernels first, unsigned ones after them.
fn qnnpack() -> BackendConfig {
    let a = [symmetric_activations(), activations()];
    let linear_dtypes = [vec![symmetric()], linear_dtypes()].concat();
    compose(
        "qnnpack",
        [
            convs(&[symmetric(), weighted()]),
            linear(&linear_dtypes),
            binary(&["add", "mul"], &a),
            different(&["torch.matmul"], &a),
            share(&["torch.cat"], &a),
            default_ops(&a),
            fixed_ranges(
                &[symmetric_activations(), zero_to_one()],
                &[symmetric_activations(), minus_one_to_one()],
            ),
            share(SHARING, &a),
            batch_norms(&a),
            rnns(&rnn_dtypes()),
            embedding_modules(&embeddings()),
        ],
    )
}

fn onednn() -> BackendConfig {
    let a = [activations()];
    let conv_dtypes = [weighted()];
    let linear_dtypes = [weighted(), weighted_dynamic()];
    compose(
        "onednn",
        [
            convs(&conv_dtypes),
            onednn::conv_add(&conv_dtypes),
            linear(&linear_dtypes),
            onednn::linear_activations(&linear_dtypes),
            binary(&["add", "mul"], &a),
            different(&["torch.matmul"], &a),
            share(&["torch.cat"], &a),
            default_ops(&a),
            fixed_ranges(&[zero_to_one()], &[minus_one_to_one()]),
            share(SHARING, &a),
            batch_norms(&a),
            layer_norms(&[float_weight()]),
            rnns(&[weighted_dynamic()]),
            embedding_modules(&[embedding(DType::QInt8)]),
        ],
    )
}

fn tensorrt() -> BackendConfig {
    let (a, w) = ([signed_activations()], [signed()]);
    let addmm = entry("torch.addmm", &w).set_input_type_to_index(&[("bias", 0), ("input", 1), ("weight", 2)]);
    compose(
        "tensorrt",
        [
            convs(&w),
            vec![addmm],
            share(&["torch.cat"], &a),
            linear(&w),
            binary(&["add", "mul"], &w),
            different(&["torch.matmul"], &w),
            share(SHARING, &a),
            tensor_info(&a),
        ],
    )
}

/// Ops that share the observer of their input in ExecuTorch.
const EXECUTORCH_SHARING: &[&str] = &[
    "nn.Flatten",
    "F.adaptive_avg_pool2d",
    "F.elu",
    "F.hardtanh",
    "F.max_pool2d",
    "F.pad",
    "F.relu",
    "F.relu6",
    "F.leaky_relu",
    "F.leaky_relu_",
    "nn.AdaptiveAvgPool2d",
    "nn.ConstantPad2d",
    "nn.ELU",
    "nn.MaxPool2d",
    "nn.ReLU6",
    "nn.Hardtanh",
    "nn.LeakyReLU",
    "torch.clamp",
    "torch.flatten",
    "torch.mean",
    "torch.permute",
    "torch.permute_copy",
    "torch.squeeze",
    ".clamp",
    ".mean",
    ".permute",
    ".reshape",
    ".relu",
    ".relu_",
    ".squeeze",
    ".squeeze_",
    ".leaky_relu",
];

fn executorch() -> BackendConfig {
    let a = [symmetric_activations(), activations()];
    let conv_dtypes = [symmetric(), weighted()];
    let linear_dtypes = [symmetric(), weighted(), weighted_dynamic(), symmetric_dynamic(), half_dynamic()];
    let table = [embedding(DType::QUint8)];
    let mut embeddings = embedding_modules(&table);
    embeddings.insert(2, entry("F.embedding", &table).set_input_type_to_index(&[("weight", 1)]));
    compose(
        "executorch",
        [
            linear_alone(&linear_dtypes),
            conv(2, &conv_dtypes),
            binary(&["add", "sub", "mul"], &[symmetric_activations(), weighted()]),
            share(EXECUTORCH_SHARING, &a),
            different(&["nn.BatchNorm2d"], &a),
            share(&["torch.cat", "torch.concat", "torch.concatenate"], &a),
            embeddings,
        ],
    )
}

/// The first back end of PyTorch's export flow, over ATen's own ops.
fn qnnpack_pt2e() -> BackendConfig {
    use ObservationType::{
        OutputShareObserverWithInput as Share, OutputUseDifferentObserverAsInput as Different,
    };
    let w = [weighted()];
    let of = |e: super::BackendPatternConfig, index| e.set_input_type_to_index(index);
    let mut all = vec![
        of(entry("aten.addmm.default", &w), &[("weight", 2), ("bias", 0)]),
        of(entry("aten.mm.default", &w), &[("weight", 1)]),
    ];
    for add in ["aten.add.Tensor", "aten.add_.Tensor"] {
        let sums: [Pattern; 3] =
            [[add, "aten.relu.default"].into(), add.into(), [add, "aten.relu_.default"].into()];
        all.extend(sums.map(|p| {
            let by_count = [(0, Different), (1, Share), (2, Different)];
            entry(p, &w).set_num_tensor_args_to_observation_type(by_count)
        }));
    }
    let conv = "aten.convolution.default";
    let convs: [Pattern; 3] =
        [conv.into(), [conv, "aten.relu.default"].into(), [conv, "aten.relu_.default"].into()];
    all.extend(convs.map(|p| of(entry(p, &w), &[("weight", 1), ("bias", 2)])));
    // The pooling op yields values and indices; the pattern takes the values.
    if let Ok(pattern) =
        "%p = aten.max_pool2d_with_indices.default %x; %v = operator.getitem %p, 0".parse::<Pattern>()
    {
        all.push(entry(pattern, &w).set_observation_type(Share).set_root_node("p"));
    }
    all.extend(share(&["aten.relu.default"], &w));
    compose("qnnpack_pytorch_2.0_export", [all])
}
