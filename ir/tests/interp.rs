//! Runs of the interpreter, symbols, shape arithmetic, and analyses of the graph's structure.

use pretty_assertions::assert_eq;
use quantir_ir::bind::{bind, concrete};
use quantir_ir::entity::Entity;
use quantir_ir::interp::{Hook, run};
use quantir_ir::ops::*;
use quantir_ir::shape_value::{ShapeValues, reshape_dims};
use quantir_ir::view::{cycle, dominators, islands, post_dominators, to_dot, topological};
use quantir_ir::{Dim, Elem, Graph, Loc, NodeId, Phase, Shape, Storage, Tensor, Type, ValueId};

fn dims(text: &str) -> Vec<Dim> {
    text.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect()
}

fn graph(inputs: &[(&str, &str)]) -> (Graph, Vec<ValueId>) {
    let mut g = Graph::new("main", Phase::Float);
    g.declare_dim("N", (1, Some(8)));
    g.declare_dim("H", (1, None));
    let ids = inputs.iter().map(|(name, s)| g.input(name, Type::new(Elem::F32, Shape(dims(s))))).collect();
    (g, ids)
}

fn push(g: &mut Graph, op: impl Into<Op>, ins: &[ValueId], name: &str) -> ValueId {
    g.push(op, ins.iter().copied(), name, Loc::at("net.block")).unwrap()
}

fn numbers(g: &mut Graph, name: &str, data: &[i64]) -> ValueId {
    g.push_const(Tensor::i64(&[data.len()], data.to_vec()), name, Loc::default())
}

/// Records what it sees by name.
#[derive(Default)]
struct Trace(Vec<String>);
impl Hook for Trace {
    fn value(&mut self, g: &Graph, v: ValueId, _: &Tensor) {
        self.0.push(format!("%{}", g.name_of(v)));
    }
    fn node(&mut self, g: &Graph, n: NodeId) {
        self.0.push(g.op(n).name().into());
    }
}

#[test]
fn a_run_follows_the_order_and_makes_constants_when_needed() {
    let (mut g, ids) = graph(&[("x", "N,2")]);
    let unused = numbers(&mut g, "unused", &[1]);
    let c = g.push_const(Tensor::f32(&[2], vec![1.0, -5.0]), "c", Loc::default());
    let r = push(&mut g, Relu {}, &ids, "r");
    let y = push(&mut g, Add { act: Act::Relu }, &[r, c], "y");
    g.output("out", y);
    g.output("same", y);
    g.output("through", ids[0]);
    let x = Tensor::f32(&[2, 2], vec![-1.0, 2.0, 3.0, 9.0]);
    let mut trace = Trace::default();
    let out = run(&g, std::slice::from_ref(&x), &mut trace).unwrap();
    let want = Tensor::f32(&[2, 2], vec![1.0, 0.0, 4.0, 4.0]);
    assert_eq!(out, [want.clone(), want, x]);
    assert_eq!(trace.0.join(" "), "%x relu %r const %c add %y");
    assert!(g.is_const(unused));
}

#[test]
fn inputs_that_do_not_fit_are_refused_in_the_users_words() {
    let (g, _) = graph(&[("x", "N,3"), ("y", "N,2*H"), ("z", "H")]);
    let cases: &[(&[&[usize]], &str)] = &[
        (&[&[1, 3]], "graph `@main` takes 3 inputs, 1 given"),
        (&[&[1, 3, 1], &[1, 2], &[1]], "input `%x` has 3 dimensions, expected 2"),
        (&[&[1, 4], &[1, 2], &[1]], "dimension 1 of input `%x` is 4, expected 3"),
        (&[&[9, 3], &[9, 2], &[1]], "`N` would be 9, outside its declared range 1..8"),
        (&[&[2, 3], &[1, 2], &[1]], "`N` is 2 in one input dimension and 1 in another"),
        (&[&[2, 3], &[2, 3], &[1]], "dimension 1 of input `%y` is 3, expected 2*H = 2"),
    ];
    for (shapes, want) in cases {
        let shapes: Vec<Vec<usize>> = shapes.iter().map(|s| s.to_vec()).collect();
        let e = bind(&g, &shapes).unwrap_err();
        assert_eq!((e.code, e.message.as_str()), ("input", *want));
        assert!(e.help.is_some());
    }
    let b = bind(&g, &[vec![2, 3], vec![2, 8], vec![4]]).unwrap();
    let ty = |s: &str| Type::new(Elem::F32, Shape(dims(s)));
    assert_eq!(concrete(&ty("N,H/2,3"), &b), Ok(Type::f32(&[2, 2, 3])));
    assert_eq!(concrete(&ty("N-3"), &b), Err("dimension N-3 = -1 is negative".into()));
    assert!(concrete(&ty("K"), &b).is_err());

    let wrong =
        [Tensor::i64(&[2, 3], vec![0; 6]), Tensor::f32(&[2, 2], vec![0.0; 4]), Tensor::f32(&[1], vec![0.0])];
    let e = run(&g, &wrong, &mut ()).unwrap_err();
    assert_eq!(e.diag().message, "input `%x` is i64[2,3], expected f32[N,3]");
}

