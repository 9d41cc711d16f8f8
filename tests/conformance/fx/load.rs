//! A golden model as a graph: PyTorch's traced graph written as text, one node for each call.

use std::collections::HashMap;
use std::fmt::Write;

use std::fs;
use std::path::{Path, PathBuf};

use quantir_ir::text::parse_with;
use quantir_ir::{Diag, Graph, Tensor, render};
use quantir_quant::call_type::canonical;
use serde_json::Value;

use crate::reader::{Golden, Item, read_arrays};

/// A model's folder.
pub struct FxModel {
    /// The model's name.
    pub name: String,
    /// `model.json` with its arrays.
    pub golden: Golden,
    /// `state.safetensors`.
    pub state: HashMap<String, Tensor>,
}

/// Folders of models: all of `QUANTIR_ZOO`, or else the vendored ones.
pub fn models() -> Vec<PathBuf> {
    let zoo = std::env::var_os("QUANTIR_ZOO").map(|z| Path::new(&z).join("golden/fx"));
    let vendored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fx");
    let dir = zoo.filter(|p| p.is_dir()).unwrap_or(vendored);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

impl FxModel {
    /// Reads a folder.
    pub fn open(dir: &Path) -> FxModel {
        let name = dir.file_name().expect("a folder").to_string_lossy().into_owned();
        let golden = Golden::open_in(dir, "model.json");
        let state = fs::read(dir.join("state.safetensors")).expect("parameters");
        let state = read_arrays(&state).into_iter().map(|(n, a)| (n, a.tensor())).collect();
        FxModel { name, golden, state }
    }

    /// The whole of `model.json`.
    pub fn root(&self) -> Item<'_> {
        self.golden.root()
    }

    fn json(&self) -> &Value {
        &self.golden.json
    }

    /// The model's parameter of this PyTorch name.
    pub fn parameter(&self, name: &str) -> Option<Tensor> {
        let stored = self.json()["state"]["names"][name].as_str().unwrap_or(name);
        self.state.get(stored).cloned()
    }

    /// The float graph as PyTorch traced it.
    pub fn graph(&self) -> Result<Graph, String> {
        self.graph_and_names().map(|(g, _)| g)
    }

    /// The same with the value that each of PyTorch's nodes is, where the names differ.
    pub fn graph_and_names(&self) -> Result<(Graph, HashMap<String, String>), String> {
        let mut w = Writer::new(self);
        for node in self.json()["traced"]["nodes"].as_array().ok_or("no nodes")? {
            w.node(node).map_err(|e| format!("{}: {e}", node["name"]))?;
        }
        let text = w.text();
        let find = |name: &str| w.consts.get(name).cloned();
        let shown = |all: Vec<Diag>| render(&all, Some((&self.name, &text)), false);
        let g = parse_with(&text, &find, &self.name).map_err(shown)?;
        let wrong = quantir_ir::verify(&g);
        if !wrong.is_empty() {
            return Err(shown(wrong));
        }
        let named = w.known.into_iter().filter_map(|(n, m)| match m {
            Meaning::Tensor(v) if v != n => Some((n, v)),
            _ => None,
        });
        Ok((g, named.collect()))
    }
}

/// What a PyTorch node stands for.
#[derive(Clone)]
enum Meaning {
    Tensor(String),
    Tuple(Vec<Meaning>),
    Int(i64),
    /// A module's parameter, a constant by name.
    Nothing,
}

struct Writer<'a> {
    model: &'a FxModel,
    inputs: Vec<String>,
    lines: String,
    outputs: Vec<String>,
    known: HashMap<String, Meaning>,
    shapes: HashMap<String, Vec<i64>>,
    consts: HashMap<String, Tensor>,
    written: std::collections::HashSet<String>,
}

impl<'a> Writer<'a> {
    fn new(model: &'a FxModel) -> Self {
        Writer {
            model,
            inputs: Vec::new(),
            lines: String::new(),
            outputs: Vec::new(),
            known: HashMap::new(),
            shapes: HashMap::new(),
            consts: HashMap::new(),
            written: Default::default(),
        }
    }

