//! Embedding tables and bags.

use std::sync::Arc;

use quantir::ir::ops::embedding::BagMode;
use quantir::ir::ops::{EmbeddingBagRowwise, Eval, Infer, Op, Qembedding, QembeddingBag};
use quantir::ir::quant::choose::choose_float_qparams;
use quantir::ir::quant::pack;
use quantir::ir::rowwise::{self, Ends};
use quantir::ir::{QParams, Quant, Reason, Storage, Tensor, Zeros};

use crate::deviations::{Area, Parts};
use crate::reader::{Golden, Item};

/// T163, T175, T213: tables of 8, 4 and 2 bits, bags with weights, offsets, pruned maps and 2-D indices.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("kernels/embedding") else { return };
    let mut area = Area::new("kernels/embedding");
    for case in golden.cases() {
        area.case(case.id(), |parts| check(case, parts));
    }
    area.finish();
}

fn check(case: Item, parts: &mut Parts) -> Result<(), String> {
    let op = case.at("op").text();
    match op.trim_start_matches("quantized::") {
        "embedding_bag_prepack" => tensor_table(case),
        "embedding_byte" | "embedding_4bit" | "embedding_bag_byte" | "embedding_bag_4bit" => lookup(case, op),
        "embedding_bag_byte_prepack" => packed(case, 8),
        "embedding_bag_4bit_prepack" => packed(case, 4),
        "embedding_bag_2bit_prepack" => packed(case, 2),
        "embedding_bag_byte_rowwise_offsets" => bag(case, 8, parts),
        "embedding_bag_4bit_rowwise_offsets" => bag(case, 4, parts),
        other => Err(format!("no test for `{other}`")),
    }
}

fn same(found: &[i64], want: &[i64]) -> Result<(), String> {
    if found.len() != want.len() {
        return Err(format!("{} numbers instead of {}", found.len(), want.len()));
    }
    match found.iter().zip(want).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(i) => Err(format!("number {i} is {} instead of {}", found[i], want[i])),
    }
}

/// 1e-5 relative to the larger of 1 and the wanted number: the order of sums is free.
fn close(found: &Tensor, want: Item) -> Result<(), String> {
    let want = want.array();
    if found.shape != want.shape {
        return Err(format!("{:?} instead of {:?}", found.shape, want.shape));
    }
    let found = found.floats().map_err(|r| r.message)?;
    match found
        .iter()
        .zip(want.f32s())
        .enumerate()
        .find(|(_, (a, b))| (**a - b).abs() > 1e-5 * b.abs().max(1.0))
    {
        None => Ok(()),
        Some((i, (a, b))) => Err(format!("number {i} is {a} instead of {b}")),
    }
}

fn message(r: Reason) -> String {
    r.message
}

/// The packed bytes and what they stand for.
fn packed(case: Item, bits: u32) -> Result<(), String> {
    let optimized = !case.at("optimized_qparams").is_null() && case.at("optimized_qparams").flag();
    let ends = if optimized { Ends::Optimized } else { Ends::MinMax };
    let packed = rowwise::pack(&case.at("weight").tensor(), bits, ends).map_err(message)?;
    let want = case.at("packed").array();
    if packed.shape != want.shape {
        return Err(format!("{:?} instead of {:?}", packed.shape, want.shape));
    }
    same(&packed.ints().map_err(message)?, &want.ints())?;
    close(&rowwise::unpack(&packed, bits).map_err(message)?, case.at("unpacked"))
}

/// The quantization of a table with real zero points, one for each row.
fn by_row(storage: Storage, scale: Vec<f32>, zero: Vec<f32>) -> Arc<Quant> {
    let zero = Zeros::Float(zero.into());
    let params = QParams::Axis { axis: 0, scale: scale.into(), zero };
    Arc::new(Quant { storage, range: storage.int_range().unwrap(), params })
}

