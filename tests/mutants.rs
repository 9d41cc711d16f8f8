//! Mutated texts: nothing that can be parsed breaks the verifier or the printer, and nothing that verifies breaks
//! what comes after it. Deterministic; `ir/tests/text.rs` mutates bytes, this file mutates words and lines, so that
//! more mutants are sound.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use quantir_ir::ops::{Const, ConstData};
use quantir_ir::{Graph, Op, Phase, Tensor, interp, text, verify};
use quantir_passes::manager::{Error, Manager, Verify};
use quantir_passes::{Effect, Pipeline, Registry, check};
use quantir_runtime::{Plan, PlanOptions};

/// Mutants of one run of the test.
const ROUNDS: usize = 12_000;
/// Graphs with a value of more elements are not evaluated.
const LARGEST: i64 = 4096;

/// The generator of all choices.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (quantir_ir::ops::constant::splitmix64(&mut self.0) % n.max(1) as u64) as usize
    }
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

fn files(dir: PathBuf, out: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(path, out);
        } else {
            out.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The listings and the graphs of filetests, without comments; constants from files become random ones.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    files(root.join("ir/tests/data/listings"), &mut texts);
    let listings = texts.len();
    files(root.join("tests/filetests"), &mut texts);
    let mut graphs = Vec::new();
    for (i, file) in texts.iter().enumerate() {
        for case in file.split("\n// ----\n") {
            let lines: Vec<&str> =
                case.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| l.trim_end()).collect();
            let mut graph = lines.join("\n") + "\n";
            while let Some((before, rest)) = graph.split_once("blob(\"") {
                let (_, after) = rest.split_once("\")").unwrap();
                graph = format!("{before}rand(5){after}");
            }
            // Listings are mutated as often as all filetests together.
            for _ in 0..if i < listings { 16 } else { 1 } {
                graphs.push(graph.clone());
            }
        }
    }
    graphs
}

/// Words with their sigil, numbers, runs of spaces, and single characters.
fn tokens(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = if matches!(first, '%' | '!' | '$' | '@') { 1 } else { 0 };
        let end = rest[skip..].find(|c| !part(c)).map_or(rest.len(), |n| n + skip);
        let (token, after) = rest.split_at(end.max(first.len_utf8()));
        out.push(token);
        rest = after;
    }
    out
}

/// What a token may be replaced by: tokens of one class.
fn class(token: &str) -> u8 {
    match token.as_bytes().first() {
        Some(b'0'..=b'9') => b'0',
        Some(&c @ (b'%' | b'!' | b'$' | b'@')) => c,
        Some(c) if c.is_ascii_alphabetic() => b'a',
        _ => b' ',
    }
}

/// A text with one or two changes; `words` are tokens of other texts.
fn mutate(text: &str, words: &[&str], random: &mut Random) -> String {
    let mut text = text.to_string();
    for _ in 0..1 + random.below(2) {
        text = match random.below(20) {
            0 => lines(
                &text,
                |lines, random| {
                    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                    lines.swap(a, b)
                },
                random,
            ),
            1 => lines(
                &text,
                |lines, random| {
                    lines.remove(random.below(lines.len()));
                },
                random,
            ),
            what => change_token(&text, what, words, random),
        };
        if text.trim().is_empty() {
            break;
        }
    }
    text
}

fn lines(text: &str, change: impl Fn(&mut Vec<&str>, &mut Random), random: &mut Random) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    change(&mut lines, random);
    lines.join("\n") + "\n"
}

fn change_token(text: &str, what: usize, words: &[&str], random: &mut Random) -> String {
    let mut all = tokens(text);
    // Places of tokens that hold, where there are any.
    let places = |holds: &dyn Fn(usize) -> bool| {
        let found: Vec<usize> = (0..all.len()).filter(|&i| holds(i)).collect();
        if found.is_empty() { vec![0] } else { found }
    };
    let before = |i: usize, mark: &str| i >= 2 && all[i - 1] == " " && all[i - 2] == mark;
    let defines = |i: usize| all.get(i + 1) == Some(&" ") && all.get(i + 2) == Some(&"=");
    let names: Vec<&str> = Op::all_names().filter(|n| *n != "const").collect();
    let extreme = ["0", "1", "2", "3", "-1", "1.5", "9223372036854775807", "1e-30", "nan"];
    let at = random.pick(&match what {
        2 => places(&|_| true),
        3..=6 => places(&|i| before(i, "=") && all[i] != "const"),
        7..=10 => places(&|i| class(all[i]) == b'%' && !defines(i)),
        _ => places(&|i| class(all[i]) != b' '),
    });
    let alike = |from: &[&'_ str]| {
        from.iter().filter(|t| class(t) == class(all[at])).map(|t| t.to_string()).collect::<Vec<_>>()
    };
    let (own, others) = (alike(&all), alike(words));
    let new: String = match what {
        2 => String::new(),
        3..=6 => random.pick(&names).into(),
        7..=10 => own[random.below(own.len())].clone(),
        11 if class(all[at]) == b'0' => random.pick(&extreme).into(),
        12 if !others.is_empty() => others[random.below(others.len())].clone(),
        _ => own[random.below(own.len())].clone(),
    };
    let old = all[at];
    if what >= 15 && class(old) == b'0' {
        // The same everywhere, so that sizes go on fitting each other.
        all.iter_mut().filter(|t| **t == old).for_each(|t| *t = &new);
    } else {
        all[at] = &new;
    }
    all.concat()
}

