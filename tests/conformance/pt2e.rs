//! Area `pt2e`: exported graphs under the shipped quantizers: which values are observed, sharing, parameters, outputs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use quantir_ir::attr::{F32, Pads, PerAxis};
use quantir_ir::interp::run;
use quantir_ir::ops::{self, Observe, Op};
use quantir_ir::{Diag, Dim, Elem, Graph, Loc, Phase, Tensor, Use, ValueId, render};
use quantir_passes::calibrate::calibrate_by_interpreter;
use quantir_passes::pt2e::{
    Quantizer, X86InductorConfig, X86InductorQuantizer, XnnpackConfig, XnnpackQuantizer, convert_pt2e,
    convert_pt2e_to_integers, prepare_pt2e,
};
use quantir_quant::KernelSupport;

use crate::deviations::{Area, Parts};
use crate::reader::{Golden, Item};

fn folders() -> Vec<PathBuf> {
    let Some(zoo) = std::env::var_os("QUANTIR_ZOO") else { return Vec::new() };
    let Ok(entries) = fs::read_dir(Path::new(&zoo).join("golden/pt2e")) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

fn shown(d: Diag) -> String {
    render(&[d], None, false)
}

/// The exported graph, one node for each ATen call.
fn graph(model: Item, flow: Item) -> Result<Graph, String> {
    let mut g = Graph::new("main", Phase::Float);
    let inputs = model.at("inputs").list();
    let mut known: HashMap<String, ValueId> = HashMap::new();
    let mut count = 0;
    for n in flow.at("exported").at("nodes").list() {
        let name = n.at("name").text();
        let target = n.at("target").text();
        let args = if n.at("args").is_null() { Vec::new() } else { n.at("args").list() };
        match n.at("op").text() {
            "placeholder" => {
                let t = inputs[count].tensor();
                count += 1;
                known.insert(name.into(), g.input(name, t.ty()));
                continue;
            }
            "get_attr" => {
                let state = model.at("state").at(target);
                if !target.ends_with("num_batches_tracked") {
                    let path = target.rsplit_once('.').map_or("", |p| p.0);
                    known.insert(name.into(), g.push_const(state.tensor(), name, Loc::at(path)));
                }
                continue;
            }
            "output" => {
                let all = args[0].list();
                for (i, o) in all.iter().enumerate() {
                    let as_ = if all.len() > 1 { format!("out.{i}") } else { "out".into() };
                    g.output(&as_, known[o.at("node").text()]);
                }
                continue;
            }
            _ => {}
        }
        let v = |i: usize| -> Option<ValueId> {
            args.get(i).and_then(|a| known.get(a.at("node").value.as_str()?).copied())
        };
        let ints = |i: usize, default: i64| -> Vec<i64> {
            args.get(i).filter(|a| !a.is_null()).map_or(vec![default], |a| a.ints())
        };
        let axes = |i: usize, default: i64| {
            PerAxis::of(&ints(i, default).iter().map(|&x| x as u32).collect::<Vec<_>>())
        };
        let pads = |i: usize| Pads::of(&ints(i, 0).iter().map(|&x| (x as u32, x as u32)).collect::<Vec<_>>());
        let rank = |v: ValueId, g: &Graph| g.ty(v).rank();
        let short = target.split('.').nth(1).unwrap_or(target).trim_end_matches('_');
        let loc = Loc::default().by(match short {
            "reshape" | "transpose" | "mean" | "flatten" | "permute" | "view" => format!(".{short}"),
            "hardtanh" | "linear" | "conv2d" | "relu" | "max_pool2d" | "layer_norm" => format!("F.{short}"),
            _ => format!("torch.{short}"),
        });
        let x = v(0);
        let mut ins = vec![x];
        let op: Op = match short {
            "conv2d" => {
                ins.extend([v(1), v(2)]);
                ops::Conv {
                    rank: 2,
                    stride: axes(3, 1),
                    pad: pads(4),
                    dilation: axes(5, 1),
                    groups: ints(6, 1)[0] as u32,
                    act: ops::Act::None,
                }
                .into()
            }
            "linear" => {
                ins.extend([v(1), v(2)]);
                ops::Linear { act: ops::Act::None }.into()
            }
            "batch_norm" => {
                ins.extend([v(1), v(2), v(3), v(4)]);
                ops::BatchNorm { eps: F32(args[7].number() as f32) }.into()
            }
            "relu" => ops::Relu {}.into(),
            "hardtanh" => {
                ops::Clip { min: F32(args[1].number() as f32), max: F32(args[2].number() as f32) }.into()
            }
            "add" | "mul" => {
                ins.push(v(1).or_else(|| {
                    let scalar = Tensor::f32(&[], vec![args[1].number() as f32]);
                    Some(g.push_const(scalar, &format!("{name}_scalar"), Loc::default()))
                }));
                if short == "add" {
                    ops::Add { act: ops::Act::None }.into()
                } else {
                    ops::Mul { act: ops::Act::None }.into()
                }
            }
            "matmul" => {
                ins.push(v(1));
                ops::Matmul {}.into()
            }
            "cat" => {
                ins = args[0].list().iter().map(|a| known.get(a.at("node").text()).copied()).collect();
                ops::Concat { axis: args[1].int() as u32 }.into()
            }
            "max_pool2d" => ops::MaxPool {
                kernel: axes(1, 1),
                stride: axes(2, 1),
                pad: pads(3),
                dilation: axes(4, 1),
                ceil: false,
            }
            .into(),
            "mean" => ops::Reduce {
                kind: ops::reduce::Reduction::Mean,
                axes: ints(1, 0).iter().map(|&a| a as u32).collect(),
                keep: false,
            }
            .into(),
            "reshape" => ops::Reshape { shape: ints(1, 1).into_iter().map(Dim::lit).collect() }.into(),
            "flatten" => {
                let dims = g.ty(x.ok_or("x")?).shape.concrete().ok_or("shape")?;
                let tail: usize = dims[1..].iter().product();
                ops::Reshape { shape: vec![Dim::lit(dims[0] as i64), Dim::lit(tail as i64)] }.into()
            }
            "transpose" => {
                let n = rank(x.ok_or("x")?, &g) as i64;
                let mut perm: Vec<u32> = (0..n as u32).collect();
                let at = |i: usize| args[i].int().rem_euclid(n) as usize;
                perm.swap(at(1), at(2));
                ops::Transpose { perm }.into()
            }
            "softmax" => {
                let n = rank(x.ok_or("x")?, &g) as i64;
                ops::Softmax { axis: args[1].int().rem_euclid(n) as u32 }.into()
            }
            "layer_norm" => {
                ins.extend([v(2), v(3)]);
                let n = rank(x.ok_or("x")?, &g) - args[1].list().len();
                ops::LayerNorm { axis: n as u32, eps: F32(1e-5) }.into()
            }
            other => return Err(format!("no op for {other}")),
        };
        while ins.last() == Some(&None) {
            ins.pop();
        }
        known.insert(name.into(), g.push(op, ins, name, loc).map_err(shown)?);
    }
    Ok(g)
}

fn quantizer(flow: &str) -> Result<Option<Box<dyn Quantizer>>, Diag> {
    let xnnpack = |per_channel, dynamic| -> Result<Option<Box<dyn Quantizer>>, Diag> {
        let config = XnnpackConfig::symmetric(per_channel, dynamic)?;
        Ok(Some(Box::new(XnnpackQuantizer::new().set_global(config))))
    };
    let x86 = |dynamic| -> Result<Option<Box<dyn Quantizer>>, Diag> {
        let config = X86InductorConfig::new(dynamic, false)?;
        Ok(Some(Box::new(X86InductorQuantizer::new().set_global(config))))
    };
    match flow {
        "xnnpack" => xnnpack(false, false),
        "xnnpack_per_channel" => xnnpack(true, false),
        "xnnpack_dynamic" => xnnpack(true, true),
        "x86_inductor" => x86(false),
        "x86_inductor_dynamic" => x86(true),
        _ => Ok(None),
    }
}

type Seen = (String, String, Vec<String>);

/// Observed value, the observer it is, who reads it.
fn recorded(flow: Item, g: &Graph) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    for o in flow.at("observers").list() {
        let shared = o.at("same_instance_as");
        let node = o.at("node").text();
        let instance = if shared.is_null() { node } else { shared.text() };
        let users = o.at("used_by").list().iter().map(|u| u.text().replace("output_1", "output")).collect();
        all.insert(node.into(), (here(g, o.at("observes").text()), instance.into(), users));
    }
    all
}