/// A table by the parameters of a `PerChannelMinMaxObserver` with float zero points.
fn observed(weight: &Tensor, storage: Storage) -> Result<Tensor, String> {
    let range = storage.int_range().unwrap();
    let data = weight.floats().map_err(message)?;
    let params = data.chunks_exact(weight.shape[1]).map(|row| {
        let ends = row.iter().fold((row[0], row[0]), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        choose_float_qparams(ends, range, f32::EPSILON)
    });
    let (scale, zero) = params.unzip();
    weight.quantize(&by_row(storage, scale, zero)).map_err(message)
}

/// A quantized tensor as a table: its codes, packed if they have 4 bits, and what they stand for.
fn tensor_table(case: Item) -> Result<(), String> {
    let storage = if case.id().contains("quint4x2") { Storage::U4 } else { Storage::U8 };
    let q = by_row(storage, case.at("scales").array().f32s(), case.at("zero_points").array().f32s());
    let t = case.at("weight").tensor().quantize(&q).map_err(message)?;
    let codes: Vec<i64> = match storage {
        Storage::U4 => pack::pack(&t, 4).map_err(message)?.into_iter().map(i64::from).collect(),
        _ => t.ints().map_err(message)?,
    };
    same(&codes, &case.at("codes").array().ints()).map_err(|e| format!("codes: {e}"))?;
    close(&t.dequantize().map_err(message)?, case.at("dequantized"))
}

/// The result of an op whose operands may be absent.
fn run(op: &Op, ins: &[Option<Tensor>]) -> Result<Tensor, Reason> {
    let types: Vec<_> = ins.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
    let types: Vec<_> = types.iter().map(Option::as_ref).collect();
    op.check_operands(&types)?;
    let outs = op.infer(&Infer { ins: &types, declared: &[] })?;
    let ins: Vec<_> = ins.iter().map(Option::as_ref).collect();
    Ok(op.eval(&Eval { ins: &ins, outs: &outs })?.remove(0))
}

fn given(item: Item) -> Option<Tensor> {
    (!item.is_null()).then(|| item.tensor())
}

/// Tables that PyTorch holds as quantized tensors.
fn lookup(case: Item, op: &str) -> Result<(), String> {
    let inputs = case.at("inputs");
    let storage = if op.ends_with("4bit") { Storage::U4 } else { Storage::U8 };
    let table = observed(&inputs.at("weight").tensor(), storage)?;
    let indices = Some(inputs.at("indices").tensor());
    let found = if op.contains("bag") {
        let op = QembeddingBag { mode: BagMode::Sum, include_last_offset: false, padding_idx: -1 };
        run(&op.into(), &[indices, Some(table), given(inputs.at("offsets"))])
    } else {
        run(&Qembedding {}.into(), &[indices, Some(table)])
    };
    close(&found.map_err(message)?, case.at("reference"))
}

/// Bags of packed tables.
fn bag(case: Item, bits: u32, parts: &mut Parts) -> Result<(), String> {
    let (inputs, attrs) = (case.at("inputs"), case.at("attrs"));
    let mode = match attrs.at("mode").value.as_str() {
        Some("mean") => BagMode::Mean,
        Some("max") => BagMode::Max,
        _ => BagMode::Sum,
    };
    let last = attrs.at("include_last_offset").value.as_bool() == Some(true);
    let table = inputs.at("packed").tensor();
    let result = case.at("results").list()[0];
    if !result.at("error").is_null() {
        // Only the table is recorded; the message names index 20 of 20 rows.
        let indices = Tensor::i64(&[2], vec![0, table.shape[0] as i64]);
        let offsets = Tensor::i64(&[1], vec![0]);
        let op = EmbeddingBagRowwise { bits, mode, include_last_offset: false };
        return match run(&op.into(), &[Some(indices), Some(table), Some(offsets)]) {
            Ok(_) => Err("PyTorch refuses this".into()),
            Err(_) => Ok(()),
        };
    }
    let op = |mode| Op::from(EmbeddingBagRowwise { bits, mode, include_last_offset: last });
    let ins = [
        Some(inputs.at("indices").tensor()),
        Some(table),
        given(inputs.at("offsets")),
        given(inputs.at("per_sample_weights")),
        given(inputs.at("mapping")),
    ];
    let found = run(&op(mode), &ins).map_err(message)?;
    if case.at("reference").is_null() && mode != BagMode::Sum {
        // The engine gives the sum whatever the mode is; ours divided by the numbers of entries is what was asked for.
        close(&run(&op(BagMode::Sum), &ins).map_err(message)?, result.at("out"))?;
        parts.add("mode", close(&found, result.at("out")));
        return Ok(());
    }
    let want = if case.at("reference").is_null() { result.at("out") } else { case.at("reference") };
    close(&found, want)
}
