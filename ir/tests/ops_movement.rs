//! Types and meaning of the ops that move elements or work on each of them, as tables.

use std::sync::Arc;

use pretty_assertions::assert_eq;
use quantir_ir::attr::F32;
use quantir_ir::ops::*;
use quantir_ir::{Dim, Elem, QParams, Quant, Shape, Storage, Tensor, Type, Zeros};

/// `f32[N,3]`, `i64[]`, `u8!t[2]` (one scale), `i8!a1[2,3]` (scales along axis 1).
fn ty(text: &str) -> Type {
    let (elem, dims) = text.trim_end_matches(']').split_once('[').unwrap();
    let dims: Vec<Dim> = dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    let elem = match elem.split_once('!') {
        None => Elem::Plain(Storage::from_word(elem).unwrap()),
        Some((s, "t")) => Elem::Quant(Arc::new(Quant::tensor(Storage::from_word(s).unwrap(), 0.5, 10))),
        Some((s, axis)) => {
            let storage = Storage::from_word(s).unwrap();
            let axis: usize = axis[1..].parse().unwrap();
            let n = dims[axis].as_lit().unwrap();
            let scale: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            let params = QParams::Axis { axis: axis as u8, scale: scale.into(), zero: Zeros::All(0) };
            Elem::Quant(Arc::new(Quant { storage, range: storage.int_range().unwrap(), params }))
        }
    };
    Type::new(elem, Shape(dims))
}

fn infer(op: &Op, ins: &[&str]) -> Result<String, String> {
    let types: Vec<Type> = ins.iter().map(|t| ty(t)).collect();
    let ins: Vec<Option<&Type>> = types.iter().map(Some).collect();
    op.check_operands(&ins).unwrap();
    let out = op.infer(&Infer { ins: &ins, declared: &[] }).map_err(|r| r.message)?;
    let show = |t: &Type| match &t.elem {
        Elem::Plain(s) => format!("{s}{}", t.shape),
        Elem::Quant(q) => match q.axis() {
            Some(a) => format!("{}!a{a}*{}{}", q.storage, q.count().unwrap(), t.shape),
            None => format!("{}!t{}", q.storage, t.shape),
        },
    };
    Ok(out.iter().map(show).collect::<Vec<_>>().join(" "))
}

fn dims(text: &str) -> Vec<Dim> {
    ty(&format!("f32[{text}]")).shape.0
}

fn slice(axis: u32, start: &str, end: &str, step: i64) -> Op {
    Slice { axis, start: start.parse().unwrap(), end: end.parse().unwrap(), step }.into()
}

