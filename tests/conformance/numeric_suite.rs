//! Measures of numeric closeness, and layers of float and quantized models compared by them.
//!
//! Quantized models come both ways: written here from the recorded parameters, so that nothing but the comparison is
//! tested, and converted from the float model with PyTorch's default mapping and the recorded calibration.

use std::sync::Arc;

use quantir::ir::attr::{F32, Pads, PerAxis};
use quantir::ir::ops::act::Act;
use quantir::ir::ops::reduce::Reduction;
use quantir::ir::ops::{Add, BatchNorm, Conv, Dequantize, Linear, Quantize, Reduce, Relu, Reshape};
use quantir::ir::{Elem, Graph, Loc, Phase, Quant, Shape, Storage, Tensor, Type, ValueId};
use quantir::numeric_suite::{
    Metric, ResultKind, Results, ShadowLayers, add_loggers, add_shadow_loggers,
    extend_logger_results_with_comparison, extract_logger_info, extract_shadow_logger_info, extract_weights,
};
use quantir::quantization::{
    BackendConfig, ConvertCustomConfig, PrepareCustomConfig, convert_fx, fuse_fx,
    get_default_qconfig_mapping, prepare_fx,
};
use quantir::{Model, SessionOptions};

use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// The figures that were recorded, with ours.
const FIGURES: [Metric; 3] = [Metric::Sqnr, Metric::NormalizedL2, Metric::Cosine];

/// T180: the figures of the suite, and models compared by weights, by results and by shadows.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("numeric_suite") else { return };
    let mut area = Area::new("numeric_suite");
    for case in golden.cases() {
        area.case(case.id(), |parts| match case.at("op").text() {
            "metrics" => metrics(case),
            "compare_models" => {
                for models in [Models::of(case), Models::converted(case)] {
                    parts.add("weights", models.weights(case));
                    parts.add("activations", models.activations(case));
                    parts.add("shadow_activations", models.shadows(case));
                }
                Ok(())
            }
            op => Err(format!("no test for `{op}`")),
        });
    }
    area.finish();
}

fn metrics(case: Item<'_>) -> Result<(), String> {
    let (x, y) = (case.at("x").tensor(), case.at("y").tensor());
    for m in FIGURES {
        near(m.word(), m.of(&x, &y).map_err(|r| r.message)?, case.at(m.word()).number(), 1e-5)?;
    }
    Ok(())
}

fn near(what: &str, have: f64, want: f64, relative: f64) -> Result<(), String> {
    if have == want || (have - want).abs() <= relative * want.abs().max(1.0) {
        return Ok(());
    }
    Err(format!("{what}: {have}, recorded {want}"))
}

/// A float model, fused, and its quantized form.
struct Models {
    float: Arc<Graph>,
    quantized: Arc<Graph>,
    input: Tensor,
}

/// Builds one of the two forms of a model.
struct Build<'a> {
    g: Graph,
    case: Item<'a>,
    quantized: bool,
}

