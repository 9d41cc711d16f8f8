//! The manager and the driver, on passes made for it.

use quantir_ir::loc::Loc;
use quantir_ir::text::{parse, print};
use quantir_passes::manager::{Error, Failure, Manager, Print, Report};
use quantir_passes::prelude::*;
use quantir_passes::{Pipeline, Registry};

const TWO_RELUS: &str = "\
qir 1 float
graph @main(%x: f32[1,4], %z: f32[1,4]) {
  %a = add %x, %z : f32[1,4] @block.0
  %b = relu %a : f32[1,4] @block.0.act
  %c = add %b, %z : f32[1,4] @block.1
  %y = relu %c : f32[1,4] @block.1.act
  return %y
}
";

/// A pass that computes something else than before, though it promises not to.
struct Wrong;
impl Rewrite for Wrong {
    const INFO: PassInfo = PassInfo::new("wrong", "Turn relu into neg");
    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let relu = g.get::<Relu>(at)?;
        Edit::fuse(g, relu.out, at, Neg {})
    }
}

/// A rewrite that matches its own result.
struct Endless;
impl Rewrite for Endless {
    const INFO: PassInfo = PassInfo::new("endless", "Replace relu by relu");
    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let relu = g.get::<Relu>(at)?;
        Edit::fuse(g, relu.out, at, Relu {})
    }
}

/// A pass with a bug.
struct Panics;
impl Pass for Panics {
    fn info(&self) -> &PassInfo {
        const INFO: PassInfo = PassInfo::new("panics", "Panic");
        &INFO
    }
    fn run(&self, _: &mut Graph, _: &mut PassCx) -> Result<Changed, Diag> {
        panic!("index out of bounds")
    }
}

/// Removes its own promise: an edit that changes a type.
struct Retypes;
impl Rewrite for Retypes {
    const INFO: PassInfo = PassInfo::new("retypes", "Replace relu by its transpose");
    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        let relu = g.get::<Relu>(at)?;
        let mut e = g.edit(at);
        let t = e.op(Transpose { perm: vec![1, 0] }, [relu.x]).ok()?;
        e.replace(relu.out, t);
        Some(e.finish())
    }
}

fn registry() -> Registry {
    Registry::standard().with(&Wrong).with(&Endless).with(&Panics).with(&Retypes)
}

fn run(manager: &Manager, pipeline: &str, g: &mut Graph) -> (Result<Report, Error>, String) {
    let mut out = String::new();
    let pipeline = Pipeline::parse(pipeline, &registry()).unwrap();
    (manager.run(&pipeline, g, &mut out), out)
}

fn fails(manager: &Manager, pipeline: &str) -> Failure {
    let mut g = parse(TWO_RELUS).unwrap();
    match run(manager, pipeline, &mut g).0 {
        Err(Error::Pass(f)) => *f,
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("`{pipeline}` should fail"),
    }
}

#[test]
fn bisection_stops_after_an_edit_and_names_it() {
    for limit in 0..=2u64 {
        let mut g = parse(TWO_RELUS).unwrap();
        let (report, _) = run(&Manager { bisect: Some(limit), ..Manager::default() }, "fuse-act,dce", &mut g);
        let report = report.unwrap();
        assert_eq!(report.edits(), limit);
        assert_eq!(print(&g).matches("act=relu").count() as u64, limit);
        let last = report.last_edit().map(ToString::to_string);
        assert_eq!(
            last.as_deref(),
            match limit {
                0 => None,
                1 => Some("edit 1: pass `fuse-act`, at %b @block.0.act"),
                _ => Some("edit 2: pass `fuse-act`, at %y @block.1.act"),
            }
        );
    }
}

#[test]
fn check_each_finds_a_pass_that_changes_the_meaning() {
    let manager = Manager { check_each: Some(1), ..Manager::default() };
    let f = fails(&manager, "fuse-hard-swish,wrong,dce");
    assert_eq!((f.pass.as_str(), f.diags[0].code), ("wrong", "meaning"));
    assert!(f.diags[0].message.starts_with("output `y` changed: element [0,"), "{}", f.diags[0].message);
    let mut g = parse(TWO_RELUS).unwrap();
    run(&manager, "canon,fuse", &mut g).0.unwrap();
}