#[test]
fn types() {
    let relu6: Op = Clip { min: F32(0.0), max: F32(6.0) }.into();
    let add: Op = Add { act: Act::None }.into();
    let cat = |axis| Op::from(Concat { axis });
    let reshape = |s: &str| Op::from(Reshape { shape: dims(s) });
    let expand = |s: &str| Op::from(Expand { shape: dims(s) });
    let perm = |p: &[u32]| Op::from(Transpose { perm: p.to_vec() });
    let split = |axis, s: &str| Op::from(Split { axis, sizes: dims(s) });
    let gather = |axis| Op::from(Gather { axis });
    let cases: &[(Op, &[&str], Result<&str, &str>)] = &[
        (Relu {}.into(), &["f32[N,3]"], Ok("f32[N,3]")),
        (Relu {}.into(), &["u8!t[2]"], Ok("u8!t[2]")),
        (Relu {}.into(), &["i64[2]"], Err("the operand of `relu` has `i64` elements")),
        (relu6, &["f16[2]"], Ok("f16[2]")),
        (Clip { min: F32(f32::NAN), max: F32(6.0) }.into(), &["f32[2]"], Err("NaN")),
        (Sigmoid {}.into(), &["u8!t[2]"], Err("quantized")),
        (Neg {}.into(), &["i64[2]"], Ok("i64[2]")),
        (Not {}.into(), &["f32[2]"], Err("expected `bool`")),
        (Prelu {}.into(), &["f32[2,3,4]", "f32[3,1]"], Ok("f32[2,3,4]")),
        (Prelu {}.into(), &["f32[1,3]", "f32[4,3]"], Err("the slope [4,3] does not broadcast to x [1,3]")),
        (add.clone(), &["f32[N,1,3]", "f32[4,1]"], Ok("f32[N,4,3]")),
        (add.clone(), &["f32[A]", "f32[B]"], Ok("f32[bcast(A,B)]")),
        (add.clone(), &["i64[]", "i64[2]"], Ok("i64[2]")),
        (
            add.clone(),
            &["f32[2]", "f32[3]"],
            Err("operands [2] and [3] of `add` do not broadcast: 2 against 3"),
        ),
        (add.clone(), &["f32[2]", "i64[2]"], Err("`f32` and `i64`")),
        (add.clone(), &["u8!t[2]", "u8!t[2]"], Err("the first operand of `add` is quantized")),
        (Add { act: Act::Relu }.into(), &["i64[2]", "i64[2]"], Err("`act` of `add` needs floats")),
        (Less {}.into(), &["f32[2,1]", "f32[3]"], Ok("bool[2,3]")),
        (Where {}.into(), &["bool[2,1]", "u8!t[3]", "u8!t[]"], Ok("u8!t[2,3]")),
        (Where {}.into(), &["f32[2]", "f32[2]", "f32[2]"], Err("the condition")),
        (Cast { to: Storage::I32 }.into(), &["f32[N]"], Ok("i32[N]")),
        (Cast { to: Storage::I32 }.into(), &["u8!t[2]"], Err("quantized")),
        (cat(1), &["f32[N,2]", "f32[N,3]"], Ok("f32[N,5]")),
        (cat(0), &["f32[N,2]", "f32[3,H]"], Ok("f32[N+3,2]")),
        (cat(0), &["u8!t[1]", "u8!t[2]"], Ok("u8!t[3]")),
        (cat(0), &["i8!a1[1,2]", "i8!a1[3,2]"], Ok("i8!a1*2[4,2]")),
        (cat(1), &["i8!a1[1,2]", "i8!a1[1,2]"], Err("`concat` does not keep axis 1")),
        (cat(0), &["u8!t[1]", "f32[2]"], Err("one operand of `concat` is quantized")),
        (cat(1), &["f32[2,2]", "f32[3,2]"], Err("parts [2,2] and [3,2] of `concat` differ along axis 0")),
        (cat(2), &["f32[2,2]"], Err("names axis 2")),
        (split(1, "2,3"), &["f32[N,5]"], Ok("f32[N,2] f32[N,3]")),
        (split(0, "1,2"), &["i8!a0[3,2]"], Ok("i8!a0*1[1,2] i8!a0*2[2,2]")),
        (split(0, "N,N"), &["f32[2*N]"], Ok("f32[N] f32[N]")),
        (split(1, "2,2"), &["f32[N,5]"], Err("the sizes sum to 4, but axis 1 of [N,5] has length 5")),
        (slice(0, "1", "5", 2), &["f32[5]"], Ok("f32[2]")),
        (slice(0, "4", "-1", -2), &["f32[5]"], Ok("f32[3]")),
        (slice(0, "N", "2*N", 1), &["f32[2*N]"], Ok("f32[N]")),
        (slice(0, "1", "3", 1), &["i8!a0[5]"], Ok("i8!a0*2[2]")),
        (slice(0, "0", "5", 2), &["i8!a0[5]"], Err("does not keep axis 0")),
        (
            slice(0, "0", "6", 1),
            &["f32[5]"],
            Err("`slice` from 0 to 6 by 1 does not lie within axis 0 of [5]"),
        ),
        (slice(0, "3", "2", 1), &["f32[5]"], Err("does not lie")),
        (slice(0, "0", "N+1", 1), &["f32[N]"], Err("does not lie")),
        (slice(0, "0", "5", 0), &["f32[5]"], Err("step 0")),
        (slice(0, "0", "5", i64::MIN), &["f32[5]"], Err("step")),
        (gather(1), &["f32[2,N,4]", "i64[3,5]"], Ok("f32[2,3,5,4]")),
        (gather(0), &["f32[2,4]", "i64[]"], Ok("f32[4]")),
        (gather(0), &["i8!a1[2,4]", "i64[]"], Ok("i8!a0*4[4]")),
        (gather(1), &["i8!a1[2,4]", "i64[3]"], Err("`gather` does not keep axis 1")),
        (gather(0), &["f32[2]", "f32[3]"], Err("`indices`")),
        (perm(&[0, 2, 1]), &["f32[N,3,8]"], Ok("f32[N,8,3]")),
        (perm(&[1, 0]), &["i8!a0[2,3]"], Ok("i8!a1*2[3,2]")),
        (perm(&[0, 0]), &["f32[2,3]"], Err("perm=[0, 0] does not reorder the axes of [2,3]")),
        (reshape("N,12"), &["f32[N,3,4]"], Ok("f32[N,12]")),
        (reshape("2,2,3"), &["i8!a1[4,3]"], Ok("i8!a2*3[2,2,3]")),
        (reshape("12"), &["i8!a0[4,3]"], Err("does not keep axis 0")),
        (reshape("5"), &["f32[2,3]"], Err("[2,3] has 6 elements, but [5] has 5")),
        (reshape("-1"), &["f32[2,3]"], Err("length -1")),
        (expand("2,3,4"), &["u8!t[3,1]"], Ok("u8!t[2,3,4]")),
        (expand("2,3"), &["i8!a0[3]"], Ok("i8!a1*3[2,3]")),
        (expand("3"), &["f32[2]"], Err("[2] does not expand to [3]")),
        (expand("3"), &["f32[1,3]"], Err("does not expand")),
        (ArgMax { axis: 1, keep: false }.into(), &["u8!t[N,3]"], Ok("i64[N]")),
        (ArgMax { axis: 1, keep: true }.into(), &["f32[N,3]"], Ok("i64[N,1]")),
        (ArgMax { axis: 0, keep: true }.into(), &["f32[0]"], Err("empty")),
        (ShapeOf {}.into(), &["f32[N,3]"], Ok("i64[2]")),
        (Identity {}.into(), &["i8!a0[3]"], Ok("i8!a0*3[3]")),
    ];
    for (op, ins, want) in cases {
        match (infer(op, ins), want) {
            (Ok(found), Ok(want)) => assert_eq!(&found, want, "{op:?} on {ins:?}"),
            (Err(found), Err(want)) => assert!(found.contains(want), "{op:?} on {ins:?}: {found}"),
            (found, _) => panic!("{op:?} on {ins:?}: {found:?}"),
        }
    }
}