/// The constant that a text names by its hash: one with a NaN is not written out.
fn constant(g: &Graph, hash: &str) -> Option<Tensor> {
    g.nodes().find_map(|n| match g.op(n) {
        Op::Const(Const { data: ConstData::Tensor(t) }) if t.1 == hash => Some(t.0.clone()),
        _ => None,
    })
}

/// Whether evaluating the graph takes next to no time and memory.
fn is_small(g: &Graph) -> bool {
    (0..2).all(|round| {
        let b = check::bind_symbols(g, round);
        let values = g.inputs().iter().copied().chain(g.nodes().flat_map(|n| g.node(n).outs.clone()));
        values.into_iter().all(|v| matches!(g.ty(v).shape.numel().eval(&b), Ok(n) if n <= LARGEST))
    })
}

/// Passes, executors and plans take a sound graph or refuse it in words.
fn live(g: &Graph, registry: &Registry) {
    let round = 0;
    let inputs = check::seeded_inputs(g, &check::bind_symbols(g, round), round).ok();
    let want = inputs.as_ref().map(|inputs| interp::run(g, inputs, &mut ()));
    if let Some(inputs) = &inputs {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let plan = Plan::build(g, &shapes, &PlanOptions::default());
        if let (Some(Ok(_)), Err(e)) = (&want, &plan) {
            panic!("the interpreter runs it, but it cannot be planned: {e}");
        }
    }
    let pipelines: &[&str] = match g.phase() {
        Phase::Float => {
            &["canon,fuse", "canon,fuse,prepare{mapping=minmax},calibrate{batches=1},convert,lower"]
        }
        Phase::Observed => &["calibrate{batches=1},convert,lower"],
        Phase::Reference => &["lower"],
        Phase::Integer => &["identity,const-fold,cse,dce"],
    };
    for text in pipelines {
        let pipeline = Pipeline::parse(text, registry).unwrap();
        let mut after = g.clone();
        let manager = Manager { verify: Verify::Each, ..Manager::default() };
        match manager.run(&pipeline, &mut after, &mut String::new()) {
            // Quantized numbers may end elsewhere, in a division by 0 for instance, but they are still computed.
            Ok(_) if pipeline.effect() == Effect::Approximate => {
                if let (Some(inputs), Some(Ok(_))) = (&inputs, &want)
                    && let Err(e) = interp::run(&after, inputs, &mut ())
                {
                    panic!("`{text}`: {e}");
                }
            }
            Ok(_) => {
                if let Err(d) = check::same_meaning(g, &after, pipeline.effect(), 1) {
                    panic!("`{text}`: {d}");
                }
            }
            Err(Error::Pass(f)) => {
                // A pass may refuse a graph; it may not panic, nor leave a broken one.
                let refused = ["prepare", "calibration", "convert", "qconfig", "run", "phase"];
                // What is not folded or decomposed may have no place in later phases, which `phase` says.
                assert!(f.diags.iter().all(|d| refused.contains(&d.code)), "`{text}`: {f}");
            }
            Err(e) => panic!("`{text}`: {e}"),
        }
    }
}

#[test]
fn mutants_are_refused_or_work() {
    let corpus = corpus();
    let all: Vec<&str> = corpus.iter().flat_map(|t| tokens(t)).collect();
    let registry = Registry::standard();
    let mut random = Random(11);
    let (mut parsed, mut sound, mut run) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mutant = {
            let text = &corpus[random.below(corpus.len())];
            let from = random.below(all.len().saturating_sub(500));
            mutate(text, &all[from..from + 500], &mut random)
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let Ok(g) = text::parse(&mutant) else { return 0 };
            let diags = verify(&g);
            let printed = text::print(&g);
            let back = text::parse_with(&printed, &|hash| constant(&g, hash), "printed")
                .unwrap_or_else(|d| panic!("the print does not parse: {d:?}\n{printed}"));
            assert_eq!(text::print(&back), printed);
            assert_eq!(verify(&back).len(), diags.len(), "the print verifies otherwise");
            if !diags.is_empty() {
                quantir_ir::render(&diags, Some(("mutant", &mutant)), false);
                return 1;
            }
            if !is_small(&g) {
                return 2;
            }
            live(&g, &registry);
            3
        }));
        match outcome {
            Ok(n) => {
                parsed += usize::from(n >= 1);
                sound += usize::from(n >= 2);
                run += usize::from(n >= 3);
            }
            Err(_) => panic!("mutant {round} breaks something (see above):\n{mutant}"),
        }
    }
    // Otherwise the test has come to test nothing.
    assert!(parsed > ROUNDS / 4 && sound > ROUNDS / 8 && run > ROUNDS / 8, "{parsed} {sound} {run}");
}
