//! Types and meaning of the ops that compute sums, windows and integers, as tables.
//!
//! Expected numbers of float ops were compared with onnxruntime 1.32; those of integer ops follow from the formulas
//! in the ops' documentation.

use std::sync::Arc;

use pretty_assertions::assert_eq;
use quantir_ir::attr::{AttrList, AttrValue};
use quantir_ir::ops::constant::splitmix64;
use quantir_ir::ops::{ConstData, Eval, Infer, Op};
use quantir_ir::quant::{dequantize, multiplier, round_clamp};
use quantir_ir::{Dim, Elem, QParams, Quant, Reason, Shape, Storage, Tensor, Type, Zeros};

/// One value of an attribute, taken from the front of `s`.
fn value(s: &mut &str) -> AttrValue {
    if let Some(rest) = s.strip_prefix('[') {
        *s = rest;
        let mut items = Vec::new();
        while !s.starts_with(']') {
            items.push(value(s));
            *s = s.trim_start_matches(',');
        }
        *s = &s[1..];
        return AttrValue::List(items);
    }
    let (word, rest) = s.split_at(s.find([',', '(', ')', ']', ' ']).unwrap_or(s.len()));
    *s = rest;
    if let Some(rest) = s.strip_prefix('(') {
        *s = rest;
        let mut args = Vec::new();
        while !s.starts_with(')') {
            args.push(value(s));
            *s = s.trim_start_matches(',');
        }
        *s = &s[1..];
        return AttrValue::Call(word.into(), args);
    }
    match (word.parse(), word.parse(), word) {
        (Ok(n), ..) => AttrValue::Int(n),
        (_, Ok(x), _) => AttrValue::Float(x),
        (.., "true" | "false") => AttrValue::Bool(word == "true"),
        _ => AttrValue::Word(word.into()),
    }
}