    fn text(&self) -> String {
        let mut modules = String::new();
        if let Some(all) = self.model.json()["modules"].as_object() {
            for (path, m) in all {
                let class = canonical(m["class"].as_str().unwrap_or("?"));
                let _ = writeln!(modules, "module @\"{path}\" = \"{class}\"");
            }
        }
        let (inputs, lines, outputs) = (self.inputs.join(", "), &self.lines, self.outputs.join(", "));
        format!("qir 1 float\n{modules}graph @main({inputs}) {{\n{lines}  return {outputs}\n}}\n")
    }

    fn meaning(&self, arg: &Value) -> Result<Meaning, String> {
        if let Some(n) = arg["node"].as_str() {
            return self.known.get(n).cloned().ok_or_else(|| format!("unknown node {n}"));
        }
        if let Some(list) = arg.as_array() {
            return Ok(Meaning::Tuple(list.iter().map(|a| self.meaning(a)).collect::<Result<_, _>>()?));
        }
        Ok(arg.as_i64().map_or(Meaning::Nothing, Meaning::Int))
    }
    /// A tensor operand, `%name`; numbers become scalar constants.
    fn operand(&mut self, arg: &Value) -> Result<String, String> {
        match self.meaning(arg)? {
            Meaning::Tensor(v) => Ok(format!("%\"{v}\"")),
            _ if arg.is_number() => {
                let x = arg.as_f64().unwrap_or(0.0) as f32;
                let name = format!("scalar{x:?}");
                if self.written.insert(name.clone()) {
                    let _ = writeln!(self.lines, "  %\"{name}\" = const {{data=splat({x:?})}} : f32[]");
                }
                Ok(format!("%\"{name}\""))
            }
            _ => Err(format!("{arg} is no tensor")),
        }
    }
    fn int(&self, arg: &Value) -> Result<i64, String> {
        match self.meaning(arg)? {
            Meaning::Int(n) => Ok(n),
            _ => Err(format!("{arg} is no integer")),
        }
    }
    fn shape_of(&self, operand: &str) -> Result<Vec<i64>, String> {
        let name = operand.trim_start_matches('%').trim_matches('"');
        self.shapes.get(name).cloned().ok_or_else(|| format!("no shape of {name}"))
    }
    fn axis(&self, operand: &str, axis: i64) -> Result<i64, String> {
        let rank = self.shape_of(operand)?.len() as i64;
        Ok(if axis < 0 { axis + rank } else { axis })
    }

    /// The constant that holds a parameter, written once.
    fn parameter(&mut self, name: &str, path: &str) -> Result<String, String> {
        let t = self.model.parameter(name).ok_or_else(|| format!("no parameter {name}"))?;
        self.constant(name, t, path);
        Ok(format!("%\"{name}\""))
    }
    fn constant(&mut self, name: &str, t: Tensor, path: &str) {
        if self.written.insert(name.into()) {
            let at = if path.is_empty() { String::new() } else { format!(" @\"{path}\"") };
            let _ = writeln!(self.lines, "  %\"{name}\" = const {{data=blob(\"{name}\")}} : {}{at}", t.ty());
            self.shapes.insert(name.into(), t.shape.iter().map(|&n| n as i64).collect());
            self.consts.insert(name.into(), t);
        }
    }

    /// One line. `results` are the shapes of all results.
    fn line(
        &mut self,
        names: &[String],
        op: &str,
        ins: &[String],
        attrs: &str,
        results: &[Vec<i64>],
        loc: &str,
    ) {
        let outs: Vec<String> = names.iter().map(|n| format!("%\"{n}\"")).collect();
        let types: Vec<String> = results.iter().map(|s| format!("f32{}", list(s))).collect();
        let attrs = if attrs.is_empty() { String::new() } else { format!(" {{{attrs}}}") };
        let _ = writeln!(
            self.lines,
            "  {} = {op} {}{attrs} : {}{loc}",
            outs.join(", "),
            ins.join(", "),
            types.join(", ")
        );
        for (n, s) in names.iter().zip(results) {
            self.shapes.insert(n.clone(), s.clone());
        }
    }