impl<'a> Build<'a> {
    fn loc(path: &str, call: &str) -> Loc {
        if path.is_empty() { Loc::default().by(call) } else { Loc::at(path).by(call) }
    }
    fn constant(&mut self, t: Tensor, name: &str) -> ValueId {
        self.g.push_const(t, name, Loc::default())
    }
    /// A module's parameter: quantized weights are dequantized in the graph.
    fn param(&mut self, module: &str, what: &str) -> ValueId {
        let name = format!("{module}.{what}");
        if !self.quantized {
            return self.constant(self.case.at("state").at(&name).tensor(), &name);
        }
        let t = self.case.at("converted_graph").at("modules").at(module).at(what).tensor();
        let quantized = t.quant().is_some();
        let v = self.constant(t, &name);
        if quantized {
            self.g.push(Dequantize {}, [v], &format!("{name}.dq"), Loc::default()).unwrap()
        } else {
            v
        }
    }
    /// Through quantize and dequantize with parameters from attributes or a module.
    fn through(&mut self, v: ValueId, scale: Item<'_>, zero: Item<'_>) -> ValueId {
        if !self.quantized {
            return v;
        }
        let value = |i: Item<'_>| {
            if i.at("values").is_null() { i.number() } else { i.at("values").list()[0].number() }
        };
        let quant = Arc::new(Quant::tensor(Storage::U8, value(scale) as f32, value(zero) as i32));
        self.quantize(v, quant)
    }
    fn quantize(&mut self, v: ValueId, quant: Arc<Quant>) -> ValueId {
        let name = self.g.name_of(v).to_string();
        let ty = Type::new(Elem::Quant(quant), self.g.ty(v).shape.clone());
        let q = self.g.push_as(Quantize {}, [v], &[ty], &format!("{name}.q"), Loc::default()).unwrap()[0];
        self.g.push(Dequantize {}, [q], &format!("{name}.dq"), Loc::default()).unwrap()
    }
    fn attribute(&mut self, v: ValueId, scale: &str, zero: &str) -> ValueId {
        let all = self.case.at("converted_graph").at("attributes");
        self.through(v, all.at(scale), all.at(zero))
    }
    fn module(&mut self, v: ValueId, module: &str) -> ValueId {
        let m = self.case.at("converted_graph").at("modules").at(module);
        self.through(v, m.at("scale"), m.at("zero_point"))
    }
    fn linear(&mut self, x: ValueId, module: &str, act: Act, name: &str) -> ValueId {
        let (w, b) = (self.param(module, "weight"), self.param(module, "bias"));
        let y = self.g.push(Linear { act }, [x, w, b], name, Self::loc(module, "nn.Linear")).unwrap();
        self.module(y, module)
    }
    fn conv(&mut self, x: ValueId, module: &str, op: Conv, name: &str) -> ValueId {
        let (w, b) = (self.param(module, "weight"), self.param(module, "bias"));
        let y = self.g.push(op, [x, w, b], name, Self::loc(module, "nn.Conv2d")).unwrap();
        self.module(y, module)
    }

    fn mlp(&mut self, x: ValueId) -> ValueId {
        let x = self.attribute(x, "fc1_input_scale_0", "fc1_input_zero_point_0");
        let fc1 = match self.quantized {
            true => self.linear(x, "fc1", Act::Relu, "relu"),
            false => {
                let y = self.linear(x, "fc1", Act::None, "fc1");
                self.g.push(Relu {}, [y], "relu", Self::loc("", "F.relu")).unwrap()
            }
        };
        let fc2 = self.linear(fc1, "fc2", Act::None, "fc2");
        let add =
            self.g.push(Add { act: Act::None }, [fc2, fc1], "add", Self::loc("", "operator.add")).unwrap();
        let add = self.attribute(add, "_scale_0", "_zero_point_0");
        self.linear(add, "fc3", Act::None, "fc3")
    }

    fn cnn(&mut self, x: ValueId) -> ValueId {
        let x = self.attribute(x, "conv1_input_scale_0", "conv1_input_zero_point_0");
        let conv = |stride: u32, pad: u32, act: Act| Conv {
            rank: 2,
            stride: PerAxis::all(stride),
            pad: Pads::of(&[(pad, pad)]),
            dilation: PerAxis::all(1),
            groups: 1,
            act,
        };
        let y = match self.quantized {
            true => self.conv(x, "conv1", conv(1, 1, Act::Relu), "relu"),
            false => {
                let y = self.conv(x, "conv1", conv(1, 1, Act::None), "conv1");
                let bn = ["weight", "bias", "running_mean", "running_var"].map(|p| self.param("bn", p));
                let ins = std::iter::once(y).chain(bn);
                let y =
                    self.g.push(BatchNorm { eps: F32(1e-5) }, ins, "bn", Self::loc("bn", "nn.BatchNorm2d"));
                self.g.push(Relu {}, [y.unwrap()], "relu", Self::loc("relu", "nn.ReLU")).unwrap()
            }
        };
        let y = self.conv(y, "conv2", conv(2, 0, Act::None), "conv2");
        let pool = Reduce { kind: Reduction::Mean, axes: vec![2, 3], keep: true };
        let mut y = self.g.push(pool, [y], "pool", Self::loc("", "F.adaptive_avg_pool2d")).unwrap();
        if self.quantized {
            // It keeps the parameters of its input.
            let m = self.case.at("converted_graph").at("modules").at("conv2");
            let quant =
                Quant::tensor(Storage::U8, m.at("scale").number() as f32, m.at("zero_point").int() as i32);
            y = self.quantize(y, quant.into());
        }
        let n = self.g.ty(y).shape.concrete().unwrap();
        let shape = Shape::of(&[n[0], n[1]]).0;
        let y = self.g.push(Reshape { shape }, [y], "flatten", Self::loc("", ".flatten")).unwrap();
        let y = self.attribute(y, "_scale_1", "_zero_point_1");
        self.linear(y, "fc", Act::None, "fc")
    }
}

/// The model of a case, float or quantized.
fn form(case: Item<'_>, quantized: bool) -> Graph {
    let phase = if quantized { Phase::Reference } else { Phase::Float };
    let mut b = Build { g: Graph::new("main", phase), case, quantized };
    let x = b.g.input("x", Type::f32(&case.at("input").array().shape));
    let y = if case.id().contains("conv") { b.cnn(x) } else { b.mlp(x) };
    b.g.output("y", y);
    let called = b.g.nodes().filter_map(|n| b.g.node(n).loc.path.clone().zip(b.g.node(n).loc.call.clone()));
    let modules: Vec<_> = called.collect();
    b.g.modules.extend(modules);
    b.g
}

impl Models {
    fn of(case: Item<'_>) -> Models {
        let float = Model::from_graph(form(case, false)).unwrap().fuse().unwrap();
        let quantized = form(case, true).into();
        Models { float: float.shared_graph(), quantized, input: case.at("input").tensor() }
    }