#[test]
fn a_failure_carries_a_reproducer() {
    let text = fails(&Manager { check_each: Some(1), ..Manager::default() }, "dce,wrong").reproducer();
    assert!(text.starts_with("// RUN: wrong\n// output `y` changed"), "{text}");
    assert_eq!(print(&parse(&text).unwrap()), TWO_RELUS);
}

#[test]
fn bugs_of_passes_are_diagnostics() {
    let m = Manager::default();
    for (pass, code, message) in [
        ("panics", "panic", "pass `panics` panicked: index out of bounds"),
        ("endless", "pass-limit", "rule `endless` does not come to an end"),
        ("retypes", "edit", "`%b` of type f32[1,4] would be replaced by f32[4,1]"),
    ] {
        let f = fails(&m, pass);
        assert_eq!((f.pass.as_str(), f.diags[0].code), (pass, code));
        assert!(f.diags[0].message.starts_with(message), "{}", f.diags[0].message);
        assert_eq!(print(&f.before), TWO_RELUS);
    }
}

#[test]
fn prints_are_asked_for_by_pass() {
    let mut g = parse(TWO_RELUS).unwrap();
    let manager = Manager {
        print_before: Print::Passes(vec!["fuse-act".into()]),
        print_changed: true,
        diff: true,
        ..Manager::default()
    };
    let (report, out) = run(&manager, "dce,fuse-act,const-fold{limit=1}", &mut g);
    report.unwrap();
    let heads: Vec<&str> = out.lines().filter(|l| l.starts_with("//")).collect();
    assert_eq!(heads, ["// before fuse-act", "// fuse-act", "// after fuse-act"]);
    assert!(out.contains(TWO_RELUS) && out.contains("+   %y = add %b, %z {act=relu}"), "{out}");
}

#[test]
fn reports_show_time_as_a_tree_and_counts_by_rule() {
    let mut g = parse(TWO_RELUS).unwrap();
    let report = run(&Manager::default(), "canon,fuse-act", &mut g).0.unwrap();
    let timing = report.timing();
    let names: Vec<&str> = timing.lines().map(|l| l.get(22..).unwrap_or("")).collect();
    assert_eq!(names[..4], ["passes", "  canon", "    dropout", "    identity"], "{timing}");
    assert!(names.contains(&"  fuse-act  (2 edits)"), "{timing}");
    assert_eq!(report.statistics(), "         2 fuse-act\n");
}

#[test]
fn rejections_name_node_module_and_reason() {
    let text = TWO_RELUS.replace("return %y", "return %y, %c");
    let mut g = parse(&text).unwrap();
    let report = run(&Manager::default(), "fuse-act", &mut g).0.unwrap();
    let [r] = report.cx.rejections.as_slice() else { panic!("{:?}", report.cx.rejections) };
    assert_eq!((r.pass, &*r.node, r.path.as_deref()), ("fuse-act", "y", Some("block.1.act")));
    assert_eq!(r.reason, "%c has other uses than the `relu`");
}

/// A chain of `n` ops, in which every second one goes.
fn chain(n: usize) -> Graph {
    let mut g = Graph::new("main", Phase::Float);
    let mut x = g.input("x", Type::f32(&[1]));
    for i in 0..n {
        let op: Op = if i % 2 == 0 { ops::Identity {}.into() } else { Neg {}.into() };
        x = g.push(op, [x], "v", Loc::default()).unwrap();
    }
    g.output("y", x);
    g
}

#[test]
fn passes_take_linear_time() {
    // Measured as nodes that rules are asked about, not as time: the driver visits each node a bounded number of
    // times. A quadratic walk over this many nodes would not end within the test's patience.
    let n = 1_000_000;
    let mut g = chain(n);
    let manager = Manager { verify: quantir_passes::manager::Verify::Phases, ..Manager::default() };
    let report = run(&manager, "canon,fuse", &mut g).0.unwrap();
    assert_eq!((report.edits(), g.node_count()), (n as u64 / 2, n / 2));
}
