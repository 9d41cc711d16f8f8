//! Pools, norms, interpolation.

use quantir::frontend::trace::{
    Interpolation, PoolOptions, Resampling, Spatial, Traced, functional as f, nn,
};
use quantir::ir::attr::F32;
use quantir::ir::ops::{self, Act, Op};
use quantir::ir::{Elem, Tensor};

use super::eager::{call, compare, nearest, op, real, text, traced, want};
use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// T210 pools and interpolation in 1 to 3 dimensions. T211 norms, with and without scale and shift.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/pool_norm") else { return };
    let mut area = Area::new("kernels/pool_norm");
    for case in golden.cases() {
        area.case(case.id(), |_| run(case));
    }
    area.finish();
}

fn run(c: Item) -> Result<(), String> {
    let x = c.at("inputs").at("x").tensor();
    let word = c.at("op").text().rsplit("::").next().unwrap_or_default();
    let (kind, rank) = match word.strip_suffix('d').and_then(|w| w.split_at_checked(w.len() - 1)) {
        Some((kind, rank)) => (kind, rank.parse().unwrap_or(0)),
        None => (word, x.rank() - 2),
    };
    let want = want(c).ok_or("a result")?.remove(0);
    let mean = |f: &dyn Fn(&Traced) -> Traced| {
        let real = x.dequantize().map_err(text)?;
        nearest(&want, &call(&[&real], |v| vec![f(&v[0])])?[0])
    };
    match kind {
        // Codes move or are compared.
        "max_pool" => compare(c, call(&[&x], |v| vec![max_pool(&v[0], rank, &pool(c))])),
        "interpolate" if c.at("attrs").at("mode").text().starts_with("nearest") => {
            compare(c, call(&[&x], |v| vec![f::interpolate(&v[0], &resampling(c))]))
        }
        // Means of real numbers are rounded once, where ties are frequent.
        "interpolate" => mean(&|x| f::interpolate(x, &resampling(c))),
        "adaptive_avg_pool" => {
            let to = c.at("attrs").at("output").ints();
            let to: Vec<i64> = if to.len() == rank { to } else { vec![to[0]; rank] };
            mean(&|x| adaptive(x, &to))
        }
        "avg_pool" => {
            let o = pool(c);
            let q = want.quant().ok_or("a quantized result")?;
            compare(c, real(&[&x], q, |v| avg_pool(&v[0], rank, &o)))?;
            integer_mean(&x, &want, |x| avg_pool(x, rank, &o))
        }
        _ => compare(c, norm(c, &x, &want.elem)),
    }
}

/// Holds the integer op to the real numbers that `f` yields, if `f` is one op.
fn integer_mean(x: &Tensor, want: &Tensor, f: impl Fn(&Traced) -> Traced) -> Result<(), String> {
    let graph = traced(&[x], |v| vec![f(&v[0])])?;
    let nodes: Vec<&Op> = graph.nodes().map(|n| graph.op(n)).collect();
    let [Op::AvgPool(p)] = nodes[..] else { return Ok(()) };
    let (kernel, stride, pad) = (p.kernel.clone(), p.stride.clone(), p.pad.clone());
    let integer = ops::QavgPool { kernel, stride, pad, ceil: p.ceil, count_pad: p.count_pad };
    let codes = op(integer, &[x], &want.elem)?.remove(0);
    let real = x.dequantize().map_err(text)?;
    nearest(&codes, &call(&[&real], |v| vec![f(&v[0])])?[0])
}

fn pool(c: Item) -> PoolOptions {
    let a = c.at("attrs");
    let one = |key: &str| (!a.at(key).is_null()).then(|| Spatial::from(a.at(key).ints().as_slice()));
    let flag = |key: &str, default: bool| if a.at(key).is_null() { default } else { a.at(key).flag() };
    PoolOptions {
        stride: one("stride"),
        padding: one("padding").unwrap_or(0.into()),
        dilation: one("dilation").unwrap_or(1.into()),
        ceil_mode: flag("ceil_mode", false),
        count_include_pad: flag("count_include_pad", true),
        divisor_override: (!a.at("divisor_override").is_null())
            .then(|| a.at("divisor_override").int() as u32),
        ..PoolOptions::new(one("kernel").expect("a kernel"))
    }
}

fn max_pool(x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
    match rank {
        1 => f::max_pool1d(x, o.clone()),
        2 => f::max_pool2d(x, o.clone()),
        _ => f::max_pool3d(x, o.clone()),
    }
}

fn avg_pool(x: &Traced, rank: usize, o: &PoolOptions) -> Traced {
    match rank {
        1 => f::avg_pool1d(x, o.clone()),
        2 => f::avg_pool2d(x, o.clone()),
        _ => f::avg_pool3d(x, o.clone()),
    }
}

fn adaptive(x: &Traced, to: &[i64]) -> Traced {
    let size = |i: usize| Some(to[i] as u32);
    match to.len() {
        1 => x.cx().call("pool", &nn::AdaptiveAvgPool1d::sizes([size(0)]), x.clone()),
        2 => x.cx().call("pool", &nn::AdaptiveAvgPool2d::sizes([size(0), size(1)]), x.clone()),
        _ => x.cx().call("pool", &nn::AdaptiveAvgPool3d::sizes([size(0), size(1), size(2)]), x.clone()),
    }
}

fn resampling(c: Item) -> Resampling {
    let a = c.at("attrs");
    Resampling {
        size: (!a.at("size").is_null()).then(|| Spatial::from(a.at("size").ints().as_slice())),
        scale_factor: (!a.at("scale_factor").is_null()).then(|| vec![a.at("scale_factor").number() as f32]),
        mode: match a.at("mode").text() {
            "nearest" => Interpolation::Nearest,
            "nearest-exact" => Interpolation::NearestExact,
            _ => Interpolation::Linear,
        },
        align_corners: !a.at("align_corners").is_null() && a.at("align_corners").flag(),
    }
}

/// The integer ops, with weights as further operands.
fn norm(c: Item, x: &Tensor, elem: &Elem) -> Result<Vec<Tensor>, String> {
    let (a, word) = (c.at("attrs"), c.at("op").text().rsplit("::").next().unwrap_or_default());
    let names = ["weight", "bias", "mean", "var"].into_iter().filter(|n| !a.at(n).is_null());
    let parts: Vec<Tensor> = names.map(|n| a.at(n).tensor()).collect();
    let ins: Vec<&Tensor> = [x].into_iter().chain(&parts).collect();
    let eps = F32(a.at("eps").number() as f32);
    match word {
        "layer_norm" => {
            let axis = (x.rank() - a.at("normalized_shape").ints().len()) as u32;
            op(ops::QlayerNorm { axis, eps }, &ins, elem)
        }
        "group_norm" => op(ops::QgroupNorm { groups: a.at("groups").int() as u32, eps }, &ins, elem),
        "instance_norm" => op(ops::QinstanceNorm { eps }, &ins, elem),
        _ => {
            let act = if word.ends_with("_relu") { Act::Relu } else { Act::None };
            op(ops::QbatchNorm { eps, act }, &ins, elem)
        }
    }
}