/// A fused convolution has the name of the batch norm that was folded into it; a scalar has that of its reader.
fn here(g: &Graph, name: &str) -> String {
    let known = |n: &str| g.find(n).is_some();
    let folded = name.replace("conv2d", "batch_norm");
    if known(name) {
        name.into()
    } else if known(&folded) {
        folded
    } else {
        name.replace("_tensor_constant_0", "mul_scalar")
    }
}

fn ours(g: &Graph) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    for n in g.nodes() {
        let Some(o) = g.get::<Observe>(n) else { continue };
        let mut users: Vec<String> =
            g.users(o.out).map(|u| g.name_of(g.node(u).outs[0]).replace("batch_norm", "conv2d")).collect();
        if g.value(o.out).uses.iter().any(|u| matches!(u, Use::Output(_))) {
            users.push("output".into());
        }
        let seen = (g.name_of(o.x).to_string(), o.op.by.0.to_string(), users);
        all.insert(g.name_of(o.out).to_string(), seen);
    }
    all
}

fn sorted(all: BTreeMap<String, Seen>) -> BTreeMap<String, Seen> {
    let tidy = |(k, (v, o, mut u)): (String, Seen)| {
        for name in &mut u {
            *name = name.replace("conv2d", "conv").replace("batch_norm", "conv");
        }
        u.sort();
        u.dedup();
        (k, (v, o, u))
    };
    all.into_iter().map(tidy).collect()
}

