//! Golden models written in Rust: the modules, names and calls of PyTorch's source, with its parameters.

use quantir::frontend::trace::nn::BagMode;
use quantir::frontend::trace::{ConvOptions, Inputs, Interpolation, Outputs, Resampling, Trace, Weights};
use quantir::ir::{Elem, Shape, Storage, Type};
use quantir::{Cx, Module, Traced, Tracer, functional as f, nn, torch};

use super::load::FxModel;

/// A root module whose `forward` is a function, which makes its children as it calls them: they hold settings only.
struct Net<F>(&'static str, F);
impl<I, O, F: Fn(&Cx, I) -> O> Module<I, O> for Net<F> {
    fn class(&self) -> String {
        format!("gen.fx_models.{}", self.0)
    }
    fn forward(&self, cx: &Cx, x: I) -> O {
        (self.1)(cx, x)
    }
}

/// The model of this name, traced with the golden parameters; `None` if it is not written here.
pub fn traced(name: &str, model: &FxModel) -> Option<Result<Trace, String>> {
    let run = |t: Tracer| -> Option<Result<Trace, quantir::frontend::Error>> { by_name(name, t) };
    Some(run(tracer(model))?.map_err(|e| e.to_string()))
}

/// A tracer with the golden inputs and parameters.
fn tracer(model: &FxModel) -> Tracer {
    let mut t = Tracer::new().weights(weights(model));
    for node in model.root().at("traced").at("nodes").list() {
        if node.at("op").text() == "placeholder" {
            let storage = if node.at("dtype").text() == "int64" { Storage::I64 } else { Storage::F32 };
            let dims: Vec<usize> = node.at("shape").ints().iter().map(|&n| n as usize).collect();
            t = t.input(node.at("name").text(), Type::new(Elem::Plain(storage), Shape::of(&dims)));
        }
    }
    t
}

/// The state dict, with arrays that are stored once under every name they have.
fn weights(model: &FxModel) -> Weights {
    let aliases = model.root().at("state").at("names");
    let mut all: Vec<(String, quantir::Tensor)> = model.state.clone().into_iter().collect();
    if !aliases.is_null() {
        for (name, _) in aliases.members() {
            if let Some(t) = model.parameter(name) {
                all.push((name.into(), t));
            }
        }
    }
    Weights::from_tensors(all)
}

fn net<I: Inputs, O: Outputs>(
    t: Tracer,
    forward: impl Fn(&Cx, I) -> O,
) -> Option<Result<Trace, quantir::frontend::Error>> {
    Some(t.trace(&Net("Model", forward)))
}

fn conv3x3(i: usize, o: usize) -> nn::Conv2d {
    nn::Conv2d::new(i, o, 3).padding(1)
}

fn by_name(name: &str, t: Tracer) -> Option<Result<Trace, quantir::frontend::Error>> {
    match name {
        "conv_bn_relu" | "hand_made_qconfig" => net(t, |cx, x: Traced| {
            let body = nn::Sequential::new()
                .add(conv3x3(3, 8).bias(false))
                .add(nn::BatchNorm2d::new(8))
                .add(nn::ReLU)
                .add(conv3x3(8, 8).stride(2))
                .add(nn::BatchNorm2d::new(8))
                .add(nn::ReLU)
                .add(nn::Conv2d::new(8, 3, 1));
            cx.call("body", &body, x)
        }),
        "residual_add_relu" | "symmetric_int8" => net(t, |cx, x: Traced| {
            let y = cx.call("conv1", &conv3x3(8, 8).bias(false), &x);
            let y = cx.call("bn1", &nn::BatchNorm2d::new(8), y);
            let y = cx.call("relu", &nn::ReLU, y);
            let y = cx.call("conv2", &conv3x3(8, 8).bias(false), y);
            let y = cx.call("bn2", &nn::BatchNorm2d::new(8), y);
            cx.call("relu", &nn::ReLU, y + x)
        }),
        "shared_module" => net(t, |cx, x: Traced| {
            let fc = nn::Linear::new(12, 12);
            let y = cx.call("fc", &fc, x);
            let y = cx.call("act", &nn::Hardswish, y);
            let y = cx.call("fc", &fc, y);
            cx.call("out", &nn::Linear::new(12, 3), y)
        }),
        "shared_module_one_relu" | "shared_module_both_relu" => net(t, |cx, x: Traced| {
            let fc = nn::Linear::new(12, 12);
            let y = cx.call("act", &nn::ReLU, cx.call("fc", &fc, x));
            let mut y = cx.call("fc", &fc, y);
            if name == "shared_module_both_relu" {
                y = cx.call("act", &nn::ReLU, y);
            }
            cx.call("out", &nn::Linear::new(12, 3), y)
        }),
        "mixed_static_dynamic" => net(t, |cx, x: Traced| {
            let y = f::relu(&cx.call("fc1", &nn::Linear::new(12, 10), x));
            let y = torch::relu(&cx.call("fc2", &nn::Linear::new(10, 10), y));
            cx.call("fc3", &nn::Linear::new(10, 2), y)
        }),
        "conv_add_relu_onednn" => net(t, |cx, x: Traced| {
            let x = cx.call("conv1", &conv3x3(8, 8), x);
            let y = cx.call("conv2", &conv3x3(8, 8), f::relu(&x));
            f::relu(&(cx.call("bn", &nn::BatchNorm2d::new(8), y) + x))
        }),
        "custom_module" => net(t, |cx, x: Traced| {
            let y = cx.call("fc1", &nn::Linear::new(12, 6), x);
            let y = cx.call("twice", &Net("Doubler", |_: &Cx, x: Traced| x * 2), y);
            cx.call("fc2", &nn::Linear::new(6, 3), y)
        }),
        "functional" | "functional_int_args" => net(t, |cx, x: Traced| {
            let init = quantir::frontend::trace::Init::Zeros;
            let (w, b) = (cx.attr("w", &[8, 3, 3, 3], init), cx.attr("b", &[8], init));
            let options = ConvOptions { stride: 1.into(), padding: 1.into(), ..ConvOptions::default() };
            let y = f::relu(&f::conv2d(&x, &w, Some(&b), &options));
            let y = f::adaptive_avg_pool2d(&y, 1).flatten(1, -1);
            let (w2, b2) = (cx.attr("w2", &[5, 8], init), cx.attr("b2", &[5], init));
            f::linear(&y, &w2, Some(&b2))
        }),
        "cat_branches" => net(t, |cx, x: Traced| {
            let a = f::relu(&cx.call("a", &nn::Conv2d::new(3, 4, 1), &x));
            let b = cx.call("b", &conv3x3(3, 6), &x);
            let p = cx.call("pool", &nn::MaxPool2d::new(3).stride(1).padding(1), &x);
            cx.call("out", &nn::Conv2d::new(13, 4, 1), torch::cat(&[&a, &b, &p], 1))
        }),
        "depthwise_separable" => net(t, |cx, x: Traced| {
            let y = cx.call("dw", &conv3x3(8, 8).groups(8).bias(false), x);
            let y = f::relu(&cx.call("bn1", &nn::BatchNorm2d::new(8), y));
            let y = cx.call("pw", &nn::Conv2d::new(8, 10, 1).bias(false), y);
            f::relu6(&cx.call("bn2", &nn::BatchNorm2d::new(10), y))
        }),
        "linear_relu_linear"
        | "fp16_dynamic"
        | "fp16_static"
        | "int8_dynamic"
        | "int8_dynamic_per_channel"
        | "quantized_input_output" => net(t, |cx, x: Traced| {
            let y = cx.call("fc1", &nn::Linear::new(12, 16), x);
            let y = cx.call("relu", &nn::ReLU, y);
            cx.call("fc2", &nn::Linear::new(16, 5), y)
        }),
        "hardswish_block" => net(t, |cx, x: Traced| {
            let y = cx.call("conv", &conv3x3(8, 8), x);
            let y = cx.call("bn", &nn::BatchNorm2d::new(8), y);
            let y = cx.call("act", &nn::Hardswish, y);
            f::hardswish(&cx.call("conv2", &nn::Conv2d::new(8, 8, 1), y))
        }),
        "mean_flatten_classifier" => net(t, |cx, x: Traced| {
            let y = cx.call("conv", &nn::Conv2d::new(3, 8, 3).stride(2), x);
            let y = f::relu(&cx.call("bn", &nn::BatchNorm2d::new(8), y));
            cx.call("fc", &nn::Linear::new(8, 5), torch::flatten(&y.mean(&[2, 3], false), 1, -1))
        }),
        "two_inputs_two_outputs" => net(t, |cx, (x, y): (Traced, Traced)| {
            let a = cx.call("a", &nn::Linear::new(12, 6), x);
            let b = f::relu(&cx.call("b", &nn::Linear::new(12, 6), y));
            let s = a + b;
            (cx.call("c", &nn::Linear::new(6, 4), &s), s)
        }),
        "reshape_permute_transpose" => net(t, |cx, x: Traced| {
            let y = f::relu(&cx.call("conv", &conv3x3(3, 6), x));
            let y = y.permute(&[0, 2, 3, 1]).contiguous();
            let y = cx.call("fc1", &nn::Linear::new(6, 8), y);
            let z = y.transpose(1, 2);
            let y = cx.call("fc2", &nn::Linear::new(8, 4), z.reshape((y.size(0), -1, 8)));
            y.squeeze_all().unsqueeze(0)
        }),
        "inverted_residual" => net(t, |cx, x: Traced| {
            let body = nn::Sequential::new()
                .add(nn::Conv2d::new(4, 12, 1).bias(false))
                .add(nn::BatchNorm2d::new(12))
                .add(nn::ReLU6)
                .add(conv3x3(12, 12).groups(12).bias(false))
                .add(nn::BatchNorm2d::new(12))
                .add(nn::ReLU6)
                .add(nn::Conv2d::new(12, 4, 1).bias(false))
                .add(nn::BatchNorm2d::new(4));
            &x + cx.call("conv", &body, &x)
        }),
        "se_block" => net(t, |cx, x: Traced| {
            let x = cx.call("conv", &conv3x3(8, 8), x);
            let y = cx.call("pool", &nn::AdaptiveAvgPool2d::new(1), &x);
            let y = f::relu(&cx.call("down", &nn::Conv2d::new(8, 2, 1), y));
            let y = cx.call("up", &nn::Conv2d::new(2, 8, 1), y);
            x * cx.call("gate", &nn::Sigmoid, y)
        }),
        "pixel_shuffle" => net(t, |cx, x: Traced| {
            let y = f::relu(&cx.call("a", &nn::Conv2d::new(3, 8, 5).padding(2), x));
            let y = cx.call("b", &conv3x3(8, 12), y);
            cx.call("shuffle", &nn::PixelShuffle::new(2), y)
        }),
        "activations" => net(t, |cx, x: Traced| {
            let acts: [Box<dyn Module>; 8] = [
                Box::new(nn::LeakyReLU::new(0.1)),
                Box::new(nn::ELU::default()),
                Box::new(nn::PReLU::default()),
                Box::new(nn::Hardsigmoid),
                Box::new(nn::Sigmoid),
                Box::new(nn::Tanh),
                Box::new(nn::ReLU6),
                Box::new(nn::Hardtanh::new(-0.5, 0.5)),
            ];
            let acts = nn::ModuleList::new(acts);
            let h = cx.call("fc", &nn::Linear::new(12, 12), x);
            let mut y: Traced = acts.call(cx, "acts", 0, &h);
            for i in 1..acts.len() {
                y += acts.call::<Traced, Traced>(cx, "acts", i, &h);
            }
            cx.call("out", &nn::Linear::new(12, 2), y)
        }),
        "chunk_split" => net(t, |cx, x: Traced| {
            let [a, b, c] = torch::chunk(&cx.call("fc", &nn::Linear::new(12, 12), x), 3, -1).unpack();
            let [d, e] = torch::split(&f::relu(&(a + b)), 2, -1).unpack();
            cx.call("out", &nn::Linear::new(4, 3), torch::cat(&[&e, &d], -1) * c)
        }),
        "attention_block" => net(t, |cx, x: Traced| {
            let (b, n, d) = (x.size(0), x.size(1), x.size(2));
            let heads = |name: &str| {
                let y = cx.call(name, &nn::Linear::new(8, 8), &x);
                y.reshape((&b, &n, 2, &d / 2)).transpose(1, 2)
            };
            let (q, k, v) = (heads("q"), heads("k"), heads("v"));
            let a = torch::softmax(&(torch::matmul(&q, &k.transpose(-2, -1)) * 0.5), -1);
            let y = torch::matmul(&a, &v).transpose(1, 2).reshape((&b, &n, &d));
            let y = cx.call("o", &nn::Linear::new(8, 8), y) + &x;
            cx.call("norm", &nn::LayerNorm::new([8]), y)
        }),
        "conv_transpose_decoder" => net(t, |cx, x: Traced| {
            let y = cx.call("up1", &nn::ConvTranspose2d::new(4, 6, 2).stride(2), x);
            let y = f::relu(&cx.call("bn", &nn::BatchNorm2d::new(6), y));
            let up2 = nn::ConvTranspose2d::new(6, 3, 3).stride(2).padding(1).output_padding(1);
            cx.call("up2", &up2, y)
        }),
        "dropout_identity" => net(t, |cx, x: Traced| {
            let y = cx.call("fc1", &nn::Linear::new(12, 10), x);
            let y = cx.call("drop", &nn::Dropout::new(0.4), y);
            let y = cx.call("idn", &nn::Identity, y);
            f::dropout(&cx.call("fc2", &nn::Linear::new(10, 4), y), 0.3)
        }),
        "embedding_bag_mlp" => net(t, |cx, (idx, offsets): (Traced, Traced)| {
            let bag = nn::EmbeddingBag::new(20, 12).mode(BagMode::Sum).include_last_offset(true);
            let y = cx.call("bag", &bag, (idx, offsets));
            let y = f::relu(&cx.call("fc1", &nn::Linear::new(12, 8), y));
            cx.call("fc2", &nn::Linear::new(8, 2), y)
        }),
        "interpolate_decoder" => net(t, |cx, x: Traced| {
            let y = f::relu(&cx.call("a", &conv3x3(3, 6), x));
            let twice = Resampling { scale_factor: Some(vec![2.0]), ..Resampling::default() };
            let y = cx.call("b", &conv3x3(6, 3), f::interpolate(&y, &twice));
            let to = Resampling {
                size: Some([7, 9].into()),
                mode: Interpolation::Linear,
                ..Resampling::default()
            };
            torch::tanh(&f::interpolate(&y, &to))
        }),
        "inplace_ops" => net(t, |cx, x: Traced| {
            let y = cx.call("conv", &conv3x3(3, 3), &x);
            let y = cx.call("bn", &nn::BatchNorm2d::new(3), y);
            let mut y = cx.call("relu", &nn::ReLU, y);
            y += x;
            let mut y = cx.call("conv2", &nn::Conv2d::new(3, 3, 1), f::relu(&y));
            y *= 0.5;
            y.clamp_(-1.0, 1.0)
        }),
        "lstm_dynamic" => net(t, |cx, x: Traced| {
            let (y, state) = cx.call("lstm", &nn::LSTM::new(6, 5), x).with_states();
            let [h, _] = state.unpack();
            (cx.call("fc", &nn::Linear::new(5, 3), y), h)
        }),
        "lstm_static" => net(t, |cx, (x, h, c): (Traced, Traced, Traced)| {
            let (y, state) = cx.call("lstm", &nn::LSTM::new(6, 5), (x, (h, c))).with_states();
            let [h, _] = state.unpack();
            (cx.call("fc", &nn::Linear::new(5, 3), y), h)
        }),
        "rnn_cells_dynamic" => net(t, |cx, (x, s): (Traced, Traced)| {
            let y = cx.call("rnn", &nn::RNNCell::new(6, 5), (&x, &s));
            let y = cx.call("gru", &nn::GRUCell::new(5, 5), (&y, &s));
            let [h, c] = cx.call("lstm", &nn::LSTMCell::new(5, 5), (&y, (&s, &s))).unpack();
            (h, c)
        }),
        "mha_module" => net(t, |cx, x: Traced| {
            let y = cx.call("proj", &nn::Linear::new(8, 8), x);
            let [y, _] = cx.call("mha", &nn::MultiheadAttention::new(8, 2), (&y, &y, &y)).unpack();
            y
        }),
        "norm_layers" => net(t, |cx, x: Traced| {
            let y = cx.call("conv", &conv3x3(3, 6), x);
            let y = cx.call("gn", &nn::GroupNorm::new(3, 6), y);
            let y = cx.call("inorm", &nn::InstanceNorm2d::new(6).affine(true), y);
            let y = cx.call("ln", &nn::LayerNorm::new([6]), y.mean(&[2, 3], false));
            cx.call("fc", &nn::Linear::new(6, 4), y)
        }),
        "pools" => net(t, |cx, x: Traced| {
            let aap = nn::AdaptiveAvgPool2d::sizes([Some(2), Some(4)]);
            let x = cx.call("conv", &conv3x3(3, 4), x);
            let a = cx.call("aap", &aap, cx.call("mp", &nn::MaxPool2d::new(2).stride(2), &x));
            let b = cx.call("aap", &aap, cx.call("ap", &nn::AvgPool2d::new(3).stride(2).padding(1), &x));
            cx.call("conv2", &nn::Conv2d::new(8, 4, 1), torch::cat(&[&a, &b], 1))
        }),
        "scalar_arithmetic" => net(t, |cx, x: Traced| {
            let y = cx.call("fc", &nn::Linear::new(12, 12), x) + 0.75;
            let y = f::relu(&torch::add(&torch::mul(&y, 1.5), -0.25));
            cx.call("fc2", &nn::Linear::new(12, 3), y * 2)
        }),
        "slice_stack" => net(t, |cx, x: Traced| {
            let y = cx.call("fc", &nn::Linear::new(12, 8), x);
            let s = torch::stack(&[&y.index((.., ..4)), &y.index((.., 4..))], 0);
            let out = nn::Linear::new(4, 2);
            cx.call("out", &out, s.index(1)) + cx.call("out", &out, s.index(0))
        }),
        "text_cnn" => net(t, |cx, idx: Traced| {
            let y = cx.call("emb", &nn::Embedding::new(20, 8), idx).transpose(1, 2);
            let a = f::relu(&cx.call("c3", &nn::Conv1d::new(8, 6, 3).padding(1), &y));
            let b = f::relu(&cx.call("c5", &nn::Conv1d::new(8, 6, 5).padding(2), &y));
            let y = cx.call("pool", &nn::AdaptiveAvgPool1d::new(1), torch::cat(&[&a, &b], 1));
            cx.call("fc", &nn::Linear::new(12, 4), y.flatten(1, -1))
        }),
        "three_users_dead_branch" | "type_order" => net(t, |cx, x: Traced| {
            let x = f::relu(&cx.call("a", &conv3x3(3, 3), x));
            let b = nn::Conv2d::new(3, 3, 1);
            let _dead = cx.call("b", &b, &x) * 2;
            let y = torch::add(&cx.call("b", &b, &x), &x);
            y + cx.call("c", &nn::Conv2d::new(3, 3, 1), &x)
        }),
        "unquantizable_middle" => net(t, |cx, x: Traced| {
            let y = f::relu(&cx.call("a", &nn::Linear::new(12, 8), x));
            let y = torch::log1p(&y) + torch::cumsum(&y, 1) * 0.1;
            f::log_softmax(&cx.call("b", &nn::Linear::new(8, 4), y), -1)
        }),
        "weight_only_embeddings" => net(t, |cx, (idx, flat, offsets): (Traced, Traced, Traced)| {
            let e = cx.call("emb", &nn::Embedding::new(20, 12), idx).sum(&[1], false);
            let bag = nn::EmbeddingBag::new(20, 12).mode(BagMode::Sum).include_last_offset(true);
            cx.call("fc", &nn::Linear::new(12, 3), e + cx.call("bag", &bag, (flat, offsets)))
        }),
        "conv3d_net" => net(t, |cx, x: Traced| {
            let y = cx.call("conv", &nn::Conv3d::new(2, 4, 3).padding(1), x);
            let y = cx.call("bn", &nn::BatchNorm3d::new(4), y);
            let y = cx.call("relu", &nn::ReLU, y);
            let y = cx.call("pool", &nn::AdaptiveAvgPool3d::new(1), y);
            cx.call("fc", &nn::Linear::new(4, 3), torch::flatten(&y, 1, -1))
        }),
        "matmul_mul" => net(t, |cx, x: Traced| {
            let a = cx.call("a", &nn::Linear::new(12, 6), &x);
            let b = cx.call("b", &nn::Linear::new(12, 6), &x);
            f::relu(&(a * &b)).matmul(&b.transpose(0, 1))
        }),
        "negation" => net(t, |cx, x: Traced| {
            let a = cx.call("a", &nn::Linear::new(12, 6), x);
            cx.call("b", &nn::Linear::new(6, 6), torch::neg(&a)) - a
        }),
        "linear_bn" => net(t, |cx, x: Traced| {
            let y = cx.call("fc", &nn::Linear::new(12, 8), x);
            let y = cx.call("bn", &nn::BatchNorm1d::new(8), y);
            let y = cx.call("relu", &nn::ReLU, y);
            let y = cx.call("fc2", &nn::Linear::new(8, 4), y);
            cx.call("bn2", &nn::BatchNorm1d::new(4), y)
        }),
        "lone_batch_norm" => net(t, |cx, x: Traced| {
            let y = cx.call("bn1", &nn::BatchNorm2d::new(3), x);
            let y = cx.call("relu", &nn::ReLU, y);
            let y = f::max_pool2d(&cx.call("conv", &conv3x3(3, 3), y), 2);
            cx.call("bn2", &nn::BatchNorm2d::new(3), y)
        }),
        "precedence" | "precedence_conflict" | "qconfig_none_part" | "regex_mapping" => {
            net(t, |cx, x: Traced| {
                let block = |conv: nn::Conv2d| nn::Sequential::new().add(conv).add(nn::ReLU);
                let y = cx.call("stem", &block(conv3x3(3, 6)), x);
                let y = cx.call("block1", &block(conv3x3(6, 6)), y);
                let y = cx.call("block2", &block(nn::Conv2d::new(6, 6, 1)), y);
                cx.call("head", &nn::Linear::new(6, 3), y.mean(&[2, 3], false))
            })
        }
        "non_traceable_leaf" | "standalone_module" | "standalone_quantized_edges" => {
            net(t, |cx, x: Traced| {
                let y = cx.call("first", &nn::Linear::new(12, 12), x);
                let y = cx.call("inner", &Net("Inner", inner), y);
                cx.call("last", &nn::Linear::new(12, 2), y)
            })
        }
        _ => None,
    }
}

fn inner(cx: &Cx, x: Traced) -> Traced {
    let y = f::relu(&cx.call("a", &nn::Linear::new(12, 12), x));
    cx.call("b", &nn::Linear::new(12, 12), y)
}
