//! Recurrent layers: the float ops against PyTorch's float modules, the dynamic ones against its dynamic modules.

use half::f16;
use quantir::ir::ops::recurrent::Nonlinearity;
use quantir::ir::ops::{
    Eval, Gru, GruCell, GruCellDynamic, GruDynamic, Infer, Lstm, LstmCell, LstmCellDynamic, LstmDynamic, Op,
    RnnCell, RnnCellDynamic,
};
use quantir::ir::{Reason, Tensor};

use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// Results of `op`.
fn run(op: &Op, ins: &[Option<Tensor>]) -> Result<Vec<Tensor>, Reason> {
    let types: Vec<_> = ins.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
    let types: Vec<_> = types.iter().map(Option::as_ref).collect();
    op.check_operands(&types)?;
    let outs = op.infer(&Infer { ins: &types, declared: &[] })?;
    let ins: Vec<_> = ins.iter().map(Option::as_ref).collect();
    op.eval(&Eval { ins: &ins, outs: &outs })
}

/// Compares floats: 1e-5 relative to the larger of 1 and the wanted number.
fn close(found: &[Tensor], want: Item) -> Result<(), String> {
    let want = want.list();
    if found.len() != want.len() {
        return Err(format!("{} results instead of {}", found.len(), want.len()));
    }
    for (k, (f, w)) in found.iter().zip(want).enumerate() {
        let w = w.array();
        if f.shape != w.shape {
            return Err(format!("result {k} is {:?} instead of {:?}", f.shape, w.shape));
        }
        for (i, (a, b)) in f.floats().unwrap().iter().zip(w.f32s()).enumerate() {
            if (a - b).abs() > 1e-5 * b.abs().max(1.0) {
                return Err(format!("result {k}, element {i}: {a} instead of {b}"));
            }
        }
    }
    Ok(())
}

struct Form {
    kind: String,
    layers: u32,
    bidirectional: bool,
    batch_first: bool,
    bias: bool,
    nonlinearity: Nonlinearity,
}

impl Form {
    fn of(case: Item) -> Form {
        let attrs = case.at("attrs");
        let flag =
            |name: &str, default| if attrs.at(name).is_null() { default } else { attrs.at(name).flag() };
        Form {
            kind: case.at("op").text().trim_start_matches("dynamic ").to_owned(),
            layers: if attrs.at("num_layers").is_null() { 1 } else { attrs.at("num_layers").int() as u32 },
            bidirectional: flag("bidirectional", false),
            batch_first: flag("batch_first", false),
            bias: flag("bias", true),
            nonlinearity: match attrs.at("nonlinearity").value.as_str() {
                Some("relu") => Nonlinearity::Relu,
                _ => Nonlinearity::Tanh,
            },
        }
    }

    /// Names of the parameters in the order of our operands.
    fn parameters(&self) -> Vec<String> {
        let mut names = Vec::new();
        let kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
        let kinds = if self.bias { &kinds[..] } else { &kinds[..2] };
        if self.kind.ends_with("Cell") {
            return kinds.iter().map(|k| k.to_string()).collect();
        }
        for layer in 0..self.layers {
            for suffix in if self.bidirectional { &["", "_reverse"][..] } else { &[""] } {
                names.extend(kinds.iter().map(|k| format!("{k}_l{layer}{suffix}")));
            }
        }
        names
    }

    fn float(&self) -> Op {
        let Form { layers, bidirectional, batch_first, bias, nonlinearity, .. } = *self;
        match self.kind.as_str() {
            "LSTM" => Lstm { layers, bidirectional, batch_first, bias }.into(),
            "GRU" => Gru { layers, bidirectional, batch_first, bias }.into(),
            "LSTMCell" => LstmCell {}.into(),
            "GRUCell" => GruCell {}.into(),
            "RNNCell" => RnnCell { nonlinearity }.into(),
            k => panic!("no op for `{k}`"),
        }
    }

    fn dynamic(&self, reduce_range: bool) -> Op {
        let Form { layers, bidirectional, batch_first, bias, nonlinearity, .. } = *self;
        match self.kind.as_str() {
            "LSTM" => LstmDynamic { layers, bidirectional, batch_first, bias, reduce_range }.into(),
            "GRU" => GruDynamic { layers, bidirectional, batch_first, bias, reduce_range }.into(),
            "LSTMCell" => LstmCellDynamic { reduce_range }.into(),
            "GRUCell" => GruCellDynamic { reduce_range }.into(),
            "RNNCell" => RnnCellDynamic { nonlinearity, reduce_range }.into(),
            k => panic!("no op for `{k}`"),
        }
    }
}

/// T164, T176, T215: dynamic LSTM, GRU and cells, `i8` per tensor and per channel and `f16`, for each engine.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/rnn") else { return };
    let mut area = Area::new("kernels/rnn");
    for case in golden.cases() {
        area.case(case.id(), |_| check(case));
    }
    area.finish();
}

fn check(case: Item) -> Result<(), String> {
    let form = Form::of(case);
    let inputs = case.at("inputs");
    let mut data = vec![Some(inputs.at("x").tensor())];
    data.extend(inputs.at("state").list().into_iter().map(|s| Some(s.tensor())));
    let with = |weights: Vec<Tensor>| -> Vec<Option<Tensor>> {
        data.iter().cloned().chain(weights.into_iter().map(Some)).collect()
    };
    let state = case.at("state_dict");
    let float: Vec<Tensor> = form.parameters().iter().map(|n| state.at(n).tensor()).collect();
    if !case.at("float_out").is_null() {
        let found = run(&form.float(), &with(float.clone())).map_err(|r| r.message)?;
        close(&found, case.at("float_out")).map_err(|e| format!("float: {e}"))?;
    }
    let half = case.at("attrs").at("weight_qconfig").text() == "float16";
    let quantized = case.at("quantized_weights");
    let weights: Vec<Tensor> = form
        .parameters()
        .iter()
        .zip(float)
        .map(|(name, t)| match name.starts_with("bias") {
            true => t,
            false if half => {
                let round = |v: &f32| f16::from_f32(v.clamp(-65504.0, 65504.0));
                Tensor::new(&t.shape, t.floats().unwrap().iter().map(round).collect()).unwrap()
            }
            false if quantized.at(name).is_null() => t,
            false => quantized.at(name).tensor(),
        })
        .collect();
    let groups = case.at("results").list();
    let refused = groups.iter().all(|g| !g.at("error").is_null());
    for group in groups {
        let engines: Vec<&str> = group.at("engines").list().iter().map(|e| e.text()).collect();
        let found = run(&form.dynamic(!engines.contains(&"qnnpack")), &with(weights.clone()));
        match (found, refused, group.at("error").is_null()) {
            (Ok(_), true, _) => return Err("PyTorch refuses this".into()),
            // Engines without the kernel refuse what others compute.
            (_, true, _) | (_, false, false) => {}
            (Err(r), false, true) => return Err(format!("{}: {}", engines.join(", "), r.message)),
            (Ok(found), false, true) => {
                close(&found, group.at("out")).map_err(|e| format!("{}: {e}", engines.join(", ")))?;
            }
        }
    }
    Ok(())
}