fn compare(model: Item, name: &str, flow: Item, parts: &mut Parts) -> Result<(), String> {
    let mut g = graph(model, flow)?;
    let quantizer = quantizer(name).map_err(shown)?.ok_or("training is another matter")?;
    let prepared = prepare_pt2e(&mut g, quantizer.as_ref()).map_err(shown)?;
    let (want, got) = (sorted(recorded(flow, &g)), sorted(ours(&g)));
    let differ: Vec<_> = want.iter().filter(|(k, v)| got.get(*k) != Some(v)).collect();
    let extra: Vec<_> = got.iter().filter(|(k, v)| want.get(*k) != Some(v)).collect();
    let same = differ.is_empty() && extra.is_empty();
    parts.add("observers", if same { Ok(()) } else { Err(format!("PyTorch {differ:?}, here {extra:?}")) });
    let batches: Vec<Vec<Tensor>> = model
        .at("calibration")
        .list()
        .into_iter()
        .map(|b| b.list().into_iter().map(Item::tensor).collect())
        .collect();
    let calibration = calibrate_by_interpreter(&g, batches.into_iter().map(Ok), 1).map_err(shown)?;
    let inputs: Vec<Tensor> = model.at("inputs").list().into_iter().map(Item::tensor).collect();
    let mut reference = g.clone();
    convert_pt2e(&mut reference, &prepared, &calibration).map_err(shown)?;
    parts.add("converted", counts(flow, &reference));
    parts.add("output", outputs(&reference, &inputs, flow.at("converted_output")));
    let mut integers = g.clone();
    convert_pt2e_to_integers(&mut integers, &prepared, &calibration, &KernelSupport::native())
        .map_err(shown)?;
    parts.add("integers", outputs(&integers, &inputs, flow.at("converted_output")));
    Ok(())
}

/// As many quantize and dequantize nodes as PyTorch has.
fn counts(flow: Item, g: &Graph) -> Result<(), String> {
    let nodes = flow.at("converted").at("nodes").list();
    let torch = |what: &str| {
        nodes
            .iter()
            .filter(|n| n.at("target").text().starts_with(&format!("quantized_decomposed.{what}_")))
            .count()
    };
    let here = |is: fn(&Op) -> bool| g.nodes().filter(|&n| is(g.op(n))).count();
    let want = (torch("quantize"), torch("dequantize"));
    // A pair in one op.
    let dynamic = here(|o| matches!(o, Op::FakeQuantizeDynamic(_)));
    let got = (
        here(|o| matches!(o, Op::Quantize(_))) + dynamic,
        here(|o| matches!(o, Op::Dequantize(_))) + dynamic,
    );
    if want == got { Ok(()) } else { Err(format!("quantize, dequantize: PyTorch {want:?}, here {got:?}")) }
}

fn outputs(g: &Graph, inputs: &[Tensor], want: Item) -> Result<(), String> {
    let outs = run(g, inputs, &mut ()).map_err(|e| format!("{e:?}"))?;
    let step = g
        .nodes()
        .filter(|&n| !matches!(g.op(n), Op::Const(_)))
        .filter_map(|n| match g.elem(g.node(n).outs[0]) {
            Elem::Quant(q) => q.per_tensor().map(|p| p.0),
            _ => None,
        })
        .fold(0.0, f32::max);
    for (o, t) in g.outputs().iter().zip(&outs) {
        let want = want.at(&o.name).array().f32s();
        let got = t.data::<f32>().map_err(|r| r.message)?;
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if worst > 2.0 * step + 1e-5 {
            return Err(format!("{}: off by {worst}, a step is {step}", o.name));
        }
    }
    Ok(())
}

/// T181, T182, T184, T190, T195, T198, T201, T203, T204, T205: eight models under five quantizers.
#[test]
fn every_flow() {
    let folders = folders();
    if folders.is_empty() {
        return;
    }
    let mut area = Area::new("pt2e");
    for dir in folders {
        let golden = Golden::open_in(&dir, "model.json");
        let model = golden.root();
        for (flow, item) in model.at("flows").members() {
            if flow.ends_with("qat") {
                continue;
            }
            let id = format!("{}.{flow}", model.at("model").text());
            area.case(&id, |parts| compare(model, flow, item, parts));
        }
    }
    area.finish();
}