    fn node(&mut self, n: &Value) -> Result<(), String> {
        let name = n["name"].as_str().ok_or("no name")?.to_string();
        let target = n["target"].as_str().unwrap_or("");
        let meaning = match n["op"].as_str().unwrap_or("") {
            "placeholder" => {
                let storage = if n["dtype"] == "int64" { "i64" } else { "f32" };
                let shape = ints(&n["shape"]);
                self.inputs.push(format!("%\"{name}\": {storage}{}", list(&shape)));
                self.shapes.insert(name.clone(), shape);
                Meaning::Tensor(name.clone())
            }
            "get_attr" => {
                let path = target.rsplit_once('.').map_or("", |p| p.0);
                self.parameter(target, path)?;
                Meaning::Tensor(target.into())
            }
            "output" => {
                let all = match self.meaning(&n["args"][0])? {
                    Meaning::Tuple(all) => all,
                    one => vec![one],
                };
                let many = all.len() > 1;
                for (i, m) in all.into_iter().enumerate() {
                    let Meaning::Tensor(v) = m else { return Err("an output is no tensor".into()) };
                    let as_ = if many { format!("out.{i}") } else { "out".into() };
                    self.outputs.push(format!("%\"{v}\" as \"{as_}\""));
                }
                Meaning::Nothing
            }
            "call_module" => self.module(&name, target, n)?,
            _ => self.function(&name, target, n)?,
        };
        self.known.insert(name, meaning);
        Ok(())
    }