/// Evaluates on tensors whose types `infer` accepts.
fn eval(op: impl Into<Op>, ins: &[&Tensor]) -> Vec<Tensor> {
    let op = op.into();
    let types: Vec<Type> = ins.iter().map(|t| t.ty()).collect();
    let types: Vec<Option<&Type>> = types.iter().map(Some).collect();
    let outs = op.infer(&Infer { ins: &types, declared: &[] }).unwrap();
    let ins: Vec<Option<&Tensor>> = ins.iter().map(|t| Some(*t)).collect();
    let found = op.eval(&Eval { ins: &ins, outs: &outs }).unwrap();
    assert!(found.iter().map(Tensor::ty).eq(outs));
    found
}

fn ints(shape: &[usize], data: &[i64]) -> Tensor {
    Tensor::i64(shape, data.to_vec())
}

#[test]
fn elements_arrive_where_they_belong() {
    let seq = |shape: &[usize]| ints(shape, &(0..shape.iter().product::<usize>() as i64).collect::<Vec<_>>());
    let (m, v) = (seq(&[2, 3]), seq(&[5]));
    type Case<'a> = (Op, Vec<&'a Tensor>, Vec<&'a [i64]>);
    let cases: Vec<Case> = vec![
        (Transpose { perm: vec![1, 0] }.into(), vec![&m], vec![&[0, 3, 1, 4, 2, 5]]),
        (Concat { axis: 1 }.into(), vec![&m, &m], vec![&[0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]]),
        (Concat { axis: 0 }.into(), vec![&m, &m], vec![&[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]]),
        (Split { axis: 1, sizes: dims("1,2") }.into(), vec![&m], vec![&[0, 3], &[1, 2, 4, 5]]),
        (slice(0, "1", "5", 2), vec![&v], vec![&[1, 3]]),
        (slice(0, "4", "-1", -2), vec![&v], vec![&[4, 2, 0]]),
        (slice(1, "1", "1", 1), vec![&m], vec![&[]]),
        (Reshape { shape: dims("3,2") }.into(), vec![&m], vec![&[0, 1, 2, 3, 4, 5]]),
        (Expand { shape: dims("2,2,3") }.into(), vec![&m], vec![&[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]]),
        (ShapeOf {}.into(), vec![&m], vec![&[2, 3]]),
    ];
    for (op, ins, want) in cases {
        let found: Vec<Vec<i64>> = eval(op.clone(), &ins).iter().map(|t| t.ints().unwrap()).collect();
        assert_eq!(found, want, "{op:?}");
    }
    let picked = eval(Gather { axis: 1 }, &[&m, &ints(&[2], &[-1, 0])]);
    assert_eq!(picked, [ints(&[2, 2], &[2, 0, 5, 3])]);
    let sum = eval(Add { act: Act::None }, &[&ints(&[2, 1], &[10, 20]), &ints(&[3], &[1, 2, 3])]);
    assert_eq!(sum, [ints(&[2, 3], &[11, 12, 13, 21, 22, 23])]);
    let test = eval(Less {}, &[&m, &ints(&[], &[3])]);
    assert_eq!(test, [Tensor::bools(&[2, 3], vec![true, true, true, false, false, false])]);
    assert_eq!(eval(Where {}, &[&test[0], &m, &ints(&[], &[9])]), [ints(&[2, 3], &[0, 1, 2, 9, 9, 9])]);
    let nan = Tensor::f32(&[2, 3], vec![1.0, 5.0, 5.0, 7.0, f32::NAN, f32::INFINITY]);
    assert_eq!(eval(ArgMax { axis: 1, keep: false }, &[&nan]), [ints(&[2], &[1, 1])]);
}

