//! The text format: printing and parsing are inverse, and no text breaks the parser.

use std::path::Path;
use std::sync::Arc;

use pretty_assertions::assert_eq;
use quantir_ir::ops::Op;
use quantir_ir::text::{self, diff, parse, parse_keeping_blobs, print};
use quantir_ir::{Diag, Elem, Graph, Loc, Phase, Quant, Shape, Storage, Tensor, Type};

fn listings() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/listings");
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.file_name().unwrap().to_string_lossy().into(), std::fs::read_to_string(&p).unwrap()))
        .collect();
    all.sort();
    assert!(all.len() >= 5);
    all
}

fn show(diags: Vec<Diag>) -> String {
    diags.iter().map(|d| format!("{d}\n")).collect()
}

/// A graph with these lines as its body.
fn body(lines: &str) -> String {
    format!("qir 1 integer\ndim N = 1..\ngraph @main(%x: f32[N,3,8,8]) {{\n{lines}  return %x\n}}\n")
}

/// Parses and prints to the same bytes.
fn round_trip(t: &str) {
    let g = parse_keeping_blobs(t, "test").unwrap_or_else(|d| panic!("{}{t}", show(d)));
    assert_eq!(print(&g), t);
}

/// Code, line and message of each error.
fn errors(t: &str) -> Vec<String> {
    let diags = parse(t).err().unwrap_or_else(|| panic!("no error in {t}"));
    diags
        .iter()
        .map(|d| {
            let help = d.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{} {}: {}{help}", d.span.as_ref().map_or(0, |s| s.line), d.code, d.message)
        })
        .collect()
}

#[test]
fn listings_round_trip() {
    for (name, t) in listings() {
        let g = parse_keeping_blobs(&t, &name).unwrap_or_else(|d| panic!("{name}: {}", show(d)));
        assert_eq!(print(&g), t, "{name}");
    }
}

#[test]
fn all_kinds_of_values_round_trip() {
    round_trip(&body(
        "  %c = const {data=[1.0,-0.5,inf,-inf]} : f32[4] @\"a b/c\"
  %\"a/b:0\" = const {data=[1,-2,3]} : i64[3]
  %\"new\\nline \\\"q\\\" \\\\\" = const {data=splat(-0.0)} : f32[] @features.0.conv
  %s = slice %x {axis=2, start=N-1, end=max(N,2*N+1), step=-1} : f32[N,3,8,8]
  %r = reshape %x {shape=[2*(N/2),(N+1)/2,-1]} : f32[8,N,3]
  %y = conv2d %x, %c, _ {stride=[1,2], pad=[[0,1],[1,0]], act=clip(-0.0,6.0)} : f32[N,3,8,8]\n"
            .replace(", _ {", " {")
            .as_str(),
    ));
    round_trip(&body("  %y = clip %x {min=-1e-20, max=1e30} : f32[N,3,8,8]\n"));
    round_trip("qir 1 float\ngraph @\"a graph\"() {\n  return\n}\n");
}

