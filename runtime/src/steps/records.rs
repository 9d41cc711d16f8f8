//! The table of kernels: add one here and it is chosen, printed and offered to the quantizer.

use quantir_ir::ops::Op;
use quantir_ir::{Storage, Type};

use super::{
    Built, Site, conv_f32, convert, elementwise, linear_f32, logic, movement, normal, pool, qbinary, qconv,
};
use crate::isa::Isa;
use crate::kernels::table::{Accept, Fuses, KernelRecord, Scheme};
use crate::plan::LayoutRule::{self, ChannelsLast, Follow, RowMajor};

const fn accept(storages: &'static [Storage], scheme: Scheme) -> Accept {
    Accept { storages, scheme, constant: false }
}
const fn constant(storages: &'static [Storage], scheme: Scheme) -> Accept {
    Accept { storages, scheme, constant: true }
}

const ANY: Accept = accept(&[], Scheme::Any);
const F32: Accept = accept(&[Storage::F32], Scheme::Plain);
const F32_CONST: Accept = constant(&[Storage::F32], Scheme::Plain);
/// 8-bit activations.
const BYTES: Accept = accept(&[Storage::U8, Storage::I8], Scheme::PerTensor);
const TABLE: Accept = constant(&[Storage::U8, Storage::I8], Scheme::PerTensor);
const WEIGHT: Accept = constant(&[Storage::I8], Scheme::PerChannel);
const BIAS: Accept = constant(&[Storage::I32, Storage::F32], Scheme::Bias);

type Ops = &'static [&'static str];
type Build = fn(&Site) -> Result<Built, String>;

/// A record with the usual properties: exact, no activation, one result, no further conditions.
const fn record(
    name: &'static str,
    ops: Ops,
    operands: &'static [Accept],
    results: &'static [Accept],
    layout: LayoutRule,
    build: Build,
) -> KernelRecord {
    KernelRecord {
        name,
        ops,
        operands,
        results,
        fuses: Fuses::Nothing,
        isas: &Isa::ALL,
        preference: 1,
        exact: true,
        layout,
        relayouts: false,
        check: |_, _, _| Ok(()),
        build,
    }
}

impl KernelRecord {
    const fn fusing(mut self, fuses: Fuses) -> KernelRecord {
        self.fuses = fuses;
        self
    }
    /// Faster than the exact kernels, at the price of other roundings.
    const fn rounding(mut self) -> KernelRecord {
        self.exact = false;
        self.preference = 2;
        self
    }
    const fn preferred(mut self) -> KernelRecord {
        self.preference = 2;
        self
    }
    const fn relayouting(mut self) -> KernelRecord {
        self.relayouts = true;
        self
    }
    const fn only_if(
        mut self,
        check: fn(&Op, &[Option<&Type>], &[&Type]) -> Result<(), String>,
    ) -> KernelRecord {
        self.check = check;
        self
    }
}

const CONV: Ops = &["conv1d", "conv2d", "conv3d"];
const CONV_TRANSPOSE: Ops = &["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"];
const REDUCTIONS: Ops = &["mean", "sum", "amax", "amin", "l1", "l2", "sum_square"];
const COMPARISONS: Ops = &["equal", "less", "greater", "less_equal", "greater_equal"];
const NUMBER: Accept = accept(&[Storage::F32, Storage::I64, Storage::I32, Storage::Bool], Scheme::Plain);
const BOOL: Accept = accept(&[Storage::Bool], Scheme::Plain);
const INDEX: Accept = accept(&[Storage::I64, Storage::I32], Scheme::Plain);
const TO_FLOAT: Accept =
    accept(&[Storage::I64, Storage::I32, Storage::I8, Storage::U8, Storage::Bool], Scheme::Plain);
const FLOAT_WEIGHTS: &[Accept] = &[F32, F32_CONST, F32_CONST];
const INT_WEIGHTS: &[Accept] = &[BYTES, WEIGHT, BIAS];
const TRANSPOSED: Accept = constant(&[Storage::I8], Scheme::PerColumn);
const QCONV_TRANSPOSE: Ops = &["qconv_transpose1d", "qconv_transpose2d", "qconv_transpose3d"];

