//! Area `fx`: whole models through prepare, calibrate, convert and lower.

mod compare;
mod flows;
mod in_rust;
mod load;
mod mapping;
mod models;
mod onnx;

use load::{FxModel, models};
use quantir_ir::Tensor;
use quantir_ir::interp::run;

use crate::deviations::Area;
use crate::reader::Item;

/// Tensors of a list of places.
fn tensors(list: Item) -> Vec<Tensor> {
    list.list().into_iter().map(Item::tensor).collect()
}

#[test]
fn float_outputs() {
    let mut bad = Vec::new();
    let mut count = 0;
    for dir in models() {
        let model = FxModel::open(&dir);
        let name = model.name.clone();
        let g = match model.graph() {
            Ok(g) => g,
            Err(e) => {
                bad.push(format!("{name}: {e}"));
                continue;
            }
        };
        let outs = match run(&g, &tensors(model.root().at("inputs")), &mut ()) {
            Ok(o) => o,
            Err(e) => {
                bad.push(format!("{name}: {e:?}"));
                continue;
            }
        };
        for (o, t) in g.outputs().iter().zip(outs) {
            let want = model.root().at("float_output").at(&o.name).array().f32s();
            let got = t.data::<f32>().unwrap();
            let worst =
                got.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
            if worst > 1e-5 || got.len() != want.len() {
                bad.push(format!("{name} {}: off by {worst}", o.name));
            }
        }
        count += 1;
    }
    println!("{count} float models");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Every model on every engine: observers and their sharing, parameters, the reference form, the converted form, outputs.
///
/// Among them static LSTMs (T141), values in lists and tuples (T130), sums and products with numbers, which take over the
/// parameters of their input (T178), and whole networks end to end, with dropout and embeddings (T168).
#[test]
fn every_model() {
    let models = models();
    if models.is_empty() {
        return;
    }
    let mut area = Area::new("fx");
    for dir in models {
        let model = FxModel::open(&dir);
        for engine in model.root().at("engines").list() {
            let id = format!("{}.{}", model.name, engine.at("engine").text());
            area.case(&id, |parts| compare::compare(&model, engine, parts));
        }
    }
    area.finish();
}