#[test]
fn a_gather_out_of_range_says_which_index() {
    let (x, i) = (ints(&[3], &[1, 2, 3]), ints(&[1], &[3]));
    let op = Op::from(Gather { axis: 0 });
    let e = op.eval(&Eval { ins: &[Some(&x), Some(&i)], outs: &[ty("i64[1]")] }).unwrap_err();
    assert_eq!(e.message, "index 3 lies outside axis 0 of length 3");
}

#[test]
fn numbers_at_the_edges() {
    let inf = f32::INFINITY;
    let x = Tensor::f32(&[6], vec![f32::NAN, -0.0, -1.5, 2.5, inf, -inf]);
    let floats = |op: Op| {
        eval(op, &[&x])[0].data::<f32>().unwrap().iter().map(|x| format!("{x:?}")).collect::<Vec<_>>()
    };
    assert_eq!(floats(Relu {}.into()).join(" "), "NaN -0.0 0.0 2.5 inf 0.0");
    assert_eq!(floats(Clip { min: F32(-1.0), max: F32(2.0) }.into()).join(" "), "NaN -0.0 -1.0 2.0 2.0 -1.0");
    assert_eq!(floats(Round {}.into()).join(" "), "NaN -0.0 -2.0 2.0 inf -inf");
    assert_eq!(floats(Sigmoid {}.into())[4..], ["1.0", "0.0"]);
    assert_eq!(floats(Softplus {}.into())[4..], ["inf", "0.0"]);
    assert_eq!(
        eval(Cast { to: Storage::I32 }, &[&x])[0].ints().unwrap(),
        [0, 0, -1, 2, i64::from(i32::MAX), i64::from(i32::MIN)]
    );
    assert_eq!(eval(Cast { to: Storage::U8 }, &[&ints(&[3], &[-1, 256, 7])])[0].ints().unwrap(), [255, 0, 7]);
    assert_eq!(eval(Cast { to: Storage::I4 }, &[&ints(&[2], &[8, -9])])[0].ints().unwrap(), [-8, 7]);
    let (a, b) = (ints(&[3], &[-7, 7, i64::MIN]), ints(&[3], &[2, -2, -1]));
    assert_eq!(eval(Div {}, &[&a, &b])[0].ints().unwrap(), [-3, -3, i64::MIN]);
    assert_eq!(
        eval(Pow {}, &[&ints(&[3], &[3, 2, -1]), &ints(&[3], &[4, -1, -3])])[0].ints().unwrap(),
        [81, 0, -1]
    );
    let nan = Tensor::f32(&[], vec![f32::NAN]);
    assert!(eval(Maximum {}, &[&x, &nan])[0].data::<f32>().unwrap().iter().all(|x| x.is_nan()));
    assert!(eval(Minimum {}, &[&nan, &x])[0].data::<f32>().unwrap().iter().all(|x| x.is_nan()));
}

#[test]
fn clamps_of_integers_are_clamps_of_what_they_stand_for() {
    let q = Arc::new(Quant::tensor(Storage::U8, 0.5, 10));
    let all: Vec<i64> = (0..256).collect();
    let x = Tensor::from_ints(Elem::Quant(q.clone()), &[256], &all).unwrap();
    for op in [Op::from(Relu {}), Op::from(Clip { min: F32(-1.3), max: F32(6.0) })] {
        let direct = eval(op.clone(), &[&x]);
        let around = eval(op, &[&x.dequantize().unwrap()])[0].quantize(&q).unwrap();
        assert_eq!(direct[0].ints().unwrap(), around.ints().unwrap());
    }
}