    fn module(&mut self, name: &str, path: &str, n: &Value) -> Result<Meaning, String> {
        let m = self.model.json()["traced"]["modules"][path].clone();
        let class = canonical(m["class"].as_str().ok_or("no class")?);
        let loc = format!(" @\"{path}\" by \"{class}\"");
        let p = |what: &str| format!("{path}.{what}");
        let x = self.operand(&n["args"][0])?;
        let shape = ints(&n["shape"]);
        let one = [name.to_string()];
        let bias = m["has_bias"] == true;
        let with = |w: &mut Self, params: &[&str]| -> Result<Vec<String>, String> {
            let mut ins = vec![x.clone()];
            for what in params {
                ins.push(w.parameter(&p(what), path)?);
            }
            Ok(ins)
        };
        let weighted: &[&str] = if bias { &["weight", "bias"] } else { &["weight"] };
        let f = |key: &str| m[key].as_f64().unwrap_or(0.0) as f32;
        let short = class.trim_start_matches("nn.");
        let (op, ins, attrs): (&str, Vec<String>, String) = match short {
            "Linear" => ("linear", with(self, weighted)?, String::new()),
            "Conv1d" | "Conv2d" | "Conv3d" => {
                let op = ["conv1d", "conv2d", "conv3d"][usize::from(short.as_bytes()[4] - b'1')];
                (op, with(self, weighted)?, conv_attrs(&m))
            }
            "ConvTranspose1d" | "ConvTranspose2d" | "ConvTranspose3d" => {
                let op = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
                    [usize::from(short.as_bytes()[13] - b'1')];
                let attrs = format!("{}, out_pad={}", conv_attrs(&m), list(&ints(&m["output_padding"])));
                (op, with(self, weighted)?, attrs)
            }
            "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" => {
                let ins = with(self, &["weight", "bias", "running_mean", "running_var"])?;
                ("batch_norm", ins, format!("eps={:?}", f("eps")))
            }
            "LayerNorm" => {
                let axis = shape.len() - ints(&m["normalized_shape"]).len();
                ("layer_norm", with(self, &["weight", "bias"])?, format!("axis={axis}, eps={:?}", f("eps")))
            }
            "GroupNorm" => {
                let attrs = format!("groups={}, eps={:?}", m["num_groups"], f("eps"));
                ("group_norm", with(self, &["weight", "bias"])?, attrs)
            }
            "InstanceNorm2d" => {
                ("instance_norm", with(self, &["weight", "bias"])?, format!("eps={:?}", f("eps")))
            }
            "ReLU" => ("relu", vec![x.clone()], String::new()),
            "ReLU6" | "Hardtanh" => {
                ("clip", vec![x.clone()], format!("min={:?}, max={:?}", f("min_val"), f("max_val")))
            }
            "Sigmoid" => ("sigmoid", vec![x.clone()], String::new()),
            "Tanh" => ("tanh", vec![x.clone()], String::new()),
            "Hardsigmoid" => ("hard_sigmoid", vec![x.clone()], String::new()),
            "Hardswish" => ("hard_swish", vec![x.clone()], String::new()),
            "LeakyReLU" => ("leaky_relu", vec![x.clone()], format!("alpha={:?}", f("negative_slope"))),
            "ELU" => ("elu", vec![x.clone()], format!("alpha={:?}", f("alpha"))),
            "PReLU" => ("prelu", with(self, &["weight"])?, String::new()),
            "Dropout" => ("dropout", vec![x.clone()], String::new()),
            "Identity" => ("identity", vec![x.clone()], String::new()),
            "MaxPool2d" => {
                let step = if m["stride"].is_null() { &m["kernel_size"] } else { &m["stride"] };
                let attrs = format!(
                    "kernel={}, stride={step}, pad={}, dilation={}, ceil={}",
                    m["kernel_size"], m["padding"], m["dilation"], m["ceil_mode"]
                );
                ("max_pool", vec![x.clone()], attrs)
            }
            "AvgPool2d" => {
                let attrs = format!(
                    "kernel={}, stride={}, pad={}, ceil={}, count_pad={}",
                    m["kernel_size"], m["stride"], m["padding"], m["ceil_mode"], m["count_include_pad"]
                );
                ("avg_pool", vec![x.clone()], attrs)
            }
            "AdaptiveAvgPool1d" | "AdaptiveAvgPool2d" | "AdaptiveAvgPool3d" => self.adaptive(&x, &shape)?,
            "PixelShuffle" => ("pixel_shuffle", vec![x.clone()], format!("factor={}", m["upscale_factor"])),
            "Embedding" => ("embedding", with(self, &["weight"])?, String::new()),
            "EmbeddingBag" => {
                let offsets = self.operand(&n["args"][1])?;
                let mut ins = with(self, &["weight"])?;
                ins.push(offsets);
                let last = m["include_last_offset"] == true;
                ("embedding_bag", ins, format!("mode={}, include_last_offset={last}", word(&m["mode"])))
            }
            "LSTM" | "GRU" => return self.recurrent(name, path, &m, n, &loc),
            "LSTMCell" | "GRUCell" | "RNNCell" => return self.cell(name, path, short, n, &loc),
            "MultiheadAttention" => {
                let (k, v) = (self.operand(&n["args"][1])?, self.operand(&n["args"][2])?);
                let mut ins = vec![x.clone(), k, v];
                for what in ["in_proj_weight", "", "", "", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
                {
                    ins.push(if what.is_empty() { "_".into() } else { self.parameter(&p(what), path)? });
                }
                let s = self.shape_of(&x)?;
                let names = [name.to_string(), format!("{name}.1")];
                let results = [s.clone(), vec![s[1], s[0], s[0]]];
                self.line(
                    &names,
                    "multihead_attention",
                    &ins,
                    &format!("heads={}", m["num_heads"]),
                    &results,
                    &loc,
                );
                return Ok(Meaning::Tuple(names.map(Meaning::Tensor).to_vec()));
            }
            other => return Err(format!("no line for module {other}")),
        };
        self.line(&one, op, &ins, &attrs, &[shape], &loc);
        Ok(Meaning::Tensor(name.into()))
    }

    /// Average pooling to a given size with windows of one size.
    fn adaptive(&self, x: &str, to: &[i64]) -> Result<(&'static str, Vec<String>, String), String> {
        let from = self.shape_of(x)?;
        let mut kernel = Vec::new();
        for (a, b) in from.iter().zip(to).skip(2) {
            if a % b != 0 {
                return Err(format!("windows of several sizes: {from:?} to {to:?}"));
            }
            kernel.push(a / b);
        }
        Ok(("avg_pool", vec![x.into()], format!("kernel={0}, stride={0}", list(&kernel))))
    }

    fn recurrent(
        &mut self,
        name: &str,
        path: &str,
        m: &Value,
        n: &Value,
        loc: &str,
    ) -> Result<Meaning, String> {
        let x = self.operand(&n["args"][0])?;
        let lstm = m["mode"] == "LSTM";
        let given = match n["args"].get(1).cloned().unwrap_or(Value::Null) {
            Value::Array(all) => all,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        let mut ins = vec![x.clone()];
        for i in 0..if lstm { 2 } else { 1 } {
            ins.push(given.get(i).map_or(Ok("_".into()), |s| self.operand(s))?);
        }
        for what in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
            ins.push(self.parameter(&format!("{path}.{what}"), path)?);
        }
        let s = self.shape_of(&x)?;
        let hidden = m["hidden_size"].as_i64().unwrap_or(0);
        let mut names = vec![name.to_string(), format!("{name}.1")];
        let mut results = vec![vec![s[0], s[1], hidden], vec![1, s[1], hidden]];
        if lstm {
            names.push(format!("{name}.2"));
            results.push(vec![1, s[1], hidden]);
        }
        self.line(&names, if lstm { "lstm" } else { "gru" }, &ins, "", &results, loc);
        let t = |i: usize| Meaning::Tensor(names[i].clone());
        let states = if lstm { Meaning::Tuple(vec![t(1), t(2)]) } else { t(1) };
        Ok(Meaning::Tuple(vec![t(0), states]))
    }

    fn cell(&mut self, name: &str, path: &str, class: &str, n: &Value, loc: &str) -> Result<Meaning, String> {
        let mut ins = vec![self.operand(&n["args"][0])?];
        let states: Vec<Value> = match &n["args"][1] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        let mut states_in = Vec::new();
        for s in &states {
            states_in.push(self.operand(s)?);
        }
        ins.extend(states_in.clone());
        for what in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
            ins.push(self.parameter(&format!("{path}.{what}"), path)?);
        }
        let shape = self.shape_of(&states_in[0])?;
        if class == "LSTMCell" {
            let names = [name.to_string(), format!("{name}.1")];
            self.line(&names, "lstm_cell", &ins, "", &[shape.clone(), shape], loc);
            return Ok(Meaning::Tuple(names.map(Meaning::Tensor).to_vec()));
        }
        let op = if class == "GRUCell" { "gru_cell" } else { "rnn_cell" };
        self.line(&[name.into()], op, &ins, "", &[shape], loc);
        Ok(Meaning::Tensor(name.into()))
    }

