//! Scalar arithmetic of quantization.

use half::f16;
use quantir::ir::quant::affine::{quantize_float_qparams, quantize_per_channel, quantize_per_tensor};
use quantir::ir::quant::choose::Scheme;
use quantir::ir::quant::dynamic::{choose_qparams_per_tensor, quantize_per_tensor_dynamic};
use quantir::ir::quant::fake::{fake_quantize, fake_quantize_backward, storage_for};
use quantir::ir::quant::learnable::Learnable;
use quantir::ir::quant::{decomposed, group, half as cast, pack, token};
use quantir::ir::{QParams, Quant, Reason, Storage, Tensor, Zeros};

use crate::deviations::{Area, Parts};
use crate::reader::{Array, Golden, Item, storage};

/// T216 NaN, infinities and what wraps in PyTorch, among all formulae of quantization.
#[test]
fn every_case() {
    let Some(golden) = Golden::open("quantize") else { return };
    let mut area = Area::new("quantize");
    for case in golden.cases() {
        area.case(case.id(), |parts| run(case, parts));
    }
    area.finish();
}

fn run(c: Item, parts: &mut Parts) -> Result<(), String> {
    match c.at("op").text() {
        "quantize_per_tensor" => per_tensor(c, parts),
        "quantize_per_channel" => per_channel(c, parts),
        "quantize_per_channel_float_qparams" => float_qparams(c),
        "choose_qparams_per_tensor" => {
            let found = choose_qparams_per_tensor(&x(c), c.at("reduce_range").flag()).map_err(text)?;
            let want = (c.at("scale").number(), c.at("zero_point").int() as i32);
            same("scale and zero point", &[found], &[want])
        }
        "quantize_per_tensor_dynamic" => {
            let q = c.at("q").quantized();
            let found = quantize_per_tensor_dynamic(&x(c), q.storage(), c.at("reduce_range").flag());
            let found = found.map_err(text)?;
            let params = found.quant().and_then(|q| q.per_tensor());
            same("parameters", &[params], &[q.quant().per_tensor()])?;
            same("codes", &found.ints().map_err(text)?, &q.ints.ints())
        }
        "fake_quantize_per_tensor_affine" => {
            let params = QParams::Tensor {
                scale: c.at("scale").number() as f32,
                zero: c.at("zero_point").int() as i32,
            };
            fake(c, parts, params)
        }
        "fake_quantize_per_channel_affine" => {
            let zeros: Vec<i32> = c.at("zero_points").array().ints().iter().map(|&z| z as i32).collect();
            let params = QParams::Axis {
                axis: c.at("axis").int() as u8,
                scale: c.at("scales").array().f32s().into(),
                zero: Zeros::Each(zeros.into()),
            };
            fake(c, parts, params)
        }
        "fake_quantize_learnable_per_tensor" => learnable(c, "scale", "zero_point", None),
        "fake_quantize_learnable_per_channel" => {
            learnable(c, "scales", "zero_points", Some(c.at("axis").int() as u8))
        }
        "decomposed.quantize_per_tensor" => {
            let (scale, zero) = (c.at("scale").number(), c.at("zero_point").int());
            let codes = decomposed::quantize_per_tensor(&x(c), scale, zero, grid(c)?).map_err(text)?;
            let (x, inv) = (x(c), (1.0 / scale) as f32);
            let odd = odd(&x, |_| inv, 31);
            codes_match(parts, &codes.ints().map_err(text)?, &c.at("q").array().ints(), &odd)?;
            let back = decomposed::dequantize_per_tensor(&c.at("q").tensor(), scale, zero);
            floats("dequantized", &back.map_err(text)?, c.at("dequantized"))
        }
        "decomposed.quantize_per_channel" => {
            let (scales, zeros) = (c.at("scales").array().f64s(), c.at("zero_points").array().ints());
            let axis = c.at("axis").int() as usize;
            let codes = decomposed::quantize_per_channel(&x(c), &scales, &zeros, axis, grid(c)?);
            same("codes", &codes.map_err(text)?.ints().map_err(text)?, &c.at("q").array().ints())?;
            let back = decomposed::dequantize_per_channel(&c.at("q").tensor(), &scales, &zeros, axis);
            floats("dequantized", &back.map_err(text)?, c.at("dequantized"))
        }
        "decomposed.choose_qparams" => {
            let eps = c.at("eps").number() as f32;
            let storage = if c.at("quant_min").int() < 0 { Storage::I8 } else { Storage::U8 };
            let grid = decomposed::Grid::new(c.at("quant_min").int(), c.at("quant_max").int(), storage);
            let grid = grid.map_err(text)?;
            for (scheme, scale, zero) in [
                (Scheme::Affine, "scale", "zero_point"),
                (Scheme::Symmetric { custom_range: false }, "symmetric_scale", "symmetric_zero_point"),
            ] {
                let found = decomposed::choose(&x(c), grid, scheme, eps).map_err(text)?;
                same(scale, &[found], &[(c.at(scale).number(), c.at(zero).number() as i64)])?;
            }
            Ok(())
        }
        "decomposed.per_token" => {
            let p = match c.id().contains("asymmetric") {
                true => token::choose_per_token_asymmetric(&x(c)),
                false => token::choose_per_token(&x(c)),
            };
            let p = p.map_err(text)?;
            same("shape", &p.shape, &c.at("scales").array().shape)?;
            same("scales", &p.scale, &c.at("scales").array().f32s())?;
            same("zero points", &p.zero, &c.at("zero_points").array().f32s())?;
            let codes = token::quantize_per_token(&x(c), &p, token::grid()).map_err(text)?;
            same("codes", &codes.ints().map_err(text)?, &c.at("q").array().ints())
        }
        "float16" => {
            let half = cast::to_f16(&x(c)).map_err(text)?;
            let bits =
                |t: &Tensor| t.data::<f16>().map(|d| d.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            let nan = x(c).floats().map_err(text)?.iter().any(|v| v.is_nan());
            if !nan {
                same("halves", &bits(&half).map_err(text)?, &bits(&c.at("half").tensor()).map_err(text)?)?;
            }
            floats("back", &half, c.at("back"))
        }
        "bfloat16" => {
            let half = cast::to_bf16(&x(c)).map_err(text)?;
            let want: Vec<f32> = c.at("bits").array().bf16s().iter().map(|v| v.to_f32()).collect();
            close("halves", &half.floats().map_err(text)?, &want, 0.0)?;
            floats("back", &half, c.at("back"))
        }
        "saturate_to_fp16" => floats("saturated", &cast::saturate_to_f16(&x(c)).map_err(text)?, c.at("y")),
        "int4_group_symmetric" => int4(c, group::int4_symmetric, 8),
        "int4_group_affine" => int4(c, group::int4_affine, 0),
        "error" => refused(c.id()),
        op => Err(format!("unknown op `{op}`")),
    }
}

fn text(r: Reason) -> String {
    r.to_string()
}

fn x(c: Item) -> Tensor {
    c.at("x").tensor()
}

fn grid(c: Item) -> Result<decomposed::Grid, String> {
    let (min, max) = (c.at("quant_min").int(), c.at("quant_max").int());
    let storage = match c.at("q").array().tensor().storage() {
        Storage::I64 => storage_for((min, max)).ok_or("too wide")?,
        s => s,
    };
    decomposed::Grid::new(min, max, storage).map_err(text)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &[T], want: &[T]) -> Result<(), String> {
    if found.len() != want.len() {
        return Err(format!("{what}: {} elements, PyTorch has {}", found.len(), want.len()));
    }
    let differ: Vec<usize> = (0..want.len()).filter(|&i| found[i] != want[i]).collect();
    match differ.first() {
        None => Ok(()),
        Some(&i) => Err(format!(
            "{what}: {} of {} differ, first at {i}: {:?}, PyTorch has {:?}",
            differ.len(),
            want.len(),
            found[i],
            want[i]
        )),
    }
}

/// Floats within `rel` of max(1, |want|); NaN equals NaN.
fn close(what: &str, found: &[f32], want: &[f32], rel: f32) -> Result<(), String> {
    let ok = |i: usize| {
        let (f, w) = (found[i], want[i]);
        f == w || (f.is_nan() && w.is_nan()) || (f - w).abs() <= rel * w.abs().max(1.0)
    };
    if found.len() != want.len() {
        return Err(format!("{what}: {} elements, PyTorch has {}", found.len(), want.len()));
    }
    match (0..want.len()).find(|&i| !ok(i)) {
        None => Ok(()),
        Some(i) => Err(format!("{what} at {i}: {:e}, PyTorch has {:e}", found[i], want[i])),
    }
}

fn floats(what: &str, found: &Tensor, want: Item) -> Result<(), String> {
    let want: &Array = want.array();
    same("shape", &found.shape, &want.shape)?;
    close(what, &found.floats().map_err(text)?, &want.f32s(), 0.0)
}

/// Elements whose quotient by the scale is NaN or does not fit an integer of `bits` and a sign: there PyTorch wraps, or
/// treats NaN as a number.
fn odd(x: &Tensor, inv: impl Fn(usize) -> f32, bits: i32) -> Vec<bool> {
    let limit = 2.0f32.powi(bits);
    let x = x.floats().expect("floats");
    x.iter().enumerate().map(|(i, v)| v * inv(i)).map(|v| v.is_nan() || v.abs() >= limit).collect()
}

/// Compares the ordinary elements, and as parts of the case those that are NaN or too large.
fn codes_match<T: PartialEq + std::fmt::Debug + Copy>(
    parts: &mut Parts,
    found: &[T],
    want: &[T],
    odd: &[bool],
) -> Result<(), String> {
    let pick = |v: &[T], on: bool| -> Vec<T> {
        v.iter().zip(odd).filter(|(_, o)| **o == on).map(|(v, _)| *v).collect()
    };
    parts.add("overflow", same("codes", &pick(found, true), &pick(want, true)));
    same("codes", &pick(found, false), &pick(want, false))
}

fn per_tensor(c: Item, parts: &mut Parts) -> Result<(), String> {
    let q = c.at("q").quantized();
    let x = x(c);
    let found = quantize_per_tensor(&x, q.scales[0], q.zero_points[0], q.storage()).map_err(text)?;
    let inv = 1.0 / q.scales[0] as f32;
    codes_match(parts, &found.ints().map_err(text)?, &q.ints.ints(), &odd(&x, |_| inv, 31))?;
    dequantized(c, parts)
}

/// Compares the dequantized codes of PyTorch, apart from those whose difference to the zero point needs 33 bits.
fn dequantized(c: Item, parts: &mut Parts) -> Result<(), String> {
    let q = c.at("q").tensor();
    let quant = q.quant().expect("quantized").clone();
    let ints = q.ints().map_err(text)?;
    let wraps = |(i, &v): (usize, &i64)| {
        i32::try_from(v - i64::from(quant.zero(quant.index_of(i, &q.shape)))).is_err()
    };
    let odd: Vec<bool> = ints.iter().enumerate().map(wraps).collect();
    let found = q.dequantize().map_err(text)?;
    let mut wrapped = Parts::default();
    let result =
        codes_match(&mut wrapped, &found.floats().map_err(text)?, &c.at("dequantized").array().f32s(), &odd);
    parts.extend("wrap", wrapped);
    result.map_err(|e| format!("dequantized {e}"))
}

fn per_channel(c: Item, parts: &mut Parts) -> Result<(), String> {
    let q = c.at("q").quantized();
    let (x, quant) = (x(c), q.quant());
    let axis = q.axis.ok_or("an axis")?;
    let found = quantize_per_channel(&x, &q.scales, &q.zero_points, axis, q.storage()).map_err(text)?;
    let inv = |i| 1.0 / quant.scale(quant.index_of(i, &x.shape));
    // Here PyTorch adds the zero point in `f32`, which has no integers of 32 bits.
    let bits = if q.storage() == Storage::I32 { 24 } else { 31 };
    codes_match(parts, &found.ints().map_err(text)?, &q.ints.ints(), &odd(&x, inv, bits))?;
    dequantized(c, parts)
}

fn float_qparams(c: Item) -> Result<(), String> {
    let (scales, zeros) = (c.at("scales").array().f32s(), c.at("zero_points").array().f32s());
    let storage = storage(c.at("dtype").text());
    let found = quantize_float_qparams(&x(c), &scales, &zeros, 0, storage).map_err(text)?;
    let codes = match storage {
        Storage::U4 => pack::pack(&found, 4).map_err(text)?.iter().map(|&b| b.into()).collect(),
        _ => found.ints().map_err(text)?,
    };
    same("codes", &codes, &c.at("codes").array().ints())?;
    floats("dequantized", &found.dequantize().map_err(text)?, c.at("dequantized"))
}

fn fake(c: Item, parts: &mut Parts, params: QParams) -> Result<(), String> {
    let range = (c.at("quant_min").int(), c.at("quant_max").int());
    let q = Quant { storage: storage_for(range).ok_or("too wide")?, range, params };
    let x = x(c);
    let y = fake_quantize(&x, &q).map_err(text)?;
    let inv = |i| 1.0 / q.scale(q.index_of(i, &x.shape));
    codes_match(parts, &y.floats().map_err(text)?, &c.at("y").array().f32s(), &odd(&x, inv, 63))?;
    let grad = fake_quantize_backward(&x, &c.at("grad_out").tensor(), &q).map_err(text)?;
    floats("grad_x", &grad, c.at("grad_x"))
}

fn learnable(c: Item, scale: &str, zero: &str, axis: Option<u8>) -> Result<(), String> {
    let l = Learnable {
        scale: c.at(scale).array().f32s(),
        zero: c.at(zero).array().f32s(),
        axis,
        range: (c.at("quant_min").int(), c.at("quant_max").int()),
    };
    let x = x(c);
    floats("y", &l.forward(&x).map_err(text)?, c.at("y"))?;
    let factor = c.at("grad_factor").number() as f32;
    let grads = l.backward(&x, &c.at("grad_out").tensor(), factor).map_err(text)?;
    floats("grad_x", &grads.x, c.at("grad_x"))?;
    close("grad_scale", &grads.scale, &c.at("grad_scale").array().f32s(), 1e-5)?;
    close("grad_zero_point", &grads.zero, &c.at("grad_zero_point").array().f32s(), 1e-5)
}

/// `offset` is added to codes before packing, so that they are not negative.
fn int4(c: Item, quantize: fn(&Tensor, usize) -> Result<Tensor, Reason>, offset: i64) -> Result<(), String> {
    let w = c.at("w").tensor();
    let q = quantize(&w, c.at("group").int() as usize).map_err(text)?;
    let QParams::Group { scale, zero, .. } = &q.quant().ok_or("quantized")?.params else {
        return Err("no groups".into());
    };
    same("scales", scale, &c.at("scales").array().f32s())?;
    if let Zeros::Each(z) = zero {
        let z: Vec<i64> = z.iter().map(|&z| z.into()).collect();
        same("zero points", &z, &c.at("zero_points").array().ints())?;
    }
    let codes = q.ints().map_err(text)?;
    same("codes", &codes, &c.at("q").array().ints())?;
    let lifted = Tensor::i64(&q.shape, codes.iter().map(|v| v + offset).collect());
    let bytes: Vec<i64> = pack::pack(&lifted, 4).map_err(text)?.iter().map(|&b| b.into()).collect();
    same("packed", &bytes, &c.at("packed").array().ints())?;
    floats("dequantized", &q.dequantize().map_err(text)?, c.at("dequantized"))
}

/// The refusals, whose arguments are in their ids.
fn refused(id: &str) -> Result<(), String> {
    let x = Tensor::f32(&[2], vec![1.0, 2.0]);
    let m = Tensor::f32(&[2, 2], vec![1.0; 4]);
    let half = Tensor::new(&[1], vec![f16::ONE]).map_err(text)?;
    let fake = |zero, range| {
        let params = QParams::Tensor { scale: 1.0, zero };
        fake_quantize(&x, &Quant { storage: Storage::I16, range, params })
    };
    let tensor = match id {
        "error.zp_above.quint8" => quantize_per_tensor(&x, 1.0, 256, Storage::U8),
        "error.zp_below.quint8" => quantize_per_tensor(&x, 1.0, -1, Storage::U8),
        "error.zp_below.qint8" => quantize_per_tensor(&x, 1.0, -129, Storage::I8),
        "error.zp_above.qint32" => quantize_per_tensor(&x, 1.0, 1 << 33, Storage::I32),
        "error.input_half" => quantize_per_tensor(&half, 1.0, 0, Storage::U8),
        // There is no double precision here; 64-bit integers are the nearest that is no `f32`.
        "error.input_double" => quantize_per_tensor(&Tensor::i64(&[1], vec![1]), 1.0, 0, Storage::U8),
        "error.channel_zp_above" => quantize_per_channel(&m, &[1.0; 2], &[0, 300], 0, Storage::U8),
        "error.channel_count" => quantize_per_channel(&m, &[1.0; 3], &[0; 3], 0, Storage::U8),
        "error.channel_axis" => quantize_per_channel(&m, &[1.0; 2], &[0; 2], 2, Storage::U8),
        "error.fake_zp_outside" => fake(300, (0, 255)),
        "error.fake_min_above_max" => fake(0, (10, 5)),
        "error.decomposed_qmax_outside" => decomposed::Grid::new(0, 300, Storage::U8).map(|_| x),
        _ => return Err("an unknown refusal".into()),
    };
    match tensor {
        Ok(_) => Err("is not refused".into()),
        Err(_) => Ok(()),
    }
}