#[test]
fn an_error_at_run_time_names_node_op_and_module() {
    let (mut g, ids) = graph(&[("x", "H")]);
    let i = numbers(&mut g, "i", &[5]);
    let y = push(&mut g, Gather { axis: 0 }, &[ids[0], i], "y");
    g.output("y", y);
    let e = run(&g, &[Tensor::f32(&[3], vec![0.0; 3])], &mut ()).unwrap_err();
    let text = e.to_string();
    assert!(text.contains("`gather` at `%y`: index 5 lies outside axis 0 of length 3"), "{text}");
    assert!(text.contains("in module net.block"), "{text}");
}

#[test]
fn symbolic_slices_and_late_checks() {
    let (mut g, ids) = graph(&[("x", "H"), ("y", "N")]);
    let half = push(
        &mut g,
        Slice { axis: 0, start: "H/2".parse().unwrap(), end: Dim::sym("H"), step: 1 },
        &ids[..1],
        "half",
    );
    let sum = push(&mut g, Add { act: Act::None }, &ids, "sum");
    g.output("half", half);
    g.output("sum", sum);
    let x = Tensor::f32(&[5], vec![0.0, 1.0, 2.0, 3.0, 4.0]);
    let out = run(&g, &[x.clone(), Tensor::f32(&[1], vec![1.0])], &mut ()).unwrap();
    assert_eq!(out[0], Tensor::f32(&[3], vec![2.0, 3.0, 4.0]));
    let e = run(&g, &[x, Tensor::f32(&[2], vec![1.0; 2])], &mut ()).unwrap_err();
    assert!(e.to_string().contains("H = 5 and N = 2 must agree"), "{e}");
}

#[test]
fn shape_arithmetic_is_read_symbolically() {
    let (mut g, ids) = graph(&[("x", "N,3,H,2*H")]);
    let s = push(&mut g, ShapeOf {}, &ids, "s");
    let slice = |a: i64, b: i64| Slice { axis: 0, start: a.into(), end: b.into(), step: 1 };
    let batch = push(&mut g, slice(0, 1), &[s], "batch");
    let two = numbers(&mut g, "two", &[2]);
    let minus = numbers(&mut g, "minus", &[-1]);
    let space = push(&mut g, slice(2, 4), &[s], "space");
    let halves = push(&mut g, Div {}, &[space, two], "halves");
    let wanted = push(&mut g, Concat { axis: 0 }, &[batch, minus, halves], "wanted");
    let whole =
        push(&mut g, Reduce { kind: reduce::Reduction::Prod, axes: vec![0], keep: true }, &[s], "whole");
    let less = push(&mut g, Sub {}, &[space, two], "less");
    let unsure = push(&mut g, Div {}, &[less, two], "unsure");
    let zero = g.push_const(Tensor::i64(&[], vec![0]), "zero", Loc::default());
    let scalar = push(&mut g, Gather { axis: 0 }, &[s, zero], "scalar");
    let narrow = push(&mut g, Cast { to: Storage::I32 }, &[s], "narrow");
    let is_free = push(&mut g, Equal {}, &[wanted, minus], "is_free");
    let chosen = push(&mut g, Where {}, &[is_free, two, wanted], "chosen");
    let rows = push(&mut g, Reshape { shape: dims("2,2") }, &[s], "rows");
    let turned = push(&mut g, Transpose { perm: vec![1, 0] }, &[rows], "turned");
    let mut values = ShapeValues::new();
    let mut show = |v| values.content(&g, v).map(|c| format!("{c:?}"));
    assert_eq!(show(wanted).as_deref(), Some("[N, -1, H/2, H]"));
    assert_eq!(show(whole).as_deref(), Some("[6*H*H*N]"));
    assert_eq!(show(less).as_deref(), Some("[H-2, 2*H-2]"));
    assert_eq!(show(unsure), None);
    assert_eq!(show(scalar).as_deref(), Some("[N]"));
    assert_eq!(show(narrow).as_deref(), Some("[N, 3, H, 2*H]"));
    assert_eq!(show(is_free).as_deref(), Some("[0, 1, 0, 0]"));
    assert_eq!(show(chosen).as_deref(), Some("[N, 2, H/2, H]"));
    assert_eq!(show(turned).as_deref(), Some("[N, H, 3, 2*H]"));
    assert_eq!(show(ids[0]), None);
}

