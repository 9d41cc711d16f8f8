//! Times each stage on long graphs, at three lengths, so that a stage that is not linear shows.
//!
//! ```sh
//! cargo run --release --example scale -- 1000000
//! ```

use std::fmt::Write;
use std::time::Instant;

use comfy_table::Table;
use comfy_table::presets;
use quantir_ir::{Graph, text, verify};
use quantir_passes::{Manager, Pipeline, Registry};
use quantir_runtime::{Plan, PlanOptions};

/// Stages in the order in which they are timed.
const STAGES: [&str; 5] = ["parse", "print", "verify", "canon", "plan"];

/// A chain of `n` nodes: `relu`, `neg` and `add` of a constant by turns.
fn chain(n: usize) -> String {
    let mut out =
        String::from("qir 1 float\ngraph @main(%x: f32[1,4]) {\n  %c = const {data=rand(1)} : f32[4]\n");
    let mut last = String::from("x");
    for i in 0..n {
        let line = match i % 3 {
            0 => format!("relu %{last}"),
            1 => format!("neg %{last}"),
            _ => format!("add %{last}, %c"),
        };
        last = format!("v{i}");
        let _ = writeln!(out, "  %{last} = {line} : f32[1,4]");
    }
    let _ = writeln!(out, "  return %{last}\n}}");
    out
}

/// A chain in which each `add` has a 0 of its own, and each third value a reader of no use: `canon` shares the
/// constants and then removes all but `relu` and `neg`.
fn redundant(n: usize) -> String {
    let mut out = String::from("qir 1 float\ngraph @main(%x: f32[1,4]) {\n");
    let mut last = String::from("x");
    for i in 0..n / 4 {
        let _ = writeln!(out, "  %z{i} = const {{data=splat(0)}} : f32[]");
        let _ = writeln!(out, "  %a{i} = add %{last}, %z{i} : f32[1,4]");
        let _ = writeln!(out, "  %u{i} = exp %a{i} : f32[1,4]");
        let op = if i % 2 == 0 { "relu" } else { "neg" };
        let _ = writeln!(out, "  %v{i} = {op} %a{i} : f32[1,4]");
        last = format!("v{i}");
    }
    let _ = writeln!(out, "  return %{last}\n}}");
    out
}

/// Seconds that each stage takes.
fn times(text: &str) -> [f64; STAGES.len()] {
    let mut seconds = [0.0; STAGES.len()];
    let mut stage = 0;
    let mut timed = |started: Instant| {
        seconds[stage] = started.elapsed().as_secs_f64();
        stage += 1;
    };

    let clock = Instant::now();
    let mut g: Graph = text::parse(text).expect("the text is right");
    timed(clock);

    let clock = Instant::now();
    let printed = text::print(&g);
    timed(clock);
    assert!(printed == text, "printing gives the text back");
    drop(printed);

    let clock = Instant::now();
    let diags = verify(&g);
    timed(clock);
    assert!(diags.is_empty(), "the graph is sound");

    let canon = Pipeline::parse("canon", &Registry::standard()).expect("a named pipeline");
    let clock = Instant::now();
    Manager::default().run(&canon, &mut g, &mut String::new()).expect("passes succeed");
    timed(clock);

    let clock = Instant::now();
    Plan::build(&g, &[vec![1, 4]], &PlanOptions::default()).expect("the graph can be planned");
    timed(clock);
    seconds
}

fn main() {
    let n = match std::env::args().nth(1).map(|a| a.parse::<usize>()) {
        None => 1_000_000,
        Some(Ok(n)) if n >= 16 => n,
        Some(_) => {
            eprintln!("usage: scale [NODES], at least 16");
            std::process::exit(2);
        }
    };
    let lengths = [n / 4, n / 2, n];
    for (name, make) in [("chain", chain as fn(usize) -> String), ("redundant chain", redundant)] {
        let columns: Vec<[f64; STAGES.len()]> = lengths.iter().map(|&n| times(&make(n))).collect();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let mut heads = vec![name.to_string()];
        heads.extend(lengths.iter().map(|n| format!("{n} nodes")));
        table.set_header(heads);
        for (i, stage) in STAGES.iter().enumerate() {
            let mut row = vec![stage.to_string()];
            row.extend(lengths.iter().zip(&columns).map(|(&n, column)| {
                format!("{:.3} s, {:.0} ns/node", column[i], column[i] * 1e9 / n as f64)
            }));
            table.add_row(row);
        }
        println!("{table}\n");
    }
}