/// `conv2d stride=2 pad=[[1,0],[0,1]]`
fn op(text: &str) -> Op {
    let (name, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut attrs = AttrList::new();
    while let Some((key, tail)) = rest.split_once('=') {
        rest = tail;
        attrs.push((key.trim().into(), value(&mut rest)));
    }
    Op::parse(name, attrs).unwrap().unwrap()
}

fn quant(storage: Storage, scale: f32, zero: i32) -> Arc<Quant> {
    Arc::new(Quant::tensor(storage, scale, zero))
}

/// `i8` weights with one scale for each of `n` indices of axis 0.
fn per_channel(n: usize) -> Arc<Quant> {
    let scale: Vec<f32> = (0..n).map(|i| 0.003 + 0.001 * i as f32).collect();
    let params = QParams::Axis { axis: 0, scale: scale.into(), zero: Zeros::All(0) };
    Arc::new(Quant { storage: Storage::I8, range: (-128, 127), params })
}

/// `f32[N,3]`, `u8!x[2]` and `u8!y[2]` (one scale each), `i8!w[4,3]` (one scale for each index of axis 0), `i32!b[4]`
/// (the product of x and w).
fn ty(text: &str) -> Type {
    let (elem, dims) = text.trim_end_matches(']').split_once('[').unwrap();
    let dims: Vec<Dim> = dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    let channels = || dims[0].as_lit().unwrap() as usize;
    let storage = |s: &str| Storage::from_word(s).unwrap();
    let elem = match elem.split_once('!') {
        None => Elem::Plain(storage(elem)),
        Some((s, "x")) => Elem::Quant(quant(storage(s), 0.02, 120)),
        Some((s, "y")) => Elem::Quant(quant(storage(s), 0.05, 100)),
        Some((_, "w")) => Elem::Quant(per_channel(channels())),
        Some(_) => {
            let x = quant(Storage::U8, 0.02, 120);
            Elem::Quant(Arc::new(Quant::product(&x, &per_channel(channels()))))
        }
    };
    Type::new(elem, Shape(dims))
}

fn infer(op: &Op, ins: &[Type], declared: &[Type]) -> Result<Type, Reason> {
    let refs: Vec<Option<&Type>> = ins.iter().map(Some).collect();
    op.infer(&Infer { ins: &refs, declared }).map(|mut t| t.remove(0))
}

/// Infers, with `elem` declared for the result, then evaluates.
fn run(op: &Op, ins: &[Tensor], elem: &Elem) -> Tensor {
    let types: Vec<Type> = ins.iter().map(Tensor::ty).collect();
    let out = infer(op, &types, &[Type::new(elem.clone(), Shape::default())]).unwrap();
    let refs: Vec<Option<&Tensor>> = ins.iter().map(Some).collect();
    op.eval(&Eval { ins: &refs, outs: std::slice::from_ref(&out) }).unwrap().remove(0)
}

/// 1, 2, 3, …
fn count(shape: &[usize]) -> Tensor {
    Tensor::f32(shape, (0..shape.iter().product::<usize>()).map(|i| i as f32 + 1.0).collect())
}

fn rand(text: &str, seed: u64) -> Tensor {
    ConstData::Rand(seed).tensor(&ty(text)).unwrap()
}

#[test]
fn types() {
    let cases: &[(&str, &[&str], Result<&str, &str>)] = &[
        ("conv2d stride=2 pad=1", &["f32[N,3,H,W]", "f32[8,3,3,3]", "f32[8]"], Ok("[N,8,(H+1)/2,(W+1)/2]")),
        ("conv2d groups=2", &["f32[1,4,8,8]", "f32[6,2,3,1]"], Ok("[1,6,6,8]")),
        (
            "conv2d",
            &["f32[1,3,8,8]", "f32[8,4,3,3]"],
            Err("input has 3 channels but the weight f32[8,4,3,3] with groups=1 expects 4"),
        ),
        ("conv2d groups=0", &["f32[1,3,8,8]", "f32[8,3,3,3]"], Err("`groups` must be at least 1")),
        ("conv2d stride=0", &["f32[1,3,8,8]", "f32[8,3,3,3]"], Err("`stride` must be at least 1")),
        ("conv2d stride=[1,2,3]", &["f32[1,3,8,8]", "f32[8,3,3,3]"], Err("stride")),
        (
            "conv2d dilation=4",
            &["f32[1,3,8,8]", "f32[8,3,3,3]"],
            Err("the kernel of 3 (dilated to 9) is larger than the padded input of 8 along spatial axis 0"),
        ),
        ("conv2d", &["f32[1,3,8,8]", "f32[8,3,3,3]", "f32[7]"], Err("the bias is f32[7]")),
        ("conv2d", &["f32[1,3,8]", "f32[8,3,3,3]"], Err("needs 4 dimensions in its input")),
        ("conv2d", &["u8!x[1,3,8,8]", "f32[8,3,3,3]"], Err("the input is quantized u8[1,3,8,8]")),
        ("conv2d", &["f32[1,3,8,8]", "f16[8,3,3,3]"], Err("the weight is f16[8,3,3,3] but the input is f32")),
        ("conv1d", &["f16[1,3,8]", "f16[8,3,3]"], Ok("[1,8,6]")),
        ("conv_transpose2d stride=2", &["f32[1,4,H,5]", "f32[4,2,2,2]"], Ok("[1,2,2*H,10]")),
        ("conv_transpose1d pad=9", &["f32[1,4,5]", "f32[4,2,2]"], Err("leaves nothing of the result")),
        ("conv_transpose1d groups=3", &["f32[1,4,5]", "f32[4,2,2]"], Err("do not divide into groups=3")),
        ("linear", &["f32[A,B,8]", "f32[4,8]"], Ok("[A,B,4]")),
        (
            "linear",
            &["f32[2,7]", "f32[4,8]"],
            Err("input f32[2,7] has 7 features but the weight f32[4,8] expects 8"),
        ),
        ("matmul", &["f32[N,1,3,4]", "f32[5,4,2]"], Ok("[N,5,3,2]")),
        ("matmul", &["f32[4]", "f32[N,4,2]"], Ok("[N,2]")),
        ("matmul", &["f32[3,4]", "f32[4]"], Ok("[3]")),
        ("matmul", &["f32[3,4]", "f32[5,2]"], Err("f32[3,4] has 4 columns but f32[5,2] has 5 rows")),
        ("max_pool kernel=3 stride=2 ceil=true", &["u8!x[N,3,H,8]"], Ok("[N,3,H/2,4]")),
        ("max_pool kernel=2 stride=2 ceil=true", &["f32[1,3,1,1]"], Ok("[1,3,1,1]")),
        ("max_pool kernel=2 stride=3 ceil=true", &["f32[1,1,4,4]"], Ok("[1,1,2,2]")),
        ("max_pool kernel=1 stride=3 ceil=true", &["f32[1,1,5,5]"], Ok("[1,1,2,2]")),
        ("max_pool kernel=2", &["i8!w[1,3,4,4]"], Err("one scale for the whole tensor")),
        ("avg_pool kernel=2", &["u8!x[1,3,4,4]"], Err("the input is quantized u8[1,3,4,4]")),
        ("mean axes=[1,2]", &["f32[N,3,H]"], Ok("[N]")),
        ("sum axes=[1] keep=true", &["i64[N,3]"], Ok("[N,1]")),
        ("mean axes=[1,1]", &["f32[N,3]"], Err("axis 1 is named twice")),
        ("mean axes=[2]", &["f32[N,3]"], Err("axis 2")),
        ("softmax axis=2", &["f32[2,3]"], Err("axis 2")),
        ("layer_norm axis=1", &["f32[N,3,4]", "f32[3,4]"], Ok("[N,3,4]")),
        ("layer_norm axis=1", &["f32[N,3,4]", "f32[4]"], Err("the gamma is f32[4]")),
        ("resize scales=[1,1,2.0,1.5]", &["f32[N,3,H,W]"], Ok("[N,3,2*H,(3*W)/2]")),
        ("resize scales=[1,1,0.7]", &["f32[1,3,10]"], Ok("[1,3,7]")),
        ("resize scales=[1,1,0.7]", &["f32[1,3,H]"], Err("the symbolic dimension H cannot be scaled by 0.7")),
        ("resize sizes=[1,3]", &["f32[1,3,8]"], Err("`sizes` has 2 entries for the 3 axes")),
        ("resize mode=linear sizes=[4]", &["u8!x[2]"], Err("the input is quantized")),
        ("pad pads=[[0,0],[1,2]]", &["f32[N,W]"], Ok("[N,W+3]")),
        ("pad pads=[[0,0],[-3,-3]]", &["f32[N,5]"], Err("cut more than the 5 elements of axis 1")),
        ("pad mode=reflect pads=[[3,0]]", &["f32[3]"], Err("need at least 4 elements along axis 0")),
        ("quantize", &["f32[N,3]"], Ok("[N,3]")),
        ("quantize", &["i64[3]"], Err("the input is i64[3]")),
        ("dequantize", &["i32!b[3]"], Ok("[3]")),
        ("dequantize", &["u8[3]"], Err("`dequantize` needs a quantized input, found u8[3]")),
        ("qconv2d pad=1", &["u8!x[N,3,H,8]", "i8!w[4,3,3,3]", "i32!b[4]"], Ok("[N,4,H,8]")),
        ("qconv2d", &["u8!y[N,3,8,8]", "i8!w[4,3,3,3]", "i32!b[4]"], Err("the accumulator needs `i32`")),
        ("qconv2d", &["u8!x[N,3,8,8]", "u8!x[4,3,3,3]"], Err("needs a weight of `i8`, found `u8`")),
        ("qconv2d", &["f32[N,3,8,8]", "i8!w[4,3,3,3]"], Err("`qconv2d` needs a quantized input")),
        ("qlinear", &["i32!b[4]", "i8!w[2,4]"], Err("one scale for its whole input")),
        ("qadd", &["u8!x[N,3]", "u8!y[3]"], Ok("[N,3]")),
        ("qconcat axis=1", &["u8!x[N,3]", "u8!y[N,2]", "u8!x[N,1]"], Ok("[N,6]")),
        ("qconcat axis=1", &["u8!x[1,3]", "u8!y[2,2]"], Err("they differ along axis 0")),
        ("qmean axes=[1]", &["u8!x[N,3]"], Ok("[N]")),
        ("qavg_pool kernel=2", &["u8!x[N,3,4,4]"], Ok("[N,3,3,3]")),
        ("qlut", &["u8!x[N,3]", "u8!y[256]"], Ok("[N,3]")),
        ("qlut", &["u8!x[N,3]", "u8!y[255]"], Err("a table of 256 entries")),
    ];
    for (text, ins, want) in cases {
        let types: Vec<Type> = ins.iter().map(|t| ty(t)).collect();
        match (infer(&op(text), &types, &[ty("u8!y[]")]), want) {
            (Ok(found), Ok(want)) => assert_eq!(&found.shape.to_string(), want, "{text} on {ins:?}"),
            (Err(found), Err(want)) => {
                assert!(found.message.contains(want), "{text} on {ins:?}: {found} instead of {want}")
            }
            (found, want) => panic!("{text} on {ins:?}: {found:?} instead of {want:?}"),
        }
    }
}

#[test]
fn float_results() {
    let dilated = Tensor::f32(&[1, 1, 3], vec![1.0, 10.0, 100.0]);
    let count_from_0 = |shape: &[usize]| {
        let t = count(shape);
        Tensor::f32(shape, t.floats().unwrap().iter().map(|x| x - 1.0).collect())
    };
    let cases: &[(&str, &[Tensor], &[f32])] = &[
        (
            "conv2d groups=2 stride=[2,1] pad=[[1,0],[0,1]]",
            &[count_from_0(&[1, 2, 3, 3]), count(&[2, 1, 2, 2])],
            &[4.0, 11.0, 6.0, 57.0, 67.0, 29.0, 143.0, 158.0, 77.0, 371.0, 397.0, 189.0],
        ),
        (
            "conv1d dilation=2 stride=2 pad=[[2,1]]",
            &[count(&[1, 1, 6]), dilated.clone()],
            &[310.0, 531.0, 53.0],
        ),
        (
            "conv1d act=relu",
            &[
                count(&[1, 1, 2]),
                Tensor::f32(&[2, 1, 1], vec![1.0, -1.0]),
                Tensor::f32(&[2], vec![-1.5, 1.5]),
            ],
            &[0.0, 0.5, 0.5, 0.0],
        ),
        (
            "conv_transpose2d groups=2 stride=2 out_pad=[1,0]",
            &[count(&[1, 2, 2, 2]), count(&[2, 1, 2, 2])],
            &[
                1.0, 2.0, 2.0, 4.0, 3.0, 4.0, 6.0, 8.0, 3.0, 6.0, 4.0, 8.0, 9.0, 12.0, 12.0, 16.0, 0.0, 0.0,
                0.0, 0.0, 25.0, 30.0, 30.0, 36.0, 35.0, 40.0, 42.0, 48.0, 35.0, 42.0, 40.0, 48.0, 49.0, 56.0,
                56.0, 64.0, 0.0, 0.0, 0.0, 0.0,
            ],
        ),
        (
            "conv_transpose1d stride=2 pad=[[1,0]] out_pad=1",
            &[count(&[1, 1, 3]), dilated],
            &[10.0, 102.0, 20.0, 203.0, 30.0, 300.0, 0.0],
        ),
        (
            "linear act=clip(0,6)",
            &[count(&[1, 2]), count(&[2, 2]), Tensor::f32(&[2], vec![-4.5, 0.0])],
            &[0.5, 6.0],
        ),
        ("matmul", &[count(&[2]), count(&[2, 2])], &[7.0, 10.0]),
        ("avg_pool kernel=3 stride=2 pad=[[1,0]] ceil=true", &[count(&[1, 1, 6])], &[1.5, 3.0, 5.0]),
        (
            "avg_pool kernel=3 stride=2 pad=[[1,0]] ceil=true count_pad=true",
            &[count(&[1, 1, 6])],
            &[1.0, 3.0, 5.0],
        ),
        (
            "avg_pool kernel=2 stride=3 pad=[[1,0],[0,1]] ceil=true count_pad=true",
            &[count(&[1, 1, 4, 4])],
            &[0.75, 1.0, 11.5, 7.0],
        ),
        ("max_pool kernel=3 stride=2 ceil=true", &[count_from_0(&[1, 1, 4, 4])], &[10.0, 11.0, 14.0, 15.0]),
        ("mean axes=[0]", &[count(&[2, 2])], &[2.0, 3.0]),
        ("prod axes=[1]", &[count(&[2, 2])], &[2.0, 12.0]),
        ("l2 axes=[0,1]", &[Tensor::f32(&[1, 2], vec![-3.0, 4.0])], &[5.0]),
        ("amax axes=[0]", &[Tensor::f32(&[0, 1], vec![])], &[f32::NEG_INFINITY]),
        ("softmax axis=1", &[Tensor::f32(&[1, 2], vec![1000.0, 1000.0])], &[0.5, 0.5]),
        ("pad pads=[[1,2]] value=7", &[count(&[2])], &[7.0, 1.0, 2.0, 7.0, 7.0]),
        ("pad pads=[[-1,1]] value=7", &[count(&[3])], &[2.0, 3.0, 7.0]),
        ("pad pads=[[2,1]] mode=edge", &[count(&[2])], &[1.0, 1.0, 1.0, 2.0, 2.0]),
        ("pad pads=[[2,1]] mode=reflect", &[count(&[3])], &[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
        (
            "resize mode=linear sizes=[4,4]",
            &[count_from_0(&[2, 2])],
            &[0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2.0, 2.25, 2.75, 3.0],
        ),
        (
            "resize mode=cubic scales=[2]",
            &[count_from_0(&[4])],
            &[-0.10546875, 0.19140625, 0.66796875, 1.296875, 1.703125, 2.332_031_3, 2.808_593_8, 3.105_468_8],
        ),
        ("resize sizes=[8] coord=asymmetric", &[count(&[5])], &[1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0]),
        (
            "resize sizes=[8] coord=asymmetric round=floor",
            &[count(&[5])],
            &[1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0],
        ),
        (
            "resize sizes=[8] coord=asymmetric round=ceil",
            &[count(&[5])],
            &[1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0, 5.0],
        ),
        ("resize sizes=[3] round=prefer_floor", &[count(&[6])], &[1.0, 3.0, 5.0]),
        ("resize sizes=[3] round=prefer_ceil", &[count(&[6])], &[2.0, 4.0, 6.0]),
        ("resize sizes=[1] mode=linear", &[count(&[4])], &[2.5]),
        ("resize sizes=[1] mode=linear coord=pytorch_half_pixel", &[count(&[4])], &[1.0]),
        ("resize sizes=[3] mode=linear coord=align_corners", &[count(&[5])], &[1.0, 3.0, 5.0]),
    ];
    for (text, ins, want) in cases {
        let found = run(&op(text), ins, &ins[0].elem);
        assert_eq!(&found.floats().unwrap().to_vec(), want, "{text}");
    }
}

#[test]
fn symbols_are_settled_when_they_are_known() {
    let (x, w) = (count(&[1, 2, 4]), count(&[1, 3, 2]));
    let open = [ty("f32[N,C,W]"), ty("f32[1,3,2]")];
    assert!(infer(&op("conv1d"), &open, &[]).is_ok());
    let outs = [ty("f32[1,1,3]")];
    let found = op("conv1d").eval(&Eval { ins: &[Some(&x), Some(&w)], outs: &outs }).unwrap_err();
    assert_eq!(found.message, "input has 2 channels but the weight f32[1,3,2] with groups=1 expects 3");
}

/// The integers that a convolution or linear of the dequantized operands gives, by the formula of the ops: `taps`
/// lists for output `i` its channel and the pairs of x and w elements.
fn by_formula(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    y: &Quant,
    taps: &[(usize, Vec<(usize, usize)>)],
) -> Vec<i64> {
    let (xi, wi, bi) = (x.ints().unwrap(), w.ints().unwrap(), b.ints().unwrap());
    let (sx, zx) = x.quant().unwrap().per_tensor().unwrap();
    let (sy, zy) = y.per_tensor().unwrap();
    taps.iter()
        .map(|(c, pairs)| {
            let sum: i64 = pairs.iter().map(|&(i, j)| (xi[i] - i64::from(zx)) * wi[j]).sum::<i64>() + bi[*c];
            let m = multiplier(sx * w.quant().unwrap().scale(*c), sy);
            i64::from(round_clamp(sum as f32 * m, zy, y.range.0 as i32, y.range.1 as i32))
        })
        .collect()
}

#[test]
fn integer_convolution_and_linear_follow_their_formula() {
    let (x, w) = (rand("u8!x[1,2,5,5]", 1), rand("i8!w[4,1,3,3]", 2));
    let bias = Tensor::from_ints(ty("i32!b[4]").elem, &[4], &[900, -700, 0, 31]).unwrap();
    let y = ty("u8!y[]").elem;
    let found =
        run(&op("qconv2d groups=2 stride=2 pad=[[1,0],[1,1]]"), &[x.clone(), w.clone(), bias.clone()], &y);
    assert_eq!(found.shape, [1, 4, 2, 3]);
    let mut taps = Vec::new();
    for (o, r, c) in (0..4).flat_map(|o| (0..2).flat_map(move |r| (0..3).map(move |c| (o, r, c)))) {
        let inside = (0..9).map(|k| (2 * r + k / 3, 2 * c + k % 3, k));
        let inside = inside.filter(|(i, j, _)| (1..6).contains(i) && (1..6).contains(j));
        taps.push((o, inside.map(|(i, j, k)| (o / 2 * 25 + (i - 1) * 5 + j - 1, o * 9 + k)).collect()));
    }
    assert_eq!(found.ints().unwrap(), by_formula(&x, &w, &bias, y.quant().unwrap(), &taps));

    let (x, w) = (rand("u8!x[3,16]", 3), rand("i8!w[4,16]", 4));
    let found = run(&op("qlinear"), &[x.clone(), w.clone(), bias.clone()], &y);
    let taps: Vec<_> =
        (0..12).map(|i| (i % 4, (0..16).map(|k| (i / 4 * 16 + k, i % 4 * 16 + k)).collect())).collect();
    assert_eq!(found.ints().unwrap(), by_formula(&x, &w, &bias, y.quant().unwrap(), &taps));
    // A fused relu is a relu of the result: nothing below the zero point is left.
    let relu = run(&op("qlinear act=relu"), &[x, w, bias], &y);
    let want: Vec<i64> = found.ints().unwrap().into_iter().map(|q| q.max(100)).collect();
    assert_eq!(relu.ints().unwrap(), want);
}

#[test]
fn integer_results_lie_within_rounding_of_the_real_ones() {
    let (a, b) = (rand("u8!x[2,3,4,4]", 5), rand("u8!y[2,3,4,4]", 6));
    let y = Elem::Quant(quant(Storage::U8, 0.06, 110));
    let cases: &[(&str, &str, &[&Tensor])] = &[
        ("qadd", "add", &[&a, &b]),
        ("qadd act=relu", "add act=relu", &[&a, &b]),
        ("qadd act=hard_swish", "add act=hard_swish", &[&a, &b]),
        ("qmul", "mul", &[&a, &b]),
        ("qmul act=hard_swish", "mul act=hard_swish", &[&a, &b]),
        ("qconcat axis=1", "concat axis=1", &[&a, &b, &a]),
        ("qmean axes=[1,3]", "mean axes=[1,3]", &[&a]),
        ("qavg_pool kernel=3 stride=2 pad=1", "avg_pool kernel=3 stride=2 pad=1", &[&a]),
        ("requantize", "identity", &[&a]),
    ];
    for (integer, float, ins) in cases {
        let ins: Vec<Tensor> = ins.iter().map(|t| (*t).clone()).collect();
        let real: Vec<Tensor> = ins.iter().map(|t| t.dequantize().unwrap()).collect();
        let want = run(&op(float), &real, &Elem::F32).quantize(y.quant().unwrap()).unwrap();
        let found = run(&op(integer), &ins, &y);
        assert_eq!(found.shape, want.shape, "{integer}");
        for (f, w) in found.ints().unwrap().into_iter().zip(want.ints().unwrap()) {
            assert!((f - w).abs() <= 1, "{integer}: {f} instead of {w}");
        }
    }
}

#[test]
fn quantized_elements_pass_through() {
    let x = rand("u8!x[1,1,4,4]", 7);
    let ints = x.ints().unwrap();
    let pooled = run(&op("max_pool kernel=2 stride=2 pad=1"), std::slice::from_ref(&x), &x.elem);
    assert_eq!((pooled.ints().unwrap()[0], &pooled.elem), (ints[0], &x.elem));
    // 0.5 is 25 steps of 0.02 above the zero point 120.
    let padded = run(&op("pad pads=[[0,0],[0,0],[0,0],[1,0]] value=0.5"), std::slice::from_ref(&x), &x.elem);
    assert_eq!(padded.ints().unwrap()[..3], [145, ints[0], ints[1]]);
    let same = run(&op("requantize"), std::slice::from_ref(&x), &x.elem);
    assert_eq!(same, x);
    let table: Vec<i64> = (0..256).map(|i| 255 - i).collect();
    let table = Tensor::from_ints(ty("u8!y[]").elem, &[256], &table).unwrap();
    let looked_up = run(&op("qlut"), &[x.clone(), table], &ty("u8!y[]").elem);
    assert_eq!(looked_up.ints().unwrap(), ints.iter().map(|q| 255 - q).collect::<Vec<_>>());
    let (scale, zero) = x.quant().unwrap().per_tensor().unwrap();
    let real = run(&op("dequantize"), std::slice::from_ref(&x), &Elem::F32);
    assert_eq!(real.floats().unwrap()[3], dequantize(ints[3] as i32, scale, zero));
    assert_eq!(run(&op("quantize"), &[real], &x.elem), x);
}

/// Odd attributes on odd types: a result or a reason, never a panic; what is accepted evaluates or gives a reason.
#[test]
fn no_types_or_attributes_panic() {
    let ops = [
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "linear",
        "matmul",
        "batch_norm",
        "max_pool",
        "avg_pool",
        "mean",
        "amax",
        "l2",
        "softmax",
        "log_softmax",
        "layer_norm",
        "instance_norm",
        "group_norm",
        "embedding",
        "embedding_bag",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "stack",
        "cumsum",
        "flip",
        "rnn",
        "lstm_cell",
        "resize",
        "pad",
        "quantize",
        "dequantize",
        "requantize",
        "qconv1d",
        "qconv2d",
        "qlinear",
        "qadd",
        "qmul",
        "qconcat",
        "qmean",
        "qavg_pool",
        "qlut",
    ];
    let mut state = 42;
    let mut below = |n: usize| (splitmix64(&mut state) % n as u64) as usize;
    let (mut accepted, mut evaluated) = (0, 0);
    for _ in 0..60_000 {
        let name = ops[below(ops.len())];
        let known = Op::table().into_iter().find(|r| r.name == name).unwrap().attrs;
        let int = |n: usize| AttrValue::Int([1, 1, 1, 2, 2, 3, 0, u32::MAX as i64][n]);
        let mut attrs = AttrList::new();
        for a in known {
            let pair = |n, m| AttrValue::List(vec![int(n), int(m)]);
            let v = match *a {
                "axis" => AttrValue::Int([0, 1, 1, 2, 9][below(5)]),
                "axes" => AttrValue::List((0..below(3)).map(|_| AttrValue::Int(below(4) as i64)).collect()),
                "pads" => AttrValue::List((0..below(3) + 1).map(|_| pair(below(8), below(8))).collect()),
                "scales" if below(2) == 0 => AttrValue::List(
                    (0..3).map(|_| AttrValue::Float([1.0, 2.0, 0.3, -1.0][below(4)])).collect(),
                ),
                "sizes" if below(2) == 0 => AttrValue::List((0..3).map(|_| int(below(7))).collect()),
                "mode" if name == "pad" => AttrValue::Word(["constant", "edge", "reflect"][below(3)].into()),
                "mode" => AttrValue::Word(["nearest", "linear", "cubic"][below(3)].into()),
                "act" => AttrValue::Word(["none", "relu", "hard_swish"][below(3)].into()),
                "keep" | "ceil" | "count_pad" => AttrValue::Bool(below(2) == 0),
                "kernel" | "stride" | "dilation" | "pad" | "out_pad" | "groups" | "factor" => {
                    match below(6) {
                        0 => AttrValue::List((0..below(3) + 1).map(|_| int(below(8))).collect()),
                        n => int(n),
                    }
                }
                _ => continue,
            };
            attrs.push((a.to_string(), v));
        }
        let Some(Ok(op)) = Op::parse(name, attrs) else { continue };
        let dims = ["1", "1", "2", "2", "3", "4", "0", "N", "H/2+1", "-1", "9223372036854775807"];
        let elems = if name.starts_with('q') { 3..9 } else { 0..4 };
        let elems: Vec<&str> =
            ["f32", "f32", "i64", "f16", "u8!x", "u8!x", "u8!y", "i8!w", "i32!b"][elems].to_vec();
        let rank = below(5);
        let random = |below: &mut dyn FnMut(usize) -> usize| loop {
            let rank = if below(3) == 0 { below(6) } else { rank };
            let wild = if below(3) == 0 { dims.len() } else { 6 };
            let shape: Vec<&str> = (0..rank).map(|_| dims[below(wild)]).collect();
            let elem = elems[below(elems.len())];
            if elem.ends_with('w') || elem.ends_with('b') {
                let Some("1" | "2" | "3" | "4") = shape.first().copied() else { continue };
            }
            return ty(&format!("{elem}[{}]", shape.join(",")));
        };
        let n = op.operands().len().min(below(5) + 1);
        let ins: Vec<Type> = (0..n).map(|_| random(&mut below)).collect();
        let Ok(out) = infer(&op, &ins, &[random(&mut below)]) else { continue };
        accepted += 1;
        let small = |t: &Type| t.shape.concrete().is_some_and(|s| s.iter().all(|&d| d < 100));
        if !ins.iter().all(small) || !small(&out) {
            continue;
        }
        let tensors: Vec<Tensor> = ins.iter().map(|t| ConstData::Rand(1).tensor(t).unwrap()).collect();
        let refs: Vec<Option<&Tensor>> = tensors.iter().map(Some).collect();
        if let Ok(found) = op.eval(&Eval { ins: &refs, outs: std::slice::from_ref(&out) }) {
            assert_eq!(found[0].ty(), out, "{op:?} on {ins:?}");
            evaluated += 1;
        }
    }
    assert!(accepted > 500 && evaluated > 300, "{accepted} accepted, {evaluated} evaluated");
}
