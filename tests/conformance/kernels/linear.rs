//! Linear layers.

use quantir::ir::attr::F32;
use quantir::ir::ops::dynamic::saturate_f16;
use quantir::ir::ops::{Act, Dequantize, Linear, LinearDynamic, LinearF16, Qlinear, Quantize};
use quantir::ir::{Quant, Storage, Tensor};

use super::run::{Build, codes, engine_out, floats, judge, result_quant};
use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// T208: `test_qlinear` and its forms: relu, leaky relu, tanh, dynamic, half precision, prepack and unpack; dimensions,
/// scales per tensor and per channel, empty batches. T216: the operands that saturate 16-bit sums.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/linear") else { return };
    let mut area = Area::new("kernels/linear");
    for case in golden.cases() {
        area.case(case.id(), |_| one(case));
    }
    area.finish();
}

fn one(case: Item) -> Result<(), String> {
    let op = case.at("op").text().trim_start_matches("quantized::");
    let act = match op {
        _ if op.starts_with("linear_relu") => Act::Relu,
        "linear_leaky_relu" => Act::LeakyRelu(F32(case.at("attrs").at("negative_slope").number() as f32)),
        "linear_tanh" => Act::Tanh,
        _ => Act::None,
    };
    match op {
        "linear" | "linear_relu" | "linear_leaky_relu" | "linear_tanh" => fixed(case, act),
        "linear_dynamic" | "linear_relu_dynamic" => {
            let reduce_range = case.at("attrs").at("reduce_range").flag();
            let op = LinearDynamic { reduce_range, act };
            let y = float_result(case, |b, x, w, bias| b.op(op, &[Some(x), Some(w), bias], None));
            judge(case, y, |y| floats(y, engine_out(case).ok_or("no result")?))
        }
        "linear_dynamic_fp16" | "linear_relu_dynamic_fp16" => half(case, act),
        "linear_with_input_q_dq_qweight_dq_output_fp32" => {
            let attrs = case.at("attrs");
            let (scale, zero) = (attrs.at("input_scale").number(), attrs.at("input_zero_point").int());
            let q = Quant::tensor(Storage::U8, scale as f32, zero as i32);
            let y = float_result(case, |b, x, w, bias| {
                let x = b.op(Quantize {}, &[Some(x)], Some(&q))?;
                let x = b.op(Dequantize {}, &[Some(x)], None)?;
                let w = b.op(Dequantize {}, &[Some(w)], None)?;
                b.op(Linear { act: Act::None }, &[Some(x), Some(w), bias], None)
            });
            judge(case, y, |y| floats(y, engine_out(case).ok_or("no result")?))
        }
        "linear_unpack" => unpack(case),
        _ => Err(format!("no test for `{op}`")),
    }
}

/// Codes to codes.
fn fixed(case: Item, act: Act) -> Result<(), String> {
    let inputs = case.at("inputs");
    let x = inputs.at("x").tensor();
    let y = result_quant(case, x.storage());
    // The other activations are written in the runtime as the interpreter has them.
    let kernel = matches!(act, Act::None | Act::Relu) && x.numel() > 0;
    let outcome = (|| {
        let mut b = Build::new();
        let x = b.input(x);
        let w = b.constant(inputs.at("weight").tensor());
        let bias = bias(&mut b, inputs);
        let v = b.op(Qlinear { act }, &[Some(x), Some(w), bias], Some(&y))?;
        b.finish(v, kernel)
    })();
    judge(case, outcome, |y| match case.at("reference") {
        reference if !reference.is_null() => codes(y, reference, 0),
        // QNNPACK alone takes signed activations; it rounds the bias.
        _ => codes(y, engine_out(case).ok_or("no result")?, 1),
    })
}

fn bias(b: &mut Build, inputs: Item) -> Option<quantir::ir::ValueId> {
    let bias = inputs.at("bias");
    (!bias.is_null()).then(|| b.constant(bias.tensor()))
}

/// Floats to floats, by ops on x, weight and bias.
fn float_result(
    case: Item,
    ops: impl FnOnce(
        &mut Build,
        quantir::ir::ValueId,
        quantir::ir::ValueId,
        Option<quantir::ir::ValueId>,
    ) -> Result<quantir::ir::ValueId, String>,
) -> Result<Tensor, String> {
    let inputs = case.at("inputs");
    let mut b = Build::new();
    let x = b.input(inputs.at("x").tensor());
    let w = b.constant(inputs.at("weight").tensor());
    let bias = bias(&mut b, inputs);
    let v = ops(&mut b, x, w, bias)?;
    b.finish(v, false)
}

/// Weights of half precision.
fn half(case: Item, act: Act) -> Result<(), String> {
    let inputs = case.at("inputs");
    let w = saturate_f16(&inputs.at("weight").tensor()).map_err(|r| r.message)?;
    if w.floats().map_err(|r| r.message)?.to_vec() != case.at("weight_half").array().f32s() {
        return Err("the weights differ in half precision".into());
    }
    let mut b = Build::new();
    let x = b.input(inputs.at("x").tensor());
    let w = b.constant(w);
    let bias = bias(&mut b, inputs);
    let v = b.op(LinearF16 { act }, &[Some(x), Some(w), bias], None)?;
    floats(&b.finish(v, false)?, engine_out(case).ok_or("no result")?)
}

/// Prepacking keeps the bias, which is what was recorded: here nothing is packed before a plan is made.
fn unpack(case: Item) -> Result<(), String> {
    let mut b = Build::new();
    let bias = b.constant(case.at("inputs").at("bias").tensor());
    let y = b.finish(bias, false)?;
    floats(&y, engine_out(case).ok_or("no result")?)
}