#[test]
fn declarations_round_trip() {
    round_trip(
        "qir 1 integer
dim N = 1..64
dim batch.0 = 0..
quant !g = i4[-8:7] axis 1 group 32 scale [0.5,1,1e-10] zp [0,-1,2]
quant !d = u8[0:255] dynamic
quant !\"a b\" = u8[0:255] scale 0.00390625 zp 128
quant !w = i8[-127:127] axis 0 scale [1,2] zp 0
quant !q0 = i32[-2147483648:2147483647] product(!\"a b\", !w)
observer $o = moving_average(0.01,3) u8[0:127] affine
observer $\"w/0\" = minmax i8[-128:127] symmetric(0)
observer $p = placeholder f16 affine dynamic
observer $t = minmax u4[0:15] float_qparams(0) eps 0.25 custom_range
graph @main(%x: u8!\"a b\"[N,2], %g: i4!g[2,96], %d: u8!d[], %w: i8!w[2], %b: i32!q0[2]) {
  return %x as \"output/0\", %x
}
",
    );
}

#[test]
fn products_follow_their_factors_and_unnamed_quantizations_get_names() {
    let (x, w) = (Arc::new(Quant::tensor(Storage::U8, 0.5, 3)), Arc::new(Quant::tensor(Storage::I8, 2.0, 0)));
    let b = Arc::new(Quant::product(&x, &w));
    let mut g = Graph::new("main", Phase::Integer);
    let ty = |q: &Arc<Quant>| Type::new(Elem::Quant(q.clone()), Shape::of(&[1]));
    g.name_quant(&b, "bias");
    g.name_quant(&w, "q0");
    g.name_quant(&Arc::new(Quant::tensor(Storage::U8, 9.0, 9)), "unused");
    for q in [&b, &x, &w] {
        g.input("v", ty(q));
    }
    let t = print(&g);
    assert_eq!(
        t,
        "qir 1 integer
quant !q1 = u8[0:255] scale 0.5 zp 3
quant !q0 = i8[-128:127] scale 2 zp 0
quant !bias = i32[-2147483648:2147483647] product(!q1, !q0)
graph @main(%v: i32!bias[1], %v.1: u8!q1[1], %v.2: i8!q0[1]) {
  return
}
"
    );
    round_trip(&t);
}

#[test]
fn colliding_names_print_apart_and_parse_back_as_printed() {
    let mut g = Graph::new("main", Phase::Float);
    for name in ["a", "a", "a.1", "a", "", "", "a.1", "ä", "ä"] {
        g.input(name, Type::f32(&[1]));
    }
    let first = g.inputs()[1];
    g.output("a", first);
    let t = print(&g);
    let names: Vec<&str> =
        t.split(['(', ',']).filter_map(|p| p.trim().split_once(": f32")).map(|p| p.0).collect();
    assert_eq!(names, ["%a", "%a.2", "%a.1", "%a.3", "%\"\"", "%.1", "%a.1.1", "%\"ä\"", "%\"ä.1\""]);
    assert!(t.contains("return %a.2 as \"a\""), "{t}");
    round_trip(&t);
}

#[test]
fn any_unicode_name_survives() {
    let names = ["\u{0}", "\u{feff}x", "%\"", "a\\", "\r\n", "\u{10ffff}", "🙂/", "\u{2028}", "}", "//"];
    let mut g = Graph::new("main", Phase::Float);
    for name in names {
        let v = g.input(name, Type::f32(&[1]));
        g.output(&format!("{name}!"), v);
    }
    let back = parse(&print(&g)).unwrap_or_else(|d| panic!("{}", show(d)));
    for (i, name) in names.iter().enumerate() {
        assert_eq!(&**back.name_of(back.inputs()[i]), *name);
        assert_eq!(&*back.outputs()[i].name, format!("{name}!"));
    }
    assert_eq!(print(&back), print(&g));
}

#[test]
fn constants_are_found_by_hash() {
    let t = Tensor::f32(&[20], (0..20).map(|i| i as f32).collect());
    let mut g = Graph::new("main", Phase::Float);
    let v = g.push_const(t.clone(), "w", Loc::default());
    g.output("w", v);
    let printed = print(&g);
    assert!(printed.contains(&format!("blob(\"{}\")", t.hash())), "{printed}");
    let back = text::parse_with(&printed, &|hash| (hash == t.hash()).then(|| t.clone()), "m").unwrap();
    assert_eq!(back.constant(back.outputs()[0].value), Some(t));
    assert_eq!(print(&back), printed);
    assert!(errors(&printed)[0].starts_with("3 const: constant"));
}

#[test]
fn nodes_know_their_line() {
    let g = parse(&body("  // first\n  %y = relu %x : f32[N,3,8,8]\n")).unwrap();
    let node = g.nodes().next().unwrap();
    assert_eq!(g.node(node).loc.span.as_ref().unwrap().to_string(), "text:5:8");
}

#[test]
fn errors_say_what_was_meant() {
    assert_eq!(
        errors(&body(
            "  %conv1 = conv2 %x, %x : f32[N,3,8,8]
  %a = relu %cov1 : f32[N,3,8,8]
  %b = softmax %conv1 {axs=1} : f32[N,3,8,8]
  %c = relu %conv1 : f33[N]
  %d = relu %d2 : f32[N]
  %d2 = relu %x : f32[N]
  %d2 = relu %x : f32[N]
  %e, %f = relu %x : f32[N]
  %g = const {data=blob(77a2)} : f32[1]
  %h = const {data=blob(0e51)} : f32[1]
  %i = relu %x : u8!act0[1]
  %j = relu %x
  %k = relu %b, %c, %i, %j : f32[2N]
"
        )),
        [
            "4 unknown-op: unknown op `conv2` (did you mean `conv2d`?)",
            "5 unknown-value: unknown value `%cov1` (did you mean `%conv1`?)",
            "6 attribute: unknown attribute `axs` (did you mean `axis`?)",
            "7 storage: unknown element type `f33` (did you mean `f32`?)",
            "8 order: `%d2` is used before its definition (move the definition above the use)",
            "10 name: `%d2` is defined twice",
            "11 results: 2 results but 1 type",
            "12 syntax: number runs into letters: `77a2` (put a hash or another text in quotes)",
            "13 const: `blob` takes one hash in quotes",
            "14 unknown-quant: unknown quantization `!act0` (declare it above the graph: `quant !act0 = u8[0:255] scale 0.5 zp 0`)",
            "15 syntax: expected `:` and the type of the result, found the end of the line",
            "16 dim: `2N` is no dimension: `2N` is no number",
        ]
    );
    assert_eq!(
        errors(
            "qir 1 floot
dim inf = 1..
quant !a = i8[-128:127] scale 1e99 zp 0
quant !b = i8[-128:127] scale 1 zp 3000000000
observer $o = minmax u8[0:255] sideways
graf @main() {
graph @main(%x: i8!a[1], %y: i8!aa[1]) {
  return %x as y
"
        ),
        [
            "1 phase: unknown phase `floot` (did you mean `float`?)",
            "2 dim: `inf` cannot name a dimension",
            "3 syntax: `1e99` does not fit a 32-bit float",
            "4 syntax: `3000000000` does not fit a zero point",
            "5 syntax: `sideways` is no scheme",
            "6 syntax: expected `dim`, `quant`, `module`, `observer` or `graph`, found `graf`",
            "7 unknown-quant: unknown quantization `!aa` (did you mean `!a`?)",
            "8 syntax: expected the output's name in quotes, found `y`",
            "9 syntax: expected `}`, found the end of the text",
        ]
    );
    assert_eq!(errors(""), ["1 syntax: expected the header line `qir 1 <phase>`, found the end of the text"]);
}

#[test]
fn errors_are_limited() {
    let t = body(&"  %y = nothing %x : f32[1]\n".repeat(500));
    assert_eq!(errors(&t).len(), text::MAX_ERRORS);
    let deep = |open: &str, n| body(&format!("  %y = reshape %x {{shape={}}} : f32[1]\n", open.repeat(n)));
    assert!(errors(&deep("[", 100_000))[0].contains("nested too deeply"));
    assert!(errors(&deep("(", 100_000))[0].contains("nested too deeply"));
    assert!(errors(&deep("f(", 100_000))[0].contains("nested too deeply"));
    let wide: String = (0..40).map(|i| format!("(A{i}+B{i})*")).collect();
    assert!(parse(&body(&format!("  %y = relu %x : f32[{wide}1]\n"))).is_err());
}

#[test]
fn examples_need_no_frame() {
    let g = text::parse_example(
        "
input %x: f32[N,3,8,8]
%a = relu %x : f32[N,3,8,8]
%b = relu %a : f32[N,3,8,8]   // the end
%c = observe %a {by=$o} : f32[N,3,8,8]
",
    )
    .unwrap_or_else(|d| panic!("{}", show(d)));
    assert_eq!(
        print(&g),
        "qir 1 observed
dim N = 1..
observer $o = minmax u8[0:255] affine
graph @main(%x: f32[N,3,8,8]) {
  %a = relu %x : f32[N,3,8,8]
  %b = relu %a : f32[N,3,8,8]
  %c = observe %a {by=$o} : f32[N,3,8,8]
  return %b, %c
}
"
    );
    assert!(text::parse_example("%a = relu %x : f32[1]").is_err());
}

#[test]
fn the_diff_of_a_fusion_shows_the_fusion() {
    let all = listings();
    let d = diff(&all[0].1, &all[1].1);
    assert_eq!(d.lines().filter(|l| l.starts_with("- ")).count(), 8, "{d}");
    assert_eq!(d.lines().filter(|l| l.starts_with("+ ")).count(), 3, "{d}");
    assert!(d.ends_with("  ...\n"), "{d}");
}

/// How many mutants to try; `QIR_FUZZ_ROUNDS` sets it.
fn rounds() -> u32 {
    std::env::var("QIR_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000)
}

/// A small generator of mutations that needs no seed from outside.
struct Random(u64);
impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

#[test]
fn no_mutated_text_breaks_the_parser() {
    let pieces: [&[u8]; 24] = [
        b"\n",
        b"\"",
        b"%",
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b",",
        b":",
        b"=",
        b"-",
        b"9223372036854775808",
        b"_",
        b"1e40",
        b"..",
        b"//",
        b"\\u{",
        b"\xff",
        "é".as_bytes(),
        b"N/",
        b"@",
        b"!w0",
        b" as ",
    ];
    let texts: Vec<Vec<u8>> = listings().into_iter().map(|(_, t)| t.into_bytes()).collect();
    let mut random = Random(7);
    for round in 0..rounds() {
        let mut bytes = texts[random.below(texts.len())].clone();
        for _ in 0..1 + random.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] = random.below(256) as u8,
                1 => {
                    bytes.remove(at);
                }
                2 => {
                    let piece = pieces[random.below(pieces.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                3 => {
                    let end = (at + random.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ if round % 10 == 0 => bytes.truncate(at.max(1)),
                _ => {}
            }
        }
        let t = String::from_utf8_lossy(&bytes);
        match parse_keeping_blobs(&t, "mutant") {
            Ok(g) => {
                let printed = print(&g);
                let back = parse_keeping_blobs(&printed, "printed")
                    .unwrap_or_else(|d| panic!("{}\nof\n{t}\nprinted\n{printed}", show(d)));
                assert_eq!(print(&back), printed);
            }
            Err(diags) => {
                assert!(!diags.is_empty() && diags.len() <= text::MAX_ERRORS + 2);
                for l in diags.iter().flat_map(|d| &d.labels) {
                    assert!(l.start <= l.end && t.get(l.start..l.end).is_some(), "{diags:?}");
                }
            }
        }
    }
}

#[test]
fn every_op_name_is_known() {
    for name in Op::all_names() {
        assert!(Op::parse(name, Vec::new()).is_some(), "{name}");
    }
}

/// A long chain costs linear time and no recursion; in release a million nodes take a few seconds.
#[test]
fn a_long_chain_parses_and_prints() {
    let n = std::env::var("QIR_CHAIN").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut t = String::from("qir 1 float\ngraph @main(%x: f32[1,8]) {\n");
    let mut last = "x".to_string();
    for i in 0..n {
        t.push_str(&format!("  %r.{i} = relu %{last} : f32[1,8] @layer.{}\n", i / 10));
        last = format!("r.{i}");
    }
    t.push_str(&format!("  return %{last}\n}}\n"));
    let g = parse(&t).unwrap_or_else(|d| panic!("{}", show(d)));
    assert!(print(&g) == t);
}

#[test]
fn modules_and_calls_survive_the_round_trip() {
    let text = "qir 1 float\nmodule @block = \"my.Block\"\nmodule @block.fc = \"nn.Linear\"\n\
        graph @main(%x: f32[2,3]) {\n  %w = const {data=rand(1)} : f32[4,3] @block.fc\n  \
        %fc = linear %x, %w : f32[2,4] @block.fc by \"nn.Linear\"\n  %y = relu %fc : f32[2,4] @block by \"F.relu\"\n  \
        %z = neg %y : f32[2,4] by \"operator.neg\"\n  return %z\n}\n";
    let g = quantir_ir::text::parse(text).unwrap();
    assert_eq!(g.to_string(), text);
    assert_eq!(g.modules["block"].as_ref(), "my.Block");
    let twice = text.replace("module @block.fc", "module @block");
    let e = quantir_ir::text::parse(&twice).unwrap_err();
    assert!(e[0].message.contains("declared twice"), "{}", e[0].message);
}
