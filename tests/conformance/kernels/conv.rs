//! Convolutions.

use quantir::ir::Tensor;
use quantir::ir::attr::{Pads, PerAxis};
use quantir::ir::ops::dynamic::{ConvDynamic, quantized_by_range};
use quantir::ir::ops::{Act, Qconv, QconvAdd, QconvTranspose};

use super::run::{Build, codes, engine_out, floats, judge, result_quant};
use crate::deviations::{Area, Parts};
use crate::reader::{Golden, Item};

/// T209: `test_qconv1d/2d/3d` with relu, add and add_relu, and their transposed forms: groups, dilation, stride, padding.
/// T216: transposed convolutions of unequal channels, and operands that saturate 16-bit sums.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/conv") else { return };
    let mut area = Area::new("kernels/conv");
    for case in golden.cases() {
        area.case(case.id(), |parts| one(case, parts));
    }
    area.finish();
}

fn per_axis(case: Item, key: &str) -> PerAxis {
    let list: Vec<u32> = case.at("attrs").at(key).ints().into_iter().map(|n| n as u32).collect();
    PerAxis::of(&list)
}

fn pads(case: Item) -> Pads {
    let list: Vec<(u32, u32)> =
        case.at("attrs").at("padding").ints().into_iter().map(|n| (n as u32, n as u32)).collect();
    Pads::of(&list)
}

fn one(case: Item, parts: &mut Parts) -> Result<(), String> {
    let op = case.at("op").text().trim_start_matches("quantized::");
    let (inputs, attrs) = (case.at("inputs"), case.at("attrs"));
    let rank: u8 = op.chars().find_map(|c| c.to_digit(10)).ok_or("no rank in the name")? as u8;
    let act = if op.ends_with("_relu") { Act::Relu } else { Act::None };
    let groups = attrs.at("groups").int() as u32;
    let (stride, pad, dilation) = (per_axis(case, "stride"), pads(case), per_axis(case, "dilation"));
    let x = inputs.at("x").tensor();
    let storage = x.storage();
    let mut b = Build::new();
    let x = b.input(x);
    let weight = b.constant(inputs.at("weight").tensor());
    let bias = inputs.at("bias");
    let bias = (!bias.is_null()).then(|| b.constant(bias.tensor()));
    if op.contains("dynamic") {
        let reduce_range = attrs.at("reduce_range").flag();
        let op = ConvDynamic { rank, stride, pad, dilation, groups, reduce_range, act };
        let outcome = b.op(op, &[Some(x), Some(weight), bias], None).and_then(|v| b.finish(v, false));
        let y = outcome?;
        let out = engine_out(case).ok_or("no result")?;
        parts.add("codes", stored_as_input(&inputs.at("x").tensor(), reduce_range, &y, out));
        return floats(&y, out);
    }
    let y = result_quant(case, storage);
    let residual = inputs.at("accumulator");
    let kernel = residual.is_null();
    let outcome = if op.contains("transpose") {
        let out_pad = per_axis(case, "output_padding");
        let op = QconvTranspose { rank, stride, pad, out_pad, dilation, groups, act };
        b.op(op, &[Some(x), Some(weight), bias], Some(&y))
    } else if !residual.is_null() {
        let op = QconvAdd { rank, stride, pad, dilation, groups, act };
        let residual = b.input(residual.tensor());
        b.op(op, &[Some(x), Some(weight), Some(residual), bias], Some(&y))
    } else {
        let op = Qconv { rank, stride, pad, dilation, groups, act };
        b.op(op, &[Some(x), Some(weight), bias], Some(&y))
    };
    judge(case, outcome.and_then(|v| b.finish(v, kernel)), |y| match case.at("reference") {
        reference if !reference.is_null() => codes(y, reference, 0),
        _ if case.at("inputs").at("accumulator").is_null() => {
            // QNNPACK alone takes signed activations; it rounds the bias.
            codes(y, engine_out(case).ok_or("no result")?, 1)
        }
        _ => codes(y, engine_out(case).ok_or("no result")?, 0),
    })
}

/// What PyTorch makes of a dynamic convolution: its result in the codes that the input has, up to one of them.
fn stored_as_input(x: &Tensor, reduce_range: bool, y: &Tensor, want: Item) -> Result<(), String> {
    let (x, scale) = quantized_by_range(x, reduce_range).map_err(|r| r.message)?;
    let q = x.quant().ok_or("a quantized input is expected")?;
    let y = y.quantize(q).and_then(|y| y.dequantize()).map_err(|r| r.message)?;
    let y = y.floats().map_err(|r| r.message)?;
    let apart = |(a, b): (&f32, f32)| (a - b).abs() > 1.5 * scale;
    match y.iter().zip(want.array().f32s()).filter(|&pair| apart(pair)).count() {
        0 => Ok(()),
        n => Err(format!("{n} results are no codes of the input's parameters")),
    }
}