#[test]
fn reshapes_with_copies_and_a_rest() {
    let cases: &[(&str, &str, bool, Result<&str, &str>)] = &[
        ("2,3,4", "0,-1", false, Ok("2,12")),
        ("N,3,H,2*H", "0,-1", false, Ok("N,6*H*H")),
        ("N,3,H,2*H", "N,3,-1", false, Ok("N,3,2*H*H")),
        ("N,(H-1)/2+1,8", "-1,(H-1)/2+1", false, Ok("8*N,(H-1)/2+1")),
        ("0,3", "0,3", true, Ok("0,3")),
        ("0,3", "0,-1", true, Err("0 elements do not divide by 0")),
        ("2,3", "4,-1", false, Err("6 elements do not divide by 4")),
        ("2,3", "-1,-1", false, Err("dimensions 0 and 1 of the new shape are both -1")),
        ("2,3", "2,3,0", false, Err("dimension 2 of the new shape is 0, which copies")),
        ("2,3", "-2,3", false, Err("dimension 0 of the new shape is -2")),
        ("2,3", "5", false, Err("[2,3] has 6 elements, but [5] has 5")),
        ("N,3", "H,-1", false, Err("do not divide by H")),
    ];
    for (input, wanted, zero, want) in cases {
        match (reshape_dims(&Shape(dims(input)), &dims(wanted), *zero), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, dims(want)),
            (Err(r), Err(want)) => assert!(r.message.contains(want) && r.help.is_some(), "{r}"),
            (found, _) => panic!("{input} to {wanted}: {found:?}"),
        }
    }
}

/// `a` splits into `b` and `c`, which join in `d`; `e` stands alone.
fn diamond() -> (Graph, [NodeId; 5]) {
    let (mut g, ids) = graph(&[("x", "N,2"), ("z", "2")]);
    let a = push(&mut g, Relu {}, &ids[..1], "a");
    let b = push(&mut g, Sigmoid {}, &[a], "b");
    let c = push(&mut g, Tanh {}, &[a], "c");
    let d = push(&mut g, Mul { act: Act::None }, &[b, c], "d");
    let e = push(&mut g, Exp {}, &ids[1..], "e");
    g.output("d", d);
    g.output("e", e);
    let nodes = [a, b, c, d, e].map(|v| g.def_node(v).unwrap());
    (g, nodes)
}

#[test]
fn structure() {
    let (g, [a, b, c, d, e]) = diamond();
    let order = topological(&g).unwrap();
    let at = |n| order.iter().position(|&m| m == n).unwrap();
    assert!(at(a) < at(b) && at(a) < at(c) && at(b) < at(d) && at(c) < at(d));
    assert_eq!(cycle(&g), None);
    assert_eq!(dominators(&g).strict(d).collect::<Vec<_>>(), [a]);
    assert_eq!(post_dominators(&g).strict(a).collect::<Vec<_>>(), [d]);
    assert_eq!(post_dominators(&g).immediate(e), None);
    assert_eq!(islands(&g, |n| n != d), [vec![a, b, c], vec![e]]);
    assert_eq!(islands(&g, |n| n != a && n != d), [[b], [c], [e]]);
}

#[test]
fn dot_survives_any_name() {
    let (mut g, ids) = graph(&[("x", "2")]);
    let y = push(&mut g, Add { act: Act::None }, &[ids[0], ids[0]], "a\"b\\\n");
    g.output("out", y);
    let dot = to_dot(&g);
    assert!(dot.contains(r#"n0 [label="add\n%a\"b\\\n : f32[2]\n@net.block"];"#), "{dot}");
    assert!(dot.contains(r#"v0 -> n0 [label="b"];"#), "{dot}");
}

#[test]
fn a_million_nodes_in_a_chain() {
    let (mut g, ids) = graph(&[("x", "1")]);
    let mut v = ids[0];
    for _ in 0..1_000_000 {
        v = push(&mut g, Relu {}, &[v], "r");
    }
    g.output("y", v);
    let order = topological(&g).unwrap();
    assert!(order.iter().enumerate().all(|(i, n)| n.index() == i));
    let x = Tensor::f32(&[1], vec![2.0]);
    assert_eq!(run(&g, std::slice::from_ref(&x), &mut ()).unwrap(), [x]);
}