    fn function(&mut self, name: &str, target: &str, n: &Value) -> Result<Meaning, String> {
        let args = n["args"].as_array().cloned().unwrap_or_default();
        let kw = &n["kwargs"];
        let method = n["op"] == "call_method";
        let call = if method { format!(".{target}") } else { canonical(target) };
        let path = PATHS.iter().find(|(m, n, _)| *m == self.model.name && *n == name).map(|p| p.2);
        let path = path.map(|p| format!(" @\"{p}\"")).unwrap_or_default();
        let loc = format!("{path} by \"{call}\"");
        let short = target.rsplit('.').next().unwrap_or(target).trim_end_matches('_');
        let shape = ints(&n["shape"]);
        let one = [name.to_string()];
        let arg = |i: usize, key: &str| -> Value {
            args.get(i).cloned().filter(|v| !v.is_null()).unwrap_or_else(|| kw[key].clone())
        };
        // What is no tensor.
        match short {
            "size" => {
                let x = self.operand(&args[0])?;
                let at = self.axis(&x, self.int(&args[1])?)?;
                return Ok(Meaning::Int(self.shape_of(&x)?[at as usize]));
            }
            "floordiv" => return Ok(Meaning::Int(self.int(&args[0])? / self.int(&args[1])?)),
            "getitem" => {
                if let Meaning::Tuple(all) = self.meaning(&args[0])? {
                    let i = self.int(&args[1])? as usize;
                    return all.get(i).cloned().ok_or_else(|| "no such result".into());
                }
                return self.getitem(name, &args, &shape, &loc);
            }
            "chunk" | "split" => return self.split(name, short, &args, kw, &loc),
            "cat" | "stack" => {
                let list = args[0].as_array().cloned().unwrap_or_default();
                let ins = list.iter().map(|a| self.operand(a)).collect::<Result<Vec<_>, _>>()?;
                let dim = arg(1, "dim").as_i64().unwrap_or(0);
                let axis = if dim < 0 { dim + shape.len() as i64 } else { dim };
                let op = if short == "cat" { "concat" } else { "stack" };
                self.line(&one, op, &ins, &format!("axis={axis}"), &[shape], &loc);
                return Ok(Meaning::Tensor(name.into()));
            }
            _ => {}
        }
        let x = self.operand(&args[0])?;
        let two = |w: &mut Self| -> Result<Vec<String>, String> { Ok(vec![x.clone(), w.operand(&args[1])?]) };
        let (op, ins, attrs): (&str, Vec<String>, String) = match short {
            "add" | "mul" | "sub" => (short, two(self)?, String::new()),
            "matmul" => ("matmul", two(self)?, String::new()),
            "neg" | "tanh" | "sigmoid" | "relu" | "log1p" => (short, vec![x.clone()], String::new()),
            "relu6" => ("clip", vec![x.clone()], "min=0.0, max=6.0".into()),
            "clamp" => {
                let (lo, hi) = (args[1].as_f64().ok_or("min")? as f32, args[2].as_f64().ok_or("max")? as f32);
                ("clip", vec![x.clone()], format!("min={lo:?}, max={hi:?}"))
            }
            "hardswish" => ("hard_swish", vec![x.clone()], String::new()),
            "dropout" => ("dropout", vec![x.clone()], String::new()),
            "contiguous" => ("identity", vec![x.clone()], String::new()),
            "reshape" | "flatten" | "squeeze" | "unsqueeze" => {
                ("reshape", vec![x.clone()], format!("shape={}", list(&shape)))
            }
            "transpose" => {
                let rank = self.shape_of(&x)?.len();
                let mut perm: Vec<i64> = (0..rank as i64).collect();
                let (a, b) = (self.axis(&x, self.int(&args[1])?)?, self.axis(&x, self.int(&args[2])?)?);
                perm.swap(a as usize, b as usize);
                ("transpose", vec![x.clone()], format!("perm={}", list(&perm)))
            }
            "permute" => {
                let perm = args[1..].iter().map(|a| self.int(a)).collect::<Result<Vec<_>, _>>()?;
                ("transpose", vec![x.clone()], format!("perm={}", list(&perm)))
            }
            "mean" | "sum" => {
                let axes = match &args[1] {
                    Value::Array(_) => ints(&args[1]),
                    one => vec![one.as_i64().ok_or("axes")?],
                };
                (short, vec![x.clone()], format!("axes={}", list(&axes)))
            }
            "softmax" | "log_softmax" | "cumsum" => {
                let axis = self.axis(&x, arg(1, "dim").as_i64().ok_or("dim")?)?;
                (short, vec![x.clone()], format!("axis={axis}"))
            }
            "conv2d" => {
                let mut ins = two(self)?;
                ins.push(self.operand(&args[2])?);
                let at = |i: usize, default: i64| match args.get(i) {
                    None | Some(Value::Null) => default.to_string(),
                    Some(Value::Array(_)) => list(&ints(&args[i])),
                    Some(one) => one.to_string(),
                };
                let attrs = format!(
                    "stride={}, pad={}, dilation={}, groups={}",
                    at(3, 1),
                    at(4, 0),
                    at(5, 1),
                    at(6, 1)
                );
                ("conv2d", ins, attrs)
            }
            "linear" => {
                let mut ins = two(self)?;
                ins.push(self.operand(&args[2])?);
                ("linear", ins, String::new())
            }
            "adaptive_avg_pool2d" => self.adaptive(&x, &shape)?,
            "max_pool2d" => {
                let kernel = &args[1];
                let step = if kw["stride"].is_null() { kernel } else { &kw["stride"] };
                let attrs = format!(
                    "kernel={kernel}, stride={step}, pad={}, dilation={}, ceil={}",
                    kw["padding"], kw["dilation"], kw["ceil_mode"]
                );
                ("max_pool", vec![x.clone()], attrs)
            }
            "interpolate" => {
                let mode = if kw["mode"] == "nearest" {
                    "mode=nearest, coord=asymmetric, round=floor"
                } else {
                    "mode=linear"
                };
                ("resize", vec![x.clone()], format!("sizes={}, {mode}", list(&shape)))
            }
            other => return Err(format!("no line for function {other}")),
        };
        self.line(&one, op, &ins, &attrs, &[shape], &loc);
        Ok(Meaning::Tensor(name.into()))
    }

