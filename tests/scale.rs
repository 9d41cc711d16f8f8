//! Graphs of a hundred thousand nodes pass every stage. Nothing here looks at the clock: what is counted are nodes
//! and edits, and a stage that is not linear would make this file take minutes instead of seconds.
//!
//! `examples/scale.rs` measures.

use std::fmt::Write;

use quantir_ir::{Graph, Phase, Shape, Tensor, interp, text, verify};
use quantir_passes::manager::{Manager, Report, Verify};
use quantir_passes::{Pipeline, Registry};
use quantir_runtime::{Plan, PlanOptions};

const N: usize = 100_000;

/// A graph whose body is written by `lines` and which returns what that says.
fn parse(header: &str, lines: impl FnOnce(&mut String) -> String) -> Graph {
    let mut text = String::from(header);
    let last = lines(&mut text);
    let _ = writeln!(text, "  return %{last}\n}}");
    let g = text::parse(&text).unwrap();
    assert!(text::print(&g) == text, "printing gives the text back");
    assert!(verify(&g).is_empty());
    g
}

fn run(pipeline: &str, g: &mut Graph) -> Report {
    let pipeline = Pipeline::parse(pipeline, &Registry::standard()).unwrap();
    let manager = Manager { verify: Verify::Phases, ..Manager::default() };
    manager.run(&pipeline, g, &mut String::new()).unwrap()
}

const HEADER: &str = "qir 1 float\ngraph @main(%x: f32[1,4]) {\n";

#[test]
fn a_long_chain_is_parsed_printed_verified_planned_and_run() {
    let mut g = parse(HEADER, |t| {
        *t += "  %c = const {data=rand(1)} : f32[4]\n";
        let mut last = String::from("x");
        for i in 0..N {
            let op = ["relu %", "neg %", "add %c, %"][i % 3];
            let _ = writeln!(t, "  %v{i} = {op}{last} : f32[1,4]");
            last = format!("v{i}");
        }
        last
    });
    assert_eq!(g.node_count(), N + 1);
    assert_eq!(run("canon", &mut g).edits(), 0);

    let x = Tensor::f32(&[1, 4], vec![0.5, -0.5, 2.0, 0.0]);
    interp::run(&g, std::slice::from_ref(&x), &mut ()).unwrap();
    let plan = Plan::build(&g, &[vec![1, 4]], &PlanOptions::default()).unwrap();
    // A chain needs the memory of its neighbours only.
    assert!(plan.arena_bytes() <= 1024, "{}", plan.arena_bytes());
}

#[test]
fn edits_at_values_with_very_many_uses_are_linear() {
    // Constants become one, which then has N uses; each addition of it goes, taking one use away.
    let mut g = parse(HEADER, |t| {
        let mut last = String::from("x");
        for i in 0..N {
            let _ = writeln!(t, "  %z{i} = const {{data=splat(0)}} : f32[]");
            let _ = writeln!(t, "  %v{i} = add %{last}, %z{i} : f32[1,4]");
            last = format!("v{i}");
        }
        let _ = writeln!(t, "  %y = relu %{last} : f32[1,4]");
        "y".into()
    });
    let report = run("cse,identity", &mut g);
    assert_eq!(report.edits(), 2 * N as u64 - 1);
    assert_eq!(g.node_count(), 1);

    // N readers of one value, none of them read.
    let mut g = parse(HEADER, |t| {
        for i in 0..N {
            let _ = writeln!(t, "  %v{i} = exp %x : f32[1,4]");
        }
        "x".into()
    });
    assert_eq!(run("dce", &mut g).edits(), N as u64);
    assert_eq!(g.node_count(), 0);
}

#[test]
fn chains_that_fold_into_one_node_are_linear() {
    let mut g = parse(HEADER, |t| {
        let mut last = String::from("x");
        for i in 0..N {
            let shape = if i % 2 == 0 { "2,2" } else { "4" };
            let _ = writeln!(t, "  %v{i} = reshape %{last} {{shape=[{shape}]}} : f32[{shape}]");
            last = format!("v{i}");
        }
        last
    });
    run("fold-reshape", &mut g);
    assert_eq!(g.node_count(), 1);

    // Arithmetic of shapes, as deep as it is long.
    let mut g = parse("qir 1 float\ndim N = 1..\ngraph @main(%x: f32[N,4]) {\n", |t| {
        *t += "  %s = shape %x : i64[2]\n  %c = const {data=[0,0]} : i64[2]\n";
        let mut last = String::from("s");
        for i in 0..N {
            let _ = writeln!(t, "  %v{i} = add %{last}, %c : i64[2]");
            last = format!("v{i}");
        }
        let _ = writeln!(t, "  %y = reshape_to %x, %{last} : f32[N,4]");
        "y".into()
    });
    run("canon", &mut g);
    assert_eq!(g.node_count(), 0);
}