/// All kernels, by family.
pub(crate) static RECORDS: &[KernelRecord] = &[
    record("alias", &["identity", "dropout", "observe"], &[ANY], &[ANY], Follow, |_| Ok(Built::Alias(0))),
    record("alias", &["reshape"], &[ANY], &[ANY], RowMajor, |_| Ok(Built::Alias(0))),
    // Integer ops.
    record("qconv", &["qconv1d", "qconv2d", "qconv3d"], INT_WEIGHTS, &[BYTES], ChannelsLast, qconv::conv)
        .fusing(Fuses::Any),
    record(
        "qconv_transpose",
        QCONV_TRANSPOSE,
        &[BYTES, TRANSPOSED, BIAS],
        &[BYTES],
        ChannelsLast,
        qconv::transposed,
    )
    .fusing(Fuses::Any),
    record("qlinear", &["qlinear"], INT_WEIGHTS, &[BYTES], RowMajor, qconv::linear).fusing(Fuses::Any),
    record("qadd", &["qadd"], &[BYTES], &[BYTES], Follow, qbinary::build).fusing(Fuses::Any),
    record("qmul", &["qmul"], &[BYTES], &[BYTES], Follow, qbinary::build).fusing(Fuses::Any),
    record("qmean", &["qmean"], &[BYTES], &[BYTES], ChannelsLast, pool::quantized_mean).only_if(over_space),
    record("qavg_pool", &["qavg_pool"], &[BYTES], &[BYTES], ChannelsLast, pool::quantized_average),
    record("max_pool.q", &["max_pool"], &[BYTES], &[BYTES], ChannelsLast, pool::max),
    record("qconcat", &["qconcat"], &[BYTES], &[BYTES], Follow, convert::concat),
    record("lut", &["qlut"], &[BYTES, TABLE], &[BYTES], Follow, convert::lut),
    record("lut", &["requantize"], &[BYTES], &[BYTES], Follow, convert::requantize),
    record("lut", &["relu", "clip"], &[BYTES], &[BYTES], Follow, convert::clamp),
    record("quantize", &["quantize"], &[F32], &[BYTES], Follow, convert::to_bytes).relayouting(),
    record("dequantize", &["dequantize"], &[BYTES], &[F32], Follow, convert::from_bytes),
    // Float ops.
    record("conv", CONV, FLOAT_WEIGHTS, &[F32], ChannelsLast, conv_f32::strict).fusing(Fuses::Any),
    record("conv.fma", CONV, FLOAT_WEIGHTS, &[F32], ChannelsLast, conv_f32::fast)
        .fusing(Fuses::Any)
        .rounding(),
    record("conv_transpose", CONV_TRANSPOSE, FLOAT_WEIGHTS, &[F32], ChannelsLast, conv_f32::transpose_strict)
        .fusing(Fuses::Any),
    record(
        "conv_transpose.fma",
        CONV_TRANSPOSE,
        FLOAT_WEIGHTS,
        &[F32],
        ChannelsLast,
        conv_f32::transpose_fast,
    )
    .fusing(Fuses::Any)
    .rounding(),
    record("linear", &["linear"], FLOAT_WEIGHTS, &[F32], RowMajor, linear_f32::strict).fusing(Fuses::Any),
    record("linear.fma", &["linear"], FLOAT_WEIGHTS, &[F32], RowMajor, linear_f32::fast)
        .fusing(Fuses::Any)
        .rounding(),
    record("matmul", &["matmul"], &[F32], &[F32], RowMajor, linear_f32::matmul_strict),
    record("matmul.fma", &["matmul"], &[F32], &[F32], RowMajor, linear_f32::matmul_fast).rounding(),
    record("batch_norm", &["batch_norm"], &[F32, F32_CONST], &[F32], ChannelsLast, elementwise::batch_norm)
        .rounding()
        .only_if(up_to_five_axes),
    record(
        "map",
        &[
            "relu",
            "clip",
            "leaky_relu",
            "hard_sigmoid",
            "hard_swish",
            "neg",
            "abs",
            "sqrt",
            "reciprocal",
            "floor",
            "ceil",
            "round",
            "exp",
            "sigmoid",
        ],
        &[F32],
        &[F32],
        Follow,
        elementwise::unary,
    ),
    record("map.approx", &["elu", "gelu", "tanh", "erf"], &[F32], &[F32], Follow, elementwise::unary)
        .rounding(),
    record(
        "zip",
        &["add", "mul", "sub", "div", "maximum", "minimum", "prelu"],
        &[F32],
        &[F32],
        Follow,
        elementwise::binary,
    )
    .fusing(Fuses::Any),
    record("max_pool", &["max_pool"], &[F32], &[F32], ChannelsLast, pool::max),
    record("avg_pool", &["avg_pool"], &[F32], &[F32], ChannelsLast, pool::average),
    record("reduce", &["mean", "amax"], &[F32], &[F32], ChannelsLast, pool::reduce)
        .only_if(over_space)
        .preferred(),
    record("reduce.rows", REDUCTIONS, &[F32], &[F32], RowMajor, normal::reduce),
    record("softmax", &["softmax"], &[F32], &[F32], RowMajor, normal::softmax),
    record("layer_norm", &["layer_norm"], &[F32, F32_CONST], &[F32], RowMajor, normal::layer_norm),
    // Truth values and conversions.
    record("compare", COMPARISONS, &[NUMBER], &[BOOL], Follow, logic::compare),
    record("select", &["where"], &[BOOL, ANY], &[ANY], Follow, logic::select),
    record("to_float", &["cast"], &[TO_FLOAT], &[F32], Follow, logic::to_float),
    // Movement of any elements.
    record("pick", &["slice"], &[ANY], &[ANY], Follow, movement::slice),
    record("pick", &["split"], &[ANY], &[ANY], Follow, movement::split),
    record("pick", &["expand"], &[ANY], &[ANY], Follow, movement::expand),
    record("pick", &["pad", "resize"], &[ANY], &[ANY], Follow, movement::by_index),
    record("pick", &["gather"], &[ANY, constant(&[], Scheme::Plain)], &[ANY], RowMajor, movement::gather)
        .only_if(by_vector)
        .preferred(),
    record("gather", &["gather"], &[ANY, INDEX], &[ANY], RowMajor, logic::gather),
    record("join", &["concat"], &[ANY], &[ANY], Follow, movement::concat),
    record("transpose", &["transpose"], &[ANY], &[ANY], RowMajor, movement::transpose),
];