    fn split(
        &mut self,
        name: &str,
        short: &str,
        args: &[Value],
        kw: &Value,
        loc: &str,
    ) -> Result<Meaning, String> {
        let x = self.operand(&args[0])?;
        let shape = self.shape_of(&x)?;
        let axis = self.axis(&x, kw["dim"].as_i64().unwrap_or(0))? as usize;
        let n = args[1].as_i64().ok_or("parts")?;
        let len = shape[axis];
        let part = if short == "chunk" { (len + n - 1) / n } else { n };
        let mut sizes = Vec::new();
        let mut left = len;
        while left > 0 {
            sizes.push(left.min(part));
            left -= part;
        }
        let names: Vec<String> =
            (0..sizes.len()).map(|i| if i == 0 { name.into() } else { format!("{name}.{i}") }).collect();
        let results: Vec<Vec<i64>> = sizes
            .iter()
            .map(|&s| {
                let mut shape = shape.clone();
                shape[axis] = s;
                shape
            })
            .collect();
        self.line(&names, "split", &[x], &format!("axis={axis}, sizes={}", list(&sizes)), &results, loc);
        Ok(Meaning::Tuple(names.into_iter().map(Meaning::Tensor).collect()))
    }

    /// Indexing: slices of axes, or one index along the first.
    fn getitem(&mut self, name: &str, args: &[Value], shape: &[i64], loc: &str) -> Result<Meaning, String> {
        let x = self.operand(&args[0])?;
        let mut now = self.shape_of(&x)?;
        let mut cuts = Vec::new();
        match &args[1] {
            Value::Array(all) => {
                for (axis, s) in all.iter().enumerate() {
                    let s = &s["slice"];
                    let start = s[0].as_i64().unwrap_or(0);
                    let end = s[1].as_i64().unwrap_or(now[axis]);
                    if (start, end) != (0, now[axis]) {
                        cuts.push((axis, start, end));
                    }
                }
            }
            index => {
                let i = index.as_i64().ok_or("an index")?;
                cuts.push((0, i, i + 1));
            }
        }
        let mut from = x;
        let whole = cuts.len();
        for (i, (axis, start, end)) in cuts.into_iter().enumerate() {
            now[axis] = end - start;
            let last = i + 1 == whole && now == shape;
            let to = if last { name.to_string() } else { format!("{name}.part{i}") };
            let attrs = format!("axis={axis}, start={start}, end={end}");
            self.line(std::slice::from_ref(&to), "slice", &[from], &attrs, &[now.clone()], loc);
            from = format!("%\"{to}\"");
        }
        if now != shape {
            self.line(
                &[name.into()],
                "reshape",
                &[from],
                &format!("shape={}", list(shape)),
                &[shape.to_vec()],
                loc,
            );
        }
        Ok(Meaning::Tensor(name.into()))
    }
}

/// Functions in the code of modules, which `traced` does not tell apart from those at top level: model, node, module.
const PATHS: &[(&str, &str, &str)] = &[
    ("custom_module", "mul", "twice"),
    ("non_traceable_leaf", "relu", "inner"),
    ("standalone_module", "relu", "inner"),
    ("standalone_quantized_edges", "relu", "inner"),
];

fn conv_attrs(m: &Value) -> String {
    format!(
        "stride={}, pad={}, dilation={}, groups={}",
        list(&ints(&m["stride"])),
        list(&ints(&m["padding"])),
        list(&ints(&m["dilation"])),
        m["groups"]
    )
}

fn word(v: &Value) -> &str {
    v.as_str().unwrap_or("")
}

/// Integers of a list; one integer is a list of one.
fn ints(v: &Value) -> Vec<i64> {
    match v {
        Value::Array(all) => all.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    }
}

fn list(v: &[i64]) -> String {
    format!("[{}]", v.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
}