    fn converted(case: Item<'_>) -> Models {
        let float = Model::from_graph(form(case, false)).unwrap();
        let native = BackendConfig::named("native").unwrap();
        let mapping = get_default_qconfig_mapping(case.at("engine").text()).unwrap();
        let observed = prepare_fx(float.clone(), &mapping, &native, &PrepareCustomConfig::new()).unwrap();
        let batches = case.at("calibration").list().into_iter().map(|t| vec![t.tensor()]);
        let calibrated = observed.calibrate_batches(batches).unwrap();
        let quantized = convert_fx(calibrated, &ConvertCustomConfig::new()).unwrap().shared_graph();
        let float = fuse_fx(float, &native).unwrap().shared_graph();
        Models { float, quantized, input: case.at("input").tensor() }
    }

    fn weights(&self, case: Item<'_>) -> Result<(), String> {
        compare(extract_weights("float", &self.float, "quantized", &self.quantized), case.at("weights"), 0.0)
    }

    fn activations(&self, case: Item<'_>) -> Result<(), String> {
        let (a, b) = (self.float.clone(), self.quantized.clone());
        let mut loggers = add_loggers("float", a, "quantized", b, &SessionOptions::default()).unwrap();
        loggers.run(std::slice::from_ref(&self.input)).unwrap();
        compare(extract_logger_info(&loggers), case.at("activations"), 1.0)
    }

    fn shadows(&self, case: Item<'_>) -> Result<(), String> {
        let (a, b) = (self.float.clone(), self.quantized.clone());
        let one = ShadowLayers::OneInput;
        let mut s = add_shadow_loggers("float", a, "quantized", b, one, &SessionOptions::default()).unwrap();
        s.run(std::slice::from_ref(&self.input)).unwrap();
        compare(extract_shadow_logger_info(&s), case.at("shadow_activations"), 1.0)
    }
}

/// Layers, values and figures against what was recorded. Quantized values may be `steps` steps apart where a sum lies at a
/// tie, which moves figures a little; figures of the recorded values must agree with those recorded.
fn compare(mut ours: Results, golden: Item<'_>, steps: f64) -> Result<(), String> {
    for m in FIGURES {
        extend_logger_results_with_comparison(&mut ours, "float", "quantized", m, m.word())
            .map_err(|d| d.to_string())?;
    }
    let mut want: Vec<&str> = golden.members().iter().map(|m| m.0).collect();
    let mut have: Vec<&str> = ours.layers.keys().map(String::as_str).collect();
    want.sort_unstable();
    have.sort_unstable();
    if have != want {
        return Err(format!("layers {have:?}, recorded {want:?}"));
    }
    for (layer, kinds) in golden.members() {
        for (kind, models) in kinds.members() {
            let found = if kind == "weight" { ResultKind::Weight } else { ResultKind::NodeOutput };
            let reference = models.at("float").list()[0].at("values").list()[0].tensor();
            for (model, entries) in models.members() {
                let (recorded, at) = (entries.list()[0], format!("{layer} {kind} {model}"));
                let e = ours.get(layer, found, model).ok_or(format!("no {at}"))?;
                if e.fqn != recorded.at("fqn").text() {
                    return Err(format!(
                        "{at}: module `{}`, recorded `{}`",
                        e.fqn,
                        recorded.at("fqn").text()
                    ));
                }
                let value = recorded.at("values").list()[0].tensor();
                same(&at, &e.values[0], &value, steps)?;
                for m in FIGURES.iter().filter(|_| model == "quantized") {
                    let want = recorded.at(m.word()).list()[0].number();
                    let again = m.of(&reference, &value).map_err(|r| r.message)?;
                    near(&format!("{at} {m} of recorded values"), again, want, 1e-5)?;
                    let have = e.comparisons[m.word()][0];
                    near(&format!("{at} {m}"), have, want, if steps > 0.0 { 0.02 } else { 1e-5 })?;
                }
            }
        }
    }
    Ok(())
}

fn same(at: &str, have: &Tensor, want: &Tensor, steps: f64) -> Result<(), String> {
    if have.quant().is_some() != want.quant().is_some() || have.shape != want.shape {
        return Err(format!("{at}: {}, recorded {}", have.ty(), want.ty()));
    }
    let step = want.quant().map_or(0.0, |q| steps * f64::from(q.scale(0)));
    let (x, y) = (have.dequantize().unwrap(), want.dequantize().unwrap());
    let pairs = x.floats().unwrap().into_owned().into_iter().zip(y.floats().unwrap().into_owned());
    for (x, y) in pairs.map(|(x, y)| (f64::from(x), f64::from(y))) {
        if (x - y).abs() > step * 1.001 + 1e-5 * y.abs().max(1.0) {
            return Err(format!("{at}: {x}, recorded {y}"));
        }
    }
    Ok(())
}