/// Whatever the operands are, an op gives types or a reason; what it accepts it can evaluate.
#[test]
fn no_operand_makes_an_op_panic() {
    let one = |axis| QParams::Axis { axis, scale: vec![1.0, 0.5].into(), zero: Zeros::Each(vec![0].into()) };
    let quant = |params| Elem::Quant(Arc::new(Quant { storage: Storage::I8, range: (-128, 127), params }));
    let scalar = Arc::new(Quant::tensor(Storage::U8, 0.5, 3));
    let axis = Arc::new(Quant { storage: Storage::I8, range: (-128, 127), params: one(0) });
    let group = QParams::Group { axis: 0, size: 0, scale: vec![1.0].into(), zero: Zeros::All(0) };
    let elems = [
        Elem::F32,
        Elem::I64,
        Elem::Plain(Storage::BF16),
        Elem::Plain(Storage::Bool),
        Elem::Quant(scalar.clone()),
        Elem::Quant(Arc::new(Quant::product(&scalar, &axis))),
        quant(one(0)),
        quant(one(9)),
        quant(group),
        quant(QParams::Dynamic),
    ];
    let shapes = ["", "0", "2", "2,3", "N,3", "-1,2", "9223372036854775807,9223372036854775807"];
    let types: Vec<Type> =
        elems.iter().flat_map(|e| shapes.map(|s| Type::new(e.clone(), Shape(dims(s))))).collect();
    let mut ops: Vec<Op> = vec![
        Relu {}.into(),
        Clip { min: F32(0.0), max: F32(-1.0) }.into(),
        Exp {}.into(),
        Neg {}.into(),
        Not {}.into(),
        Identity {}.into(),
        ShapeOf {}.into(),
        Cast { to: Storage::U4 }.into(),
        Transpose { perm: vec![1, 0] }.into(),
        Add { act: Act::Relu }.into(),
        Div {}.into(),
        Pow {}.into(),
        Equal {}.into(),
        Where {}.into(),
        Prelu {}.into(),
        ReshapeTo {}.into(),
    ];
    for a in [0, 1, u32::MAX] {
        ops.push(Concat { axis: a }.into());
        ops.push(Gather { axis: a }.into());
        ops.push(ArgMax { axis: a, keep: false }.into());
        ops.push(Split { axis: a, sizes: dims("1,1") }.into());
        ops.push(Split { axis: a, sizes: dims("9223372036854775807,9223372036854775807") }.into());
        ops.push(slice(a, "1", "0", -1));
        ops.push(slice(a, "9223372036854775807", "-9223372036854775807", i64::MIN + 1));
        ops.push(slice(a, "N/4", "N/2", 9223372036854775807));
    }
    for s in shapes {
        ops.push(Reshape { shape: dims(s) }.into());
        ops.push(Expand { shape: dims(s) }.into());
    }
    let check = |op: &Op, ins: &[&Type]| {
        let operands: Vec<Option<&Type>> = ins.iter().map(|t| Some(*t)).collect();
        if op.check_operands(&operands).is_err() {
            return;
        }
        let declared: Vec<Type> = ins.iter().map(|t| (*t).clone()).collect();
        let Ok(outs) = op.infer(&Infer { ins: &operands, declared: &declared }) else { return };
        let small = |t: &&Type| {
            t.shape.concrete().and_then(|s| quantir_ir::tensor::checked_numel(&s)).is_some_and(|n| n < 1000)
        };
        if !outs.iter().all(|t| small(&t)) || !ins.iter().all(small) {
            return;
        }
        let tensors: Result<Vec<Tensor>, _> = ins.iter().map(|t| ConstData::Rand(7).tensor(t)).collect();
        let Ok(tensors) = tensors else { return };
        let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Some).collect();
        if let Ok(found) = op.eval(&Eval { ins: &tensors, outs: &outs }) {
            assert!(found.iter().map(Tensor::ty).eq(outs), "{op:?} on {ins:?}");
        }
    };
    for op in &ops {
        for a in &types {
            check(op, &[a]);
            for b in &types {
                check(op, &[a, b]);
                if op.operands().len() == 3 {
                    types.iter().for_each(|c| check(op, &[a, b, c]));
                }
            }
        }
    }
}
