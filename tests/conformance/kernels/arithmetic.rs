//! Sums, products, joins and matrix products of the area `elementwise`.

use quantir::ir::Quant;
use quantir::ir::attr::F32;
use quantir::ir::ops::{Act, Qadd, QaddScalar, Qconcat, Qmatmul, Qmul, QmulScalar, Relu};

use super::run::{Build, codes, engine_out, judge, result_quant};
use crate::deviations::Area;
use crate::reader::{Golden, Item};

/// T207: sums and products: relu, broadcasting, equal and different parameters, scalars that change the parameters.
/// T212: matrix products. T216: joins of parts with different parameters.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/elementwise") else { return };
    let mut area = Area::new("kernels/arithmetic");
    for case in golden.cases().into_iter().filter(|&case| is_arithmetic(case)) {
        area.case(case.id(), |_| one(case));
    }
    area.finish();
}

/// Whether a case of the area `elementwise` is tested here.
pub fn is_arithmetic(case: Item) -> bool {
    let op = case.at("op").text().rsplit("::").next().unwrap_or_default();
    ["add", "mul", "cat", "matmul"].iter().any(|known| op.split('_').next() == Some(known))
}

fn one(case: Item) -> Result<(), String> {
    let op = case.at("op").text();
    match op.rsplit("::").next().unwrap_or_default() {
        "add" | "add_relu" | "mul" | "mul_relu" => sum_or_product(case, op),
        "add_scalar" | "add_scalar_relu" | "mul_scalar" | "mul_scalar_relu" => scalar(case, op),
        "cat" | "cat_relu" => join(case, op),
        "matmul" => product(case),
        _ => Err(format!("no test for `{op}`")),
    }
}

/// Sums are held to `reference`, products to the engines: those multiply the codes first, as the formula says, and a few
/// ties of the reference, which multiplies real numbers, fall to the other side.
fn sum_or_product(case: Item, op: &str) -> Result<(), String> {
    let inputs = case.at("inputs");
    // A case with one operand adds it to itself.
    let both = if inputs.at("a").is_null() { ["x", "x"] } else { ["a", "b"] };
    let [a, b] = both.map(|k| inputs.at(k).tensor());
    let y = result_quant(case, a.storage());
    let mut build = Build::new();
    let (a, b) = (build.input(a), build.input(b));
    let act = if op.ends_with("_relu") { Act::Relu } else { Act::None };
    let v = if op.contains("mul") {
        build.op(Qmul { act }, &[Some(a), Some(b)], Some(&y))
    } else {
        build.op(Qadd { act }, &[Some(a), Some(b)], Some(&y))
    };
    judge(case, v.and_then(|v| build.finish(v, true)), |y| {
        let (reference, engine) = (case.at("reference"), engine_out(case).ok_or("no result")?);
        if !op.contains("mul") {
            // In blocks of 64 the recording CPU fused multiply and add.
            return codes(y, reference, 0).and_then(|()| codes(y, engine, 1));
        }
        codes(y, reference, 1)?;
        // One tie of the signed case went the other way there; it agrees with the reference.
        codes(y, engine, 0).or_else(|why| codes(y, reference, 0).map_err(|_| why))
    })
}

fn scalar(case: Item, op: &str) -> Result<(), String> {
    let value = F32(case.at("attrs").at("scalar").number() as f32);
    let relu = op.ends_with("_relu");
    let mut b = Build::new();
    let a = b.input(case.at("inputs").at("a").tensor());
    let v = if op.contains("mul") {
        b.op(QmulScalar { value, relu }, &[Some(a)], None)
    } else {
        b.op(QaddScalar { value, relu }, &[Some(a)], None)
    };
    judge(case, v.and_then(|v| b.finish(v, false)), |y| codes(y, engine_out(case).ok_or("no result")?, 0))
}

/// A join that names no parameters takes those of its first part.
fn join(case: Item, op: &str) -> Result<(), String> {
    let parts: Vec<_> = case.at("inputs").at("xs").list().into_iter().map(Item::tensor).collect();
    let y: Quant = match case.at("attrs").at("scale").is_null() {
        true => (**parts[0].quant().ok_or("quantized parts are expected")?).clone(),
        false => result_quant(case, parts[0].storage()),
    };
    let axis = case.at("attrs").at("dim").int() as u32;
    let mut b = Build::new();
    let ins: Vec<_> = parts.into_iter().map(|t| Some(b.input(t))).collect();
    let mut v = b.op(Qconcat { axis }, &ins, Some(&y))?;
    if op.ends_with("_relu") {
        v = b.op(Relu {}, &[Some(v)], None)?;
    }
    judge(case, b.finish(v, true), |y| match case.at("reference") {
        reference if !reference.is_null() => codes(y, reference, 0),
        _ => codes(y, engine_out(case).ok_or("no result")?, 0),
    })
}

fn product(case: Item) -> Result<(), String> {
    let [a, b] = ["a", "b"].map(|k| case.at("inputs").at(k).tensor());
    let y = result_quant(case, a.storage());
    let mut build = Build::new();
    let ins = [Some(build.input(a)), Some(build.input(b))];
    let v = build.op(Qmatmul {}, &ins, Some(&y));
    judge(case, v.and_then(|v| build.finish(v, false)), |y| codes(y, case.at("reference"), 0))
}