/// The axes of a reduction are all spatial ones.
fn over_space(op: &Op, ins: &[Option<&Type>], _: &[&Type]) -> Result<(), String> {
    let axes = match op {
        Op::Qmean(o) => &o.axes,
        Op::Reduce(o) => &o.axes,
        _ => return Ok(()),
    };
    let rank = ins.first().copied().flatten().map_or(0, Type::rank);
    let mut sorted: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
    sorted.sort_unstable();
    if (3..=5).contains(&rank) && sorted.into_iter().eq(2..rank) {
        return Ok(());
    }
    Err("only all spatial axes of `[N,C,*S]` together can be reduced".into())
}

/// Indices are constant and have at most one dimension.
fn by_vector(_: &Op, ins: &[Option<&Type>], _: &[&Type]) -> Result<(), String> {
    match ins.get(1).copied().flatten().map_or(0, Type::rank) {
        0 | 1 => Ok(()),
        _ => Err("indices have several dimensions".into()),
    }
}

fn up_to_five_axes(_: &Op, ins: &[Option<&Type>], _: &[&Type]) -> Result<(), String> {
    match ins.first().copied().flatten().map_or(0, Type::rank) {
        0..=5 => Ok(()),
        _ => Err("values of more than five axes have no channels-last form".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_name_ops_that_exist() {
        let known: Vec<&str> = Op::all_names().collect();
        for record in RECORDS {
            assert!(record.ops.iter().all(|op| known.contains(op)), "{}", record.name);
            assert!(!record.operands.is_empty() && !record.results.is_empty());
        }
    }
}