/// A network of `n` sums whose operands are a result and the result before it, so that observers have many uses.
fn sums(n: usize) -> Graph {
    parse("qir 1 float\ngraph @main(%x: f32[1,4], %y: f32[1,4]) {\n", |t| {
        let (mut before, mut last) = (String::from("x"), String::from("y"));
        for i in 0..n {
            let op = if i % 2 == 0 { "add" } else { "mul" };
            let _ = writeln!(t, "  %v{i} = {op} %{last}, %{before} {{act=clip(-1.0,1.0)}} : f32[1,4]");
            before = std::mem::replace(&mut last, format!("v{i}"));
        }
        last
    })
}

#[test]
fn long_networks_are_quantized() {
    let n = N / 5;
    let mut g = sums(n);
    run("prepare{mapping=minmax}", &mut g);
    assert_eq!(g.observers.len(), n + 2);
    run("calibrate{batches=1},convert,lower", &mut g);
    assert_eq!(g.phase(), Phase::Integer);
    let integer = g.nodes().filter(|&n| matches!(g.op(n).name(), "qadd" | "qmul")).count();
    assert_eq!(integer, n);
    Plan::build(&g, &[vec![1, 4], vec![1, 4]], &PlanOptions::default()).unwrap();
}

#[test]
fn one_value_with_very_many_quantized_users_is_prepared() {
    let n = N / 5;
    let mut g = parse(HEADER, |t| {
        *t += "  %w = const {data=rand(1)} : f32[4,4]\n";
        for i in 0..n {
            let _ = writeln!(t, "  %v{i} = linear %x, %w : f32[1,4]");
        }
        let all: Vec<String> = (0..n).map(|i| format!("%v{i}")).collect();
        let _ = writeln!(t, "  %y = concat {} {{axis=1}} : f32[1,{}]", all.join(", "), 4 * n);
        "y".into()
    });
    run("prepare{mapping=minmax},calibrate{batches=1},convert,lower", &mut g);
    let integer = g.nodes().filter(|&n| g.op(n).name() == "qlinear").count();
    assert_eq!(integer, n);
}

#[test]
fn a_function_of_one_value_may_be_long_and_read_itself_twice() {
    // Each value is used twice, so that a walk without memory would visit 2^60 of them.
    let mut g = parse(HEADER, |t| {
        let mut last = String::from("x");
        for i in 0..60 {
            let _ = writeln!(t, "  %v{i} = maximum %{last}, %{last} : f32[1,4]");
            last = format!("v{i}");
        }
        last
    });
    run("prepare,calibrate,convert,lower", &mut g);

    let mut g = parse(HEADER, |t| {
        let mut last = String::from("x");
        for i in 0..N / 2 {
            let op = if i % 2 == 0 { "tanh" } else { "neg" };
            let _ = writeln!(t, "  %v{i} = {op} %{last} : f32[1,4]");
            last = format!("v{i}");
        }
        last
    });
    run("prepare,calibrate{batches=1},convert,lower", &mut g);
    assert_eq!(g.ty(g.outputs()[0].value).shape, Shape::of(&[1, 4]));
}

#[test]
fn functions_that_are_cut_one_node_at_a_time_are_given_up() {
    // A second output in the middle makes the node behind it read two values, which makes the node before it
    // an end too, and so on back to the start.
    let mut text = String::from(HEADER);
    let (mut before, mut last) = (String::from("x"), String::from("x"));
    for i in 0..N / 2 {
        let _ = writeln!(text, "  %v{i} = maximum %{last}, %{before} : f32[1,4]");
        before = std::mem::replace(&mut last, format!("v{i}"));
    }
    let _ = writeln!(text, "  return %v{}, %{last}\n}}", N / 4);
    let mut g = text::parse(&text).unwrap();
    run("prepare,calibrate{batches=1},convert,lower", &mut g);
    assert_eq!(g.phase(), Phase::Integer);
}
